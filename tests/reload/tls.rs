//! A client of HTTP/1.1 over TLS, that tells which certificate it was shown.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, crypto};
use std::net::SocketAddr;
use std::sync::Arc;
use support::gateway::HOST;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that trusts some certificates and remembers its sessions.
pub(super) struct Client(TlsConnector);

/// A connection of its.
pub(super) struct Connection(TlsStream<TcpStream>);

impl Client {
    pub(super) fn trusting<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        certificates.into_iter().for_each(|certificate| roots.add(certificate.clone()).unwrap());
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    pub(super) async fn connect(&self, address: SocketAddr) -> std::io::Result<Connection> {
        let socket = TcpStream::connect(address).await?;
        Ok(Connection(self.0.connect(ServerName::try_from(HOST).unwrap(), socket).await?))
    }
}

impl Connection {
    /// The certificate that the server showed, here or in the session that is resumed.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends a request and reads the status of an answer that has a body of two bytes, or none.
    pub(super) async fn ask(&mut self, request: &str) -> u16 {
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut part = [0; 4096];
            let count = self.0.read(&mut part).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend(&part[..count]);
        }
        String::from_utf8_lossy(&answer[9..12]).parse().unwrap()
    }
}

//! A client of TLS that shows a certificate where it is asked for one.

use crate::identity::Identity;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion, crypto};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use support::gateway::HOST;
use support::raw::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that remembers its sessions.
#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

/// A connection of its, for HTTP/1.1.
pub(crate) struct Connection(TlsStream<TcpStream>);

/// Shows what it has, whoever is said to vouch for it.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl Client {
    /// A client of the server with this certificate, which speaks this version.
    pub(crate) fn of(
        server: &CertificateDer<'static>,
        version: &'static SupportedProtocolVersion,
        identity: Option<&Identity>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(server.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(Shows(identity.map(Identity::certified_key))));
        Self(Arc::new(config))
    }

    /// One of TLS 1.3.
    pub(crate) fn new(server: &CertificateDer<'static>, identity: Option<&Identity>) -> Self {
        Self::of(server, &rustls::version::TLS13, identity)
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        Ok(Connection(connector.connect(ServerName::try_from(HOST).unwrap(), socket).await?))
    }

    /// A connection that asks this: its first answer.
    pub(crate) async fn ask(&self, address: SocketAddr, request: &str) -> io::Result<Answer> {
        self.connect(address).await?.ask(request).await
    }

    /// A connection of HTTP/2.
    pub(crate) async fn http2(&self, address: SocketAddr) -> SendRequest<Empty<Bytes>> {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let Connection(socket) = Self(Arc::new(config)).connect(address).await.unwrap();
        let (sender, connection) =
            Builder::new(TokioExecutor::new()).handshake(TokioIo::new(socket)).await.unwrap();
        drop(tokio::spawn(connection));
        sender
    }
}

impl Connection {
    pub(crate) fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends a request and reads its answer. In TLS 1.3 a certificate that is refused shows here.
    pub(crate) async fn ask(&mut self, request: &str) -> io::Result<Answer> {
        tokio::time::timeout(support::raw::PATIENCE, self.exchange(request)).await.expect("an answer in time")
    }

    async fn exchange(&mut self, request: &str) -> io::Result<Answer> {
        self.0.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(field).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").expect("a length").parse().unwrap();
        answer.body = vec![0; length];
        self.0.read_exact(&mut answer.body).await?;
        Ok(answer)
    }
}

//! Connections to the server, in clear or under TLS with the scene's certificate as the only root.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::either::Either;

pub(crate) type Socket = Either<TcpStream, TlsStream<TcpStream>>;

/// Connects.
pub(crate) struct Dialer {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Dialer {
    /// `alpn`: what to speak under TLS; none for plain connections.
    pub(crate) fn new(address: SocketAddr, scene: &Path, alpn: Option<&[u8]>) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::other(format!("{address} is not on loopback")));
        }
        let tls = alpn.map(|alpn| connector(scene, alpn)).transpose()?;
        Ok(Self { address, tls })
    }

    pub(crate) async fn dial(&self) -> io::Result<Socket> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Either::Left(socket)) };
        let name = ServerName::try_from(crate::scenery::HOST).map_err(io::Error::other)?;
        tls.connect(name, socket).await.map(Either::Right)
    }
}

fn connector(scene: &Path, alpn: &[u8]) -> io::Result<TlsConnector> {
    let certificate = CertificateDer::from_pem_file(scene.join("tls.crt")).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

//! Whoever ends TLS and hands on the bytes.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// Ends TLS with the certificate in a folder (`tls.crt`, `tls.key`), and hands on the bytes; until it is dropped.
pub struct Terminator {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Terminator {
    pub async fn before(behind: SocketAddr, folder: &Path) -> Self {
        let chain = vec![CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = TaskTracker::new().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Whoever breaks off sees for itself.
                let Ok(mut client) = acceptor.accept(socket).await else { continue };
                let Ok(mut server) = TcpStream::connect(behind).await else { continue };
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            }
        });
        Self { address, task }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! Whoever ends TLS and hands on the bytes.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
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
        Self::asking(behind, folder, WebPkiClientVerifier::no_client_auth()).await
    }

    /// The same, for those alone who show this certificate.
    pub async fn demanding(client: CertificateDer<'static>, behind: SocketAddr, folder: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(client).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Self::asking(behind, folder, verifier.build().unwrap()).await
    }

    async fn asking(behind: SocketAddr, folder: &Path, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        let chain = vec![CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let task = tasks.clone().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tasks.spawn(async move {
                    // Whoever breaks off sees for itself.
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let Ok(mut server) = TcpStream::connect(behind).await else { return };
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                });
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

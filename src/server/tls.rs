//! TLS, by rustls on ring.

use crate::certificate::ClientCertificates;
use crate::clock::UnixTime;
use arc_swap::ArcSwap;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, crypto};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

mod clients;
mod not_after;

pub use clients::{ClientCertificate, Clients};

/// A listener's certificate and key, and which certificates its clients may show; exchangeable while it serves. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<ArcSwap<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    pair: Arc<CertifiedKey>,
    clients: Clients,
}

impl Tls {
    /// Serves this chain, leaf first, with its key. Clients are asked for no certificate.
    ///
    /// # Errors
    /// rustls does not take them, or there is no chance to make a key for tickets of.
    pub fn new(pair: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        Self::asking(pair, &ClientCertificates::NotAsked)
    }

    /// The same where clients may show a certificate of their own.
    ///
    /// # Errors
    /// As in [`Tls::new`]; or none of the authorities can be used.
    pub fn asking(pair: Arc<CertifiedKey>, asked: &ClientCertificates) -> Result<Self, rustls::Error> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(Loaded::new(pair, asked)?)) })
    }

    /// Serves this one in the handshakes from now on. Sessions from before end with it where chain or authorities are others: a ticket would
    /// bring back a client's certificate that nobody would take any more. Where both are the same, nothing changes.
    ///
    /// # Errors
    /// As in [`Tls::asking`]; the old ones stay then.
    pub fn exchange(&self, pair: Arc<CertifiedKey>, asked: &ClientCertificates) -> Result<(), rustls::Error> {
        let current = self.current.load();
        if current.pair.cert != pair.cert || current.clients.asked() != asked {
            self.current.store(Arc::new(Loaded::new(pair, asked)?));
        }
        Ok(())
    }

    /// When the leaf certificate expires; `None` where that cannot be read.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.current.load().pair.cert.first().and_then(|leaf| not_after::of(leaf))
    }

    /// The handshake, and the certificate that the client has shown in it, or in the one of the session that it resumes.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Arc<ClientCertificate>>)> {
        let current = self.current.load_full();
        let socket = TlsAcceptor::from(Arc::clone(&current.config)).accept(socket).await?;
        let certificate = ClientCertificate::of(socket.get_ref().1.peer_certificates(), &current.clients);
        Ok((socket, certificate))
    }
}

impl Loaded {
    fn new(pair: Arc<CertifiedKey>, asked: &ClientCertificates) -> Result<Self, rustls::Error> {
        let clients = Clients::new(asked)?;
        Ok(Self { config: Arc::new(config(&pair, &clients)?), pair, clients })
    }
}

/// TLS 1.3 and 1.2. No early data: a request in it could be replayed (RFC 8470), and `max_early_data_size` is
/// 0 unless set. The key for tickets is new, and so is the memory of sessions.
fn config(pair: &Arc<CertifiedKey>, clients: &Clients) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match clients.verifier() {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(pair))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = crypto::ring::Ticketer::new()?;
    Ok(config)
}

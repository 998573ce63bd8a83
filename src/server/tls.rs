//! TLS, by rustls on ring.

use crate::clock::UnixTime;
use arc_swap::ArcSwap;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, crypto};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

mod not_after;

/// A listener's certificate and key, exchangeable while it serves. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<ArcSwap<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    pair: Arc<CertifiedKey>,
}

impl Tls {
    /// Serves this chain, leaf first, with its key.
    ///
    /// # Errors
    /// rustls does not take them, or there is no chance to make a key for tickets of.
    pub fn new(pair: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(Loaded::new(pair)?)) })
    }

    /// Serves this one in the handshakes from now on. Sessions of the former certificate end with it: they are not resumed. Where the chain
    /// is the same, nothing changes.
    ///
    /// # Errors
    /// As in [`Tls::new`]; the old ones stay then.
    pub fn exchange(&self, pair: Arc<CertifiedKey>) -> Result<(), rustls::Error> {
        if self.current.load().pair.cert != pair.cert {
            self.current.store(Arc::new(Loaded::new(pair)?));
        }
        Ok(())
    }

    /// When the leaf certificate expires; `None` where that cannot be read.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.current.load().pair.cert.first().and_then(|leaf| not_after::of(leaf))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }
}

impl Loaded {
    fn new(pair: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        Ok(Self { config: Arc::new(config(&pair)?), pair })
    }
}

/// TLS 1.3 and 1.2. No early data: a request in it could be replayed (RFC 8470), and `max_early_data_size` is
/// 0 unless set. The key for tickets is new, and so is the memory of sessions.
fn config(pair: &Arc<CertifiedKey>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(pair))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = crypto::ring::Ticketer::new()?;
    Ok(config)
}

//! TLS, by rustls on ring.

use crate::clock::UnixTime;
use crate::net::pem::{self, PemError};
use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto};
use std::path::{Path, PathBuf};
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
    not_after: Option<UnixTime>,
}

/// Why a certificate and a key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the files.
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// One of the files holds something else.
    #[error("{} {}", .0.display(), .1)]
    Contents(PathBuf, #[source] PemError),
    /// They do not fit each other, or rustls does not take them.
    #[error("certificate and private key do not go together")]
    Pair(#[source] rustls::Error),
}

impl Tls {
    /// Reads a PEM chain, leaf first, and its PEM key.
    ///
    /// # Errors
    /// [`TlsError`], as its variants say.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(Loaded::read(certificate, key)?)) })
    }

    /// Reads them again, for the handshakes from now on. Where that fails, the old ones stay.
    ///
    /// # Errors
    /// [`TlsError`], as its variants say.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.current.store(Arc::new(Loaded::read(certificate, key)?));
        Ok(())
    }

    /// When the leaf certificate expires; `None` where that cannot be read.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.current.load().not_after
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }
}

impl Loaded {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain, key) = (read(certificate, pem::certificates)?, read(key, pem::private_key)?);
        let not_after = chain.first().and_then(|leaf| not_after::of(leaf));
        Ok(Self { config: Arc::new(config(chain, key).map_err(TlsError::Pair)?), not_after })
    }
}

fn read<T>(file: &Path, parse: fn(&[u8]) -> Result<T, PemError>) -> Result<T, TlsError> {
    let contents = std::fs::read(file).map_err(|error| TlsError::File(file.to_owned(), error))?;
    parse(&contents).map_err(|error| TlsError::Contents(file.to_owned(), error))
}

/// TLS 1.3 and 1.2. No early data: a request in it could be replayed (RFC 8470), and `max_early_data_size` is
/// 0 unless set.
fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = crypto::ring::Ticketer::new()?;
    Ok(config)
}

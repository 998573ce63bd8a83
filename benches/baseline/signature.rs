//! The one thing that cannot be saved.

use keyproof::clock::Stopwatch;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A message as long as a proof's signing input, signed once.
pub(crate) struct Signature {
    message: Vec<u8>,
    signature: Vec<u8>,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Signature {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap();
        let message = vec![b'x'; 400];
        let signature = pair.sign(&random, &message).unwrap().as_ref().to_vec();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref().to_vec());
        Self { message, signature, key }
    }

    pub(crate) fn verifies(&self) -> bool {
        self.key.verify(std::hint::black_box(&self.message), &self.signature).is_ok()
    }

    /// What one verification takes.
    pub(crate) fn microseconds(&self, count: u32) -> f64 {
        let watch = Stopwatch::start();
        for _ in 0..count {
            assert!(self.verifies(), "the fixed signature verifies");
        }
        watch.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }
}

/// What the listener shows.
pub(crate) fn tls(scene: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(scene.join("tls.crt")).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(scene.join("tls.key")).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

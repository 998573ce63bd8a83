//! The one thing that cannot be saved.

use keyproof::clock::Stopwatch;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How many signatures are made ahead, and by how many keys in turn: as many clients as the measured load has.
const SIGNATURES: u32 = 4096;
const KEYS: usize = 20;

/// Messages as long as a proof's signing input, each signed once, by the keys in turn.
///
/// Not one signature again and again: the check runs in variable time, and a processor that has seen the same one before foretells every
/// branch of it. Proofs are fresh.
pub(crate) struct Signatures {
    keys: Vec<UnparsedPublicKey<Vec<u8>>>,
    signatures: Vec<Vec<u8>>,
    turn: AtomicU32,
}

impl Signatures {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = |_| {
            let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap()
        };
        let pairs: Vec<EcdsaKeyPair> = (0..KEYS).map(pair).collect();
        let public = |pair: &EcdsaKeyPair| pair.public_key().as_ref().to_vec();
        let keys = pairs.iter().map(|pair| UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public(pair)));
        let sign = |(number, pair): (u32, &EcdsaKeyPair)| {
            pair.sign(&random, &message(number)).unwrap().as_ref().to_vec()
        };
        let signatures = (0..SIGNATURES).zip(pairs.iter().cycle()).map(sign).collect();
        Self { keys: keys.collect(), signatures, turn: AtomicU32::new(0) }
    }

    /// Verifies the next one.
    pub(crate) fn verifies(&self) -> bool {
        let number = self.turn.fetch_add(1, Ordering::Relaxed) % SIGNATURES;
        let index = usize::try_from(number).unwrap();
        let (key, signature) = (self.keys.get(index % KEYS).unwrap(), self.signatures.get(index).unwrap());
        key.verify(&message(number), signature).is_ok()
    }

    /// What one verification takes.
    pub(crate) fn microseconds(&self, count: u32) -> f64 {
        let watch = Stopwatch::start();
        for _ in 0..count {
            assert!(self.verifies(), "every signature verifies");
        }
        watch.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }
}

fn message(number: u32) -> [u8; 400] {
    let mut message = [b'x'; 400];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
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

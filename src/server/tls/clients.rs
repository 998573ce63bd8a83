//! What a client shows in the handshake, and who judges it.

use crate::certificate::{CertificateThumbprint, ClientCertificates};
use crate::clock::UnixTime;
use crate::net;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{self, CertificateDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// Clients are told by name whom we trust, so that they can choose a certificate. Names of so many bytes are too many for the message: clients are
/// told none then, which means that they choose for themselves (RFC 8446 section 4.2.4).
const MAX_NAMES: usize = 16 * 1024;

/// How long a chain may be that nobody vouches for, in bytes: it is kept with the connection and in tickets, and anybody may show one.
const MAX_CHAIN: usize = 16 * 1024;

/// A client's certificate, which it has the key of: the handshake proved that.
#[derive(Debug)]
pub struct ClientCertificate {
    thumbprint: CertificateThumbprint,
    /// Its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// What came of the last time that somebody judged it, and by which rule.
    judged: ArcSwap<(ClientCertificates, bool)>,
}

/// Judges what clients of a listener show.
#[derive(Clone, Debug)]
pub struct Clients {
    asked: ClientCertificates,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl ClientCertificate {
    /// What a client has shown in a handshake that these took; `None` where it has shown nothing.
    pub(super) fn of(chain: Option<&[CertificateDer<'static>]>, clients: &Clients) -> Option<Arc<Self>> {
        let chain = chain?;
        let thumbprint = CertificateThumbprint::of(chain.first()?);
        let judged = ArcSwap::from_pointee((clients.asked.clone(), true));
        Some(Arc::new(Self { thumbprint, chain: chain.to_vec(), judged }))
    }

    /// Its thumbprint.
    pub const fn thumbprint(&self) -> CertificateThumbprint {
        self.thumbprint
    }

    /// Whether it would be taken in a handshake now. It was taken in one: where the rule is still the same, that counts for as long as the
    /// connection does.
    pub fn is_taken_by(&self, clients: &Clients, now: UnixTime) -> bool {
        let judged = self.judged.load();
        if judged.0 == clients.asked {
            return judged.1;
        }
        let taken = clients.take(&self.chain, now);
        self.judged.store(Arc::new((clients.asked.clone(), taken)));
        taken
    }
}

impl Clients {
    /// Whoever judges so.
    ///
    /// # Errors
    /// None of the authorities can be used.
    pub fn new(asked: &ClientCertificates) -> Result<Self, Error> {
        let provider = || Arc::new(ring::default_provider());
        let verifier: Option<Arc<dyn ClientCertVerifier>> = match asked {
            ClientCertificates::NotAsked => None,
            ClientCertificates::Any => Some(Arc::new(AnyCertificate(provider()))),
            ClientCertificates::Of(authorities) => {
                let roots = Arc::new(net::tls::roots(authorities.certificates()));
                let names = roots.subjects().iter().map(|name| name.as_ref().len()).sum::<usize>();
                let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
                if names > MAX_NAMES {
                    builder = builder.clear_root_hint_subjects();
                }
                let verifier = builder.allow_unauthenticated().build();
                Some(verifier.map_err(|error| Error::General(error.to_string()))?)
            }
        };
        Ok(Self { asked: asked.clone(), verifier })
    }

    /// Which certificates clients are asked for.
    pub(super) const fn asked(&self) -> &ClientCertificates {
        &self.asked
    }

    /// Whether they are asked for any.
    pub const fn ask(&self) -> bool {
        self.verifier.is_some()
    }

    pub(super) fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.verifier.clone()
    }

    fn take(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> bool {
        let (Some(verifier), Some((leaf, others))) = (&self.verifier, chain.split_first()) else {
            return false;
        };
        let now = Duration::from_millis(now.as_millis().try_into().unwrap_or(0));
        verifier.verify_client_cert(leaf, others, pki_types::UnixTime::since_unix_epoch(now)).is_ok()
    }
}

/// Takes whatever certificate a client shows, as long as the client has its key.
///
/// Only the thumbprint counts (RFC 8705 section 2.2), so nobody has to vouch for the certificate, and its dates mean nothing. The signatures in
/// the handshake are what makes it the client's own: without them anybody could show a certificate that is known from elsewhere.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: pki_types::UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let length = |sum: usize, certificate: &CertificateDer<'_>| sum.saturating_add(certificate.len());
        if others.iter().fold(certificate.len(), length) > MAX_CHAIN {
            return Err(CertificateError::BadEncoding.into());
        }
        match webpki::EndEntityCert::try_from(certificate) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

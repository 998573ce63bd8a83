//! Which certificates clients may show in the handshake.

use crate::jose::{Sha256, sha256};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;

/// Which certificates the clients of a listener may show. None has to show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are asked for none.
    NotAsked,
    /// One that these authorities vouch for.
    Of(Authorities),
    /// Any, self-signed ones too: what counts is that the client has its key (RFC 8705 section 2.2).
    Any,
}

/// Certification authorities.
#[derive(Clone)]
pub struct Authorities {
    certificates: Arc<[CertificateDer<'static>]>,
    digest: Sha256,
}

impl Authorities {
    /// These authorities.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        // Each begins with its own length, so that no two lists are the same text.
        let parts: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
        let digest = sha256(&parts);
        Self { certificates: certificates.into(), digest }
    }

    /// Their certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} authorities", self.certificates.len())
    }
}

//! Client certificates (RFC 8705): what names one, whom clients may show one of, and how a front that has checked one says so.

mod der;
mod field;
mod shape;
mod trust;
mod xfcc;

pub use der::{SEQUENCE, element};
pub use field::{CertificateField, Format};
pub use trust::{Authorities, ClientCertificates};

use crate::jose::{Sha256, encode, sha256};

/// The SHA-256 of a certificate's DER, which a token names in `cnf.x5t#S256` (RFC 8705 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CertificateThumbprint(Sha256);

/// The certificate that a request came with; or why none counts.
pub type Shown = Result<CertificateThumbprint, Absence>;

/// Why a request came with no certificate that counts. For the log: the client's answer says none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// Where the request came in nobody is asked for one.
    #[error("none is asked for here")]
    NotAsked,
    /// The client has shown none, or the front names none.
    #[error("none was shown")]
    NotShown,
    /// It was taken in the handshake, and would not be since the configuration was read again.
    #[error("no authority that is trusted now vouches for it")]
    NoLongerTrusted,
    /// The front's field stands there more than once: which of them counts, nobody can tell.
    #[error("its header is repeated")]
    Repeated,
    /// What the front says is not one certificate.
    #[error("its header is not one certificate in the format that is configured")]
    Unreadable,
}

impl CertificateThumbprint {
    /// That of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        Self(sha256(&[der]))
    }

    /// The thumbprint with this digest.
    pub const fn new(digest: Sha256) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &Sha256 {
        &self.0
    }
}

impl std::fmt::Display for CertificateThumbprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

#[cfg(test)]
mod tests;

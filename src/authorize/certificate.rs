//! The certificate that a token is bound to (RFC 8705 section 3).

use crate::certificate::Shown;
use crate::denial::BindingError;
use crate::jose::Sha256;

/// Evidence that the client has the certificate which its token names. Nobody else can make it.
#[derive(Debug)]
pub(super) struct HeldCertificate(());

impl HeldCertificate {
    /// Compares the certificate that was shown with `cnf.x5t#S256`.
    ///
    /// # Errors
    /// None was shown, or another one.
    pub(super) fn check(expected: &Sha256, shown: &Shown) -> Result<Self, BindingError> {
        match shown {
            Ok(shown) if shown.as_bytes() == expected => Ok(Self(())),
            Ok(_) => Err(BindingError::Certificate),
            Err(_) => Err(BindingError::CertificateMissing),
        }
    }
}

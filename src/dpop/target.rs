//! `htu`: the target URI, compared as RFC 9449 section 4.3 check 9 asks.

use super::ProofError;
use crate::uri::Origin;

/// The URI that the client asked for, without query and fragment: one of our origins and the canonical path.
#[derive(Clone, Copy, Debug)]
pub struct TargetUri<'a> {
    /// The public origin that the request came to.
    pub origin: &'a Origin,
    /// The canonical path ([`crate::uri::CanonicalPath`]).
    pub path: &'a str,
}

impl TargetUri<'_> {
    /// Whether `htu` names this URI, both sides normalised (D22-D27); its query and fragment are ignored (D23). Allocates nothing where `htu` is canonical.
    ///
    /// # Errors
    /// [`ProofError::HtuInvalid`] or [`ProofError::Htu`].
    pub fn check(&self, _htu: &str) -> Result<(), ProofError> {
        todo!()
    }
}

impl std::fmt::Display for TargetUri<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin.as_str(), self.path)
    }
}

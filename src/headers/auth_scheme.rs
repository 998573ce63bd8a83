//! The authentication schemes that carry access tokens.

/// How an access token is presented in `Authorization`, whatever kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// `DPoP` (RFC 9449 section 7.1).
    Dpop,
    /// `Bearer` (RFC 6750 section 2.1).
    Bearer,
}

impl AuthScheme {
    /// The scheme of this name, compared without case (RFC 9110 section 11.1).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Dpop, Self::Bearer].into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    /// The name in `Authorization` and in challenges.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpop => "DPoP",
            Self::Bearer => "Bearer",
        }
    }
}

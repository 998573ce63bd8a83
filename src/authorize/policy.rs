//! What a route asks of a request.

use crate::denial::Denial;
use crate::dpop::NoncePolicy;
use crate::headers::AuthScheme;
use crate::identity::IdentityMap;
use crate::token::{IssuerId, TokenError};

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which tokens it takes.
    pub accept: Accept,
    /// No token is asked for.
    pub public: bool,
    /// Whether refusals are enforced or only recorded.
    pub mode: Mode,
    /// Whether proofs need a nonce.
    pub nonce: NoncePolicy,
    /// Whose tokens; empty: every issuer's.
    pub issuers: Vec<IssuerId>,
    /// Which of them is asked about tokens that are no JWTs.
    pub introspection: Option<IssuerId>,
    /// The scopes, all of which are needed.
    pub scopes: Vec<String>,
    /// The identity headers.
    pub identity: IdentityMap,
}

/// Which tokens a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// DPoP-bound ones, whatever else binds them.
    pub dpop: bool,
    /// Those that a client certificate alone binds; they are sent as Bearer tokens (RFC 8705 section 3).
    pub mtls: bool,
    /// Unbound ones.
    pub bearer: bool,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is answered.
    Enforce,
    /// It is recorded, and the request forwarded without identity headers.
    Observe,
}

impl Mode {
    /// Whether a request is forwarded in spite of this refusal. Whom the operator denies is never let through: that was said of here and now,
    /// not of how things will be.
    pub const fn overlooks(self, denial: Denial) -> bool {
        match self {
            Self::Enforce => false,
            Self::Observe => !matches!(denial, Denial::Token(TokenError::Denied(_))),
        }
    }
}

impl Accept {
    /// The schemes whose challenges the route's refusals carry, DPoP first.
    pub fn schemes(self) -> impl Iterator<Item = AuthScheme> {
        let dpop = self.dpop.then_some(AuthScheme::Dpop);
        let bearer = (self.bearer || self.mtls).then_some(AuthScheme::Bearer);
        dpop.into_iter().chain(bearer)
    }
}

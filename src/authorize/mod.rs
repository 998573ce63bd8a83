//! Who may ask: credentials, token, proof, binding, scope, identity → [`Verified`]; then the one insert → [`Permit`].

use crate::dpop::NoncePolicy;
use crate::identity::IdentityMap;
use crate::jose::Algorithm;
use crate::token::IssuerId;

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
    /// The scopes, all of which are needed.
    pub scopes: Vec<String>,
    /// The identity headers.
    pub identity: IdentityMap,
}

/// Which tokens a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// DPoP-bound ones.
    pub dpop: bool,
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

/// The algorithms in every DPoP challenge.
pub type Algorithms = Vec<Algorithm>;

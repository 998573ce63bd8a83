//! Every way to be refused, and the one table that says what each of them means on the wire and in the metrics.

use crate::dpop::ProofError;
use crate::token::TokenError;
use crate::uri::PathError;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The request's authority.
    Authority(AuthorityError),
    /// The request's path.
    Path(PathError),
    /// The request target is longer than 8 KiB.
    TargetTooLong,
    /// No route for this path.
    NoRoute,
    /// No route for this method, or TRACE, or CONNECT.
    MethodNotAllowed,
    /// How the token was sent.
    Credentials(CredentialsError),
    /// The access token.
    Token(TokenError),
    /// Whether token, scheme and route go together.
    Binding(BindingError),
    /// The proof is missing or not exactly one.
    ProofCount(ProofCountError),
    /// The proof.
    Proof(ProofError),
    /// A scope the route needs is missing.
    InsufficientScope,
    /// The replay store's answer.
    Replay(ReplayError),
    /// Too many requests in flight: try later.
    Overloaded,
    /// The client's body is badly framed, broke off, or came too slowly.
    Body,
}
/// What is wrong with a request's authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorityError {
    /// None, more than one, not valid, or `Host` and `:authority` differ.
    Invalid,
    /// None of ours.
    Unknown,
}
/// What is wrong with the way the token was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsError {
    /// None, or a scheme that is neither DPoP nor Bearer.
    Missing,
    /// Two `Authorization` lines.
    Repeated,
    /// A header and `access_token` in the query.
    TwoWays,
    /// No `scheme token68`.
    Malformed,
}
/// Token, scheme and route do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindingError {
    /// A bound token under `Bearer` (RFC 9449 section 7.2).
    Downgrade,
    /// A Bearer token on a route that takes none.
    BearerNotAccepted,
    /// A token that is not DPoP-bound under the `DPoP` scheme (RFC 9449 section 7.1).
    Unbound,
    /// The proof's key is not `cnf.jkt`.
    Key,
    /// A claim cannot become an identity header.
    Identity,
}
/// Not exactly one proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofCountError {
    /// None.
    Missing,
    /// Two `DPoP` lines, or a comma in one.
    Several,
}
/// The replay store did not say "fresh".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplayError {
    /// Used before.
    Replayed,
    /// Could have been used before the moment since which the store is complete.
    Unknowable,
    /// The store is full.
    Full,
    /// This key has too many live proofs.
    OverQuota,
    /// The store cannot be asked.
    Unavailable,
}

impl Denial {
    /// The metric and log label: one of a fixed set.
    pub fn label(&self) -> &'static str {
        todo!()
    }
    /// The status.
    pub fn status(&self) -> http::StatusCode {
        todo!()
    }
}

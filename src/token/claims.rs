//! What a verified token says.

use super::IssuerId;
use crate::clock::UnixTime;
use crate::jose::{Sha256, Thumbprint, json};

/// How a token is bound (RFC 7800 `cnf`): it decides what the client must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// No `cnf`: a bearer token.
    None,
    /// `cnf.jkt`: to a DPoP key (RFC 9449 section 6).
    Key(Thumbprint),
    /// `cnf.x5t#S256`: to a client certificate (RFC 8705 section 3).
    Certificate(Sha256),
    /// Both; both must be proved (RFC 9449 section 6.1, RFC 8705 section 3.1).
    KeyAndCertificate(Thumbprint, Sha256),
}

/// An access token that passed every check but its binding. Nobody else can make one.
#[derive(Debug)]
pub struct VerifiedToken {
    pub(super) issuer: IssuerId,
    pub(super) claims: json::Object<'static>,
    pub(super) confirmation: Confirmation,
    pub(super) expires: UnixTime,
    pub(super) not_before: Option<UnixTime>,
    /// Which publication of the issuer's keys verified it: after another one it is verified again.
    pub(super) generation: u64,
    /// Under which of the issuer's rules: under others it is verified again.
    pub(super) edition: u64,
    /// About how many bytes it takes.
    pub(super) weight: u64,
}

impl VerifiedToken {
    /// Who issued it.
    pub const fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// How it is bound.
    pub const fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// Its `exp`, without any leeway.
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// `sub`, if it has one; a token of RFC 9068 always has.
    pub fn sub(&self) -> Option<&str> {
        self.claims.get("sub").and_then(json::Value::as_str)
    }

    /// `client_id`, or what its issuer has in its place; a token of RFC 9068 always has one.
    pub fn client_id(&self) -> Option<&str> {
        self.claims.get("client_id").and_then(json::Value::as_str)
    }

    /// Whether `scope` (RFC 6749 section 3.3, space-delimited), or what its issuer has in its place, has exactly this token in it.
    pub fn has_scope(&self, scope: &str) -> bool {
        let granted = self.claims.get("scope").and_then(json::Value::as_str).unwrap_or_default();
        !scope.is_empty() && granted.split(' ').any(|token| token == scope)
    }

    /// The claim at a path like `sub` or `cnf.jkt`; a claim whose whole name has dots is found first. `client_id` and `scope` are what the
    /// issuer has in their place, and `scope` is a text with spaces.
    pub fn claim(&self, path: &str) -> Option<&json::Value<'static>> {
        member_at(&self.claims, path)
    }
}

/// The member named `path`, else the one that the rest of `path` names in the member before one of its dots.
/// Names may have dots themselves (`https://example.com/claims`), so every dot is tried.
pub(super) fn member_at<'a, 'v>(object: &'a json::Object<'v>, path: &str) -> Option<&'a json::Value<'v>> {
    object.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
            member_at(object.get(name)?.as_object()?, rest)
        })
    })
}

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
    /// Both; both must be proved (M04).
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

    /// Whether `scope` (RFC 6749 section 3.3, space-delimited) has exactly this token in it.
    pub fn has_scope(&self, _scope: &str) -> bool {
        todo!()
    }

    /// The claim at a path like `sub` or `cnf.jkt`; a claim whose whole name has dots is found first.
    pub fn claim(&self, _path: &str) -> Option<&json::Value<'static>> {
        todo!()
    }
}

//! Whether what was permitted may still go on.

use super::{Authorizer, Permit};
use crate::clock::UnixTime;
use crate::token::{Denied, IssuerId, VerifiedToken};
use std::sync::Arc;

/// The token that something was begun for, and who may deny it meanwhile.
#[derive(Clone, Debug)]
pub struct Standing {
    token: Arc<VerifiedToken>,
    denied: Arc<Denied>,
    /// What only was observed would have gone on without the gateway.
    expires: bool,
}

impl Authorizer {
    /// What to ask while the answer to a permitted request runs; `None` without a verified token.
    pub fn standing(&self, permit: &Permit) -> Option<Standing> {
        let token = Arc::clone(permit.token()?);
        Some(Standing { token, denied: Arc::clone(self.issuers.denied()), expires: permit.passed() })
    }
}

impl Standing {
    /// Whether the operator denies the token now, by whatever list is in force.
    pub fn is_denied(&self) -> bool {
        self.denied.by(&self.token).is_some()
    }

    /// When the token expires, by its own word, and who issued it; `None` where that does not matter.
    pub fn expires(&self) -> Option<(IssuerId, UnixTime)> {
        self.expires.then(|| (self.token.issuer(), self.token.expires()))
    }
}

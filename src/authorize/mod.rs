//! Who may ask: credentials, token, proof, binding, scope, identity, in this order, then the one insert.
//!
//! [`Authorizer::verify`] is synchronous and touches no state, so it may be run twice (an unknown key: fetch, then again). What it leaves
//! is a [`Verified`], which nobody can forward. [`Authorizer::spend`] uses the proof up and returns a [`Permit`], the only thing that can be
//! forwarded. Nobody else can make either.

mod certificate;
mod challenge;
mod credentials;
mod findings;
mod policy;
mod report;
mod spend;
mod standing;
mod verify;

pub use challenge::Challenges;
pub use credentials::Credentials;
pub use policy::{Accept, Mode, Policy};
pub use report::PolicyCheck;
pub use spend::Permit;
pub use standing::Standing;
pub use verify::{Asked, Refusal, Verified};

use crate::dpop::Verifier;
use crate::replay::OnStart;
use crate::replay::Store;
use crate::token::Issuers;
use std::sync::Arc;

/// Decides. One for the process: every listener asks the same one.
#[derive(Debug)]
pub struct Authorizer {
    /// The issuers and their keys.
    pub issuers: Arc<Issuers>,
    /// The check on proofs.
    pub proofs: Verifier,
    /// Which proofs were used.
    pub replay: Arc<Store>,
    /// What to do about proofs from before the store could remember.
    pub on_start: OnStart,
}

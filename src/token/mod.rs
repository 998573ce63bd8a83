//! JWT access tokens: RFC 9068 and RFC 8725, over key sets that somebody else fetches.
//!
//! [`Issuers::verify`] is the whole check and keeps what it verified; [`VerifiedToken`] exists only behind
//! it.

mod cache;
mod check;
mod claims;
mod findings;
mod issuer;
mod keys;
mod names;
mod report;
#[cfg(test)]
mod tests;
mod verify;

pub use crate::names::IssuerId;
pub use claims::{Confirmation, VerifiedToken};
pub use issuer::{Issuer, IssuerRules, KeySlot};
pub use keys::{KeySet, KeySetError, LeftOut, MAX_DOCUMENT, Reason};
pub use names::{Claim, ClaimNames};
pub use report::TokenCheck;
pub use verify::{Issuers, MAX_TOKEN, TokenError};

//! JWT access tokens: RFC 9068 and RFC 8725, over key sets that somebody else fetches.
//!
//! [`Issuers::verify`] is the whole check of a JWT and keeps what it verified; [`Issuers::introspected`] is that of a token which its issuer
//! was asked about. [`VerifiedToken`] exists only behind them. [`Denied`] has the last word about it.

mod answers;
mod cache;
mod check;
mod claims;
mod denied;
mod findings;
mod introspected;
mod issuer;
mod keys;
mod names;
mod report;
#[cfg(test)]
mod tests;
mod verify;

pub use crate::names::IssuerId;
pub use claims::{Confirmation, VerifiedToken};
pub use denied::{Denied, DeniedBy, DenyList, Entry};
pub use introspected::{AnswerError, Introspected, IntrospectionRules, is_opaque};
pub use issuer::{Issuer, IssuerRules, KeySlot};
pub use keys::{KeySet, KeySetError, LeftOut, MAX_DOCUMENT, Reason};
pub use names::{Claim, ClaimNames};
pub use report::TokenCheck;
pub use verify::{Issuers, MAX_TOKEN, TokenError};

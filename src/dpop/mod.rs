//! DPoP proofs: RFC 9449 section 4.3, and nothing of HTTP, tokens, replay or routes.
//!
//! [`Verifier::verify`] is the whole check; [`VerifiedProof`] exists only behind it.

mod findings;
mod nonce;
mod proof;
mod report;
mod target;
mod verify;
mod window;

pub use nonce::{Nonce, NonceMint};
pub use proof::{MAX_JTI, MAX_PROOF, ProofError};
pub use report::{Check, CheckOutcome, shown};
pub use target::TargetUri;
#[cfg(test)]
pub(crate) use verify::Made;
pub use verify::{Expected, NoncePolicy, VerifiedProof, Verifier};
pub use window::AcceptanceWindow;

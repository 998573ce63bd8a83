//! What the simulation asks: [`Verifier::verify`] without what needs no clock.

use super::{NoncePolicy, ProofError, ProofKey, VerifiedProof, Verifier, check_nonce};
use crate::clock::{Moment, UnixTime};
use crate::jose::{Algorithm, PublicKey, Thumbprint};
use std::sync::Arc;

/// A proof with a signature that is right.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) jkt: Thumbprint,
    pub(crate) jti: String,
    pub(crate) iat: UnixTime,
    pub(crate) nonce: Option<String>,
}

impl Verifier {
    /// `nonce_now` is when its nonce is judged: `now`, unless something is broken on purpose.
    pub(crate) fn verify_dates(
        &self,
        made: &Made,
        policy: NoncePolicy,
        now: Moment,
        nonce_now: Moment,
    ) -> Result<VerifiedProof, ProofError> {
        self.check_iat(made.iat, policy, now.wall)?;
        let nonce = check_nonce(made.nonce.as_deref(), policy, &self.mint, nonce_now)?;
        let key = ProofKey { algorithm: Algorithm::EdDsa, key: PublicKey::named(made.jkt) };
        Ok(self.verified(Arc::new(key), &made.jti, made.iat, policy, nonce))
    }
}

impl VerifiedProof {
    /// As if nobody knew which process made its nonce.
    pub(crate) fn without_mark(mut self) -> Self {
        if let Some(nonce) = &mut self.nonce {
            nonce.mark = 0;
        }
        self
    }
}

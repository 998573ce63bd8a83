//! Using the proof up: the one atomic insert, and what may be forwarded after it.

use super::verify::{Binding, Evidence};
use super::{Authorizer, Mode, Policy, Refusal, Scheme, Verified};
use crate::clock::{Clock, UnixTime};
use crate::denial::{Denial, ReplayError};
use crate::dpop::{Nonce, VerifiedProof};
use crate::identity::Rendered;
use crate::replay::OnStart;
use crate::replay::Outcome;
use crate::token::VerifiedToken;
use std::sync::Arc;

/// Permission to forward one request. It exists only behind [`Authorizer::spend`] or, on a route that only observes, [`Permit::observe`].
#[derive(Debug)]
pub struct Permit(Grant);

#[derive(Debug)]
enum Grant {
    Public,
    Token { token: Arc<VerifiedToken>, identity: Rendered, binding: Binding },
    Observed(Refusal),
}

impl Authorizer {
    /// Uses the proof up, `now`. Of many identical requests exactly one gets a permit. The clock is for what comes after a wait.
    ///
    /// # Errors
    /// The proof was used before, may have been, or the store cannot say.
    pub async fn spend(&self, verified: Verified, now: UnixTime, clock: &Clock) -> Result<Permit, Refusal> {
        if let Evidence::Token { token, binding: Binding::Dpop(proof), .. } = &verified.0
            && let Err(error) = self.use_up(proof, now, clock).await
        {
            let (denial, token) = (Denial::Replay(error), Some(Arc::clone(token)));
            return Err(Refusal { denial, scheme: Some(Scheme::Dpop), token });
        }
        Ok(Permit(match verified.0 {
            Evidence::Public => Grant::Public,
            Evidence::Token { token, identity, binding } => Grant::Token { token, identity, binding },
        }))
    }

    async fn use_up(&self, proof: &VerifiedProof, now: UnixTime, clock: &Clock) -> Result<(), ReplayError> {
        let mut outcome = self.insert(proof, now).await;
        if outcome == Outcome::Forgotten && proof.earliest_use() >= self.replay.complete_since() {
            // The store has just found out since when it is complete, and the proof is from after that. It was asked, so it is later now.
            outcome = self.insert(proof, clock.now()).await;
        }
        match outcome {
            Outcome::Fresh => Ok(()),
            Outcome::Replayed => Err(ReplayError::Replayed),
            Outcome::Full => Err(ReplayError::Full),
            Outcome::OverQuota => Err(ReplayError::OverQuota),
            // Being unknown proves nothing about a time that the store does not remember: a nonce from after it does.
            Outcome::Forgotten => Err(self.unknowable()),
            Outcome::Unavailable => Err(ReplayError::Unavailable),
        }
    }

    async fn insert(&self, proof: &VerifiedProof, now: UnixTime) -> Outcome {
        if now > proof.until() {
            // Only after a wait: whoever used it before may have been forgotten since.
            return Outcome::Forgotten;
        }
        let (jkt, jti) = (proof.jkt(), proof.jti());
        let key = self.replay.key(&jkt, jti);
        let outcome = self.replay.check_and_insert_since(key, proof.earliest_use(), proof.until(), now).await;
        let lost = outcome == Outcome::Fresh && !self.replay.still_is(key, &jkt, jti);
        if lost { Outcome::Unavailable } else { outcome }
    }

    /// The nonce for a challenge. It is never older than what the store vouches for: after a loss that reaches a little into the future,
    /// as with replicas whose clocks differ, the client still passes with its second try.
    pub fn challenge_nonce(&self, now: UnixTime) -> String {
        self.proofs.mint().mint(now.max(self.replay.complete_since()))
    }

    const fn unknowable(&self) -> ReplayError {
        match self.on_start {
            OnStart::Challenge => ReplayError::Unknowable,
            OnStart::Wait => ReplayError::BeforeStart,
        }
    }
}

impl Permit {
    /// On a route that only observes, lets through what would have been refused, as nobody.
    ///
    /// # Errors
    /// The refusal, handed back, on a route that enforces.
    pub fn observe(policy: &Policy, refusal: Refusal) -> Result<Self, Refusal> {
        match policy.mode {
            Mode::Observe => Ok(Self(Grant::Observed(refusal))),
            Mode::Enforce => Err(refusal),
        }
    }

    /// The identity headers to set: none but those of a verified token. They are handed out once.
    pub fn take_identity(&mut self) -> Rendered {
        match &mut self.0 {
            Grant::Token { identity, .. } => std::mem::take(identity),
            Grant::Public | Grant::Observed(_) => Rendered::new(),
        }
    }

    /// Whether a token was asked for, and every check on it and on its proof passed.
    pub const fn passed(&self) -> bool {
        match &self.0 {
            Grant::Token { .. } => true,
            Grant::Public | Grant::Observed(_) => false,
        }
    }

    /// The refusal that a route which only observes did not make.
    pub const fn overlooked(&self) -> Option<&Refusal> {
        match &self.0 {
            Grant::Observed(refusal) => Some(refusal),
            Grant::Public | Grant::Token { .. } => None,
        }
    }

    /// The token, where it was verified, whatever else failed.
    pub const fn token(&self) -> Option<&Arc<VerifiedToken>> {
        match &self.0 {
            Grant::Token { token, .. } => Some(token),
            Grant::Observed(refusal) => refusal.token.as_ref(),
            Grant::Public => None,
        }
    }

    /// The proof that was used up.
    pub const fn proof(&self) -> Option<&VerifiedProof> {
        match &self.0 {
            Grant::Token { binding: Binding::Dpop(proof), .. } => Some(proof),
            Grant::Token { binding: Binding::Bearer, .. } | Grant::Public | Grant::Observed(_) => None,
        }
    }

    /// The nonce of ours that the proof carried.
    pub fn nonce(&self) -> Option<&Nonce> {
        self.proof().and_then(VerifiedProof::nonce)
    }

    /// Why it may pass: a label for metrics and log.
    pub const fn label(&self) -> &'static str {
        match &self.0 {
            Grant::Public => "public",
            Grant::Token { .. } => "verified",
            Grant::Observed(_) => "observed",
        }
    }
}

//! Using the proof up: the one atomic insert, and what may be forwarded after it.

use super::verify::{Binding, Evidence};
use super::{Authorizer, Policy, Refusal, Verified};
use crate::clock::{Clock, Moment};
use crate::denial::{Denial, ReplayError};
use crate::dpop::{Nonce, NonceMint, VerifiedProof};
use crate::headers::AuthScheme;
use crate::identity::Rendered;
use crate::replay::{FirstUse, OnStart, Outcome};
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
    pub fn spend<'a>(
        &'a self,
        verified: Verified,
        now: impl Into<Moment>,
        clock: &'a Clock,
    ) -> impl Future<Output = Result<Permit, Refusal>> + 'a {
        let now = now.into();
        async move {
            if let Evidence::Token { token, binding, .. } = &verified.0
                && let Some(proof) = binding.proof()
                && let Err(error) = self.use_up(proof, Some(token), now, clock).await
            {
                let (denial, token) = (Denial::Replay(error), Some(Arc::clone(token)));
                return Err(Refusal { denial, scheme: Some(AuthScheme::Dpop), token });
            }
            Ok(Permit(match verified.0 {
                Evidence::Public => Grant::Public,
                Evidence::Token { token, identity, binding } => Grant::Token { token, identity, binding },
            }))
        }
    }

    pub(crate) async fn use_up(
        &self,
        proof: &VerifiedProof,
        token: Option<&VerifiedToken>,
        now: Moment,
        clock: &Clock,
    ) -> Result<(), ReplayError> {
        let subject = self.subject(token);
        if let Some(subject) = subject {
            match self.replay.refuses_subject(subject, now.wall) {
                Some(Outcome::Full) => return Err(ReplayError::Full),
                Some(_) => return Err(ReplayError::OverQuota),
                None => {}
            }
        }
        let mut outcome = self.insert(proof, now).await;
        if outcome == Outcome::Forgotten && self.replay.vouches_for(first_use(proof), now) {
            // The store has just found out since when it is complete, and the proof is from after that. It was asked, so it is later now.
            outcome = self.insert(proof, clock.moment()).await;
        }
        match outcome {
            Outcome::Fresh => {
                self.proofs.admitted(proof, now);
                if let Some(subject) = subject {
                    self.replay.count_subject(subject, proof.until());
                }
                Ok(())
            }
            Outcome::Replayed => Err(ReplayError::Replayed),
            Outcome::Full => Err(ReplayError::Full),
            Outcome::OverQuota => Err(ReplayError::OverQuota),
            // Being unknown proves nothing about a time that the store does not remember: a nonce from after it does.
            Outcome::Forgotten => Err(self.unknowable(proof, now)),
            Outcome::Unavailable => Err(ReplayError::Unavailable),
        }
    }

    /// Whose proofs are counted together.
    fn subject(&self, token: Option<&VerifiedToken>) -> Option<u64> {
        let token = token?;
        token.sub().map(|sub| self.replay.subject(token.issuer().0, sub))
    }

    async fn insert(&self, proof: &VerifiedProof, now: Moment) -> Outcome {
        if now.wall > proof.until() {
            // Only after a wait, or where the clock was set ahead after its nonce was made: whoever used it before may have been
            // forgotten since.
            return Outcome::Forgotten;
        }
        let (jkt, jti) = (proof.jkt(), proof.jti());
        let key = self.replay.key(&jkt, jti);
        let outcome = self.replay.check_and_insert_since(key, first_use(proof), proof.until(), now).await;
        let lost = outcome == Outcome::Fresh && !self.replay.still_is(key, &jkt, jti);
        if lost { Outcome::Unavailable } else { outcome }
    }

    /// The nonce for a challenge, or for the answer to a success. It says that it is from after everything that this process knows to be
    /// forgotten, and by the wall clock, which is for other replicas with the same secret, that it is not older than what the store vouches
    /// for: after a loss that reaches a little into the future, as where their clocks differ, the client still passes with its second try.
    pub fn challenge_nonce(&self, now: impl Into<Moment>) -> String {
        let (now, mark, epoch) = (now.into(), self.replay.mark(), self.replay.epoch());
        let floor = self.replay.complete_since();
        // Further ahead nobody would believe it.
        let reaches = floor <= now.wall.saturating_add(NonceMint::AHEAD);
        let wall = if reaches { now.wall.max(floor) } else { now.wall };
        self.proofs.mint().mint_marked(Moment { wall, ..now }, mark, epoch)
    }

    /// Only what is from before the start is waited for. What was dropped since, and may come again because a clock was set back, is
    /// challenged: nobody knows how long that lasts.
    fn unknowable(&self, proof: &VerifiedProof, now: Moment) -> ReplayError {
        let is_from_before = || !self.replay.vouches_for(first_use(proof), now);
        match self.on_start {
            OnStart::Wait
                if is_from_before() && self.replay.begins_near(now) && !self.replay.begins_by_reload() =>
            {
                ReplayError::BeforeStart
            }
            OnStart::Challenge | OnStart::Wait => ReplayError::Unknowable,
        }
    }
}

/// The earliest that somebody can have used it.
fn first_use(proof: &VerifiedProof) -> FirstUse {
    FirstUse { moment: proof.earliest_use(), mark: proof.mark(), epoch: proof.epoch() }
}

impl Permit {
    /// On a route that only observes, lets through what would have been refused, as nobody.
    ///
    /// # Errors
    /// The refusal, handed back, on a route that enforces, and where it is one that is always enforced.
    pub fn observe(policy: &Policy, refusal: Refusal) -> Result<Self, Refusal> {
        if policy.mode.overlooks(refusal.denial) { Ok(Self(Grant::Observed(refusal))) } else { Err(refusal) }
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
            Grant::Token { binding, .. } => binding.proof(),
            Grant::Public | Grant::Observed(_) => None,
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

#[cfg(test)]
mod tests;

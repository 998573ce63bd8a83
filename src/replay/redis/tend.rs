//! Finds the servers, looks at them every second, and finds them again.

use super::unusable::Unusable;
use super::vet::{OwnTime, Primary};
use super::{Live, RETRY, RedisStore, WATCH, connect, slots, vet};
use crate::clock::{Clock, Moment, UnixTime};
use crate::jose::{Secret, sha256};
use crate::replay::patience::{in_time, pause};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl RedisStore {
    /// Looks at the servers, and for them where they are lost.
    pub async fn tend(&self, now: impl Into<Moment>) {
        let now = now.into();
        let own = OwnTime::of(now.wall);
        let _one = self.tending.lock().await;
        self.unchecked.tick(now.steady);
        if let Some(live) = self.live.load_full() {
            match self.look(&live, &own).await {
                Ok(()) if live.terms == self.terms.hash() && !self.renewal.is_awaited() => {
                    return self.be_content();
                }
                // A reload has brought other terms. Until their epochs are known it goes on with these. Or a jump was noticed just when it had been
                // connected anew.
                Ok(()) => {}
                // Only new proofs are refused: those that are there are known all the same.
                Err(refusal @ Unusable::OutOfMemory) => return self.complain(&refusal),
                Err(refusal) => self.give_up(&live, &refusal),
            }
        }
        match self.connect(&own).await {
            Ok(live) => self.publish(live),
            Err(refusal) => self.complain(&refusal),
        }
    }

    /// Tends for ever: every second, and at once when a request has run into trouble.
    pub async fn watch(&self, clock: &Clock) {
        loop {
            self.tend(clock.moment()).await;
            if self.is_ready() {
                in_time(WATCH, self.wake.notified()).await;
            } else {
                pause(RETRY).await;
            }
        }
    }

    /// Learns since when the server's data is complete, before somebody makes a nonce that should be newer than that.
    pub(super) async fn settle(&self, now: UnixTime) {
        let own = OwnTime::of(now);
        let settled = async {
            let _one = self.tending.lock().await;
            if self.live.load().is_none() {
                match self.connect(&own).await {
                    Ok(live) => self.publish(live),
                    Err(refusal) => self.complain(&refusal),
                }
            }
        };
        in_time(self.timeout, settled).await;
    }

    /// Nothing is asked of these servers any more until they have been vetted again.
    pub(super) fn give_up(&self, live: &Arc<Live>, refusal: &Unusable) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.store(None);
            self.complain(refusal);
        }
        self.wake.notify_one();
    }

    /// The servers' moments count before the first request can be answered by them.
    fn publish(&self, (live, secret): (Live, Secret)) {
        let mut known = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        for primary in live.primaries.iter().filter(|primary| !known.contains(&primary.epoch)) {
            self.since.raise(primary.complete_since);
        }
        *known = live.primaries.iter().map(|primary| primary.epoch.clone()).collect();
        self.since.call(name_of(&known));
        drop(known);
        self.renewal.is_over();
        self.secret.store(Arc::new(secret));
        self.live.store(Some(Arc::new(live)));
        self.stalled.store(0, Ordering::Relaxed);
        let complete_since = self.since.moment().as_millis();
        tracing::info!(complete_since, "the replay store in Redis is connected");
        self.trouble.end();
        self.unchecked.end();
    }

    /// All is well, on connections that were never given up.
    fn be_content(&self) {
        if self.trouble.end() {
            tracing::info!("the replay store in Redis can be used again");
        }
        self.unchecked.end_if_quiet();
    }

    pub(super) fn complain(&self, refusal: &Unusable) {
        let cause = refusal.to_string();
        if self.trouble.begin(&cause) {
            tracing::error!("the replay store in Redis cannot be used: {cause}");
        }
    }

    /// Finds the primaries, vets each, and asks everything once that will be asked later: what is forbidden shows here.
    async fn connect(&self, own: &OwnTime) -> Result<(Live, Secret), Unusable> {
        let connected = self.try_connect(own).await;
        if let Err(refusal) = &connected {
            self.topology.distrust(refusal).await;
        }
        connected
    }

    async fn try_connect(&self, own: &OwnTime) -> Result<(Live, Secret), Unusable> {
        let terms = self.terms.hash();
        let mut nodes = self.topology.find().await?;
        let keeper = nodes.iter_mut().find(|node| slots::owns(&node.slots, vet::secret_slot()));
        let secret = vet::secret(&mut keeper.ok_or(Unusable::NoSlots)?.connection).await?;
        if self.renewal.must_end() {
            for node in &mut nodes {
                Primary::end_epoch(node, &self.terms, &secret).await?;
            }
            // Once: whoever has noticed too must not end the ones after them.
            self.renewal.has_ended();
        }
        let mut primaries = Vec::new();
        for node in nodes {
            let primary = Primary::vet(node, &self.terms, &secret, own, &self.renewal).await?;
            primary.look(&self.terms, own).await?;
            primaries.push(primary);
        }
        // Once more: between the secret and the epochs all may have been lost, and others go by another secret since. What is lost from here
        // on takes an epoch with it.
        let keeper = primaries.iter().find(|primary| primary.owns(vet::secret_slot()));
        if vet::secret(&mut keeper.ok_or(Unusable::NoSlots)?.connection.clone()).await? != secret {
            return Err(Unusable::EpochLost);
        }
        Ok((Live { primaries, terms }, Secret::new(&secret)))
    }

    /// Looks again whether everything is as it was.
    async fn look(&self, live: &Live, own: &OwnTime) -> Result<(), Unusable> {
        let mut len = 0_usize;
        for primary in &live.primaries {
            let looked = in_time(connect::PATIENCE, primary.look(&self.terms, own)).await;
            let size = looked.ok_or(Unusable::Slow)?.inspect_err(|refusal| {
                if matches!(refusal, Unusable::ClockJumped) {
                    self.renewal.is_due();
                }
            })?;
            len = len.saturating_add(size);
        }
        self.len.store(len, Ordering::Relaxed);
        let addresses: Vec<_> = live.primaries.iter().map(|primary| primary.place.clone()).collect();
        self.topology
            .still_at(&addresses, live.primaries.first().map(|primary| primary.connection.clone()))
            .await
    }
}

/// What nonces call data with these epochs.
fn name_of(epochs: &[String]) -> u64 {
    let mut epochs: Vec<_> = epochs.iter().map(String::as_bytes).collect();
    epochs.sort_unstable();
    // It has six bytes in a nonce, and is not 0.
    sha256(&epochs).first_chunk().map_or(1, |bytes| (u64::from_be_bytes(*bytes) >> 16).max(1))
}

//! The store that all replicas share: one Redis primary, found by address or by Sentinel, or the primaries of
//! a cluster.
//!
//! # One insert
//!
//! `SET key 1 PX ttl NX`, `GET epoch`, `TIME`, in this order, in one round trip on the one multiplexed
//! connection to the primary. The `SET` decides: of many at once, on any number of replicas, one is answered
//! `OK`. The two after it say whether that means anything: the epoch is still there
//! *after* the `SET`, so nothing was flushed before it, and the server's clock, by which keys expire, has not
//! jumped. `ttl` covers the proof's life and [`CLOCK_DIFFERENCE`], by which the replicas' clocks may differ.
//! Replicas of Redis are never asked.
//!
//! # When data is lost
//!
//! Redis answers a failover, a restart or a `FLUSHALL` as if nothing had been. So every primary has an
//! *epoch*: a key whose name holds what the server is (its `run_id`, its `master_replid`, which is new after
//! every promotion, its count of evicted keys, and in a cluster its slots) and what the keys were made with,
//! and whose value is the moment since which its data is complete. Who finds no such key writes one for the
//! present (`SET NX`), and everybody who sees it moves [`super::Store::complete_since`] there. A connection
//! leads to one server process for as long as it lives, and no request uses one before its epoch has been
//! read; so a promoted or restarted server, which has another name, is noticed before its first answer, and a
//! flushed one with it. Servers are looked at again every second.
//!
//! The moment lies [`CLOCK_DIFFERENCE`] ahead, because a proof that was lost may have been accepted by a
//! replica whose clock is ahead; for as long nonces made before do not help either.
//!
//! The keys' secret lies in Redis too: the first who comes makes it. It is not derived from a nonce secret,
//! because those are rotated one replica after the other, and two replicas with different secrets know
//! nothing of each other's proofs.
//!
//! The user of the connection needs `SET`, `GET`, `TIME`, `INFO`, `PEXPIRE` and `DBSIZE`, in a cluster
//! `CLUSTER SLOTS`, and `CONFIG GET` only where `INFO` does not tell `maxmemory_policy`.
//!
//! # What it cannot do
//!
//! * *Two primaries at once.* A primary that is cut off and replaced goes on accepting until it notices. Set
//!   `min-replicas-to-write` and `min-replicas-max-lag` in Redis; with Sentinel we ask it every second who the
//!   primary is.
//! * *A primary made a replica and a primary again by hand* on a connection that stays open is noticed within a
//!   second, or by the first request in between. Sentinel closes the connections.
//! * *Replicas that do not agree* in their clocks (by more than [`CLOCK_DIFFERENCE`]; there is a warning) or in
//!   the acceptance window (while a change is rolled out): the one that forgets first decides.
//! * *Limits*: the capacity is Redis's own, which answers `OOM` when it is full; each replica limits
//!   what passes through it per key.
//! * *A lost answer* (time-out) is refused, and the proof may have been used up by it.
//! * *A slot on its way* to another node of a cluster is refused until it has arrived.

mod connect;
mod slots;
mod steps;
mod vet;

use super::limit::PerKeyLimit;
use super::{OpenError, Outcome, ReplayKey, Settings, Since};
use crate::clock::{Clock, Stopwatch, UnixTime};
use crate::jose::{Secret, encode};
use ::redis::{RedisError, pipe};
use arc_swap::{ArcSwap, ArcSwapOption};
use connect::Topology;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use steps::OwnClock;
use tokio::sync::Notify;
use vet::{Primary, Refusal, Terms};

/// How far the clocks of two replicas may be apart.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);
/// How far the clock of the server may jump before what it has expired is in doubt. A key lives as much
/// longer.
const JUMP: Duration = Duration::from_secs(2);
/// How often the servers are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How soon after a failure they are looked for again.
const RETRY: Duration = Duration::from_millis(200);
/// So many time-outs in a row, and the connection is given up.
const STALLED: u32 = 16;

/// Proofs remembered in Redis.
#[derive(Debug)]
pub struct RedisStore {
    topology: Topology,
    terms: Terms,
    timeout: Duration,
    accept_on_failure: bool,
    live: ArcSwapOption<Live>,
    secret: ArcSwap<Secret>,
    since: Since,
    own_clock: OwnClock,
    /// The epochs are to be begun anew: a server's clock has jumped.
    renew: AtomicBool,
    wake: Notify,
    tending: tokio::sync::Mutex<()>,
    complaint: Mutex<Complaint>,
    stalled: AtomicU32,
    unchecked: AtomicU64,
    len: AtomicUsize,
    capacity: usize,
    per_key: PerKeyLimit,
}

/// The servers that were vetted, and what for.
#[derive(Debug)]
struct Live {
    primaries: Vec<Primary>,
}

/// What was said last, so that it is not said again and again.
#[derive(Debug, Default)]
struct Complaint {
    last: String,
    accepted: Option<Stopwatch>,
}

impl RedisStore {
    /// Reads the addresses and tries to connect once; a server that is not there is waited for, and proofs
    /// are refused meanwhile.
    ///
    /// # Errors
    /// An address is none.
    pub async fn open(settings: &Settings<'_>, clock: &Clock) -> Result<Self, OpenError> {
        let plan = settings.plan.redis.as_ref().ok_or(OpenError::Redis("no address is given".to_owned()))?;
        let store = Self {
            topology: Topology::parse(&plan.urls, plan.timeout)
                .map_err(|error| OpenError::Redis(error.to_string()))?,
            terms: Terms {
                hash: settings.terms_hash(),
                retention: settings.retention,
                assume_noeviction: plan.assume_noeviction,
                unknown_policy: Once::new(),
            },
            timeout: plan.timeout,
            accept_on_failure: plan.accept_on_failure,
            live: ArcSwapOption::empty(),
            secret: ArcSwap::from_pointee(Secret::random()),
            since: Since::new(UnixTime::EPOCH),
            own_clock: OwnClock::new(settings.retention, clock.now()),
            renew: AtomicBool::new(false),
            wake: Notify::new(),
            tending: tokio::sync::Mutex::new(()),
            complaint: Mutex::default(),
            stalled: AtomicU32::new(0),
            unchecked: AtomicU64::new(0),
            len: AtomicUsize::new(0),
            capacity: settings.plan.capacity,
            per_key: PerKeyLimit::new(settings.plan.per_key_limit, settings.retention, clock.now()),
        };
        store.tend(clock.now()).await;
        Ok(store)
    }

    /// See [`super::Store::check_and_insert`].
    pub async fn check_and_insert(&self, key: ReplayKey, until: UnixTime, now: UnixTime) -> Outcome {
        if !self.per_key.has_room(key.owner, now) {
            return Outcome::OverQuota;
        }
        let outcome = self.insert(key, until, now).await;
        if outcome == Outcome::Fresh {
            self.per_key.count(key.owner, until);
        }
        if self.accept_on_failure && matches!(outcome, Outcome::Unavailable | Outcome::Full) {
            self.accept_unchecked();
            return Outcome::Fresh;
        }
        outcome
    }

    /// Looks at the servers, and for them where they are lost.
    pub async fn tend(&self, now: UnixTime) {
        let _one = self.tending.lock().await;
        if let Some(live) = self.live.load_full() {
            match self.look(&live).await {
                Ok(()) => return,
                Err(refusal) => self.give_up(&live, &refusal),
            }
        }
        match self.connect(now).await {
            Ok(live) => self.publish(live),
            Err(refusal) => self.complain(&refusal),
        }
    }

    /// Tends for ever: every second, and at once when a request has run into trouble.
    pub async fn watch(&self, clock: &Clock) {
        loop {
            self.tend(clock.now()).await;
            if self.is_ready() {
                drop(tokio::time::timeout(WATCH, self.wake.notified()).await);
            } else {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Whether there is a server that can be asked.
    pub fn is_ready(&self) -> bool {
        self.live.load().is_some()
    }

    /// How many requests passed unchecked.
    pub fn accepted_unchecked(&self) -> u64 {
        self.unchecked.load(Ordering::Relaxed)
    }

    /// How many keys the databases hold, as of the last look.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn since(&self) -> &Since {
        &self.since
    }

    pub(super) fn secret(&self) -> Arc<Secret> {
        self.secret.load_full()
    }

    async fn insert(&self, key: ReplayKey, until: UnixTime, now: UnixTime) -> Outcome {
        if self.own_clock.may_have_expired(until, now) {
            return Outcome::Forgotten;
        }
        let Some(live) = self.live.load_full() else { return Outcome::Unavailable };
        let name = format!("kp:{}", encode(&key.id.to_be_bytes()));
        let Some(primary) = live.primary(&name) else { return Outcome::Unavailable };
        let ttl = until.since(now).saturating_add(CLOCK_DIFFERENCE).saturating_add(JUMP).as_millis();
        let mut pipeline = pipe();
        pipeline.cmd("SET").arg(&name).arg(1).arg("PX").arg(u64::try_from(ttl).unwrap_or(u64::MAX)).arg("NX");
        pipeline.cmd("GET").arg(&primary.epoch_key).cmd("TIME");
        let mut connection = primary.connection.clone();
        let asked = pipeline.query_async(&mut connection);
        let Ok(answer) = tokio::time::timeout(self.timeout, asked).await else {
            return self.stall(&live);
        };
        self.stalled.store(0, Ordering::Relaxed);
        match answer {
            Ok(answer) => {
                let outcome = self.judge(&live, primary, answer);
                if outcome == Outcome::Forgotten {
                    self.settle(now).await;
                }
                outcome
            }
            Err(error) => self.fail(&live, &error),
        }
    }

    /// Learns since when the server's data is complete, before somebody makes a nonce that should be newer than that.
    async fn settle(&self, now: UnixTime) {
        let settled = async {
            let _one = self.tending.lock().await;
            if !self.is_ready() {
                match self.connect(now).await {
                    Ok(live) => self.publish(live),
                    Err(refusal) => self.complain(&refusal),
                }
            }
        };
        drop(tokio::time::timeout(self.timeout, settled).await);
    }

    /// What the answers to `SET`, `GET` and `TIME` mean together.
    fn judge(
        &self,
        live: &Arc<Live>,
        primary: &Primary,
        (set, epoch, time): (Option<String>, Option<String>, (i64, i64)),
    ) -> Outcome {
        if set.is_none() {
            // A key that is there was written for this proof, whatever else was lost.
            return Outcome::Replayed;
        }
        if epoch.as_ref() != Some(&primary.epoch) {
            self.give_up(live, &Refusal::EpochLost);
            return Outcome::Forgotten;
        }
        if primary.has_jumped(time) {
            self.renew.store(true, Ordering::SeqCst);
            self.give_up(live, &Refusal::ClockJumped);
            return Outcome::Forgotten;
        }
        Outcome::Fresh
    }

    fn stall(&self, live: &Arc<Live>) -> Outcome {
        if self.stalled.fetch_add(1, Ordering::Relaxed) >= STALLED {
            self.stalled.store(0, Ordering::Relaxed);
            self.give_up(live, &Refusal::Slow);
        }
        Outcome::Unavailable
    }

    fn fail(&self, live: &Arc<Live>, error: &RedisError) -> Outcome {
        let failures = error.clone().into_server_errors().unwrap_or_default();
        if failures.iter().any(|(_, failure)| failure.code() == "OOM") {
            self.complain(&Refusal::OutOfMemory);
            return Outcome::Full;
        }
        self.give_up(live, &Refusal::Redis(error.clone()));
        Outcome::Unavailable
    }

    /// Nothing is asked of these servers any more until they have been vetted again.
    fn give_up(&self, live: &Arc<Live>, refusal: &Refusal) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.store(None);
            self.complain(refusal);
        }
        self.wake.notify_one();
    }

    /// The servers' moments count before the first request can be answered by them.
    fn publish(&self, (live, secret): (Live, Secret)) {
        for primary in &live.primaries {
            self.since.raise(primary.complete_since);
        }
        self.secret.store(Arc::new(secret));
        self.live.store(Some(Arc::new(live)));
        self.stalled.store(0, Ordering::Relaxed);
        let complete_since = self.since.moment().as_millis();
        tracing::info!(complete_since, "the replay store in Redis is connected");
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).last.clear();
    }

    fn complain(&self, refusal: &Refusal) {
        let text = refusal.to_string();
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.last != text {
            tracing::error!("the replay store in Redis cannot be used: {text}");
            complaint.last = text;
        }
    }

    fn accept_unchecked(&self) {
        let so_far = self.unchecked.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.accepted.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            complaint.accepted = Some(Stopwatch::start());
            tracing::error!(
                so_far,
                "requests pass WITHOUT a replay check: Redis cannot be asked and replay.redis.on_failure is accept"
            );
        }
    }
}

impl RedisStore {
    /// Finds the primaries and vets each.
    async fn connect(&self, now: UnixTime) -> Result<(Live, Secret), Refusal> {
        let renew = self.renew.load(Ordering::SeqCst);
        let mut nodes = self.topology.find().await?;
        let keeper = nodes.iter_mut().find(|node| slots::owns(&node.slots, vet::secret_slot()));
        let secret = vet::secret(&mut keeper.ok_or(Refusal::NoSlots)?.connection).await?;
        let mut primaries = Vec::new();
        for node in nodes {
            primaries.push(Primary::vet(node, &self.terms, &secret, now, renew).await?);
        }
        self.renew.store(false, Ordering::SeqCst);
        Ok((Live { primaries }, Secret::new(&secret)))
    }

    /// Looks again whether everything is as it was.
    async fn look(&self, live: &Live) -> Result<(), Refusal> {
        let mut len = 0_usize;
        for primary in &live.primaries {
            let looked = tokio::time::timeout(connect::PATIENCE, primary.look(&self.terms)).await;
            let size = looked.map_err(|_| Refusal::Slow)?.inspect_err(|refusal| {
                if matches!(refusal, Refusal::ClockJumped) {
                    self.renew.store(true, Ordering::SeqCst);
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

impl Live {
    /// The primary that owns this key.
    fn primary(&self, key: &str) -> Option<&Primary> {
        let slot = slots::slot(key);
        self.primaries.iter().find(|primary| primary.owns(slot))
    }
}

//! The store that all replicas share: one Redis primary, found by address or by Sentinel, or the primaries of
//! a cluster.
//!
//! # One insert
//!
//! `SET key 1 PX ttl NX`, `GET epoch`, `TIME`, in this order, in one round trip on the one multiplexed
//! connection to the primary. The `SET` decides: of many at once, on any number of replicas, one is answered
//! `OK`. The two after it say whether that means anything: the epoch is still there
//! *after* the `SET`, so nothing was flushed before it, and the server's clock, by which keys expire, has not
//! jumped, nor come past the proof's end, where this process was stopped for long. `ttl` covers the proof's life and [`CLOCK_DIFFERENCE`], by which the replicas' clocks may differ.
//! Replicas of Redis are never asked.
//!
//! # When data is lost
//!
//! Redis answers a failover, a restart or a `FLUSHALL` as if nothing had been. So every primary has an
//! *epoch*: a key whose name holds what the server is (its `run_id`, its `master_replid`, which is new after
//! every promotion, its count of evicted keys, and in a cluster its slots) and what the keys were made with,
//! and whose value is the moment since which its data is complete. Who finds no such key writes one for the
//! present, by the server's own `TIME` (`SET NX`), so that no replica with a wrong clock decides for the others; and everybody who sees it moves [`super::Store::complete_since`] there. A connection
//! leads to one server process for as long as it lives, and no request uses one before its epoch has been
//! read; so a promoted or restarted server, which has another name, is noticed before its first answer, and a
//! flushed one with it. Servers are looked at again every second.
//!
//! The moment lies [`CLOCK_DIFFERENCE`] and half a second ahead, because a proof that was lost may have been accepted by a
//! replica whose clock is ahead; for as long nonces that others made do not help either. A replica whose clock differs by more than that
//! from the server's takes no proofs, begins no epoch, is not ready and says so.
//!
//! The keys' secret lies in Redis too: the first who comes makes it. It is not derived from a nonce secret,
//! because those are rotated one replica after the other, and two replicas with different secrets know
//! nothing of each other's proofs.
//!
//! # What the user of the connection needs
//!
//! `~kp:* ~keyproof:replay:* +set +get +time +info +pexpire +dbsize`, with another database than 0 `+select`, in a
//! cluster `+cluster|slots`, and `+config|get` only where `INFO` does not tell `maxmemory_policy`. All of it is asked
//! for before the store is ready, and every second from then on, with a `SET` that changes nothing: a server that
//! forbids or refuses writes is noticed where no request comes.
//!
//! # What it cannot do
//!
//! * *Two primaries at once.* A primary that is cut off and replaced goes on accepting until it notices. Set
//!   `min-replicas-to-write` and `min-replicas-max-lag` in Redis; with Sentinel we ask it every second who the
//!   primary is.
//! * *A primary made a replica and a primary again by hand* on a connection that stays open is noticed within a
//!   second, or by the first request in between. Sentinel closes the connections.
//! * *Replicas that do not agree* in the acceptance window (while a change is rolled out): the one that forgets first decides.
//! * *Limits*: the capacity is Redis's own, which answers `OOM` when it is full; each replica limits
//!   what passes through it per key.
//! * *A lost answer* (time-out) is refused, and the proof may have been used up by it.
//! * *A slot on its way* to another node of a cluster is refused until it has arrived.

mod connect;
mod renewal;
mod sentinel;
mod slots;
mod steps;
mod tend;
mod trouble;
mod unchecked;
mod unusable;
mod url;
mod vet;
mod wire;

use super::limit::PerKeyLimit;
use super::memory::Timeline;
use super::patience::in_time;
use super::subjects::Subjects;
use super::{Outcome, RedisPlan, ReplayKey, Settings, Since};
use crate::clock::{CLOCK_DIFFERENCE, Clock, Moment, UnixTime};
use crate::jose::{Secret, encode};
use ::redis::{RedisError, pipe};
use arc_swap::{ArcSwap, ArcSwapOption};
use connect::Topology;
use renewal::Renewal;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use steps::OwnClock;
use tokio::sync::Notify;
use trouble::Trouble;
use unchecked::Unchecked;
use unusable::{Step, Unusable, refused};
pub use url::{BadUrl, RedisServers};
use vet::{OwnTime, Primary, Terms};

/// How far the clock of the server may jump before what it has expired is in doubt. A key lives as much
/// longer.
const JUMP: Duration = Duration::from_secs(2);
/// How often the servers are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How soon after a failure they are looked for again.
const RETRY: Duration = Duration::from_millis(200);
/// So many time-outs in a row, and the connection is given up.
const STALLED: u32 = 16;
/// What an insert asks, in this order.
const INSERT: [Step; 3] = [Step::proof("+set"), Step::shared("+get"), Step::plain("+time")];

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
    /// Of the epochs, after a jump of a server's clock.
    renewal: Renewal,
    wake: Notify,
    tending: tokio::sync::Mutex<()>,
    trouble: Trouble,
    /// The epochs that count: another one is a loss.
    epochs: Mutex<Vec<String>>,
    stalled: AtomicU32,
    unchecked: Unchecked,
    len: AtomicUsize,
    capacity: AtomicUsize,
    per_key: PerKeyLimit,
    subjects: Subjects,
}

/// The servers that were vetted, and what for.
#[derive(Debug)]
struct Live {
    primaries: Vec<Primary>,
    /// Under which terms their epochs are.
    terms: u64,
}

impl RedisStore {
    /// Tries to connect once; a server that is not there is waited for, and proofs are refused meanwhile.
    pub async fn open(plan: &RedisPlan, settings: &Settings<'_>, clock: &Clock) -> Self {
        let timeline = Timeline::new(settings.retention, clock.now());
        let store = Self {
            topology: Topology::new(&plan.servers, plan.timeout),
            terms: Terms {
                hash: settings.terms_hash().into(),
                retention: millis(settings.retention).into(),
                assume_noeviction: plan.assume_noeviction,
                unknown_policy: Once::new(),
            },
            timeout: plan.timeout,
            accept_on_failure: plan.accept_on_failure,
            live: ArcSwapOption::empty(),
            secret: ArcSwap::from_pointee(Secret::random()),
            since: Since::new(UnixTime::EPOCH),
            own_clock: OwnClock::new(settings.retention),
            renewal: Renewal::default(),
            wake: Notify::new(),
            tending: tokio::sync::Mutex::new(()),
            trouble: Trouble::default(),
            epochs: Mutex::default(),
            stalled: AtomicU32::new(0),
            unchecked: Unchecked::default(),
            len: AtomicUsize::new(0),
            capacity: settings.plan.capacity.into(),
            per_key: PerKeyLimit::new(settings.plan.per_key_limit, timeline),
            subjects: Subjects::new(settings.plan.per_subject_limit, timeline),
        };
        store.tend(clock.moment()).await;
        store
    }

    /// See [`super::Store::check_and_insert`].
    pub(super) async fn check_and_insert(
        &self,
        key: ReplayKey,
        mark: u64,
        until: UnixTime,
        now: Moment,
    ) -> Outcome {
        if !self.per_key.has_room(key.owner, now.wall) {
            return Outcome::OverQuota;
        }
        let outcome = self.insert(key, mark, until, now).await;
        if outcome == Outcome::Fresh {
            self.per_key.count(key.owner, until);
        }
        if self.accept_on_failure && matches!(outcome, Outcome::Unavailable | Outcome::Full) {
            self.unchecked.pass(now.steady);
            return Outcome::Fresh;
        }
        outcome
    }

    /// Whether there is a server that can be asked, and that takes writes.
    pub fn is_ready(&self) -> bool {
        self.trouble().is_none()
    }

    /// Why it is not ready.
    pub fn trouble(&self) -> Option<String> {
        let unconnected = || self.live.load().is_none().then(|| "Redis cannot be asked".to_owned());
        self.trouble.cause().or_else(unconnected)
    }

    /// How many requests passed unchecked.
    pub fn accepted_unchecked(&self) -> u64 {
        self.unchecked.total()
    }

    /// How many keys the databases hold, as of the last look.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Counts on where proofs live for so long.
    pub(super) fn remember_for(&self, retention: Duration) {
        self.terms.retention.fetch_max(millis(retention), Ordering::Relaxed);
        self.own_clock.remember_for(retention);
        if let Some(timeline) = self.per_key.remember_for(retention) {
            self.subjects.widen(timeline);
        }
    }

    /// Goes on under these terms: with the epochs of those, as soon as they are known.
    pub(super) fn follow_terms(&self, hash: u64) {
        if self.terms.hash.swap(hash, Ordering::SeqCst) != hash {
            self.wake.notify_one();
        }
    }

    /// Other limits, from now on.
    pub(super) fn limit(&self, capacity: usize, per_key_limit: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.per_key.set_limit(per_key_limit);
    }

    pub(super) const fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    pub(super) const fn since(&self) -> &Since {
        &self.since
    }

    pub(super) fn secret(&self) -> Arc<Secret> {
        self.secret.load_full()
    }

    async fn insert(&self, key: ReplayKey, mark: u64, until: UnixTime, now: Moment) -> Outcome {
        // First: while our clock is wrong nothing is taken, and nothing is to be remembered of it.
        let Some(live) = self.live.load_full() else { return Outcome::Unavailable };
        if self.own_clock.may_have_expired(until, mark, now, &self.since) {
            return Outcome::Forgotten;
        }
        let (read, now) = (now, now.wall);
        let name = format!("kp:{}", encode(&key.id.to_be_bytes()));
        let Some(primary) = live.primary(&name) else { return Outcome::Unavailable };
        let own = OwnTime::of(now);
        // Others may be behind Redis by as much as we may be ahead of it.
        let life = until.since(now).saturating_add(primary.lead(now));
        let borne = CLOCK_DIFFERENCE.saturating_add(JUMP).saturating_add(vet::ROUGHLY);
        let ttl = life.saturating_add(borne).as_millis();
        let mut pipeline = pipe();
        pipeline.cmd("SET").arg(&name).arg(1).arg("PX").arg(u64::try_from(ttl).unwrap_or(u64::MAX)).arg("NX");
        pipeline.cmd("GET").arg(&primary.epoch_key).cmd("TIME");
        let mut connection = primary.connection.clone();
        let asked = pipeline.query_async(&mut connection);
        let Some(answer) = in_time(self.timeout, asked).await else {
            return self.stall(&live);
        };
        self.stalled.store(0, Ordering::Relaxed);
        match answer {
            Ok(answer) => {
                let outcome = self.judge(&live, primary, &own, until, answer);
                if outcome == Outcome::Fresh {
                    self.own_clock.taken(read, &self.since);
                }
                if matches!(outcome, Outcome::Forgotten | Outcome::Replayed) && self.live.load().is_none() {
                    self.settle(now).await;
                }
                outcome
            }
            Err(error) => self.fail(&live, &error),
        }
    }

    /// What the answers to `SET`, `GET` and `TIME` mean together.
    fn judge(
        &self,
        live: &Arc<Live>,
        primary: &Primary,
        own: &OwnTime,
        until: UnixTime,
        (set, epoch, time): (Option<String>, Option<String>, (i64, i64)),
    ) -> Outcome {
        if epoch.as_ref() != Some(&primary.epoch) {
            self.give_up(live, &Unusable::EpochLost);
            // A key that is there was written for this proof, whatever else was lost.
            return if set.is_none() { Outcome::Replayed } else { Outcome::Forgotten };
        }
        if set.is_none() {
            return Outcome::Replayed;
        }
        if primary.has_jumped(time) {
            // What an old answer says was seen to when the next servers were connected to.
            if self.live.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
                self.renewal.is_due();
            }
            self.give_up(live, &Unusable::ClockJumped);
            return Outcome::Forgotten;
        }
        if self.renewal.is_awaited() {
            // Others have seen the jump: it may have been undone between the answer to `SET` and that to `TIME`.
            return Outcome::Forgotten;
        }
        if let Err(refusal) = own.agrees_with(vet::duration(time)) {
            self.give_up(live, &refusal);
            return Outcome::Unavailable;
        }
        if UnixTime::EPOCH.saturating_add(vet::duration(time)) > until.saturating_add(CLOCK_DIFFERENCE) {
            // This process was stopped before Redis was asked, for longer than a key lives: the one of another replica may be gone.
            return Outcome::Forgotten;
        }
        Outcome::Fresh
    }

    fn stall(&self, live: &Arc<Live>) -> Outcome {
        if self.stalled.fetch_add(1, Ordering::Relaxed) >= STALLED {
            self.stalled.store(0, Ordering::Relaxed);
            self.give_up(live, &Unusable::Slow);
        }
        Outcome::Unavailable
    }

    fn fail(&self, live: &Arc<Live>, error: &RedisError) -> Outcome {
        let refusal = refused(error, &INSERT);
        if matches!(refusal, Unusable::OutOfMemory) {
            self.complain(&refusal);
            return Outcome::Full;
        }
        self.give_up(live, &refusal);
        Outcome::Unavailable
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Live {
    /// The primary that owns this key.
    fn primary(&self, key: &str) -> Option<&Primary> {
        let slot = slots::slot(key);
        self.primaries.iter().find(|primary| primary.owns(slot))
    }
}

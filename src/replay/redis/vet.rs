//! What a server must be before anything is asked of it, and since when its data is complete.

use super::connect::{Node, NodeAddress};
use super::renewal::Renewal;
use super::unusable::{Step, Unusable, refused};
use super::wire::Wire;
use super::{JUMP, slots};
use crate::clock::{CLOCK_DIFFERENCE, Stopwatch, UnixTime};
use crate::jose::{encode, random, sha256};
use ::redis::{cmd, pipe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// How long an epoch outlives those who look at it.
const EPOCH_LIFE: Duration = Duration::from_secs(86_400);
/// How long it may take from asking for the server's time to writing an epoch that begins at it.
const EPOCH_DELAY: Duration = Duration::from_millis(500);
/// How exactly the difference of two clocks is known; a key lives as much longer.
pub(super) const ROUGHLY: Duration = Duration::from_millis(100);
/// Where the key lies that proofs' keys are made with.
const SECRET_KEY: &str = "keyproof:replay:secret";

/// What decides how long proofs live.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) hash: AtomicU64,
    /// In milliseconds; the longest that ever was asked for.
    pub(super) retention: AtomicU64,
    /// The operator says that nothing is evicted, where the server does not tell.
    pub(super) assume_noeviction: bool,
    /// It was said once that nobody knows.
    pub(super) unknown_policy: Once,
}

impl Terms {
    pub(super) fn hash(&self) -> u64 {
        self.hash.load(Ordering::SeqCst)
    }
}

/// A primary that was vetted, on the connection it was vetted on.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) connection: Wire,
    pub(super) epoch_key: String,
    /// The epoch's value, compared as it stands.
    pub(super) epoch: String,
    pub(super) complete_since: UnixTime,
    facts: Facts,
    pub(super) place: NodeAddress,
    /// The slots it owns; all of them outside a cluster.
    slots: Vec<(u16, u16)>,
    /// What the server's clock showed, and how long ago.
    clock: Mutex<(Duration, Stopwatch)>,
}

/// What tells one run of one primary from every other, and from itself after a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    run_id: String,
    replication_id: String,
    evicted: String,
}

/// Asks a server what it is.
pub(super) async fn facts(connection: &mut Wire, terms: &Terms) -> Result<Facts, Unusable> {
    let info = cmd("INFO").query_async(connection).await;
    let info: String = info.map_err(|error| refused(&error, &[Step::plain("+info")]))?;
    let field = |name: &'static str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).ok_or(Unusable::NoInfo(name))
    };
    if field("loading")? != "0" {
        return Err(Unusable::Loading);
    }
    if field("role")? != "master" {
        return Err(Unusable::NoPrimary);
    }
    let policy = match field("maxmemory_policy") {
        Ok(policy) => Ok(policy),
        Err(_) => asked_policy(connection).await,
    };
    match policy {
        Ok(policy) if policy == "noeviction" => {}
        Ok(policy) => return Err(Unusable::Evicts(policy)),
        Err(_) if terms.assume_noeviction => {}
        Err(_) => terms.unknown_policy.call_once(|| {
            tracing::warn!(
                "Redis does not tell its maxmemory-policy: make sure that it is noeviction, \
                 then say so with replay.redis.assume_noeviction: true"
            );
        }),
    }
    Ok(Facts {
        run_id: field("run_id")?,
        replication_id: field("master_replid")?,
        evicted: field("evicted_keys")?,
    })
}

/// Some hosted servers do not tell in `INFO`.
async fn asked_policy(connection: &mut Wire) -> Result<String, Unusable> {
    let pair = cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(connection).await;
    let pair: Vec<String> = pair.map_err(|error| refused(&error, &[Step::plain("+config|get")]))?;
    pair.into_iter().nth(1).ok_or(Unusable::NoInfo("maxmemory_policy"))
}

/// The secret that proofs' keys are made with: the first who comes makes it.
pub(super) async fn secret(connection: &mut Wire) -> Result<[u8; 32], Unusable> {
    let mut pipeline = pipe();
    pipeline.cmd("SET").arg(SECRET_KEY).arg(encode(&random::<32>())).arg("NX").ignore();
    pipeline.cmd("GET").arg(SECRET_KEY);
    let secret = pipeline.query_async(connection).await;
    let (text,): (String,) =
        secret.map_err(|error| refused(&error, &[Step::shared("+set"), Step::shared("+get")]))?;
    Ok(sha256(&[text.as_bytes()]))
}

/// The slot of the secret.
pub(super) fn secret_slot() -> u16 {
    slots::slot(SECRET_KEY)
}

impl Primary {
    /// Reads the server's epoch, or begins it now, by the server's own clock; where the last that came had other terms, begins it in any case:
    /// what was taken under those may have expired already. A replica whose clock differs from that begins none: it
    /// would be wrong for all others.
    pub(super) async fn vet(
        Node { mut connection, slots, place }: Node,
        terms: &Terms,
        secret: &[u8; 32],
        own: &OwnTime,
        renewal: &Renewal,
    ) -> Result<Self, Unusable> {
        let facts = facts(&mut connection, terms).await?;
        let asked = cmd("TIME").query_async(&mut connection).await;
        let before = duration(asked.map_err(|error| refused(&error, &[Step::plain("+time")]))?);
        let epoch_key = epoch_key(&facts, &slots, terms, secret);
        own.agrees_with(before)?;
        let since = before.saturating_add(CLOCK_DIFFERENCE).saturating_add(EPOCH_DELAY);
        let fresh = format!("{}.{}", since.as_millis(), encode(&random::<8>()));
        let (terms_key, hash) = (terms_key(&slots), format!("{:x}", terms.hash()));
        let last = cmd("GET").arg(&terms_key).query_async(&mut connection).await;
        let last: Option<String> = last.map_err(|error| refused(&error, &[Step::shared("+get")]))?;
        let others = last.is_some_and(|last| last != hash);
        let mut pipeline = pipe();
        let set = pipeline.cmd("SET").arg(&epoch_key).arg(&fresh).arg("PX").arg(epoch_life(terms));
        if !others {
            set.arg("NX");
        }
        // Behind it: whoever is interrupted between the two does both again.
        set.ignore().cmd("SET").arg(&terms_key).arg(&hash);
        set.ignore().cmd("GET").arg(&epoch_key).cmd("TIME");
        let steps = [Step::shared("+set"), Step::shared("+set"), Step::shared("+get"), Step::plain("+time")];
        let answer = pipeline.query_async(&mut connection).await;
        let (epoch, time): (String, (i64, i64)) = answer.map_err(|error| refused(&error, &steps))?;
        let millis = epoch.split_once('.').and_then(|(millis, _)| millis.parse().ok());
        let complete_since = UnixTime::from_millis(millis.ok_or(Unusable::EpochLost)?);
        let time = duration(time);
        if epoch == fresh && time.abs_diff(before) > EPOCH_DELAY {
            // What was lost between the two may have been used after the moment that it names.
            renewal.is_due();
            return Err(Unusable::Slow);
        }
        let clock = Mutex::new((time, Stopwatch::start()));
        Ok(Self { connection, epoch_key, epoch, complete_since, facts, place, slots, clock })
    }

    /// Ends the server's epoch at once, for those too who have not noticed that something was lost: until the clocks agree nobody can begin the
    /// next one.
    pub(super) async fn end_epoch(
        Node { connection, slots, .. }: &mut Node,
        terms: &Terms,
        secret: &[u8; 32],
    ) -> Result<(), Unusable> {
        let facts = facts(connection, terms).await?;
        let epoch_key = epoch_key(&facts, slots, terms, secret);
        let ended = cmd("PEXPIRE").arg(&epoch_key).arg(0).exec_async(connection).await;
        ended.map_err(|error| refused(&error, &[Step::shared("+pexpire")]))
    }

    /// Looks again whether all is as it was, and whether proofs can be written. The number of keys in the database.
    pub(super) async fn look(&self, terms: &Terms, own: &OwnTime) -> Result<usize, Unusable> {
        let mut connection = self.connection.clone();
        if facts(&mut connection, terms).await? != self.facts {
            return Err(Unusable::EpochLost);
        }
        let mut pipeline = pipe();
        pipeline.cmd("GET").arg(&self.epoch_key);
        pipeline.cmd("PEXPIRE").arg(&self.epoch_key).arg(epoch_life(terms)).ignore();
        pipeline.cmd("DBSIZE").cmd("TIME");
        // Refused whenever a proof's would be, and otherwise without effect, because there is no such key.
        pipeline.cmd("SET").arg(probe_key(&self.slots)).arg(1).arg("PX").arg(1).arg("XX").ignore();
        let steps = [
            Step::shared("+get"),
            Step::shared("+pexpire"),
            Step::plain("+dbsize"),
            Step::plain("+time"),
            Step::proof("+set"),
        ];
        let answer = pipeline.query_async(&mut connection).await;
        let (epoch, size, time): (Option<String>, usize, (i64, i64)) =
            answer.map_err(|error| refused(&error, &steps))?;
        if epoch.as_ref() != Some(&self.epoch) {
            return Err(Unusable::EpochLost);
        }
        if self.has_jumped(time) {
            return Err(Unusable::ClockJumped);
        }
        own.agrees_with(duration(time))?;
        // Clocks drift: each look is compared with the one before.
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = (duration(time), Stopwatch::start());
        Ok(size)
    }

    pub(super) fn owns(&self, slot: u16) -> bool {
        slots::owns(&self.slots, slot)
    }

    /// How far our clock is ahead of the server's, if it is: by the last look, and roughly.
    pub(super) fn lead(&self, now: UnixTime) -> Duration {
        let (then, ago) = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = now.since(UnixTime::EPOCH).saturating_sub(then.saturating_add(ago.elapsed()));
        ahead.saturating_sub(ROUGHLY)
    }

    /// Whether the server's clock shows something else than it should.
    pub(super) fn has_jumped(&self, time: (i64, i64)) -> bool {
        let (then, ago) = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        jumped(then, ago.elapsed(), duration(time))
    }
}

/// A key whose name is all that must not change, and which lies on this primary.
fn epoch_key(facts: &Facts, slots: &[(u16, u16)], terms: &Terms, secret: &[u8; 32]) -> String {
    let tag = slots::tag_within(slots);
    let all = format!("{facts:?} {slots:?} {:x}", terms.hash());
    let name = sha256(&[b"keyproof epoch v1", secret, all.as_bytes()]);
    format!(
        "keyproof:replay:epoch:{{{tag}}}:{}",
        encode(name.first_chunk::<16>().map_or(&[], |bytes| &bytes[..]))
    )
}

/// Which terms the last that came to this primary had.
fn terms_key(slots: &[(u16, u16)]) -> String {
    format!("keyproof:replay:terms:{{{}}}", slots::tag_within(slots))
}

/// A key among those of proofs, on this primary; no proof has one with braces.
fn probe_key(slots: &[(u16, u16)]) -> String {
    format!("kp:{{{}}}", slots::tag_within(slots))
}

fn epoch_life(terms: &Terms) -> u64 {
    terms.retention.load(Ordering::Relaxed).saturating_add(super::millis(EPOCH_LIFE))
}

/// What `TIME` answers: seconds and microseconds.
pub(super) fn duration((secs, micros): (i64, i64)) -> Duration {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(unsigned(secs)).saturating_add(Duration::from_micros(unsigned(micros)))
}

/// Whether a clock that showed `then` shows `now` though something else has `elapsed`.
fn jumped(then: Duration, elapsed: Duration, now: Duration) -> bool {
    then.saturating_add(elapsed).abs_diff(now) > JUMP
}

/// Our own wall clock, read a moment ago.
#[derive(Debug)]
pub(super) struct OwnTime {
    wall: UnixTime,
    read: Stopwatch,
}

impl OwnTime {
    /// It was read just now.
    pub(super) fn of(wall: UnixTime) -> Self {
        Self { wall, read: Stopwatch::start() }
    }

    /// The server's clock is what all replicas compare theirs with: one whose clock differs more would accept what another has forgotten.
    ///
    /// # Errors
    /// It differs.
    pub(super) fn agrees_with(&self, time: Duration) -> Result<(), Unusable> {
        let own = self.wall.saturating_add(self.read.elapsed());
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let ahead = own.as_millis().saturating_sub(millis);
        let borne = Duration::from_millis(ahead.unsigned_abs()) <= CLOCK_DIFFERENCE;
        if borne { Ok(()) } else { Err(Unusable::ClocksDiffer(ahead)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_either_way_is_noticed() {
        let seconds = Duration::from_secs;
        for (elapsed, now, noticed) in
            [(0, 100, false), (10, 110, false), (10, 111, false), (10, 113, true), (10, 100, true)]
        {
            assert_eq!(jumped(seconds(100), seconds(elapsed), seconds(now)), noticed, "{elapsed} {now}");
        }
    }
}

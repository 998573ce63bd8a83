//! The store in memory that survives its process: every accepted proof is written down before it is
//! forwarded.
//!
//! # What it promises
//!
//! Whoever opens the directory after a normal stop or a `kill -9` answers as if the process had never
//! stopped: a proof counts as used only once its record is in the file, and what a process wrote survives the
//! process. Nothing is forced to the disk, so it does not survive the machine: after a restart of the kernel
//! the records are read, but do not vouch, and [`super::Store::complete_since`] is the start again. The same
//! goes for whatever else leaves doubt: a record that is missing or damaged, a missing file or one that is not the very
//! file that was written, an older copy, another format version, a capacity too small for what was read, or other
//! [`super::Settings::terms`], under which something that was dropped might be accepted again. `docs/replay.md` lists
//! what is noticed, [`doubt`] how.
//!
//! A write that fails is [`Outcome::Unavailable`], and the proof is not used up. The segment is given up,
//! marked for successors, and another begun, at most ten times a second; a successor is told that the journal
//! is complete since that one began. While it cannot be written the gateway is not ready.
//!
//! If the clock has gone back behind what was dropped, that is [`Outcome::Forgotten`], exactly as if the
//! process had gone on running.
//!
//! # What it costs
//!
//! One `pwrite` of 32 bytes for each accepted proof, into one of two files by turns, 1-2 us, on the thread that serves the request and under
//! the locks of the proof's shard: a disk that stalls stalls the acceptance of proofs, as it must. Segments
//! are begun and dropped by [`super::Store::tend`]; a request does it only where nobody tends, or where 16,384 proofs came within a second.

mod doubt;
mod hold;
mod pair;
mod recover;
mod segment;
mod witness;
mod writer;

use super::{MemoryStore, OpenError, Outcome, ReplayKey, Settings, Since};
use crate::clock::{Clock, Moment, UnixTime};
use crate::jose::{Secret, random};
use doubt::Now;
use hold::Hold;
use pair::Pair;
use recover::{Content, Found};
use segment::{Header, Part};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use writer::{Kept, Writer};

/// Segments that make up a retention.
const PER_RETENTION: u32 = 8;

/// Proofs remembered in memory and in a directory that belongs to this process alone.
#[derive(Debug)]
pub struct JournalStore {
    pub(super) memory: MemoryStore,
    writer: Mutex<Writer>,
    failures: AtomicU64,
    /// Why the last write failed, while none has succeeded since.
    trouble: Mutex<Option<String>>,
    begins_empty: bool,
    /// The directory, for as long as the store lives: dropped after the writer.
    hold: Mutex<Hold>,
}

impl JournalStore {
    /// Takes the directory, creating it where it is missing, and reads what is still live. Blocks: about a
    /// second for every few million proofs.
    ///
    /// # Errors
    /// The directory is in use by another process, or cannot be read or written.
    pub fn open(directory: &Path, settings: &Settings<'_>, clock: &Clock) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Journal { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let hold = Hold::take(directory)?;
        let now = Start { moment: clock.moment(), uptime: clock.uptime().unwrap_or_default() };
        let past = Past::read(directory, &hold, settings, now).map_err(failed)?;
        let (slice, booted) = (slice(settings), now.booted());
        let writer = Writer::begin(directory.to_owned(), past.header, past.kept, past.last, slice, booted);
        let writer = writer.map_err(failed)?;
        let (begins_empty, writer) = (past.begins_empty, Mutex::new(writer));
        let (failures, trouble) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { memory: past.memory, writer, failures, trouble, begins_empty, hold: Mutex::new(hold) })
    }

    /// Whether what it found does not vouch for the time before it was opened.
    pub(super) const fn begins_empty(&self) -> bool {
        self.begins_empty
    }

    /// See [`super::Store::check_and_insert`].
    pub fn check_and_insert(&self, key: ReplayKey, until: UnixTime, now: UnixTime) -> Outcome {
        self.check_and_insert_marked(key, 0, until, now.into())
    }

    /// The same for a proof that was not used before this mark.
    pub(super) fn check_and_insert_marked(
        &self,
        key: ReplayKey,
        mark: u64,
        until: UnixTime,
        now: Moment,
    ) -> Outcome {
        self.memory.insert_if(key, mark, until, now, || {
            let written = self.writer().append(key, until, now);
            written.map_err(|error| self.count(&error))
        })
    }

    /// See [`super::Store::tend`].
    pub fn tend(&self, now: impl Into<Moment>) {
        let now = now.into();
        self.memory.advance(now);
        // Where our clock was behind when something was lost, and has been set right, successors are to know how late that was.
        let since = self.memory.since.both_by(now);
        let tended = self.keep_hold(now).and_then(|()| {
            let mut writer = self.writer();
            writer.vouch_from(since);
            writer.tend(now)
        });
        match tended {
            Ok(()) => self.recovered(),
            Err(error) => {
                let _: Outcome = self.count(&error);
            }
        }
    }

    /// Nothing is written while another process might be writing too. Whatever that has taken is not known here afterwards.
    fn keep_hold(&self, now: Moment) -> io::Result<()> {
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = self.writer();
        if !hold.is_held() {
            writer.bar(now);
            hold.take_again(|directory| writer.owns_all(directory))?;
        }
        if writer.is_barred() {
            self.memory.since.raise_by_our_clocks(now);
            writer.unbar(hold.seal()?);
        }
        Ok(())
    }

    /// Why proofs cannot be written down, if they cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(|error| format!("the journal cannot be written: {error}"))
    }

    /// The journal could be tended, which begins a segment where there is none to write to.
    fn recovered(&self) {
        if self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("the replay journal can be written again");
        }
    }

    /// Successors are told under which terms proofs are dropped from now on.
    pub(super) fn follow_terms(&self, settings: &Settings<'_>) {
        self.writer().follow_terms(settings.terms_hash(), slice(settings));
    }

    /// See [`super::Store::complete_from`]: successors are told as well.
    pub(super) fn complete_from(&self, moment: Moment) {
        self.memory.since.raise_by_our_clocks(moment);
        let mut writer = self.writer();
        writer.vouch_from(moment);
        if let Err(error) = writer.tend(moment) {
            let _: Outcome = self.count(&error);
        }
    }

    /// How many writes failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn count(&self, error: &io::Error) -> Outcome {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        // The first, and then ever fewer: a full disk fails every request.
        if before.is_power_of_two() || before == 0 {
            tracing::error!(%error, failures = before.saturating_add(1), "the replay journal cannot be written: proofs are refused");
        }
        Outcome::Unavailable
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long a segment is written.
fn slice(settings: &Settings<'_>) -> Duration {
    (settings.retention / PER_RETENTION).max(Duration::from_secs(1))
}

/// When a journal is opened.
#[derive(Clone, Copy, Debug)]
struct Start {
    moment: Moment,
    /// For how long the kernel has run; 0 where it does not tell, and then no journal is believed.
    uptime: Duration,
}

impl Start {
    /// For how long the kernel had run when our steady clock showed its zero, in milliseconds.
    fn booted(self) -> i64 {
        let uptime = i64::try_from(self.uptime.as_millis()).unwrap_or(i64::MAX);
        uptime.saturating_sub(self.moment.steady.as_millis())
    }

    /// What our steady clock would have shown when the kernel had run for so many milliseconds.
    fn when_up_for(self, millis: u64) -> UnixTime {
        self.moment.steady.saturating_sub(self.uptime.saturating_sub(Duration::from_millis(millis)))
    }
}

/// What a predecessor left, taken in.
struct Past {
    memory: MemoryStore,
    header: Header,
    kept: Vec<Kept>,
    last: Option<Pair>,
    begins_empty: bool,
}

impl Past {
    fn read(directory: &Path, hold: &Hold, settings: &Settings<'_>, start: Start) -> io::Result<Self> {
        let now = start.moment.wall;
        let here = Now { directory, lock: hold.seal()?, boot: boot_id(), terms: settings.terms_hash() };
        let found = recover::survey(directory)?;
        let newest = found.segments.last();
        let mut header = newest.map_or_else(|| first_header(now), |newest| newest.header.clone());
        let (capacity, limit) = (settings.plan.capacity, settings.plan.per_key_limit);
        let mut memory =
            MemoryStore::with_secret(Secret::new(&header.secret), capacity, limit, settings.retention, now);
        memory.forget_to(header.dropped, now);
        let (contents, all) = take_in(&memory, &found)?;
        let crowded = (!all).then_some("it holds more than the capacity");
        let doubt = doubt::doubt(&found, &contents, &here).or(crowded);
        if let Some(doubt) = doubt {
            tracing::warn!(directory = %directory.display(), "the replay journal does not vouch for the past: {doubt}");
            header.since = doubt::since_in_doubt(&header, now, settings.retention / PER_RETENTION);
            header.from = header.sequence.saturating_add(1);
            header.begun = start.uptime.as_millis().try_into().unwrap_or(u64::MAX);
        }
        // The clock may have been behind when the journal was begun, and have been set right between two processes, or be set right yet.
        memory.since = Since::told(header.since, start.when_up_for(header.begun));
        header.since = memory.since.moment_by(start.moment);
        (header.origin, header.terms, header.lock) = (now, here.terms, here.lock);
        header.boot = here.boot.unwrap_or_default();
        let last = newest.zip(contents.last()).and_then(|(newest, content)| newest.reopen(content));
        let kept = found.segments.into_iter().zip(contents).map(|(segment, content)| segment.kept(&content));
        Ok(Self {
            memory,
            header,
            kept: kept.collect(),
            last: last.transpose()?,
            begins_empty: doubt.is_some(),
        })
    }
}

/// What the first segment begins with.
fn first_header(now: UnixTime) -> Header {
    Header {
        sequence: 0,
        from: 0,
        origin: now,
        since: now,
        begun: 0,
        dropped: UnixTime::from_millis(i64::MIN),
        terms: 0,
        before: 0,
        before_seal: 0,
        lock: 0,
        part: Part::Even,
        file: 0,
        born: false,
        times_tell: false,
        boot: [0; 16],
        secret: random(),
    }
}

/// Reads all segments into `memory`. `false`: there was more than has room in it.
fn take_in(memory: &MemoryStore, found: &Found) -> io::Result<(Vec<Content>, bool)> {
    let mut all = true;
    // Also what has expired, as far as its generation is still remembered: the clock may go back.
    let mut restore = |key, until| all &= memory.restore(key, until);
    let read = found.segments.iter().map(|segment| segment.read(&mut restore));
    let contents = read.collect::<io::Result<_>>()?;
    Ok((contents, all))
}

/// Which run of the kernel this is, where it tells.
fn boot_id() -> Option<[u8; 16]> {
    #[cfg(test)]
    if let Some(boot) = crate::simulation::boot_id() {
        return Some(boot);
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    (digits.len() == 32).then_some(())?;
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests;

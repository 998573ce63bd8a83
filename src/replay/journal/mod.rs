//! The store in memory that survives its process: every accepted proof is written down before it is
//! forwarded.
//!
//! # What it promises
//!
//! Whoever opens the directory after a normal stop or a `kill -9` answers as if the process had never
//! stopped: a proof counts as used only once its record is in the file, and what a process wrote survives the
//! process. Nothing is forced to the disk, so it does not survive the machine: after a restart of the kernel
//! the records are read, but do not vouch, and [`super::Store::complete_since`] is the start again. The same
//! goes for whatever else leaves doubt: a damaged or half-written record, a missing segment, another format
//! version, a capacity too small for what was read, or other [`super::Settings::terms`], under which
//! something that was dropped might be accepted again.
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
//! One `pwrite` of 32 bytes for each accepted proof, 1-2 us, on the thread that serves the request and under
//! the locks of the proof's shard: a disk that stalls stalls the acceptance of proofs, as it must. Segments
//! are begun and dropped by [`super::Store::tend`]; a request does it only where nobody tends.

mod recover;
mod segment;
mod writer;

use super::{MemoryStore, OpenError, Outcome, ReplayKey, Settings, Since};
use crate::clock::{Clock, Moment, UnixTime};
use crate::jose::{Secret, random};
use segment::Header;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// Holds the directory for as long as the store lives.
    _lock: File,
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
        let lock = lock(directory)?;
        let past = Past::read(directory, settings, clock.now()).map_err(failed)?;
        let slice = (settings.retention / PER_RETENTION).max(std::time::Duration::from_secs(1));
        let writer = Writer::begin(directory.to_owned(), past.header, past.kept, slice).map_err(failed)?;
        let (begins_empty, writer) = (past.begins_empty, Mutex::new(writer));
        let (failures, trouble) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { memory: past.memory, writer, failures, trouble, begins_empty, _lock: lock })
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
            let written = self.writer().append(key, until, now.wall);
            written.map_err(|error| self.count(&error))
        })
    }

    /// See [`super::Store::tend`].
    pub fn tend(&self, now: impl Into<Moment>) {
        let now = now.into();
        self.memory.advance(now);
        let tended = self.writer().tend(now.wall);
        match tended {
            Ok(()) => self.recovered(),
            Err(error) => {
                let _: Outcome = self.count(&error);
            }
        }
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

    /// See [`super::Store::complete_from`]: successors are told as well.
    pub(super) fn complete_from(&self, moment: UnixTime) {
        self.memory.since.raise(moment);
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

/// What a predecessor left, taken in.
struct Past {
    memory: MemoryStore,
    header: Header,
    kept: Vec<Kept>,
    begins_empty: bool,
}

impl Past {
    fn read(directory: &Path, settings: &Settings<'_>, now: UnixTime) -> io::Result<Self> {
        let boot = boot_id();
        let terms = settings.terms_hash();
        let found = recover::survey(directory, boot, terms)?;
        let never = UnixTime::from_millis(i64::MIN);
        let mut header = found.newest.clone().unwrap_or_else(|| Header {
            sequence: 0,
            from: 0,
            origin: now,
            since: now,
            dropped: never,
            terms,
            boot: [0; 16],
            secret: random(),
        });
        let (capacity, limit) = (settings.plan.capacity, settings.plan.per_key_limit);
        let mut memory =
            MemoryStore::with_secret(Secret::new(&header.secret), capacity, limit, settings.retention, now);
        memory.forget_to(header.dropped, now);
        let (kept, damage) = take_in(&memory, &found.segments, header.from)?;
        let doubt = found.doubt.or(damage);
        if let Some(doubt) = doubt {
            tracing::warn!(directory = %directory.display(), "the replay journal does not vouch for the past: {doubt}");
            header.since = since_in_doubt(&header, now, settings);
            header.from = header.sequence.saturating_add(1);
        }
        memory.since = Since::new(header.since);
        (header.origin, header.terms, header.boot) = (now, terms, boot.unwrap_or_default());
        Ok(Self { memory, header, kept, begins_empty: doubt.is_some() })
    }
}

/// Reads all segments into `memory`. What was damaged or found no room speaks against them.
fn take_in(
    memory: &MemoryStore,
    segments: &[(PathBuf, Header)],
    from: u64,
) -> io::Result<(Vec<Kept>, Option<&'static str>)> {
    let (mut kept, mut doubt) = (Vec::new(), None);
    for (path, header) in segments {
        let (segment, whole) = recover::replay(path, header, |key, until| {
            // Also what has expired, as far as its generation is still remembered: the clock may go back.
            if !memory.restore(key, until) {
                doubt = Some("it holds more than the capacity");
            }
        })?;
        kept.push(segment);
        // The end of one that was given up is torn, and its successor's header counts on it no more.
        if !whole && header.sequence >= from {
            doubt = Some("a record is damaged");
        }
    }
    Ok((kept, doubt))
}

/// The start, or what is known of an even later time that has been before: the clock may have gone back.
fn since_in_doubt(newest: &Header, now: UnixTime, settings: &Settings<'_>) -> UnixTime {
    let was = if newest.origin > now {
        newest.origin.saturating_add(settings.retention / PER_RETENTION)
    } else {
        now
    };
    now.max(was).max(newest.since)
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    recover::only_a_file(&path)
        .map_err(|source| OpenError::Journal { path: directory.to_owned(), source })?;
    let failed = |source| OpenError::Journal { path: directory.to_owned(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Which run of the kernel this is, where it tells.
fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    (digits.len() == 32).then_some(())?;
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests;

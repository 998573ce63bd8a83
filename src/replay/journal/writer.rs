//! Appending: one small write per accepted proof, a new segment every slice of time, old ones dropped whole.

use super::pair::{BROKEN, ODD, Pair, WHOLE, path_of};
use super::segment::{End, Header};
use crate::clock::{Moment, UnixTime};
use crate::replay::ReplayKey;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After a failed write a new segment is tried at most this often.
const RETRY: Duration = Duration::from_millis(100);

/// While a clock is set right bit by bit, no segment is begun for each bit: successors know the moment by the kernel's clock, too.
const SLEWED: Duration = Duration::from_secs(1);

/// The end of the journal.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    /// The newest segment's header; the next one's begins as a copy.
    pub(super) header: Header,
    slice: Duration,
    /// Where it is written; `None` after a failure.
    open: Option<Pair>,
    /// The segment before the next one, while it has not been told that there is one.
    last: Option<Pair>,
    /// The latest `until` in the newest segment.
    latest: UnixTime,
    /// The segments before it.
    kept: Vec<Kept>,
    failed_at: Option<Moment>,
    restamp: bool,
    /// For how long the kernel had run when our steady clock showed its zero, in milliseconds.
    booted: i64,
    /// The directory is not ours at the moment.
    barred: bool,
}

/// A segment that is no longer written.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) paths: Vec<PathBuf>,
    pub(super) sequence: u64,
    /// The latest `until` in it.
    pub(super) latest: UnixTime,
}

impl Writer {
    /// Begins the segment that `header` describes, after `kept`, whose newest is `last`.
    ///
    /// # Errors
    /// The segment could not be begun.
    pub(super) fn begin(
        directory: PathBuf,
        header: Header,
        kept: Vec<Kept>,
        last: Option<Pair>,
        slice: Duration,
        booted: i64,
    ) -> io::Result<Self> {
        let latest = UnixTime::from_millis(i64::MIN);
        let mut writer = Self {
            directory,
            header,
            slice,
            open: None,
            last,
            latest,
            kept,
            failed_at: None,
            restamp: false,
            booted,
            barred: false,
        };
        writer.next_segment(writer.header.origin)?;
        Ok(writer)
    }

    /// Writes one proof down, in a new segment where it is time for one.
    ///
    /// # Errors
    /// It is not written down. The journal vouches for what comes after the next segment's beginning only.
    pub(super) fn append(&mut self, key: ReplayKey, until: UnixTime, now: Moment) -> io::Result<()> {
        if self.barred || self.failed_at.is_some_and(|failed| now.steady.since(failed.steady) < RETRY) {
            return Err(io::Error::other("the journal could not be written a moment ago"));
        }
        let is_full = self.open.as_ref().is_some_and(Pair::is_full);
        if is_full || self.is_due(now.wall) || !self.header.has_room_for(until) {
            self.next_segment(now.wall).inspect_err(|_| self.give_up(now))?;
        }
        self.latest = self.latest.max(until);
        let written = match &mut self.open {
            Some(pair) => pair.append(&self.header, key, until),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        written.inspect_err(|_| self.give_up(now))
    }

    /// Begins a new segment where it is time for one, so that no request has to.
    ///
    /// # Errors
    /// It could not be begun.
    pub(super) fn tend(&mut self, now: Moment) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|pair| !pair.is_there()) {
            self.give_up(now);
        }
        let has_gone_back = now.wall < self.header.origin.saturating_sub(self.slice);
        let is_filling = self.open.as_ref().is_some_and(Pair::is_filling);
        if is_filling || has_gone_back || self.is_due(now.wall) {
            self.next_segment(now.wall).inspect_err(|_| self.give_up(now))?;
        }
        Ok(())
    }

    /// Vouches for nothing before this moment any more; written down with the next segment, which is begun at the
    /// next chance. An earlier one changes nothing.
    pub(super) fn vouch_from(&mut self, since: Moment) {
        let begun = self.uptime_at(since.steady);
        let said = self.header.since.saturating_add(SLEWED);
        self.restamp |= since.wall > said || begun > self.header.begun;
        self.header.since = self.header.since.max(since.wall);
        self.header.begun = self.header.begun.max(begun);
    }

    /// For how long the kernel had run when our steady clock showed this, in milliseconds.
    fn uptime_at(&self, steady: UnixTime) -> u64 {
        u64::try_from(steady.as_millis().saturating_add(self.booted)).unwrap_or(0)
    }

    /// What is written from the next segment on, which is begun at the next chance, is written under these terms; each is as long as this.
    pub(super) fn follow_terms(&mut self, terms: u64, slice: Duration) {
        self.restamp |= self.header.terms != terms;
        (self.header.terms, self.slice) = (terms, slice);
    }

    /// Nothing is written until [`Writer::unbar`].
    pub(super) fn bar(&mut self, now: Moment) {
        self.give_up(now);
        self.barred = true;
    }

    pub(super) const fn is_barred(&self) -> bool {
        self.barred
    }

    /// The directory is ours again, with this seal of its lock file.
    pub(super) fn unbar(&mut self, lock: u64) {
        self.header.lock = lock;
        self.barred = false;
    }

    /// Whether all segments in the directory are of this process.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn owns_all(&self, directory: &Path) -> io::Result<bool> {
        let mut all = true;
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let is_one = path.extension().is_some_and(|extension| extension == WHOLE || extension == ODD);
            all &= !is_one || self.kept.iter().any(|kept| kept.paths.contains(&path));
        }
        Ok(all)
    }

    fn is_due(&self, now: UnixTime) -> bool {
        self.open.is_none() || self.restamp || now >= self.header.origin.saturating_add(self.slice)
    }

    /// The segment is marked, so that a successor does not take it for whole, and no longer written.
    pub(super) fn give_up(&mut self, now: Moment) {
        if let Some(pair) = self.open.take() {
            // It may well fail, like what was written before.
            drop(pair.end(End::Succeeded));
            self.keep();
            let even = path_of(&self.directory, self.header.sequence, WHOLE);
            let broken = path_of(&self.directory, self.header.sequence, BROKEN);
            if std::fs::rename(even, &broken).is_ok()
                && let Some(path) = self.kept.last_mut().and_then(|kept| kept.paths.first_mut())
            {
                *path = broken;
            }
        }
        self.failed_at = Some(now);
    }

    fn keep(&mut self) {
        let sequence = self.header.sequence;
        let paths = [WHOLE, ODD].map(|extension| path_of(&self.directory, sequence, extension)).to_vec();
        self.kept.push(Kept { paths, sequence, latest: self.latest });
    }

    /// Begins a segment at `now`. What has expired is dropped after the new header has said so: at no moment
    /// is something gone and not accounted for.
    fn next_segment(&mut self, now: UnixTime) -> io::Result<()> {
        // From here on the old one is kept whatever happens: nothing may be appended to what counts as
        // finished.
        if let Some(pair) = self.open.take() {
            self.keep();
            self.last = Some(pair);
        }
        // Only from the front: a successor takes a gap for a loss.
        let expired = self.kept.iter().take_while(|kept| kept.latest < now).count();
        let mut header = self.next_header(now, expired);
        let pair = Pair::create(&self.directory, &header)?;
        // One that cannot be written any more is told once.
        let told = self
            .last
            .take()
            .map_or(Ok(0), |last| last.end(End::Succeeded).inspect(|_| self.last = Some(last)));
        header.before_seal = told?;
        pair.bear(&self.directory, &mut header)?;
        self.last = None;
        for path in self.kept.drain(..expired).flat_map(|kept| kept.paths) {
            // One that cannot be removed is read again by a successor, which does no harm.
            drop(std::fs::remove_file(path));
        }
        self.open = Some(pair);
        self.latest = UnixTime::from_millis(i64::MIN);
        (self.header, self.failed_at, self.restamp) = (header, None, false);
        Ok(())
    }

    /// What the next segment says, if so many of those that are kept are dropped.
    fn next_header(&self, now: UnixTime, expired: usize) -> Header {
        let sequence = self.header.sequence.saturating_add(1);
        let dropped = self.kept.iter().take(expired).map(|kept| kept.latest).max();
        let oldest = self.kept.get(expired).map(|kept| kept.sequence);
        let Header { since, begun, from, .. } = self.header;
        let (from, since, begun) = match self.failed_at {
            Some(failed) => (sequence, since.max(now), begun.max(self.uptime_at(failed.steady))),
            None => (oldest.unwrap_or(sequence).max(from), since, begun),
        };
        Header {
            sequence,
            from,
            origin: now,
            since,
            begun,
            dropped: dropped.map_or(self.header.dropped, |dropped| dropped.max(self.header.dropped)),
            before: self.last.as_ref().map_or(0, Pair::records),
            before_seal: 0,
            born: false,
            times_tell: false,
            ..self.header.clone()
        }
    }

    /// Stands for a `kill -9`: nothing more is written.
    #[cfg(test)]
    pub(super) fn die(&mut self) {
        self.open = None;
    }
}

impl Drop for Writer {
    /// The process ends as it should. Without these words a successor takes it for killed, which does no harm.
    fn drop(&mut self) {
        if let Some(pair) = self.open.take() {
            drop(pair.end(End::Closed));
        }
    }
}

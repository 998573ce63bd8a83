//! Appending: one small write per accepted proof, a new segment every slice of time, old ones dropped whole.

use super::segment::{HEADER, Header, RECORD};
use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After a failed write a new segment is tried at most this often.
const RETRY: Duration = Duration::from_millis(100);

/// The end of the journal.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    /// The newest segment's header; the next one's begins as a copy.
    pub(super) header: Header,
    slice: Duration,
    /// Where it is written, and how far; `None` after a failure.
    open: Option<(File, u64)>,
    /// The latest `until` in the newest segment.
    latest: UnixTime,
    /// The segments before it.
    kept: Vec<Kept>,
    failed_at: Option<UnixTime>,
    restamp: bool,
}

/// A segment that is no longer written.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) sequence: u64,
    /// The latest `until` in it.
    pub(super) latest: UnixTime,
}

impl Writer {
    /// Begins the segment that `header` describes, after `kept`.
    ///
    /// # Errors
    /// The segment could not be begun.
    pub(super) fn begin(
        directory: PathBuf,
        header: Header,
        kept: Vec<Kept>,
        slice: Duration,
    ) -> io::Result<Self> {
        let now = header.origin;
        let latest = UnixTime::from_millis(i64::MIN);
        let mut writer =
            Self { directory, header, slice, open: None, latest, kept, failed_at: None, restamp: false };
        writer.next_segment(now)?;
        Ok(writer)
    }

    /// Writes one proof down, in a new segment where it is time for one.
    ///
    /// # Errors
    /// It is not written down. The journal vouches for what comes after the next segment's beginning only.
    pub(super) fn append(&mut self, key: ReplayKey, until: UnixTime, now: UnixTime) -> io::Result<()> {
        if self.failed_at.is_some_and(|failed| now >= failed && now.since(failed) < RETRY) {
            return Err(io::Error::other("the journal could not be written a moment ago"));
        }
        if self.is_due(now) || self.header.record(key, until).is_none() {
            self.next_segment(now).inspect_err(|_| self.give_up(now))?;
        }
        let record = self.header.record(key, until).ok_or(io::ErrorKind::InvalidInput)?;
        self.latest = self.latest.max(until);
        let written = match &mut self.open {
            // A short write leaves half a record: no less a failure than none.
            Some((file, end)) => match file.write_at(&record, *end) {
                Ok(RECORD) => {
                    *end = end.saturating_add(RECORD.try_into().unwrap_or(0));
                    Ok(())
                }
                Ok(_) => Err(io::ErrorKind::StorageFull.into()),
                Err(error) => Err(error),
            },
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        written.inspect_err(|_| self.give_up(now))
    }

    /// Begins a new segment where it is time for one, so that no request has to.
    ///
    /// # Errors
    /// It could not be begun.
    pub(super) fn tend(&mut self, now: UnixTime) -> io::Result<()> {
        // What is written to a file that was removed is written nowhere.
        let removed = |file: &File| file.metadata().map_or(true, |found| found.nlink() == 0);
        if self.open.as_ref().is_some_and(|(file, _)| removed(file)) {
            self.give_up(now);
        }
        let has_gone_back = now < self.header.origin.saturating_sub(self.slice);
        if self.is_due(now) || has_gone_back {
            self.next_segment(now).inspect_err(|_| self.give_up(now))?;
        }
        Ok(())
    }

    /// Vouches for nothing before `since` any more; written down with the next segment, which is begun at the
    /// next chance.
    pub(super) fn vouch_from(&mut self, since: UnixTime) {
        self.header.since = self.header.since.max(since);
        self.restamp = true;
    }

    fn is_due(&self, now: UnixTime) -> bool {
        self.open.is_none() || self.restamp || now >= self.header.origin.saturating_add(self.slice)
    }

    /// The segment is marked, so that a successor does not take it for whole, and no longer written.
    fn give_up(&mut self, now: UnixTime) {
        if self.open.take().is_some() {
            let path = segment_path(&self.directory, self.header.sequence);
            let broken = path.with_extension(BROKEN);
            let path = if std::fs::rename(&path, &broken).is_ok() { broken } else { path };
            self.kept.push(Kept { path, sequence: self.header.sequence, latest: self.latest });
        }
        self.failed_at = Some(now);
    }

    /// Begins a segment at `now`. What has expired is dropped after the new header has said so: at no moment
    /// is something gone and not accounted for.
    fn next_segment(&mut self, now: UnixTime) -> io::Result<()> {
        let sequence = self.header.sequence.saturating_add(1);
        if self.open.is_some() {
            let path = segment_path(&self.directory, self.header.sequence);
            self.kept.push(Kept { path, sequence: self.header.sequence, latest: self.latest });
        }
        // From here on the old one is kept whatever happens: nothing may be appended to what counts as
        // finished.
        self.open = None;
        // Only from the front: a successor takes a gap for a loss.
        let expired = self.kept.iter().take_while(|kept| kept.latest < now).count();
        let dropped = self.kept.iter().take(expired).map(|kept| kept.latest).max();
        let oldest = self.kept.get(expired).map(|kept| kept.sequence);
        let (from, since) = match self.failed_at {
            Some(_) => (sequence, self.header.since.max(now)),
            None => (oldest.unwrap_or(sequence).max(self.header.from), self.header.since),
        };
        let header = Header {
            sequence,
            from,
            origin: now,
            since,
            dropped: dropped.map_or(self.header.dropped, |dropped| dropped.max(self.header.dropped)),
            ..self.header.clone()
        };
        let file = create(&self.directory, &header)?;
        for kept in self.kept.drain(..expired) {
            // One that cannot be removed is read again by a successor, which does no harm.
            drop(std::fs::remove_file(&kept.path));
        }
        self.open = Some((file, HEADER.try_into().unwrap_or(0)));
        self.latest = UnixTime::from_millis(i64::MIN);
        (self.header, self.failed_at, self.restamp) = (header, None, false);
        Ok(())
    }
}

/// The extension of a segment.
pub(super) const WHOLE: &str = "used";
/// The extension of one to which writing failed.
pub(super) const BROKEN: &str = "broken";
/// The extension of one whose header is not yet written.
pub(super) const UNBORN: &str = "new";

/// The name of a segment; names are in order.
pub(super) fn segment_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:020}.{WHOLE}"))
}

/// A segment appears with its header in it or not at all.
fn create(directory: &Path, header: &Header) -> io::Result<File> {
    let path = segment_path(directory, header.sequence);
    let unborn = path.with_extension(UNBORN);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
    file.write_all_at(&header.encode(), 0)?;
    std::fs::rename(&unborn, &path)?;
    Ok(file)
}

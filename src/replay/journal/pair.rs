//! The two files of a segment that is being written.

use super::segment::{END, End, HEADER, Header, LENGTH, Part, RECORD, ROOM, place};
use super::witness::{identity, seal, untouched};
use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The extension of a segment's file with the even records, while the segment is whole.
pub(super) const WHOLE: &str = "used";
/// The extension of that file of one to which writing failed.
pub(super) const BROKEN: &str = "broken";
/// The extension of the file with the odd records.
pub(super) const ODD: &str = "odd";
/// The extension of a file whose header is not yet written.
pub(super) const UNBORN: &str = "new";

/// Where a segment's file is; names are in order.
pub(super) fn path_of(directory: &Path, sequence: u64, extension: &str) -> PathBuf {
    directory.join(format!("{sequence:020}.{extension}"))
}

/// Two files that are written by turns: one that is cut, or put back from an older copy, has fewer records than the other says.
#[derive(Debug)]
pub(super) struct Pair {
    even: File,
    odd: File,
    sequence: u64,
    /// How many are written.
    records: u64,
}

impl Pair {
    /// Begins the segment with this header, which says that it is not born. Each file appears with its header in it or not at all.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn create(directory: &Path, header: &Header) -> io::Result<Self> {
        let create = |extension: &str, part: Part| {
            let path = path_of(directory, header.sequence, extension);
            let unborn = path.with_extension(format!("{extension}.{UNBORN}"));
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
            file.set_len(LENGTH)?;
            let header = Header { part, file: identity(&file.metadata()?), ..header.clone() };
            file.write_all_at(&header.encode(), 0)?;
            std::fs::rename(&unborn, &path)?;
            Ok::<File, io::Error>(file)
        };
        let (even, odd) = (create(WHOLE, Part::Even)?, create(ODD, Part::Odd)?);
        Ok(Self { even, odd, sequence: header.sequence, records: 0 })
    }

    /// One that another process has written: not to write more records, but to say what comes after it.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(super) fn reopen(even: &Path, odd: &Path, sequence: u64, records: u64) -> io::Result<Self> {
        let open = |path| OpenOptions::new().write(true).open(path);
        Ok(Self { even: open(even)?, odd: open(odd)?, sequence, records })
    }

    /// From now on records may be in it. Writes the header anew, which makes this the last that happened to the files; whether that
    /// shows in their times, and the directory's, goes into the header.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn bear(&self, directory: &Path, header: &mut Header) -> io::Result<()> {
        header.born = true;
        header.times_tell = false;
        self.write_headers(header)?;
        header.times_tell = [self.even.metadata()?, self.odd.metadata()?, std::fs::metadata(directory)?]
            .iter()
            .all(untouched);
        if header.times_tell { self.write_headers(header) } else { Ok(()) }
    }

    fn write_headers(&self, header: &Header) -> io::Result<()> {
        for (file, part) in [(&self.even, Part::Even), (&self.odd, Part::Odd)] {
            let header = Header { part, file: identity(&file.metadata()?), ..header.clone() };
            file.write_all_at(&header.encode(), 0)?;
        }
        Ok(())
    }

    /// Writes the next record.
    ///
    /// # Errors
    /// It is not written, or not whole.
    pub(super) fn append(&mut self, header: &Header, key: ReplayKey, until: UnixTime) -> io::Result<()> {
        let record = header.record(key, until, self.records).ok_or(io::ErrorKind::InvalidInput)?;
        let (part, index) = place(self.records);
        let file = match part {
            Part::Even => &self.even,
            Part::Odd => &self.odd,
        };
        // A short write leaves half a record: no less a failure than none.
        if file.write_at(&record, offset(index))? != RECORD {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    pub(super) const fn is_full(&self) -> bool {
        self.records >= 2 * ROOM
    }

    /// Whether so much is written that the next segment should be begun by somebody who has the time.
    pub(super) const fn is_filling(&self) -> bool {
        self.records >= ROOM
    }

    /// Whether both files are where they belong, as long as they must be. What is written to a file that was removed is written nowhere.
    pub(super) fn is_there(&self) -> bool {
        let there = |found: Metadata| found.nlink() > 0 && found.len() == LENGTH;
        [&self.even, &self.odd].into_iter().all(|file| file.metadata().is_ok_and(there))
    }

    /// Writes the last words into both files, and seals them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn end(&self, kind: impl Fn(u64) -> End) -> io::Result<u64> {
        let mark = kind(self.records).encode(self.sequence);
        self.even.write_all_at(&mark, END.try_into().unwrap_or(0))?;
        self.odd.write_all_at(&mark, END.try_into().unwrap_or(0))?;
        Ok(seal([&self.even.metadata()?, &self.odd.metadata()?]))
    }
}

/// Where a record lies in its file.
fn offset(index: u64) -> u64 {
    let (header, record) = (u64::try_from(HEADER).unwrap_or(0), u64::try_from(RECORD).unwrap_or(0));
    index.saturating_mul(record).saturating_add(header)
}

//! Reading what a predecessor left. What it is worth is for [`super::doubt`] to say.

use super::pair::{BROKEN, ODD, Pair, UNBORN, WHOLE, path_of};
use super::segment::{END, End, HEADER, Header, LENGTH, Part, RECORD};
use super::witness;
use super::writer::Kept;
use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// So many records are read at once.
const CHUNK: usize = 2048;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// What can be read, oldest first.
    pub(super) segments: Vec<Segment>,
    /// There were files that cannot be read, and are removed.
    pub(super) unreadable: bool,
    /// The last segment had said what comes after it, and that had only been prepared.
    pub(super) interrupted: bool,
    /// Whether the last that happened to the directory was that files came and went.
    pub(super) untouched: bool,
}

/// The files that say that they belong to one segment: two, if nothing is wrong.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) files: Vec<OnDisk>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    /// `None` where it is damaged.
    pub(super) end: Option<End>,
    pub(super) found: Metadata,
}

/// What was read from a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) even: u64,
    pub(super) odd: u64,
    /// The latest `until` in it.
    pub(super) latest: UnixTime,
    /// No record is damaged, and none is missing between others of its file.
    pub(super) whole: bool,
}

/// Lists the segments and reads their headers. Files that can no longer be read are removed.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub(super) fn survey(directory: &Path) -> io::Result<Found> {
    let untouched = witness::untouched(&std::fs::metadata(directory)?);
    let (mut segments, mut unreadable) = (BTreeMap::<u64, Segment>::new(), false);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some(WHOLE | BROKEN | ODD | UNBORN)) {
            only_a_file(&path)?;
            paths.push(path);
        }
    }
    paths.sort_unstable();
    for path in paths {
        if path.extension().is_some_and(|extension| extension == UNBORN) {
            std::fs::remove_file(&path)?;
        } else if let Some(file) = OnDisk::read(&path)? {
            let new = || Segment { header: file.header.clone(), files: Vec::new() };
            segments.entry(file.header.sequence).or_insert_with(new).files.push(file);
        } else {
            unreadable = true;
            std::fs::remove_file(&path)?;
        }
    }
    let mut segments: Vec<Segment> = segments.into_values().collect();
    let interrupted = segments.pop_if(|last| last.is_only_prepared());
    for file in interrupted.iter().flat_map(|segment| &segment.files) {
        std::fs::remove_file(&file.path)?;
    }
    // Keys made with another secret say nothing.
    let secret = segments.last().map(|newest| newest.header.secret);
    segments.retain(|segment| Some(segment.header.secret) == secret);
    Ok(Found { segments, unreadable, interrupted: interrupted.is_some(), untouched })
}

/// Whatever has the name of a file of ours is one, or is not there. Opening a FIFO would wait for ever.
///
/// # Errors
/// It is something else.
pub(super) fn only_a_file(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) => {
            let is = if found.is_dir() {
                "a directory"
            } else {
                "no ordinary file (a FIFO, a socket or a device)"
            };
            let said = format!(
                "{} is {is}, but has the name of a file of the journal: move it away",
                path.display()
            );
            Err(io::Error::other(said))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl Segment {
    /// Whether the process was killed while it began this one, before there could be a record in it.
    fn is_only_prepared(&self) -> bool {
        let prepared = |file: &OnDisk| !file.header.born && file.end == Some(End::Open);
        let all = self.files.iter().all(prepared) || self.files.len() == 2 && self.files.iter().any(prepared);
        all && self
            .read(|_, _| {})
            .is_ok_and(|content| content.even == 0 && content.odd == 0 && content.whole)
    }

    /// Reads all records.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn read(&self, mut each: impl FnMut(ReplayKey, UnixTime)) -> io::Result<Content> {
        let mut content = Content { even: 0, odd: 0, latest: UnixTime::from_millis(i64::MIN), whole: true };
        for file in &self.files {
            let mut records = 0_u64;
            content.whole &= file.read_records(|key, until| {
                records = records.saturating_add(1);
                content.latest = content.latest.max(until);
                each(key, until);
            })?;
            match file.header.part {
                Part::Even => content.even = content.even.saturating_add(records),
                Part::Odd => content.odd = content.odd.saturating_add(records),
            }
        }
        Ok(content)
    }

    /// Its two files, if it has them, to say in them what comes after it.
    pub(super) fn reopen(&self, content: &Content) -> Option<io::Result<Pair>> {
        let (even, odd) = self.part(Part::Even).zip(self.part(Part::Odd))?;
        Some(Pair::reopen(&even.path, &odd.path, self.header.sequence, content.count()))
    }

    pub(super) fn kept(self, content: &Content) -> Kept {
        let (sequence, latest) = (self.header.sequence, content.latest);
        Kept { paths: self.files.into_iter().map(|file| file.path).collect(), sequence, latest }
    }

    /// The file with these records.
    pub(super) fn part(&self, part: Part) -> Option<&OnDisk> {
        self.files.iter().find(|file| file.header.part == part)
    }
}

impl OnDisk {
    /// `None` where its header cannot be read.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut bytes = [0; HEADER];
        if fill(&mut file, &mut bytes)? < HEADER {
            return Ok(None);
        }
        let header = bytes.first_chunk::<END>().and_then(Header::decode);
        let Some((header, mark)) = header.zip(bytes.last_chunk::<RECORD>()) else { return Ok(None) };
        let end = End::decode(mark, header.sequence);
        Ok(Some(Self { path: path.to_owned(), header, end, found: file.metadata()? }))
    }

    /// Whether it is the file that was written: neither a copy, nor under another name, nor longer or shorter.
    pub(super) fn is_the_one(&self, directory: &Path) -> bool {
        let extensions: &[&str] = match self.header.part {
            Part::Even => &[WHOLE, BROKEN],
            Part::Odd => &[ODD],
        };
        let named = |extension: &&str| path_of(directory, self.header.sequence, extension) == self.path;
        extensions.iter().any(named)
            && self.header.file == witness::identity(&self.found)
            && self.found.len() == LENGTH
    }

    /// Whether writing to it had failed.
    pub(super) fn is_given_up(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == BROKEN)
    }

    /// `false`: one was damaged, or there is something behind the last. What can be read was read all the same.
    fn read_records(&self, mut each: impl FnMut(ReplayKey, UnixTime)) -> io::Result<bool> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(HEADER.try_into().unwrap_or(0)))?;
        let (mut chunk, zeroes) = (vec![0; CHUNK * RECORD], vec![0; CHUNK * RECORD]);
        let (mut whole, mut ended, mut index) = (true, false, 0_u64);
        loop {
            let filled = fill(&mut file, &mut chunk)?;
            let bytes = chunk.get(..filled).unwrap_or_default();
            if filled < chunk.len() && bytes.len() % RECORD != 0 {
                whole = false;
            }
            if zeroes.get(..filled) == Some(bytes) {
                // Nearly all of a file, and what lies there must be nothing.
                ended = true;
                index = index.saturating_add(CHUNK.try_into().unwrap_or(0));
            } else {
                for record in bytes.as_chunks::<RECORD>().0 {
                    if *record == [0; RECORD] {
                        ended = true;
                    } else if let Some((key, until)) = self.header.read(record, index) {
                        whole &= !ended;
                        each(key, until);
                    } else {
                        whole = false;
                    }
                    index = index.saturating_add(1);
                }
            }
            if filled < chunk.len() {
                return Ok(whole);
            }
        }
    }
}

/// As many bytes as there are, up to the buffer's length.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => filled = filled.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

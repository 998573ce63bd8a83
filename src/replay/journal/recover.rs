//! Reading what a predecessor left, and deciding what it is worth.

use super::segment::{HEADER, Header, RECORD};
use super::writer::{BROKEN, Kept, UNBORN, WHOLE};
use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The newest readable segment's header.
    pub(super) newest: Option<Header>,
    /// The segments that can be read, oldest first.
    pub(super) segments: Vec<(PathBuf, Header)>,
    /// Why it does not vouch for the past, if it does not.
    pub(super) doubt: Option<&'static str>,
}

/// Lists the segments and reads their headers. Files that can no longer be read are removed.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub(super) fn survey(directory: &Path, boot: Option<[u8; 16]>, terms: u64) -> io::Result<Found> {
    let mut found = Found { newest: None, segments: Vec::new(), doubt: None };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if matches!(path.extension().and_then(|extension| extension.to_str()), Some(WHOLE | BROKEN | UNBORN))
        {
            only_a_file(&path)?;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(WHOLE | BROKEN) => paths.push(path),
            Some(UNBORN) => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    paths.sort_unstable();
    for path in paths {
        match read_header(&path)? {
            Some(header) => found.segments.push((path, header)),
            None => {
                found.doubt = Some("a segment has another format version or a damaged header");
                std::fs::remove_file(&path)?;
            }
        }
    }
    let Some((path, newest)) = found.segments.last().cloned() else {
        found.doubt = found.doubt.or(Some("it is new"));
        return Ok(found);
    };
    found.doubt = found.doubt.or_else(|| doubt(&found.segments, &path, &newest, boot, terms));
    // Keys made with another secret say nothing.
    found.segments.retain(|(_, header)| header.secret == newest.secret);
    found.newest = Some(newest);
    Ok(found)
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

/// What speaks against believing the segments that the newest one counts on.
fn doubt(
    segments: &[(PathBuf, Header)],
    last: &Path,
    newest: &Header,
    boot: Option<[u8; 16]>,
    terms: u64,
) -> Option<&'static str> {
    let all = || segments.iter().map(|(_, header)| header).filter(|header| header.sequence >= newest.from);
    let mut due = newest.from;
    let complete =
        all().all(|header| std::mem::replace(&mut due, header.sequence.saturating_add(1)) == header.sequence);
    if boot.is_none() || all().any(|header| Some(header.boot) != boot) {
        Some("the machine was restarted")
    } else if !complete {
        Some("a segment is missing")
    } else if all().any(|header| header.secret != newest.secret) {
        Some("its segments do not belong together")
    } else if last.extension().is_some_and(|extension| extension == BROKEN) {
        Some("writing to it had failed")
    } else if newest.terms != terms {
        Some("the acceptance window or the nonce lifetime was changed")
    } else {
        None
    }
}

/// Reads a segment's records one after the other. `false`: one was damaged or half written, and what follows
/// it was not read.
///
/// # Errors
/// The file cannot be read.
pub(super) fn replay(
    path: &Path,
    header: &Header,
    mut each: impl FnMut(ReplayKey, UnixTime),
) -> io::Result<(Kept, bool)> {
    let mut kept =
        Kept { path: path.to_owned(), sequence: header.sequence, latest: UnixTime::from_millis(i64::MIN) };
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    reader.seek_relative(HEADER.try_into().unwrap_or(i64::MAX))?;
    loop {
        let mut record = [0; RECORD];
        match fill(&mut reader, &mut record)? {
            0 => return Ok((kept, true)),
            RECORD => {}
            _ => return Ok((kept, false)),
        }
        let Some((key, until)) = header.read(&record) else { return Ok((kept, false)) };
        kept.latest = kept.latest.max(until);
        each(key, until);
    }
}

fn read_header(path: &Path) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    let whole = fill(&mut File::open(path)?, &mut bytes)? == HEADER;
    Ok(if whole { Header::decode(&bytes) } else { None })
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

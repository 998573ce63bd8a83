//! What a journal that was found is worth: whether it holds every proof that its processes took.
//!
//! Every segment says how many records the one before it has, and seals its files; the newest has nobody behind it. For it speaks
//! that its two files, which are written by turns, have as many records as each other, that they are as long as they were made, that
//! nothing was done to them after a write, and that it does not say itself that another one follows. A process that ends as it should also
//! writes the number of records there.

use super::recover::{Content, Found, OnDisk, Segment};
use super::segment::{End, Header, Part};
use super::witness;
use crate::clock::UnixTime;
use std::path::Path;

/// With what it is compared.
#[derive(Debug)]
pub(super) struct Now<'a> {
    pub(super) directory: &'a Path,
    /// The seal of the lock file.
    pub(super) lock: u64,
    pub(super) boot: Option<[u8; 16]>,
    pub(super) terms: u64,
}

/// What speaks against believing the segments that the newest one counts on.
pub(super) fn doubt(found: &Found, contents: &[Content], now: &Now<'_>) -> Option<&'static str> {
    if found.unreadable {
        return Some("a file has another format version or a damaged header");
    }
    let Some(newest) = found.segments.last().map(Segment::sealed_header) else { return Some("it is new") };
    let all = || found.segments.iter().zip(contents).filter(|(one, _)| one.header.sequence >= newest.from);
    let headers = || all().flat_map(|(segment, _)| &segment.files).map(|file| &file.header);
    let mut due = newest.from;
    let mut follows =
        |header: &Header| std::mem::replace(&mut due, header.sequence.saturating_add(1)) == header.sequence;
    if now.boot.is_none() || headers().any(|header| Some(header.boot) != now.boot) {
        Some("the machine was restarted")
    } else if !all().all(|(segment, _)| follows(&segment.header)) {
        Some("a segment is missing")
    } else if !all().all(|(segment, _)| segment.is_as_it_was_made(now.directory)) {
        Some("a file is missing, was cut, or another is in its place")
    } else if found.segments.last().is_some_and(Segment::has_failed) {
        Some("writing to it had failed")
    } else if newest.terms != now.terms {
        Some("the acceptance window or the nonce lifetime was changed")
    } else if !all().all(|(_, content)| content.has_all())
        || !pairs(all()).all(|((_, content), (next, _))| content.count() == next.header.before)
    {
        Some("a record is missing or damaged")
    } else {
        let Some((last, content)) = all().next_back() else { return Some("a segment is missing") };
        let sealed = |((one, _), (next, _)): (One<'_>, One<'_>)| {
            !next.sealed_header().times_tell || one.seal() == next.header.before_seal
        };
        last.doubt_as_the_newest(content, found)
            .or_else(|| (!pairs(all()).all(sealed)).then_some("a file was changed after it was finished"))
            .or_else(|| newest.doubt_of_the_times(last, found, now))
    }
}

type One<'a> = (&'a Segment, &'a Content);

/// Each with the one after it.
fn pairs<'a>(all: impl Iterator<Item = One<'a>> + Clone) -> impl Iterator<Item = (One<'a>, One<'a>)> {
    all.clone().zip(all.skip(1))
}

impl Segment {
    /// The header, as far as both files agree on it.
    fn sealed_header(&self) -> Header {
        let tell = self.files.iter().all(|file| file.header.times_tell);
        Header { times_tell: tell, ..self.header.clone() }
    }

    /// Whether it consists of the two files that were made for it.
    fn is_as_it_was_made(&self, directory: &Path) -> bool {
        let (Some(even), Some(odd), 2) = (self.part(Part::Even), self.part(Part::Odd), self.files.len())
        else {
            return false;
        };
        let shared =
            |file: &OnDisk| Header { part: Part::Even, file: 0, times_tell: false, ..file.header.clone() };
        [even, odd].iter().all(|file| file.header.born && file.is_the_one(directory))
            && shared(even) == shared(odd)
    }

    fn has_failed(&self) -> bool {
        self.files.iter().any(OnDisk::is_given_up)
    }

    fn seal(&self) -> u64 {
        let of = |part| self.part(part).map(|file| &file.found);
        witness::seal(of(Part::Even).into_iter().chain(of(Part::Odd)))
    }

    /// Whether its end is the journal's.
    fn doubt_as_the_newest(&self, content: &Content, found: &Found) -> Option<&'static str> {
        let end = |part| self.part(part).and_then(|file| file.end);
        match (end(Part::Even), end(Part::Odd)) {
            (Some(End::Open), Some(End::Open)) => None,
            // Killed while it wrote them, before the next was born.
            (Some(End::Succeeded(count)), Some(_)) if found.interrupted => {
                (count != content.count()).then_some("a record is missing or damaged")
            }
            (Some(End::Closed(one)), Some(End::Closed(other))) if one == other => {
                (one != content.count()).then_some("a record is missing or damaged")
            }
            (Some(End::Succeeded(_)), _) | (_, Some(End::Succeeded(_))) => {
                Some("its newest segment is missing")
            }
            _ => Some("its end is damaged"),
        }
    }
}

impl Header {
    /// Whether anything was done to the newest files, the lock or the directory after the last write of a process that used it.
    fn doubt_of_the_times(&self, last: &Segment, found: &Found, now: &Now<'_>) -> Option<&'static str> {
        if !self.times_tell {
            return None;
        }
        if self.lock != now.lock {
            Some("its lock file is another, or was changed")
        } else if !last.files.iter().all(|file| witness::untouched(&file.found)) {
            Some("a file was put back, or its owner or mode was changed")
        } else if !found.untouched {
            Some("the directory was moved, or its owner or mode was changed")
        } else {
            None
        }
    }
}

impl Content {
    pub(super) const fn count(&self) -> u64 {
        self.even.saturating_add(self.odd)
    }

    /// Whether nothing is missing that a file, or the other, speaks of.
    const fn has_all(&self) -> bool {
        self.whole && (self.even == self.odd || self.even == self.odd.saturating_add(1))
    }
}

/// The start, or what is known of an even later time that has been before: the clock may have gone back.
pub(super) fn since_in_doubt(newest: &Header, now: UnixTime, slice: std::time::Duration) -> UnixTime {
    let was = if newest.origin > now { newest.origin.saturating_add(slice) } else { now };
    now.max(was).max(newest.since)
}

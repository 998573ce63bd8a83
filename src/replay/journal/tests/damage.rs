//! Whole records, files or directories are missing, older, or another's: a proof that may have been among what is missing is challenged.

#![expect(clippy::as_conversions, reason = "small numbers of a test")]

use super::*;
use segment::{HEADER, LENGTH, RECORD};
use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

/// As after a `kill -9`: nothing more is written.
fn kill(store: JournalStore) {
    store.writer().die();
    stop(store);
}

fn stop(store: JournalStore) {
    drop(store);
    a_little_later();
}

/// Times of files have ticks of some milliseconds, and no process ends and is followed by another, or by somebody's hands, within one.
fn a_little_later() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tick = || {
        file.as_file().write_all_at(b".", 0).unwrap();
        file.as_file().metadata().unwrap().modified().unwrap()
    };
    let begun = tick();
    while tick() == begun {}
}

type End = fn(JournalStore);
const ENDS: [(&str, End); 2] = [("kill", kill), ("stop", stop)];

/// Whether what is found vouches for the past. What it holds of these proofs still counts as used.
fn vouches(directory: &Path, now: i64) -> bool {
    let store = open(directory, now);
    let vouches = !store.begins_empty();
    assert_eq!(since(&store), if vouches { START } else { after(now) });
    kill(store);
    vouches
}

/// Takes the proofs with these numbers, at this moment.
fn take(store: &JournalStore, proofs: std::ops::Range<u64>, now: i64) {
    for proof in proofs {
        assert_eq!(store.check_and_insert(key(proof), after(now + 60), after(now)), Outcome::Fresh);
    }
}

/// All files with records, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| !path.ends_with("lock")).collect();
    paths.sort();
    paths
}

/// Three segments with five proofs each, of two processes.
fn journal(end: End) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    take(&store, 0..5, 0);
    take(&store, 5..10, 9);
    end(store);
    let store = open(directory.path(), 10);
    take(&store, 10..15, 10);
    end(store);
    assert_eq!(files(directory.path()).len(), 6);
    directory
}

/// A successor vouches for what was written before a stop and before a `kill -9`, any number of times, and challenges nobody.
#[test]
fn an_honest_end_leaves_no_doubt() {
    for (what, end) in ENDS {
        let directory = journal(end);
        for restart in 0..5 {
            let store = open(directory.path(), 11 + restart);
            assert!(!store.begins_empty(), "{what} {restart}");
            for proof in 0..15 {
                assert_eq!(
                    store.check_and_insert(key(proof), after(60), after(11 + restart)),
                    Outcome::Replayed
                );
            }
            end(store);
        }
    }
}

/// A proof that was in a removed record was taken again, because nothing said that there had been one.
#[test]
fn a_cut_at_any_records_end_is_noticed() {
    for (what, end) in ENDS {
        for place in 0..6 {
            for records in 0..3 {
                let directory = journal(end);
                let path = &files(directory.path())[place];
                let length = HEADER as u64 + RECORD as u64 * records;
                OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
                assert!(!vouches(directory.path(), 12), "{what}: {} of {}", records, path.display());
            }
            let directory = journal(end);
            let path = &files(directory.path())[place];
            let half = OpenOptions::new().write(true).open(path).unwrap();
            half.set_len(LENGTH - RECORD as u64).unwrap();
            assert!(!vouches(directory.path(), 12), "{what}: the end of what was reserved");
        }
    }
}

/// Zeroes in place of the last records, which leave the length as it was.
#[test]
fn records_that_were_wiped_are_noticed() {
    for (what, end) in ENDS {
        for place in 0..6 {
            let directory = journal(end);
            let path = &files(directory.path())[place];
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&[0; RECORD * 3], HEADER as u64).unwrap();
            assert!(!vouches(directory.path(), 12), "{what}: {}", path.display());
        }
    }
}

#[test]
fn a_file_or_a_segment_that_was_removed_is_noticed() {
    for (what, end) in ENDS {
        for segment in 0..3 {
            for which in [&[0][..], &[1], &[0, 1]] {
                let directory = journal(end);
                let all = files(directory.path());
                which.iter().for_each(|file| std::fs::remove_file(&all[segment * 2 + file]).unwrap());
                assert!(!vouches(directory.path(), 12), "{what}: segment {segment}, {which:?}");
            }
        }
        let directory = journal(end);
        files(directory.path()).iter().skip(2).for_each(|path| std::fs::remove_file(path).unwrap());
        assert!(!vouches(directory.path(), 12), "{what}: all but the oldest");
        let directory = journal(end);
        files(directory.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(open(directory.path(), 12).begins_empty(), "{what}: the lock is left");
        let directory = journal(end);
        std::fs::remove_file(directory.path().join("lock")).unwrap();
        assert!(!vouches(directory.path(), 12), "{what}: no lock");
    }
}

/// What is no longer needed is not missed.
#[test]
fn an_expired_segment_may_be_removed() {
    let directory = journal(kill);
    let path = directory.path().join("00000000000000000001.used");
    let old = std::fs::read(&path).unwrap();
    let store = open(directory.path(), 100);
    store.tend(after(120));
    assert!(!path.exists());
    take(&store, 20..25, 121);
    kill(store);
    std::fs::write(&path, old).unwrap();
    let store = open(directory.path(), 122);
    assert_eq!((store.begins_empty(), since(&store)), (false, START), "nor believed when it comes again");
    kill(store);
}

/// How an older copy comes back.
#[derive(Clone, Copy, Debug)]
enum Restore {
    /// Into the files that are there.
    Over,
    /// The same, and with its times.
    OverWithTimes,
    /// As new files in the place of those that are there.
    Anew,
}

const RESTORES: [Restore; 3] = [Restore::Over, Restore::OverWithTimes, Restore::Anew];

struct Copy {
    path: PathBuf,
    bytes: Vec<u8>,
    modified: std::time::SystemTime,
}

impl Copy {
    fn of(path: &Path) -> Self {
        let modified = std::fs::metadata(path).unwrap().modified().unwrap();
        Self { path: path.to_owned(), bytes: std::fs::read(path).unwrap(), modified }
    }

    fn of_all(directory: &Path) -> Vec<Self> {
        std::fs::read_dir(directory).unwrap().map(|entry| Self::of(&entry.unwrap().path())).collect()
    }

    fn put_back(&self, how: Restore) {
        if matches!(how, Restore::Anew) {
            std::fs::remove_file(&self.path).unwrap();
        }
        std::fs::write(&self.path, &self.bytes).unwrap();
        if matches!(how, Restore::OverWithTimes) {
            let times = FileTimes::new().set_modified(self.modified);
            OpenOptions::new().write(true).open(&self.path).unwrap().set_times(times).unwrap();
        }
    }
}

/// Twenty proofs that were taken after the copy were taken again.
#[test]
fn an_older_copy_is_noticed_whatever_is_put_back_and_however() {
    for (what, end) in ENDS {
        for how in RESTORES {
            for (segments, more) in [(1, 5), (1, 20), (2, 5), (3, 20)] {
                let make = |directory: &Path| {
                    let store = open(directory, 0);
                    for segment in 0..segments {
                        take(&store, segment * 5..segment * 5 + 5, segment.cast_signed() * 9);
                    }
                    let copies = Copy::of_all(directory);
                    take(&store, 100..100 + more, segments.cast_signed() * 9 - 8);
                    end(store);
                    copies
                };
                let directory = tempfile::tempdir().unwrap();
                make(directory.path()).iter().for_each(|copy| copy.put_back(how));
                assert!(
                    !vouches(directory.path(), 30),
                    "{what}: all of {segments} segments, {more} later, {how:?}"
                );
                // The last two are the files of the newest segment, one after the other.
                for file in 0..2 {
                    let directory = tempfile::tempdir().unwrap();
                    let copies = make(directory.path());
                    let newest = newest(directory.path());
                    let path = if file == 0 { newest } else { newest.with_extension(pair::ODD) };
                    copies.iter().filter(|copy| copy.path == path).for_each(|copy| copy.put_back(how));
                    assert!(!vouches(directory.path(), 30), "{what}: {path:?}, {more} later, {how:?}");
                }
            }
        }
    }
}

/// As many records in both files as each other, and no time that was set: only that they are other files tells.
#[test]
fn both_files_of_the_newest_segment_put_back_anew_are_noticed() {
    for (what, end) in ENDS {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 0);
        take(&store, 0..4, 0);
        let copies = Copy::of_all(directory.path());
        take(&store, 4..8, 0);
        end(store);
        copies
            .iter()
            .filter(|copy| !copy.path.ends_with("lock"))
            .for_each(|copy| copy.put_back(Restore::Anew));
        assert!(!vouches(directory.path(), 1), "{what}");
    }
}

/// From before the last start, so that the newest segment in it said that it was the last.
#[test]
fn a_copy_from_before_a_restart_is_noticed() {
    for (what, end) in ENDS {
        for (how, remove) in RESTORES.into_iter().flat_map(|how| [(how, false), (how, true)]) {
            let directory = tempfile::tempdir().unwrap();
            let store = open(directory.path(), 0);
            take(&store, 0..5, 0);
            end(store);
            let copies = Copy::of_all(directory.path());
            let store = open(directory.path(), 1);
            take(&store, 5..10, 1);
            end(store);
            if remove {
                let known = |path: &Path| copies.iter().any(|copy| copy.path == path);
                for path in files(directory.path()).iter().filter(|path| !known(path)) {
                    std::fs::remove_file(path).unwrap();
                }
            }
            copies.iter().for_each(|copy| copy.put_back(how));
            assert!(!vouches(directory.path(), 2), "{what}: {how:?}, newer files removed: {remove}");
        }
    }
}

#[test]
fn another_directory_is_noticed() {
    for (what, end) in ENDS {
        let directory = journal(end);
        let elsewhere = tempfile::tempdir().unwrap();
        for copy in Copy::of_all(directory.path()) {
            std::fs::write(elsewhere.path().join(copy.path.file_name().unwrap()), copy.bytes).unwrap();
        }
        assert!(!vouches(elsewhere.path(), 12), "{what}: a copy");
        // Moved away, and moved back after another journal was in its place.
        let (place, away) = (elsewhere.path().join("journal"), elsewhere.path().join("away"));
        end(open(&place, 0));
        std::fs::rename(&place, &away).unwrap();
        let store = open(&place, 1);
        take(&store, 0..5, 1);
        end(store);
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::rename(&away, &place).unwrap();
        assert!(!vouches(&place, 2), "{what}: the one that was moved away");
    }
}

#[test]
fn files_in_each_others_places_are_noticed() {
    type Mix = fn(&Path, &Path);
    let mixes: [(&str, Mix); 3] = [
        ("swapped with", |one, other| {
            let aside = one.with_extension("aside");
            std::fs::rename(one, &aside).unwrap();
            std::fs::rename(other, one).unwrap();
            std::fs::rename(&aside, other).unwrap();
        }),
        ("copied over", |one, other| assert_eq!(std::fs::copy(one, other).unwrap(), LENGTH)),
        ("moved over", |one, other| std::fs::rename(one, other).unwrap()),
    ];
    let places = (0..6).flat_map(|one| (0..6).map(move |other| (one, other)));
    for ((one, other), (what, end)) in
        places.filter(|(one, other)| one != other).zip(ENDS.into_iter().cycle())
    {
        for (mixed, mix) in mixes {
            let directory = journal(end);
            let all = files(directory.path());
            mix(&all[one], &all[other]);
            assert!(!vouches(directory.path(), 12), "{what}: {one} {mixed} {other}");
        }
    }
}

#[test]
fn garbage_and_other_formats_are_noticed_and_fail_no_start() {
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(&str, Spoil); 7] = [
        ("empty", Vec::clear),
        ("garbage", |bytes| {
            bytes[..HEADER * 9].iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 7 + n / 250) as u8)
        }),
        ("bytes in the other order", |bytes| bytes[..HEADER * 9].chunks_mut(8).for_each(<[u8]>::reverse)),
        ("a damaged header", |bytes| bytes[60] ^= 1),
        ("a damaged end mark", |bytes| bytes[HEADER - 9] ^= 1),
        ("a damaged record", |bytes| bytes[HEADER + 9] ^= 1),
        ("something behind the last record", |bytes| bytes[LENGTH as usize - 9] ^= 1),
    ];
    for (spoilt, spoil) in cases {
        for (what, end) in ENDS {
            for place in 0..6 {
                let directory = journal(end);
                let path = &files(directory.path())[place];
                let mut bytes = std::fs::read(path).unwrap();
                spoil(&mut bytes);
                std::fs::write(path, bytes).unwrap();
                assert!(!vouches(directory.path(), 12), "{what}: {} is {spoilt}", path.display());
            }
        }
    }
}

/// What version 1 wrote: a header of 160 bytes and records behind it. It is not believed, and what begins is a journal of this version.
#[test]
fn a_journal_of_the_version_before_challenges_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut header = b"keyproof replay journal\n".to_vec();
    header.extend([1_u64, 7, 7, 1_700_000_000_000, 1_700_000_000_000, 0, 9].map(u64::to_le_bytes).concat());
    header.extend([3; 16 + 32]);
    header.resize(152, 0);
    header.extend(segment::checksum(0, &header).to_le_bytes());
    header.extend([5; RECORD * 20]);
    std::fs::write(directory.path().join("00000000000000000007.used"), header).unwrap();
    std::fs::write(directory.path().join("lock"), "").unwrap();
    let store = open(directory.path(), 0);
    assert!(store.begins_empty());
    take(&store, 0..5, 0);
    kill(store);
    let store = open(directory.path(), 1);
    assert_eq!((store.begins_empty(), since(&store)), (false, START));
    assert_eq!(store.check_and_insert(key(0), after(60), after(1)), Outcome::Replayed);
}

/// Whoever may have written to a file may have put an older one there.
#[test]
fn what_was_touched_after_a_write_is_not_believed() {
    for (what, end) in ENDS {
        for place in 0..6 {
            let directory = journal(end);
            let path = &files(directory.path())[place];
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(!vouches(directory.path(), 12), "{what}: {}", path.display());
        }
        let directory = journal(end);
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!vouches(directory.path(), 12), "{what}: the directory");
        let directory = journal(end);
        File::open(directory.path().join("lock"))
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(!vouches(directory.path(), 12), "{what}: the lock");
        let directory = journal(end);
        std::fs::write(directory.path().join("note.txt"), "something else").unwrap();
        assert!(vouches(directory.path(), 12), "{what}: another file beside it");
    }
}

/// Killed at any point while it begins a segment: no record is lost, and nobody is challenged.
#[test]
fn a_kill_while_a_segment_is_begun_leaves_no_doubt() {
    for (what, end) in ENDS {
        for stage in 0..5 {
            let directory = journal(end);
            let newest = newest(directory.path());
            let last = recover::survey(directory.path()).unwrap();
            let last = last.segments.last().unwrap();
            let content = last.read(|_, _| {}).unwrap();
            let header =
                Header { sequence: 4, before: 5, before_seal: 0, born: false, ..last.header.clone() };
            let unborn = directory.path().join("00000000000000000004.used.new");
            match stage {
                0 => std::fs::write(unborn, "something").unwrap(),
                1 => {
                    drop(Pair::create(directory.path(), &header).unwrap());
                    std::fs::rename(directory.path().join("00000000000000000004.odd"), unborn).unwrap();
                }
                2 => drop(Pair::create(directory.path(), &header).unwrap()),
                3 => {
                    drop(Pair::create(directory.path(), &header).unwrap());
                    let mark = segment::End::Succeeded(content.count()).encode(3);
                    let file = OpenOptions::new().write(true).open(&newest).unwrap();
                    file.write_all_at(&mark, segment::END as u64).unwrap();
                }
                _ => {
                    drop(Pair::create(directory.path(), &header).unwrap());
                    last.reopen(&content).unwrap().unwrap().end(segment::End::Succeeded).unwrap();
                }
            }
            assert!(vouches(directory.path(), 12), "{what}, {stage}");
            assert!(vouches(directory.path(), 13), "{what}, {stage}, once more");
        }
    }
}

/// The lock was removed, and another process took the directory for free: whoever has it no longer takes no more proofs.
#[test]
fn a_process_whose_directory_was_taken_stops_taking_proofs() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    take(&store, 0..5, 0);
    std::fs::remove_file(directory.path().join("lock")).unwrap();
    let other = open(directory.path(), 1);
    assert!(other.begins_empty());
    store.tend(after(1));
    assert!(store.trouble().unwrap().contains("another process has used the directory: restart"));
    assert_eq!(store.check_and_insert(key(9), after(61), after(1)), Outcome::Unavailable);
    drop(other);
    for now in 2..5 {
        store.tend(after(now));
        assert_eq!(store.check_and_insert(key(9), after(61), after(now)), Outcome::Unavailable);
    }
}

/// Nobody took it meanwhile, but somebody could have.
#[test]
fn a_lock_that_was_removed_is_taken_again_and_the_past_is_challenged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    take(&store, 0..5, 0);
    std::fs::remove_file(directory.path().join("lock")).unwrap();
    store.tend(after(1));
    assert_eq!(store.trouble(), None);
    assert_eq!(since(&store), after(1));
    assert!(matches!(Terms::new().open(directory.path(), after(1)), Err(OpenError::InUse { .. })));
    take(&store, 5..10, 1);
    kill(store);
    let store = open(directory.path(), 2);
    assert_eq!((store.begins_empty(), since(&store)), (false, after(1)));
}

/// More proofs than a segment has room for.
#[test]
fn a_full_segment_is_followed_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let mut terms = Terms::new();
    (terms.plan.capacity, terms.plan.per_key_limit) = (1_000_000, 1_000_000);
    let store = terms.open(directory.path(), START).unwrap();
    let proofs = 2 * segment::ROOM + 3;
    take(&store, 0..proofs, 0);
    kill(store);
    assert_eq!(files(directory.path()).len(), 4);
    let store = terms.open(directory.path(), after(1)).unwrap();
    assert_eq!((store.begins_empty(), store.memory.len() as u64), (false, proofs));
}

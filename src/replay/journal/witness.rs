//! What the file system says of files, for doubting what is in them: it numbers them, and notes when each was made, written and changed.
//! None of that can be put back together with an older copy.
//!
//! A write sets both times of a file, of its content and of its state, to the same moment. Whoever sets the time of the content afterwards,
//! as a restored backup has it, or owner, mode or name, sets the time of the state to another. Adding and removing files does the
//! same to the directory, and renaming it the other. Where a file system keeps only one time, or rounds them differently, these tell nothing,
//! which [`untouched`] finds out of what was written just now.

use super::segment::checksum;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// Which file it is, for as long as it lives: a copy is another one.
pub(super) fn identity(file: &Metadata) -> u64 {
    let made = file.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    let made = made.map_or(0, |made| made.as_nanos());
    checksum(file.ino(), &made.to_le_bytes())
}

/// Files as they are now: any change to one of them gives another seal.
pub(super) fn seal<'a>(files: impl IntoIterator<Item = &'a Metadata>) -> u64 {
    files.into_iter().fold(0, |seal, file| {
        let parts = [identity(file), file.ctime().cast_unsigned(), file.ctime_nsec().cast_unsigned()];
        checksum(seal, &parts.map(u64::to_le_bytes).concat())
    })
}

/// Whether the last that happened to it was a write.
pub(super) fn untouched(file: &Metadata) -> bool {
    (file.mtime(), file.mtime_nsec()) == (file.ctime(), file.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::path::Path;

    fn look(path: &Path) -> (u64, u64, bool) {
        let found = std::fs::metadata(path).unwrap();
        (identity(&found), seal([&found]), untouched(&found))
    }

    #[test]
    fn a_copy_is_another_file_and_an_older_time_is_one_that_was_set() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&path, "something").unwrap();
        let (file, seal, natural) = look(&path);
        assert!(natural);
        assert_eq!(look(&path), (file, seal, true), "looking changes nothing");
        std::fs::copy(&path, &copy).unwrap();
        assert_ne!(look(&copy).0, file);
        let older = std::fs::metadata(&path).unwrap().modified().unwrap() - std::time::Duration::from_secs(9);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(FileTimes::new().set_modified(older))
            .unwrap();
        let (same, other, natural) = look(&path);
        assert_eq!((same, natural), (file, false));
        assert_ne!(other, seal);
        std::fs::rename(&copy, &path).unwrap();
        assert_ne!(look(&path).0, file);
    }
}

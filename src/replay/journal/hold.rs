//! Holding the directory: one process at a time.

use super::recover::only_a_file;
use super::witness;
use crate::replay::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock file, held for as long as this lives. It is never written to: its [`Hold::seal`] says whether somebody else has.
#[derive(Debug)]
pub(super) struct Hold {
    directory: PathBuf,
    file: File,
    /// Another process may have used the directory since. Nothing brings that back.
    lost: bool,
}

impl Hold {
    /// Takes the directory.
    ///
    /// # Errors
    /// Another process has it, or the file cannot be made.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Journal { path: directory.to_owned(), source };
        let path = directory.join("lock");
        only_a_file(&path).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), file, lost: false }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What the lock file is, and when something was done to it.
    ///
    /// # Errors
    /// The file system does not say.
    pub(super) fn seal(&self) -> io::Result<u64> {
        Ok(witness::seal([&self.file.metadata()?]))
    }

    /// Whether the file that whoever starts now would find is the one that is held. Where it was removed, the directory is as good as free.
    pub(super) fn is_held(&self) -> bool {
        let identity = |found: io::Result<_>| found.ok().as_ref().map(witness::identity);
        let there = identity(std::fs::metadata(self.directory.join("lock")));
        !self.lost && there.is_some() && there == identity(self.file.metadata())
    }

    /// Takes the directory again, unless another process has had it meanwhile: `is_ours` says whether all that is in it is.
    ///
    /// # Errors
    /// It cannot be taken, for now or for ever.
    pub(super) fn take_again(&mut self, is_ours: impl FnOnce(&Path) -> io::Result<bool>) -> io::Result<()> {
        let lost = || {
            io::Error::other("its lock file was removed, and another process has used the directory: restart")
        };
        if self.lost {
            return Err(lost());
        }
        match Self::take(&self.directory) {
            Ok(taken) if is_ours(&self.directory)? => *self = taken,
            Err(OpenError::Journal { source, .. }) => return Err(source),
            Ok(_) | Err(OpenError::InUse { .. }) => {
                self.lost = true;
                return Err(lost());
            }
        }
        Ok(())
    }
}

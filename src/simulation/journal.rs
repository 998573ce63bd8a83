//! Real journals, in a directory without a disk behind it where there is one.

use super::engine::{self, Owner, note, one_in};
use super::replica::Replica;
use std::cell::Cell;
use std::path::{Path, PathBuf};

thread_local! {
    static BOOT: Cell<Option<u128>> = const { Cell::new(None) };
    static ROOT: tempfile::TempDir = root();
}

fn root() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// An empty one of this replica.
pub(super) fn directory(owner: Owner) -> PathBuf {
    let path = ROOT.with(|root| root.path().join(owner.to_string()));
    drop(std::fs::remove_dir_all(&path));
    path
}

/// Which run of the kernel it is in the simulation.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    engine::runs().then(|| BOOT.get().unwrap_or(1).to_be_bytes())
}

pub(super) fn begin() {
    BOOT.set(None);
}

/// What happens to a journal when its process dies: mostly nothing.
pub(super) fn suffer(replica: &Replica) {
    let Some(directory) = &replica.journal else { return };
    match engine::below(8) {
        0 => {
            note(|| "its directory is removed".to_owned());
            drop(std::fs::remove_dir_all(directory));
        }
        1 => {
            note(|| "the machine is restarted, and the end of what it wrote is lost".to_owned());
            BOOT.set(Some(BOOT.get().unwrap_or(1) + 1));
            cut(directory, 64);
        }
        2 => {
            note(|| "the last record is half written".to_owned());
            cut(directory, 9);
        }
        _ => {}
    }
}

/// The newest file lacks its last bytes.
fn cut(directory: &Path, bytes: u64) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let newest = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|is| is == "used"))
        .max();
    if let Some(path) = newest {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        // A header is never half written: a segment appears with it.
        if length > 300 && !one_in(8) {
            file.set_len(length - bytes).unwrap();
        }
    }
}

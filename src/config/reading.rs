//! What a plan was read from, so that a change is noticed, and so that the files can be read again without the configuration itself.

use super::plan::contents;
use super::problem::{Position, Problems};
use crate::jose::{Sha256, sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What files hold, by their names.
type Contents<T = Arc<[u8]>> = BTreeMap<PathBuf, T>;

/// The files that a configuration names, as one reading finds them.
#[derive(Debug)]
pub(super) struct Files<'a> {
    folder: &'a Path,
    /// What counts instead of what is on the disk.
    kept: Contents,
    found: RefCell<Vec<Found>>,
}

/// A file that was read.
#[derive(Clone)]
struct Found {
    path: PathBuf,
    /// The section that names it: a certificate and its key are good or bad together.
    section: String,
    /// What is on the disk, if it can be read.
    on_disk: Option<Arc<[u8]>>,
    /// What the plan was made with.
    used: Option<Arc<[u8]>>,
}

/// What a plan was read from. What is in it is shown nowhere: keys and secrets are among it.
#[derive(Clone)]
pub struct Reading {
    pub(super) file: PathBuf,
    pub(super) text: Arc<str>,
    files: Vec<Found>,
}

/// What was in some files at some time, by hash; none where one could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<Sha256>>);

impl<'a> Files<'a> {
    /// Files whose relative names begin in this folder.
    pub(super) fn below(folder: &'a Path) -> Self {
        Self { folder, kept: Contents::new(), found: RefCell::default() }
    }

    /// The same, but for those that count as they were.
    pub(super) fn keeping(self, kept: Contents) -> Self {
        Self { kept, ..self }
    }

    /// Where a name leads.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is in a file that the setting at this place names; `None` if it is no regular file or too long.
    pub(super) fn read(&self, path: &Path, position: &Position) -> Result<Option<Arc<[u8]>>, String> {
        let on_disk = contents(path).map(|found| found.map(Arc::<[u8]>::from));
        let known = on_disk.as_ref().ok().cloned().flatten();
        let kept = self.kept.get(path).cloned();
        let used = kept.clone().or_else(|| known.clone());
        let section = section(&position.path).to_owned();
        self.found.borrow_mut().push(Found { path: path.to_owned(), section, on_disk: known, used });
        kept.map_or(on_disk, |kept| Ok(Some(kept)))
    }

    /// What was seen on the disk.
    pub(super) fn seen(&self) -> Seen {
        seen(&self.found.borrow())
    }

    /// The files that the sections of these problems name and that are not kept yet, as they were when `reading` was made: to keep them too
    /// is a way out.
    pub(super) fn way_out(&self, problems: &Problems, reading: &Reading) -> Contents {
        let blamed = |found: &Found| {
            let is_its_section = |place: &str| place == found.section || section(place) == found.section;
            problems.0.iter().any(|problem| is_its_section(&problem.place))
        };
        let found = self.found.borrow();
        let bad = found.iter().filter(|found| blamed(found) && !self.kept.contains_key(&found.path));
        bad.filter_map(|bad| Some((bad.path.clone(), reading.used(&bad.path)?))).collect()
    }

    /// All that the plan was made of.
    pub(super) fn into_reading(self, file: &Path, text: Arc<str>) -> Reading {
        Reading { file: file.to_owned(), text, files: self.found.into_inner() }
    }
}

impl Reading {
    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The hash of the configuration file, by which two of them can be told apart.
    pub fn digest(&self) -> Sha256 {
        sha256(&[self.text.as_bytes()])
    }

    /// What was seen on the disk when this was read.
    pub fn seen(&self) -> Seen {
        let mut seen = seen(&self.files);
        seen.0.insert(self.file.clone(), Some(self.digest()));
        seen
    }

    /// Whether the plan would be the same with this one's files: the configuration file is.
    pub fn has_same_files(&self, other: &Self) -> bool {
        self.used_but(None) == other.used_but(None)
    }

    /// Whether both are the same but for what is in this file, which one setting alone names.
    pub fn differs_in_this_file_alone(&self, other: &Self, file: &Path) -> bool {
        let is_named_once =
            |reading: &Self| reading.files.iter().filter(|found| found.path == file).count() == 1;
        self.digest() == other.digest()
            && is_named_once(self)
            && is_named_once(other)
            && self.used_but(Some(file)) == other.used_but(Some(file))
            && self.used(file) != other.used(file)
    }

    fn used_but(&self, file: Option<&Path>) -> Contents<Option<Arc<[u8]>>> {
        let others = self.files.iter().filter(|found| Some(found.path.as_path()) != file);
        others.map(|found| (found.path.clone(), found.used.clone())).collect()
    }

    fn used(&self, path: &Path) -> Option<Arc<[u8]>> {
        self.files.iter().find(|found| found.path == path)?.used.clone()
    }
}

impl Seen {
    /// What is in the same files now. Reads all of them: neither times nor sizes tell every change, and a name may lead elsewhere.
    #[must_use]
    pub fn look_again(&self) -> Self {
        let now = |path: &PathBuf| contents(path).ok().flatten().map(|found| sha256(&[&found]));
        Self(self.0.keys().map(|path| (path.clone(), now(path))).collect())
    }

    /// What was seen of this file.
    #[must_use]
    pub fn only(&self, file: &Path) -> Self {
        Self(self.0.get_key_value(file).map(|(path, hash)| (path.clone(), *hash)).into_iter().collect())
    }

    /// What was seen later counts; files that were not looked at then stay as they were seen before.
    pub fn overlay(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Whether `later` shows something else in this file.
    pub fn differs_in(&self, later: &Self, file: &Path) -> bool {
        self.0.get(file) != later.0.get(file)
    }

    /// Whether `later` shows something else in any file but this one.
    pub fn differs_beside(&self, later: &Self, file: &Path) -> bool {
        let others = |seen: &Self| {
            seen.0.iter().filter(|(path, _)| *path != file).map(|(_, hash)| *hash).collect::<Vec<_>>()
        };
        others(self) != others(later)
    }

    /// Adds what is in the configuration file.
    pub(super) fn with_text(mut self, file: &Path, text: Option<&str>) -> Self {
        self.0.insert(file.to_owned(), text.map(|text| sha256(&[text.as_bytes()])));
        self
    }
}

fn seen(files: &[Found]) -> Seen {
    let hash = |found: &Found| found.on_disk.as_ref().map(|contents| sha256(&[contents]));
    Seen(files.iter().map(|found| (found.path.clone(), hash(found))).collect())
}

/// The section that a setting stands in: `listeners[0].tls` of `listeners[0].tls.certificate`. One that stands in none is by itself.
fn section(place: &str) -> &str {
    place.rsplit_once('.').map_or(place, |(section, _)| section)
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("file", &self.file)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

//! Noticing that files have changed.
//!
//! They are read again every second, all of them: they are few and small, and this sees every change, where a file system tells of none, where
//! a time stamp stays, or where a directory's symbolic link is swapped, as Kubernetes does.

use crate::config::{Plan, Seen};
use std::path::PathBuf;
use std::time::Duration;

/// How often the files are read. A change is in force within five seconds: after one look, two more for who is still writing, and what it takes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many looks a change may take until it counts as finished.
const PATIENCE: u8 = 2;

/// The files, as they were when somebody last made something of them.
#[derive(Debug)]
pub(super) struct Watch {
    file: PathBuf,
    /// Whether the configuration file itself is looked at.
    with_file: bool,
    seen: Seen,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The configuration file.
    pub(super) file: bool,
    /// A file that it names.
    pub(super) named: bool,
}

impl Watch {
    /// The watch over what a plan was read from. Where the
    /// configuration itself was not read anew, what `before` saw of its file counts: it may be no good.
    pub(super) fn of(plan: &Plan, before: Option<&Self>) -> Self {
        let mut watch =
            Self { file: plan.reading.file().to_owned(), with_file: plan.watch, seen: plan.reading.seen() };
        if let Some(before) = before {
            watch.seen.overlay(before.seen.only(&watch.file));
        }
        watch
    }

    /// This was made something of, good or bad: only a later change is one.
    pub(super) fn has_seen(&mut self, seen: Seen) {
        self.seen.overlay(seen);
    }

    /// The next change, once the files are the same at two looks, or have changed at three.
    pub(super) async fn changed(&self) -> Change {
        let (mut last, mut looks) = (None, 0_u8);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let seen = self.seen.clone();
            // Whatever holds the files may hold up who reads them.
            let Ok(now) = tokio::task::spawn_blocking(move || seen.look_again()).await else { continue };
            let change = self.compare(&now);
            if !change.file && !change.named {
                (last, looks) = (None, 0);
                continue;
            }
            looks = looks.saturating_add(1);
            if last.as_ref() == Some(&now) || looks > PATIENCE {
                return change;
            }
            last = Some(now);
        }
    }

    fn compare(&self, now: &Seen) -> Change {
        Change {
            file: self.with_file && self.seen.differs_in(now, &self.file),
            named: self.seen.differs_beside(now, &self.file),
        }
    }
}

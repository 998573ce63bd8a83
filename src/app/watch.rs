//! Noticing that files have changed.
//!
//! They are read again every second, all of them: they are few and small, and this sees every change, where a file system tells of none, where
//! a time stamp stays, or where a directory's symbolic link is swapped, as Kubernetes does.

use crate::config::{Plan, Seen};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the files are read. A change is in force within five seconds: after one look, two more for who is still writing, and what it takes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many looks a change may take until it counts as finished.
const PATIENCE: u8 = 2;
/// After how many looks something is tried again that failed for reasons which lie in no file, the first time and at most.
const FIRST: u16 = 15;
const LONGEST: u16 = 240;

/// The files, as they were when somebody last made something of them.
#[derive(Debug)]
pub(super) struct Watch {
    file: PathBuf,
    /// Whether the configuration file itself is looked at.
    with_file: bool,
    seen: Seen,
    /// Goes on whoever asks for a reload meanwhile: wishes that come each second do not keep it from looking.
    ticks: Interval,
    /// What was seen at the last look, where that was a change, and how many looks have seen one.
    unsettled: Option<Seen>,
    looks: u8,
    again: Option<Again>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The configuration file.
    pub(super) file: bool,
    /// A file that it names.
    pub(super) named: bool,
}

/// A change that was no good for reasons that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Again {
    change: Change,
    left: u16,
    wait: u16,
}

impl Watch {
    /// The watch over what a plan was read from.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        Self {
            file: plan.reading.file().to_owned(),
            with_file: plan.watch,
            seen: plan.reading.seen(),
            ticks,
            unsettled: None,
            looks: 0,
            again: None,
        }
    }

    /// From now on the watch over what this plan was read from. Where the configuration itself was not read anew, what was seen of its file
    /// counts: it may be no good.
    pub(super) fn turn_to(&mut self, plan: &Plan, same_text: bool) {
        let before = self.seen.only(&self.file);
        (self.with_file, self.seen, self.again) = (plan.watch, plan.reading.seen(), None);
        if same_text {
            self.seen.overlay(before);
        }
    }

    /// The configuration file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it is looked at.
    pub(super) const fn is_with_file(&self) -> bool {
        self.with_file
    }

    /// This was made something of, good or bad: only a later change is one.
    pub(super) fn has_seen(&mut self, seen: Seen) {
        self.seen.overlay(seen);
    }

    /// This was no good, but not because of what the files say: it is a change again after a while, and after longer ones. Nothing: nothing is.
    pub(super) fn try_again(&mut self, change: Change) {
        if change == Change::default() {
            self.again = None;
            return;
        }
        let before = self.again.filter(|again| again.change == change);
        let wait = before.map_or(FIRST, |again| again.wait.saturating_mul(2).min(LONGEST));
        self.again = Some(Again { change, left: wait, wait });
    }

    /// The next change, once the files are the same at two looks, or have changed at three. May be dropped at any moment and asked again.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            self.ticks.tick().await;
            let seen = self.seen.clone();
            // Whatever holds the files may hold up who reads them.
            let Ok(now) = tokio::task::spawn_blocking(move || seen.look_again()).await else { continue };
            if let Some(change) = self.look(now) {
                return change;
            }
        }
    }

    /// What a look means that sees this.
    fn look(&mut self, now: Seen) -> Option<Change> {
        let change = self.compare(&now);
        if change == Change::default() {
            (self.unsettled, self.looks) = (None, 0);
            return self.due_again();
        }
        self.looks = self.looks.saturating_add(1);
        if self.unsettled.as_ref() == Some(&now) || self.looks > PATIENCE {
            (self.unsettled, self.looks, self.again) = (None, 0, None);
            return Some(change);
        }
        self.unsettled = Some(now);
        None
    }

    fn due_again(&mut self) -> Option<Change> {
        let again = self.again.as_mut()?;
        again.left = again.left.saturating_sub(1);
        (again.left == 0).then_some(again.change)
    }

    fn compare(&self, now: &Seen) -> Change {
        Change {
            file: self.with_file && self.seen.differs_in(now, &self.file),
            named: self.seen.differs_beside(now, &self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Change = Change { file: true, named: true };
    const SECRET: &str = "a secret that is as long as secrets have to be";
    /// A configuration that names a file.
    const CONFIGURATION: &str = r#"
watch: true
listeners: [{ name: public, address: "127.0.0.1:0" }]
public_origins: ["https://api.test"]
upstreams: [{ name: legacy, servers: ["http://127.0.0.1:1"] }]
routes: [{ name: all, match: { path: / }, upstream: legacy, public: true }]
dpop: { nonce: { secret_file: named } }
"#;

    /// A watch over the files of a folder.
    async fn watch(folder: &Path) -> Watch {
        std::fs::write(folder.join("named"), SECRET).unwrap();
        let file = folder.join("keyproof.yaml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        Watch::of(&crate::config::load(&file).unwrap().0)
    }

    #[tokio::test]
    async fn a_change_counts_once_it_is_the_same_at_two_looks_or_there_at_three() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(folder.path()).await;
        let look = |watch: &mut Watch| watch.look(watch.seen.look_again());
        let write = |text: &str| std::fs::write(folder.path().join("named"), text).unwrap();
        let named = Some(Change { file: false, named: true });
        assert_eq!(look(&mut watch), None);
        write(&format!("{SECRET} another"));
        assert_eq!([look(&mut watch), look(&mut watch)], [None, named]);
        watch.has_seen(watch.seen.look_again());
        for text in ["a", "ab"] {
            write(text);
            assert_eq!(look(&mut watch), None, "somebody is still writing");
        }
        write("abc");
        assert_eq!(look(&mut watch), named);
        write(&format!("{SECRET} another"));
        assert_eq!([look(&mut watch), look(&mut watch)], [None, None], "it is as it was when it was read");
    }

    #[tokio::test]
    async fn what_was_no_good_for_reasons_that_may_pass_is_tried_again_at_growing_distances() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(folder.path()).await;
        let mut distances = Vec::new();
        for _ in 0..6 {
            watch.try_again(ALL);
            let until = (1..).find(|_| watch.look(watch.seen.look_again()) == Some(ALL));
            distances.push(until.unwrap());
        }
        assert_eq!(distances, [15, 30, 60, 120, 240, 240]);
        watch.try_again(Change::default());
        assert!((0..300).all(|_| watch.look(watch.seen.look_again()).is_none()));
    }
}

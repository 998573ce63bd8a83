//! The one thread that makes tables and gives them back.
//!
//! It gives way to all others: the system runs it when nobody else wants the core, or nearly so (`nice`, on Linux, where a thread can have a
//! priority of its own), a table is made in a hundred steps of some ten microseconds with a chance for others between them, and it rests after each.

use super::hot::Hot;
use super::{Counting, HotKeys, Tables};
use crate::clock::UnixTime;
use crate::jose::{PublicKey, Thumbprint};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it looks which tables are cold.
const LOOK: Duration = Duration::from_secs(1);
/// How long it rests after a table: so it makes fifty a second at most, for a sixteenth of a core.
const REST: Duration = Duration::from_millis(20);

/// A key that has earned a table.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) key: PublicKey,
    /// How often it was seen of late.
    pub(super) seen: u32,
}

/// Makes tables as long as somebody may ask for them.
pub(super) fn run(hot_keys: &Weak<HotKeys>, counting: &Weak<Counting>, wanted: &Receiver<Wanted>) {
    give_way();
    loop {
        let next = wanted.recv_timeout(LOOK);
        let (Some(hot_keys), Some(counting)) = (hot_keys.upgrade(), counting.upgrade()) else { return };
        match next {
            Ok(wanted) => {
                hot_keys.prepare(&wanted, &counting);
                std::thread::sleep(REST);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        hot_keys.tend(hot_keys.clock.moment().steady);
    }
}

/// On Linux a process's nice value is its threads', each for itself.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "the thread that makes tables for hot keys has no lower priority");
    }
}

impl HotKeys {
    /// Makes a table for a key, in place of the coldest where there is no other place and the key is twice as hot.
    pub(super) fn prepare(&self, wanted: &Wanted, counting: &Arc<Counting>) {
        let jkt = wanted.key.thumbprint();
        if !self.is_current(counting) || self.tables.load().contains_key(&jkt) {
            return;
        }
        let Some(leaving) = self.place_for(wanted, counting.most) else { return };
        let Some(table) = wanted.key.prepared(std::thread::yield_now) else { return };
        let hot = Hot::new(table, wanted.seen, self.clock.moment().steady);
        self.put(jkt, Arc::new(hot), leaving, counting);
    }

    /// Who has to go for it, if anybody; `None` where there is no place.
    fn place_for(&self, wanted: &Wanted, most: usize) -> Option<Option<Thumbprint>> {
        let tables = self.tables.load();
        if tables.len() < most {
            return Some(None);
        }
        let now = self.clock.moment().steady;
        let may_go = tables.iter().filter(|(_, hot)| hot.may_go(now));
        let (jkt, heat) = may_go.map(|(jkt, hot)| (*jkt, hot.heat())).min_by_key(|(_, heat)| *heat)?;
        (wanted.seen > heat.saturating_mul(2)).then_some(Some(jkt))
    }

    /// Puts a table in, if it is still wanted.
    pub(super) fn put(
        &self,
        jkt: Thumbprint,
        hot: Arc<Hot>,
        leaving: Option<Thumbprint>,
        counting: &Arc<Counting>,
    ) {
        let written = self.write(|tables| {
            // What was in force when it began may not be any more.
            if !self.is_current(counting) {
                return false;
            }
            if let Some(leaving) = leaving {
                tables.remove(&leaving);
            }
            tables.insert(jkt, hot);
            true
        });
        if written {
            self.counted.built();
            tracing::debug!(%jkt, "a table was made for a key that is seen often");
        }
    }

    /// Gives the tables of cold keys back, and those beyond the number that there may be.
    pub(super) fn tend(&self, now: UnixTime) {
        let most = self.counting.load().as_ref().map_or(0, |counting| counting.most);
        let tables = self.tables.load();
        let cold: Vec<_> = tables.iter().filter(|(_, hot)| hot.is_cold(now)).map(|(jkt, _)| *jkt).collect();
        if cold.is_empty() && tables.len() <= most {
            return;
        }
        self.write(|tables| {
            tables.retain(|jkt, _| !cold.contains(jkt));
            keep_hottest(tables, most);
            true
        });
        tracing::debug!(keys = cold.len(), "tables of keys that are not seen often any more were given back");
    }
}

/// As many as there may be.
fn keep_hottest(tables: &mut Tables, most: usize) {
    let Some(beyond) = tables.len().checked_sub(most) else { return };
    let mut heats: Vec<_> = tables.iter().map(|(jkt, hot)| (hot.heat(), *jkt)).collect();
    heats.sort_unstable();
    for (_, jkt) in heats.iter().take(beyond) {
        tables.remove(jkt);
    }
}

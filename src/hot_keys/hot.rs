//! A key's table, how far it is trusted, and how often it is used.

use super::counts::window;
use crate::clock::UnixTime;
use crate::jose::PreparedKey;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// How long a table's answers are compared with ring's at least, from when it was built.
pub(super) const PROBATION: Duration = Duration::from_secs(1);
/// How many good signatures both must have taken by then. Bad ones, which anybody can send, say nothing about a table that refuses all.
pub(super) const AGREED: u32 = 16;
/// How long a table stays, however hot others are.
const STAYS: Duration = Duration::from_secs(30);
/// A key that is used so seldom that its heat sinks below this is not hot any more: less than three times in ten seconds.
const COLD: u32 = 5;

/// A hot key.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) table: PreparedKey,
    built: UnixTime,
    trusted: AtomicBool,
    agreed: AtomicU32,
    /// Since it was looked at last.
    uses: AtomicU32,
    /// Uses, those of each window before at half their weight. Only the builder writes it.
    heat: AtomicU32,
    /// In which window it was looked at last.
    looked_at: AtomicU32,
}

impl Hot {
    /// A table that was built just now, of a key that was seen so often.
    pub(super) fn new(table: PreparedKey, seen: u32, built: UnixTime) -> Self {
        Self {
            table,
            built,
            trusted: AtomicBool::new(false),
            agreed: AtomicU32::new(0),
            uses: AtomicU32::new(0),
            heat: AtomicU32::new(seen),
            looked_at: AtomicU32::new(window(built)),
        }
    }

    /// Whether its answers stand alone.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.load(Relaxed)
    }

    /// Ring took a signature, and so did the table.
    pub(super) fn agreed(&self, now: UnixTime) {
        let agreed = self.agreed.fetch_add(1, Relaxed).saturating_add(1);
        if agreed >= AGREED && now.since(self.built) >= PROBATION {
            self.trusted.store(true, Relaxed);
        }
    }

    /// A request of this key was admitted.
    pub(super) fn used(&self) {
        self.uses.fetch_add(1, Relaxed);
    }

    /// How hot it is, to be compared with what a key that has no table was counted for.
    pub(super) fn heat(&self) -> u32 {
        (self.heat.load(Relaxed) / 2).saturating_add(self.uses.load(Relaxed))
    }

    /// Whether a hotter one may take its place.
    pub(super) fn may_go(&self, now: UnixTime) -> bool {
        now.since(self.built) >= STAYS
    }

    /// Looks once in each window how often it was used, and says whether it is cold.
    pub(super) fn is_cold(&self, now: UnixTime) -> bool {
        let window = window(now);
        let windows = window.wrapping_sub(self.looked_at.swap(window, Relaxed));
        if windows == 0 {
            return false;
        }
        let heat = (self.heat.load(Relaxed) / 2).saturating_add(self.uses.swap(0, Relaxed));
        self.heat.store(heat, Relaxed);
        heat < COLD
    }
}

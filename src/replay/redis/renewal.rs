//! Whether the epochs are to be begun anew, because a server's clock has jumped.

use std::sync::atomic::{AtomicU8, Ordering};

const NONE: u8 = 0;
/// The old ones have to be ended.
const DUE: u8 = 1;
/// They have been, and the new ones are not known yet.
const ENDED: u8 = 2;

/// How far a renewal has come.
#[derive(Debug, Default)]
pub(super) struct Renewal(AtomicU8);

impl Renewal {
    /// A jump was noticed.
    pub(super) fn is_due(&self) {
        self.0.store(DUE, Ordering::SeqCst);
    }

    /// Whether the old epochs have to be ended: once, since whoever has noticed too must not end the ones after them.
    pub(super) fn must_end(&self) -> bool {
        self.0.load(Ordering::SeqCst) == DUE
    }

    /// The old ones have been ended.
    pub(super) fn has_ended(&self) {
        self.0.store(ENDED, Ordering::SeqCst);
    }

    /// Whether the new ones are not known yet: what is answered by the old ones proves nothing.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.load(Ordering::SeqCst) != NONE
    }

    /// The new ones are known, unless another jump has been noticed.
    pub(super) fn is_over(&self) {
        let _was_another = self.0.compare_exchange(ENDED, NONE, Ordering::SeqCst, Ordering::SeqCst).is_err();
    }
}

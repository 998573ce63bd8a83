//! The two laws, and what is written down to judge them.

use super::engine::{self, Millis, Owner, note};
use super::replica::{Setting, StoreKind};
use crate::dpop::AcceptanceWindow;
use crate::replay::OnStart;
use std::cell::RefCell;
use std::collections::HashMap;

/// Who took which proof.
pub(super) struct Ledger {
    store: StoreKind,
    window: AcceptanceWindow,
    on_start: OnStart,
    taken: RefCell<HashMap<(Owner, String), Vec<Taken>>>,
    /// How far the clock of its maker was from the truth, for each nonce.
    nonces: RefCell<HashMap<String, i64>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) by: Owner,
    /// Which process of it.
    pub(super) process: u32,
    /// How far the wall clock was from the truth.
    pub(super) offset: i64,
    /// The same at the making of its nonce, if it has one.
    pub(super) nonce_offset: Option<i64>,
    /// How long the process had run by its steady clock.
    pub(super) age: Millis,
    /// The last process of it that began with nothing to vouch for the past, in memory or with a journal that left doubt; 0 for none.
    pub(super) emptied: u32,
}

impl Ledger {
    pub(super) fn new(setting: &Setting) -> Self {
        let (store, window, on_start) = (setting.store, setting.window, setting.on_start);
        Self { store, window, on_start, taken: RefCell::default(), nonces: RefCell::default() }
    }

    /// A nonce is made.
    pub(super) fn mint(&self, nonce: &str, offset: i64) {
        self.nonces.borrow_mut().insert(nonce.to_owned(), offset);
    }

    /// See [`Taken::nonce_offset`].
    pub(super) fn offset_of(&self, nonce: Option<&String>) -> Option<i64> {
        self.nonces.borrow().get(nonce?).copied()
    }

    /// The first law: no proof is admitted twice, as far as the store's promise reaches.
    pub(super) fn admit(&self, jti: &str, taken: Taken) {
        let reach = if self.store == StoreKind::Redis { 0 } else { taken.by };
        let mut all = self.taken.borrow_mut();
        let before = all.entry((reach, jti.to_owned())).or_default();
        let first = before.iter().find(|first| !self.is_the_gap(first, &taken)).copied();
        before.push(taken);
        drop(all);
        if let Some(first) = first {
            broken(&format!("law 1: proof {jti} was admitted twice: {first:?}, then {taken:?}"));
        }
    }

    /// What `docs/replay.md` says that memory cannot know, nor who has lost its journal: a process that starts after the clock was set back, once
    /// it has run for the whole window, or, with a journal, was started again.
    fn is_the_gap(&self, first: &Taken, again: &Taken) -> bool {
        let window = (self.window.max_age + self.window.leeway).as_millis() as i64;
        first.process < again.emptied
            && first.nonce_offset.map_or(first.offset, |offset| first.offset.max(offset)) > again.offset
            && (again.emptied < again.process || again.age >= window || self.on_start == OnStart::Wait)
    }

    /// The second law: whoever follows challenges gets through within three tries, once the faults have ended.
    pub(super) fn law_two(&self, passed: bool) {
        if !passed {
            broken("law 2: an honest client did not get through with three tries");
        }
    }
}

fn broken(what: &str) -> ! {
    note(|| what.to_owned());
    std::panic::panic_any(super::Broken { what: what.to_owned(), history: engine::take_history() })
}

//! Metric children that are made when first needed and then found without a lock or an allocation.

use std::sync::OnceLock;

/// How many children one family of one route keeps at hand; later ones are looked up by label, which is
/// slower but right.
const SLOTS: usize = 48;

/// Children by key, in the order in which they were first needed: the commonest stand first.
#[derive(Debug)]
pub(super) struct Slots<K, M> {
    slots: Box<[OnceLock<(K, M)>]>,
}

impl<K: PartialEq + Copy, M> Slots<K, M> {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }

    /// The child for `key`, made by `make` if it is new; `None` when every slot is taken by others.
    ///
    /// Two threads may want the same empty slot for different keys: the loser finds the other's key there and
    /// goes on to the next.
    pub(super) fn find(&self, key: K, make: impl Fn() -> M) -> Option<&M> {
        self.slots
            .iter()
            .map(|slot| slot.get_or_init(|| (key, make())))
            .find(|(found, _)| *found == key)
            .map(|(_, child)| child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_child_is_made_once_and_the_last_key_finds_no_room() {
        let made = Cell::new(0);
        let slots = Slots::new();
        let make = |key: usize| move || key * 10;
        for key in 0..SLOTS {
            assert_eq!(
                slots.find(key, || {
                    made.set(made.get() + 1);
                    make(key)()
                }),
                Some(&(key * 10))
            );
        }
        for key in (0..SLOTS).rev() {
            assert_eq!(slots.find(key, || unreachable!()), Some(&(key * 10)));
        }
        assert_eq!(made.get(), SLOTS);
        assert_eq!(slots.find(SLOTS, make(SLOTS)), None);
    }
}

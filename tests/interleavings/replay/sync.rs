//! Locks and counters that ask the scheduler, and what can be wrong with them.
//!
//! The product's files are not touched to break them: what they stand on is. A lock that does not hold is what "look, and then insert" in two
//! steps would be.

use shuttle::sync as real;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::LockResult;
pub(super) use std::sync::PoisonError;
pub(super) use std::sync::atomic::Ordering;

/// What is wrong with all of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Two who hold a mutex see the same, and who leaves last decides what stays.
    MutexesDoNotHold,
    /// The window moves under those who look at it.
    WindowMovesUnderReaders,
    /// Counters are read and then written.
    CountersInTwoSteps,
}

impl Flaw {
    pub(crate) const MUST_BREAK: &[(Self, &str)] = &[
        (Self::MutexesDoNotHold, "no_proof_is_fresh_twice"),
        (Self::MutexesDoNotHold, "what_is_taken_was_written_down_once"),
        (Self::WindowMovesUnderReaders, "no_proof_is_fresh_twice"),
        (Self::CountersInTwoSteps, "limits_hold_and_all_are_counted"),
        (Self::CountersInTwoSteps, "a_nonce_from_before_a_loss_vouches_for_nothing"),
    ];
}

thread_local! {
    /// All of a run is on one thread of the system.
    static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
}

pub(crate) fn set(flaw: Option<Flaw>) {
    FLAW.set(flaw);
}

fn is(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

#[derive(Debug)]
pub(super) struct Mutex<T>(real::Mutex<T>);

/// What is held, or a copy of it that goes back in the end.
#[derive(Debug)]
pub(super) enum MutexGuard<'a, T> {
    Held(real::MutexGuard<'a, T>),
    Copied(Option<T>, &'a real::Mutex<T>),
}

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(real::Mutex::new(value))
    }
}

impl<T: Clone> Mutex<T> {
    pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is(Flaw::MutexesDoNotHold) {
            let copy = held.clone();
            drop(held);
            return Ok(MutexGuard::Copied(Some(copy), &self.0));
        }
        Ok(MutexGuard::Held(held))
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if let Self::Copied(copy, of) = self
            && !std::thread::panicking()
            && let Some(copy) = copy.take()
        {
            *of.lock().unwrap_or_else(PoisonError::into_inner) = copy;
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Held(held) => held,
            Self::Copied(copy, _) => copy.as_ref().unwrap(),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Held(held) => held,
            Self::Copied(copy, _) => copy.as_mut().unwrap(),
        }
    }
}

#[derive(Debug)]
pub(super) struct RwLock<T>(real::RwLock<T>);

/// What is held, or a copy of it.
#[derive(Debug)]
pub(super) enum RwLockReadGuard<'a, T> {
    Held(real::RwLockReadGuard<'a, T>),
    Copied(T),
}

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(real::RwLock::new(value))
    }

    pub(super) fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }

    pub(super) fn write(&self) -> LockResult<real::RwLockWriteGuard<'_, T>> {
        self.0.write()
    }
}

impl<T: Clone> RwLock<T> {
    pub(super) fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if is(Flaw::WindowMovesUnderReaders) {
            return Ok(RwLockReadGuard::Copied(held.clone()));
        }
        Ok(RwLockReadGuard::Held(held))
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Held(held) => held,
            Self::Copied(copy) => copy,
        }
    }
}

/// A counter of this type, as far as the product asks it for.
macro_rules! counter {
    ($name:ident, $number:ty) => {
        #[derive(Debug)]
        pub(super) struct $name(real::atomic::$name);

        impl $name {
            pub(super) const fn new(value: $number) -> Self {
                Self(real::atomic::$name::new(value))
            }

            pub(super) fn load(&self, order: Ordering) -> $number {
                self.0.load(order)
            }

            pub(super) fn store(&self, value: $number, order: Ordering) {
                self.0.store(value, order);
            }

            pub(super) fn swap(&self, value: $number, order: Ordering) -> $number {
                self.change(|_| value, order)
            }

            pub(super) fn fetch_add(&self, more: $number, order: Ordering) -> $number {
                self.change(|now| now.wrapping_add(more), order)
            }

            pub(super) fn fetch_sub(&self, less: $number, order: Ordering) -> $number {
                self.change(|now| now.wrapping_sub(less), order)
            }

            pub(super) fn fetch_max(&self, other: $number, order: Ordering) -> $number {
                self.change(|now| now.max(other), order)
            }

            pub(super) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut next: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                if is(Flaw::CountersInTwoSteps) {
                    let now = self.load(fetch);
                    let next = next(now).ok_or(now)?;
                    self.store(next, set);
                    return Ok(now);
                }
                self.0.fetch_update(set, fetch, next)
            }

            fn change(&self, next: impl Fn($number) -> $number, order: Ordering) -> $number {
                let always = self.fetch_update(order, Ordering::SeqCst, |now| Some(next(now)));
                always.unwrap_or_else(|now| now)
            }
        }

        impl From<$number> for $name {
            fn from(value: $number) -> Self {
                Self::new(value)
            }
        }
    };
}

counter!(AtomicI64, i64);
counter!(AtomicU64, u64);
counter!(AtomicUsize, usize);

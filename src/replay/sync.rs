//! The locks and counters under what stores remember, in one place, so that `tests/interleavings` can put others in theirs which let it decide
//! who goes on when.

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

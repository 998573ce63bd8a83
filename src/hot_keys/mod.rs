//! Keys that are seen often: their ES256 signatures are verified from tables, in less than half of ring's time.
//!
//! A table is earned: a key is counted when a request was admitted, with a live token that is bound to it and a proof that was never used,
//! and only one that was seen [`EARNED`] times of late gets one, from a thread that gives way to all others. So whoever has no token has
//! no part in this, and a flood of fresh keys leaves everything as it was. The request path looks into a map that is never locked, and counts.
//!
//! Nothing rests on the tables being right. In the first second of each one's life, and until both took so many good signatures, ring is
//! asked too and its answer stands. A difference is a fault of ours: it is logged and counted, and no table is asked again in this process.
//!
//! With `dpop.hot_keys: 0`, the default, a verifier has no [`HotKeys`], and nothing here runs.

mod builder;
mod counts;
mod hot;

use crate::clock::{Clock, Moment};
use crate::jose::{Algorithm, BadSignature, CompactJws, PublicKey, Thumbprint, encode, sha256};
use arc_swap::{ArcSwap, ArcSwapOption};
use builder::Wanted;
use counts::Counts;
use hot::Hot;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a key must have been admitted within some ten seconds to get a table. Making one costs as much as 50 signatures save.
pub const EARNED: u32 = 20;
/// The most tables there can be: 1.4 GiB.
pub const MOST: usize = 10_000;
/// How many keys wait for a table; others come again.
const WAITING: usize = 64;

type Tables = HashMap<Thumbprint, Arc<Hot>>;

/// The tables of the process.
#[derive(Debug)]
pub struct HotKeys {
    tables: ArcSwap<Tables>,
    /// Held by whoever writes the tables; who reads needs nothing.
    writing: Mutex<()>,
    /// `None`: there are to be no tables.
    counting: ArcSwapOption<Counting>,
    distrusted: AtomicBool,
    counted: Counted,
    clock: Clock,
}

/// What counts keys, as long as the number of tables is the same.
#[derive(Debug)]
struct Counting {
    most: usize,
    counts: Counts,
    wanted: SyncSender<Wanted>,
}

#[derive(Debug, Default)]
struct Counted {
    built: AtomicU64,
    verified: AtomicU64,
    differences: AtomicU64,
}

/// What is known of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How many there are.
    pub tables: usize,
    /// How many there may be; 0 after a difference.
    pub most: usize,
    /// How many were made since the start.
    pub built: u64,
    /// How many signatures they answered for alone.
    pub verified: u64,
    /// How many of their answers were not ring's.
    pub differences: u64,
}

impl HotKeys {
    /// No tables, and nobody who makes any.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            tables: ArcSwap::default(),
            writing: Mutex::default(),
            counting: ArcSwapOption::empty(),
            distrusted: AtomicBool::new(false),
            counted: Counted::default(),
            clock,
        })
    }

    /// Lets there be so many tables from now on. Those that are there stay as far as there is room; with 0 the thread ends, too.
    ///
    /// # Errors
    /// The system has no thread for it: then there are none.
    pub fn adapt(self: &Arc<Self>, most: usize) -> io::Result<()> {
        if self.most() == most {
            return Ok(());
        }
        if most > 0 && self.distrusted.load(Relaxed) {
            tracing::warn!(
                "dpop.hot_keys: an answer of a table was not ring's: there are none until a restart"
            );
            return Ok(());
        }
        self.counting.store(None);
        let started = if most > 0 { self.start(most) } else { Ok(()) };
        tracing::info!(
            most = self.most(),
            "dpop.hot_keys: how many keys that are seen often can have a table"
        );
        self.tend(self.clock.moment().steady);
        started
    }

    fn start(self: &Arc<Self>, most: usize) -> io::Result<()> {
        let (wanted, receiver) = sync_channel(WAITING);
        let counting = Arc::new(Counting { most, counts: Counts::new(most), wanted });
        let (hot_keys, weak) = (Arc::downgrade(self), Arc::downgrade(&counting));
        let thread = std::thread::Builder::new().name("hot-keys".to_owned());
        thread.spawn(move || builder::run(&hot_keys, &weak, &receiver))?;
        self.counting.store(Some(counting));
        Ok(())
    }

    /// Checks the signature of a proof: from the key's table, where it has one, otherwise with ring.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(
        &self,
        jws: &CompactJws<'_>,
        algorithm: Algorithm,
        key: &PublicKey,
        now: Moment,
    ) -> Result<(), BadSignature> {
        let tables = self.tables.load();
        let hot = tables.get(&key.thumbprint()).filter(|_| has_tables(algorithm, key));
        let Some(hot) = hot else { return jws.verify(algorithm, key) };
        let answer = hot.table.verify(jws);
        if hot.is_trusted() {
            self.counted.verified.fetch_add(1, Relaxed);
            return answer;
        }
        let ring = jws.verify(algorithm, key);
        if answer != ring {
            self.distrust(jws, key, ring.is_ok());
        } else if ring.is_ok() {
            hot.agreed(now.steady);
        }
        ring
    }

    /// A request was admitted whose proof this key signed: the token is bound to it, and the proof is used up.
    pub fn admitted(&self, algorithm: Algorithm, key: &PublicKey, now: Moment) {
        let jkt = key.thumbprint();
        if let Some(hot) = self.tables.load().get(&jkt) {
            return hot.used();
        }
        let counting = self.counting.load();
        let Some(counting) = counting.as_ref().filter(|_| has_tables(algorithm, key)) else { return };
        let seen = counting.counts.count(&jkt, now.steady);
        if seen > 0 && seen.is_multiple_of(EARNED) {
            // Where others wait already it comes again, if it is as hot as that.
            counting.wanted.try_send(Wanted { key: key.clone(), seen }).ok();
        }
    }

    /// For metrics.
    pub fn state(&self) -> State {
        State {
            tables: self.tables.load().len(),
            most: self.most(),
            built: self.counted.built.load(Relaxed),
            verified: self.counted.verified.load(Relaxed),
            differences: self.counted.differences.load(Relaxed),
        }
    }

    fn most(&self) -> usize {
        self.counting.load().as_ref().map_or(0, |counting| counting.most)
    }

    /// A table's answer was not ring's. What is logged is all that it takes to see it again, and no proof.
    fn distrust(&self, jws: &CompactJws<'_>, key: &PublicKey, ring_takes_it: bool) {
        self.counted.differences.fetch_add(1, Relaxed);
        self.distrusted.store(true, Relaxed);
        self.counting.store(None);
        self.write(|tables| {
            tables.clear();
            true
        });
        let (jkt, header) = (key.thumbprint(), jws.header_segment);
        let digest = encode(&sha256(&[jws.signing_input.as_bytes()]));
        let signature = encode(&jws.signature);
        tracing::error!(
            %jkt,
            header,
            digest,
            signature,
            ring_takes_it,
            "dpop.hot_keys: the answer of a table was not ring's, which stands: until a restart no table is asked again. Please report this line"
        );
    }

    /// Whether nothing else has been in force since.
    fn is_current(&self, counting: &Arc<Counting>) -> bool {
        let is = self.counting.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, counting));
        is && !self.distrusted.load(Relaxed)
    }

    /// Has the tables be others, unless they are to stay as they are.
    fn write(&self, change: impl FnOnce(&mut Tables) -> bool) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tables = Tables::clone(&self.tables.load());
        let changed = change(&mut tables);
        if changed {
            self.tables.store(Arc::new(tables));
        }
        changed
    }
}

impl Counted {
    fn built(&self) {
        self.built.fetch_add(1, Relaxed);
    }
}

/// Only keys of P-256 have tables, and only for ES256.
fn has_tables(algorithm: Algorithm, key: &PublicKey) -> bool {
    algorithm == Algorithm::Es256 && key.supports(algorithm)
}

#[cfg(test)]
mod tests;

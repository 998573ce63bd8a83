//! The memory store beside dashmap, and what the journal costs. `cargo bench --bench replay`; a row of its
//! own: `-- memory 10000000 1`.
//!
//! Each row is a process of its own. It fills the store to so many live proofs, then goes on at the same
//! rate, so that every insert has one that expires; dashmap is swept eight times a window, by the thread that
//! finds it due.
//!
//! Measured on two shared cores (compare the rows, not the figures with other machines'):
//!
//! | store | live | threads | fill, ns | steady, ns | p99.9, us | worst, us | bytes a live proof |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | memory | 1000000 | 1 | 428 | 424 | 3.2 | 16488 | 41 |
//! | dashmap | 1000000 | 1 | 571 | 534 | 2.1 | 8299 | 70 |
//! | memory | 1000000 | 2 | 473 | 495 | 4.6 | 26585 | 41 |
//! | dashmap | 1000000 | 2 | 504 | 507 | 3.2 | 7129 | 70 |
//! | memory | 10000000 | 1 | 613 | 659 | 2.3 | 17502 | 34 |
//! | dashmap | 10000000 | 1 | 784 | 755 | 29.5 | 88489 | 55 |
//! | memory | 10000000 | 2 | 621 | 571 | 2.2 | 34483 | 34 |
//! | dashmap | 10000000 | 2 | 746 | 706 | 5.5 | 94868 | 55 |
//! | journal | 1000000 | 1 | 1561 | 1783 | 134.5 | 5001 | 47 |
//!
//! The rows of the memory store were taken later, on a busier machine: their worst cases are threads that were
//! not running, as is dashmap's worst case with two threads.
//!
//! Recovery of 1,000,000 live proofs: 404 ms. Room for 2,000,000, untouched: 1.5 MiB; with 10,000 live proofs in
//! room for 1,000,000: 2.0 MiB, and 0.12 us for an insert. Ours also counts per key, takes two thirds of the
//! memory, and has no sweep.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a bench is no part of the product"
)]

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use keyproof::clock::{Clock, Stopwatch, UnixTime};
use keyproof::replay::{JournalStore, MemoryStore, OnStart, Outcome, ReplayKey, ReplayPlan, Settings};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
/// A proof lives for a minute.
const WINDOW: i64 = 60_000;
const RETENTION: Duration = Duration::from_millis(WINDOW as u64);
/// Inserts after filling.
const STEADY: u64 = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [kind, live, threads] = &arguments[..] {
        return run(kind, live.parse().unwrap(), threads.parse().unwrap());
    }
    println!(
        "| store | live | threads | fill, ns | steady, ns | p99.9, us | worst, us | bytes a live proof |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    // `cargo bench` says `--bench`; without it every row is run small, to see that it works.
    if !std::env::args().any(|argument| argument == "--bench") {
        for kind in ["memory", "dashmap", "journal", "recovery", "idle", "young"] {
            row(&[kind, "10000", "1"]);
        }
        return;
    }
    for live in ["1000000", "10000000"] {
        for threads in ["1", "2"] {
            for kind in ["memory", "dashmap"] {
                row(&[kind, live, threads]);
            }
        }
    }
    row(&["journal", "1000000", "1"]);
    row(&["recovery", "1000000", "1"]);
    row(&["idle", "2000000", "1"]);
    row(&["young", "10000", "1"]);
}

/// A row in a process of its own: memory that was freed is not always given back.
fn row(arguments: &[&str]) {
    let done = Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap();
    assert!(done.success());
}

fn run(kind: &str, live: u64, threads: u64) {
    let before = resident();
    match kind {
        "memory" => {
            let store = MemoryStore::new(room(live), usize::MAX, RETENTION, START);
            measure(kind, live, threads, before, |n, now| {
                store.check_and_insert(key(n), until(now), now) == Outcome::Fresh
            });
        }
        "dashmap" => {
            let store =
                Dash { map: DashMap::with_capacity(room(live)), swept: AtomicI64::new(START.as_millis()) };
            measure(kind, live, threads, before, |n, now| store.insert(key(n).id, now));
        }
        "journal" => {
            let directory = tempfile::tempdir().unwrap();
            let store = journal(directory.path(), live, START);
            measure(kind, live, threads, before, |n, now| {
                store.check_and_insert(key(n), until(now), now) == Outcome::Fresh
            });
        }
        "recovery" => recovery(live),
        "idle" => {
            let store = MemoryStore::new(usize::try_from(live).unwrap(), usize::MAX, RETENTION, START);
            println!("\nroom for {}, untouched: {} KiB", store.capacity(), (resident() - before) / 1024);
        }
        "young" => young(live, before),
        _ => panic!("memory, dashmap, journal, recovery, idle or young"),
    }
}

/// More than is live: what has just expired takes room for a while.
fn room(live: u64) -> usize {
    usize::try_from(live + live / 5).unwrap()
}

fn measure(kind: &str, live: u64, threads: u64, before: u64, insert: impl Fn(u64, UnixTime) -> bool + Sync) {
    let (fill, mut times, measured) = inserts(0..live, live, threads, &insert);
    let bytes = resident().saturating_sub(before).saturating_sub(measured) as f64 / live as f64;
    let (steady, more, _) = inserts(live..live + STEADY, live, threads, &insert);
    times.extend(more);
    times.sort_unstable();
    let micros = |nanos: u32| f64::from(nanos) / 1000.0;
    println!(
        "| {kind} | {live} | {threads} | {fill:.0} | {steady:.0} | {:.1} | {:.0} | {bytes:.0} |",
        micros(times[times.len() - times.len() / 1000]),
        micros(*times.last().unwrap()),
    );
}

/// Nanoseconds of processor for one insert on average (with 50 or so for the clock), how long each took, and how
/// many bytes these take.
fn inserts(
    numbers: std::ops::Range<u64>,
    live: u64,
    threads: u64,
    insert: &(impl Fn(u64, UnixTime) -> bool + Sync),
) -> (f64, Vec<u32>, u64) {
    let each = (numbers.end - numbers.start) / threads;
    let begin = numbers.start;
    let work = |thread: u64| {
        let mut times = Vec::with_capacity(each as usize);
        let before = on_cpu();
        for step in 0..each {
            let n = begin + step * threads + thread;
            let now = UnixTime::from_millis(START.as_millis() + (n as i64) * WINDOW / (live as i64));
            let watch = Stopwatch::start();
            let fresh = insert(n, now);
            times.push(u32::try_from(watch.elapsed().as_nanos()).unwrap_or(u32::MAX));
            assert!(fresh, "{n}");
        }
        (on_cpu() - before, times)
    };
    let all: Vec<(u64, Vec<u32>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let nanos: u64 = all.iter().map(|(nanos, _)| nanos).sum();
    let times: Vec<u32> = all.into_iter().flat_map(|(_, times)| times).collect();
    let bytes = times.len() as u64 * 4;
    (nanos as f64 / times.len() as f64, times, bytes)
}

/// A store that is far from full: what it takes when it is filled so far, and after many windows.
fn young(live: u64, before: u64) {
    let store = MemoryStore::new(1_000_000, usize::MAX, RETENTION, START);
    let insert = |n, now| store.check_and_insert(key(n), until(now), now) == Outcome::Fresh;
    let (_, mut fill, measured) = inserts(0..live, live, 1, &insert);
    let filled = resident().saturating_sub(before).saturating_sub(measured) / 1024;
    let (_, mut steady, measured) = inserts(live..live + STEADY, live, 1, &insert);
    let later = resident().saturating_sub(before).saturating_sub(measured) / 1024;
    let median = |times: &mut [u32]| *times.select_nth_unstable(times.len() / 2).1;
    println!(
        "\n{live} live proofs in a store for {}: {filled} KiB, after many windows {later} KiB; median insert {} and {} ns",
        store.capacity(),
        median(&mut fill),
        median(&mut steady),
    );
}

fn recovery(live: u64) {
    let directory = tempfile::tempdir().unwrap();
    let store = journal(directory.path(), live, START);
    for n in 0..live {
        assert_eq!(store.check_and_insert(key(n), until(START), START), Outcome::Fresh);
    }
    drop(store);
    let watch = Stopwatch::start();
    let store = journal(directory.path(), live, START);
    let took = watch.elapsed();
    assert_eq!(store.check_and_insert(key(0), until(START), START), Outcome::Replayed);
    println!("\nrecovery of {live} live proofs: {} ms", took.as_millis());
}

fn journal(directory: &Path, live: u64, now: UnixTime) -> JournalStore {
    let plan = ReplayPlan {
        capacity: room(live),
        per_key_limit: usize::MAX,
        per_subject_limit: 100_000_000,
        on_start: OnStart::Challenge,
        journal: Some(directory.to_owned()),
        redis: None,
    };
    let settings = Settings { plan: &plan, retention: RETENTION, terms: &[] };
    JournalStore::open(directory, &settings, &Clock::manual(now)).unwrap()
}

/// What a store on dashmap would be.
struct Dash {
    map: DashMap<u128, i64>,
    swept: AtomicI64,
}

impl Dash {
    fn insert(&self, id: u128, now: UnixTime) -> bool {
        let (now, swept) = (now.as_millis(), self.swept.load(Ordering::Relaxed));
        let due = now >= swept + WINDOW / 8;
        if due && self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.map.retain(|_, until| *until >= now);
        }
        match self.map.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(now + WINDOW);
                true
            }
        }
    }
}

fn until(now: UnixTime) -> UnixTime {
    now.saturating_add(RETENTION)
}

/// A thousand clients.
fn key(n: u64) -> ReplayKey {
    let mix = |n: u64| {
        let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ n >> 31
    };
    ReplayKey { id: u128::from(mix(n)) << 64 | u128::from(mix(mix(n))), owner: mix(n % 1000) }
}

/// Nanoseconds that this thread has run for: others may use the machine as well.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Bytes of memory that the process really has.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

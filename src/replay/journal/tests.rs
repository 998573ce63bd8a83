use super::*;
use crate::replay::{OnStart, ReplayPlan};
use proptest::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

mod damage;

const START: UnixTime = UnixTime::from_secs(1_700_000_000);

fn after(secs: i64) -> UnixTime {
    UnixTime::from_millis(START.as_millis() + secs * 1000)
}

fn key(n: u64) -> ReplayKey {
    let bits = u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31));
    ReplayKey {
        id: bits << 64 | bits.wrapping_mul(0xBF58_476D_1CE4_E5B9) & u128::from(u64::MAX),
        owner: n % 3,
    }
}

struct Terms {
    plan: ReplayPlan,
    terms: [Duration; 2],
}

impl Terms {
    fn new() -> Self {
        let plan = ReplayPlan {
            capacity: 100_000,
            per_key_limit: 100_000,
            per_subject_limit: 100_000_000,
            on_start: OnStart::Challenge,
            journal: None,
            redis: None,
        };
        Self { plan, terms: [Duration::from_secs(60), Duration::from_secs(10)] }
    }

    fn open(&self, directory: &Path, now: UnixTime) -> Result<JournalStore, OpenError> {
        let settings = Settings { plan: &self.plan, retention: Duration::from_secs(70), terms: &self.terms };
        JournalStore::open(directory, &settings, &Clock::manual(now))
    }
}

fn open(directory: &Path, now: i64) -> JournalStore {
    Terms::new().open(directory, after(now)).unwrap()
}

fn since(store: &JournalStore) -> UnixTime {
    store.memory.since.moment_by(START.into())
}

/// The newest segment.
fn newest(directory: &Path) -> PathBuf {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == pair::WHOLE)).max().unwrap()
}

#[test]
fn a_successor_answers_as_if_the_process_had_never_stopped() {
    let directory = tempfile::tempdir().unwrap();
    for run in 0..5 {
        let store = open(directory.path(), run * 10);
        assert_eq!(since(&store), START, "vouched for since the first start");
        for before in 0..run {
            let until = after(before * 10 + 60);
            assert_eq!(
                store.check_and_insert(key(before.unsigned_abs()), until, after(run * 10)),
                Outcome::Replayed
            );
        }
        assert_eq!(
            store.check_and_insert(key(run.unsigned_abs()), after(run * 10 + 60), after(run * 10)),
            Outcome::Fresh
        );
    }
}

#[test]
fn the_secret_is_the_journals() {
    let directory = tempfile::tempdir().unwrap();
    let tag = |now| open(directory.path(), now).memory.secret.tag(&[b"x"]);
    assert_eq!(tag(0), tag(1));
}

#[test]
fn limits_count_what_a_predecessor_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let mut terms = Terms::new();
    (terms.plan.per_key_limit, terms.plan.capacity) = (2, 4);
    let same = |n: u64| ReplayKey { owner: 7, ..key(n) };
    let store = terms.open(directory.path(), START).unwrap();
    for n in 0..2 {
        assert_eq!(store.check_and_insert(same(n), after(60), START), Outcome::Fresh);
    }
    drop(store);
    let store = terms.open(directory.path(), START).unwrap();
    assert_eq!(store.check_and_insert(same(3), after(60), START), Outcome::OverQuota);
    assert_eq!(store.memory.len(), 2);
}

#[test]
fn expired_segments_are_dropped_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    for now in 0..1000 {
        assert_eq!(
            store.check_and_insert(key(now), after(now.cast_signed() + 60), after(now.cast_signed())),
            Outcome::Fresh
        );
    }
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(files <= 21, "{files} files for 70 s of proofs in slices of 8.75 s, and the lock");
}

/// A run that accepted nothing leaves an empty segment; dropping it before its elders looked like a loss.
#[test]
fn idle_runs_leave_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    assert_eq!(store.check_and_insert(key(1), after(60), START), Outcome::Fresh);
    drop(store);
    for now in 1..5 {
        open(directory.path(), now).tend(after(now + 20));
    }
    let store = open(directory.path(), 30);
    assert_eq!(since(&store), START);
    assert_eq!(store.check_and_insert(key(1), after(60), after(30)), Outcome::Replayed);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), 0);
    let error = Terms::new().open(directory.path(), START).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    assert!(Terms::new().open(directory.path(), START).is_ok());
}

/// Whatever leaves doubt falls back to the start rule, and what can be read still counts as used.
#[test]
fn doubt_falls_back_to_the_start() {
    type Damage = fn(&Path, &mut Terms);
    let cases: [(&str, bool, Damage); 9] = [
        ("nothing", true, |_, _| {}),
        ("another boot", false, |path, _| {
            let bytes = std::fs::read(path).unwrap();
            let header = Header { boot: [1; 16], ..Header::decode(bytes.first_chunk().unwrap()).unwrap() };
            std::fs::write(path, [&header.encode(), &bytes[segment::END..]].concat()).unwrap();
        }),
        ("a torn tail", false, |path, _| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, [&bytes[..], &[1, 2, 3]].concat()).unwrap();
        }),
        ("zeroes at the end", false, |path, _| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, [&bytes[..], &[0; segment::RECORD]].concat()).unwrap();
        }),
        ("a damaged header", false, |path, _| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[30] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("a missing segment", false, |path, _| {
            std::fs::remove_file(path.with_file_name("00000000000000000002.used")).unwrap()
        }),
        ("a failed write", false, |path, _| {
            std::fs::rename(path, path.with_extension(pair::BROKEN)).unwrap()
        }),
        ("a smaller capacity", false, |_, terms| terms.plan.capacity = 2),
        ("another acceptance window", false, |_, terms| terms.terms[0] = Duration::from_secs(120)),
    ];
    for (what, vouches, damage) in cases {
        let directory = tempfile::tempdir().unwrap();
        for run in 0..4 {
            let store = open(directory.path(), 0);
            assert_eq!(store.check_and_insert(key(run), after(60), START), Outcome::Fresh);
        }
        let mut terms = Terms::new();
        damage(&newest(directory.path()), &mut terms);
        let store = terms.open(directory.path(), after(5)).unwrap();
        assert_eq!(since(&store), if vouches { START } else { after(5) }, "{what}");
        drop(store);
        // The next one vouches from there on.
        let store = terms.open(directory.path(), after(6)).unwrap();
        if what != "a smaller capacity" {
            assert_eq!(since(&store), if vouches { START } else { after(5) }, "after {what}");
            assert_eq!(store.check_and_insert(key(0), after(60), after(6)), Outcome::Replayed, "{what}");
        }
    }
}

#[test]
fn a_reload_that_changes_the_window_is_told_to_successors() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), 0).complete_from(after(5).into());
    assert_eq!(since(&open(directory.path(), 6)), after(5));
}

/// A process began without a past while its clock was minutes behind. That was set right, and its successor vouched for minutes before the start.
#[test]
fn a_successor_is_told_how_late_a_start_by_a_clock_that_was_behind_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), -600);
    store.complete_from(Moment { wall: after(-600), steady: after(0) });
    store.tend(Moment { wall: after(10), steady: after(10) });
    store.writer().die();
    drop(store);
    assert_eq!(since(&open(directory.path(), 11)), after(0));
}

/// The same, but the process was killed before the clock was set right, and its successor began with the right one: world 52,947.
#[test]
fn a_successor_with_the_right_clock_knows_how_late_a_start_by_a_clock_that_was_behind_was() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(after(0)));
    let open = || {
        let terms = Terms::new();
        let settings =
            Settings { plan: &terms.plan, retention: Duration::from_secs(70), terms: &terms.terms };
        JournalStore::open(directory.path(), &settings, &clock).unwrap()
    };
    let vouches =
        |store: &JournalStore, secs| store.memory.since.vouches_for(after(secs).into(), clock.moment());
    clock.step(after(-4500));
    let store = open();
    store.complete_from(clock.moment());
    assert_eq!((vouches(&store, -4501), vouches(&store, -4499)), (false, true));
    store.writer().die();
    drop(store);
    clock.step(after(0));
    clock.set(after(2));
    let store = open();
    assert!(!store.begins_empty());
    assert_eq!((vouches(&store, -1), vouches(&store, 0)), (false, true));
    store.tend(clock.moment());
    store.writer().die();
    drop(store);
    clock.step(after(-100));
    let store = open();
    assert_eq!(
        (vouches(&store, -103), vouches(&store, -102)),
        (false, false),
        "it may have been right before"
    );
    clock.step(after(2));
    assert_eq!((vouches(&store, -1), vouches(&store, 0)), (false, true), "and each successor after it");
    clock.step(after(3600));
    assert_eq!((vouches(&store, 3597), vouches(&store, 3598)), (false, true));
}

/// Writing failed while the clock was behind: what came before that is not vouched for, whoever sets the clock right when.
#[test]
fn a_successor_knows_how_late_a_failed_write_was() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(after(0)));
    let terms = Terms::new();
    let settings = Settings { plan: &terms.plan, retention: Duration::from_secs(70), terms: &terms.terms };
    let open = || JournalStore::open(directory.path(), &settings, &clock).unwrap();
    drop(open());
    clock.step(after(-4500));
    let store = open();
    clock.set(after(-4490));
    store.writer().give_up(clock.moment());
    store.tend(clock.moment());
    store.writer().die();
    drop(store);
    clock.step(after(11));
    let store = open();
    let vouches = |secs| store.memory.since.vouches_for(after(secs).into(), clock.moment());
    assert_eq!((vouches(9), vouches(12)), (false, true));
}

#[test]
fn a_clock_that_went_back_forgives_no_replay() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    assert_eq!(store.check_and_insert(key(1), after(60), START), Outcome::Fresh);
    assert_eq!(
        store.check_and_insert(key(2), after(360), after(300)),
        Outcome::Fresh,
        "the first segment is dropped"
    );
    store.tend(after(400));
    drop(store);
    let store = open(directory.path(), 10);
    assert_eq!(store.check_and_insert(key(1), after(60), after(10)), Outcome::Forgotten);
    assert_eq!(store.check_and_insert(key(3), after(70), after(10)), Outcome::Forgotten);
    drop(store);
    let store = open(directory.path(), 401);
    assert_eq!(store.check_and_insert(key(3), after(461), after(401)), Outcome::Fresh);
}

#[test]
fn an_expired_proof_is_not_new_again_when_the_clock_goes_back_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 0);
    assert_eq!(store.check_and_insert(key(1), after(60), START), Outcome::Fresh);
    drop(store);
    let store = open(directory.path(), 100);
    assert_eq!(store.check_and_insert(key(1), after(60), after(30)), Outcome::Forgotten);
}

/// One that had expired a second before the restart, in the same slice of time, was neither read back nor counted as forgotten; after a small
/// step back it was fresh again.
#[test]
fn a_proof_that_expired_just_before_the_restart_is_still_known_when_the_clock_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    for expired in 1_i64..12 {
        let store = open(directory.path(), 0);
        let n = expired.unsigned_abs();
        assert_eq!(store.check_and_insert(key(n), after(60), START), Outcome::Fresh);
        drop(store);
        let store = open(directory.path(), 60 + expired);
        store.tend(after(50));
        assert_ne!(store.check_and_insert(key(n), after(60), after(50)), Outcome::Fresh, "{expired}");
        drop(store);
        std::fs::remove_dir_all(directory.path()).unwrap();
    }
}

/// A directory that vanishes stands in for a disk that fails: the open file goes on, the next segment cannot
/// be begun.
#[test]
fn a_failed_write_uses_nothing_up_and_is_no_silent_gap() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("journal");
    let store = open(&directory, 0);
    assert_eq!(store.check_and_insert(key(1), after(60), START), Outcome::Fresh);
    let away = parent.path().join("away");
    std::fs::rename(&directory, &away).unwrap();
    for n in 2..5 {
        assert_eq!(store.check_and_insert(key(n), after(80), after(20)), Outcome::Unavailable);
    }
    assert_eq!((store.failures(), store.memory.len()), (3, 1));
    std::fs::rename(&away, &directory).unwrap();
    assert_eq!(
        store.check_and_insert(key(2), after(81), after(21)),
        Outcome::Fresh,
        "the same proof, once it can be written"
    );
    assert_eq!(store.check_and_insert(key(2), after(81), after(21)), Outcome::Replayed);
    drop(store);
    let store = open(&directory, 22);
    assert_eq!(since(&store), after(21), "vouched for since the segment after the failure");
    assert_eq!(store.check_and_insert(key(1), after(60), after(22)), Outcome::Replayed);
}

/// Proofs were refused by the thousand while the gateway said that it was ready; and what was written to a file that somebody had removed was
/// written nowhere.
#[test]
fn a_journal_that_cannot_be_written_is_trouble_until_it_can() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("journal");
    let store = open(&directory, 0);
    store.tend(after(1));
    assert_eq!(store.trouble(), None);
    std::fs::remove_dir_all(&directory).unwrap();
    store.tend(after(2));
    assert!(store.trouble().unwrap().starts_with("the journal cannot be written: "));
    assert_eq!(store.check_and_insert(key(1), after(62), after(2)), Outcome::Unavailable);
    std::fs::create_dir(&directory).unwrap();
    store.tend(after(3));
    assert_eq!((store.trouble(), store.failures()), (None, 2));
    assert_eq!(store.check_and_insert(key(1), after(63), after(3)), Outcome::Fresh);
}

/// Opening a FIFO waited for ever, and so did whoever wanted to stop the process.
#[test]
fn what_is_no_file_but_has_the_name_of_one_is_named() {
    for name in
        ["00000000000000000001.used", "00000000000000000001.broken", "00000000000000000009.new", "lock"]
    {
        // A socket stands in for a FIFO: it is made without another process, which would hold the locks of other tests for a moment.
        for socket in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            match socket {
                true => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
                false => std::fs::create_dir(&path).unwrap(),
            }
            let error = Terms::new().open(directory.path(), START).map(drop).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("move it away"), "{error}");
        }
    }
}

/// One thing that happens to a journal.
#[derive(Clone, Debug)]
enum Event {
    Use { proof: u64, age: i64 },
    Clock { by: i64 },
    Restart,
    Crash { keep: usize },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (0_u64..60, -10_i64..60).prop_map(|(proof, age)| Event::Use { proof, age }),
        4 => (0_i64..15).prop_map(|by| Event::Clock { by }),
        1 => (-300_i64..300).prop_map(|by| Event::Clock { by }),
        2 => Just(Event::Restart),
        1 => (0_usize..400).prop_map(|keep| Event::Crash { keep }),
    ]
}

/// The machine stops: the newest segment keeps only what had reached the disk, and the kernel is another one.
fn crash(directory: &Path, keep: usize) {
    let even = newest(directory);
    for (path, keep) in [(even.with_extension(pair::ODD), keep / 2), (even, keep)] {
        let bytes = std::fs::read(&path).unwrap();
        let header = Header { boot: [1; 16], ..Header::decode(bytes.first_chunk().unwrap()).unwrap() };
        let all = [&header.encode(), &bytes[segment::END..]].concat();
        let written = all.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        std::fs::write(&path, &all[..written.saturating_sub(keep)]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Uses, steps of the clock, restarts and crashes: nothing that the caller would accept is fresh twice.
    #[test]
    fn never_fresh_twice(events in proptest::collection::vec(event(), 1..150)) {
        let directory = tempfile::tempdir().unwrap();
        let (mut now, mut used, mut dates) = (0, HashMap::new(), HashMap::new());
        let mut store = open(directory.path(), now);
        for event in events {
            match event {
                Event::Clock { by } => {
                    now += by;
                    store.tend(after(now));
                }
                Event::Restart => {
                    drop(store);
                    store = open(directory.path(), now);
                }
                Event::Crash { keep } => {
                    drop(store);
                    crash(directory.path(), keep);
                    // A clock that goes back while the machine is down is beyond what anything on it can know
                    // exactly: start later.
                    let latest = used.values().copied().max().unwrap_or(now);
                    now = now.max(latest + 1);
                    store = open(directory.path(), now);
                }
                Event::Use { proof, age } => {
                    let made = *dates.entry(proof).or_insert(now - age);
                    if now > made + 60 || now < made - 10 || after(made - 10) < since(&store) {
                        continue; // Stale, too early, or challenged for a nonce.
                    }
                    let outcome = store.check_and_insert(key(proof), after(made + 60), after(now));
                    if outcome == Outcome::Fresh {
                        prop_assert!(used.insert(proof, now).is_none(), "{proof} is fresh twice");
                    }
                    prop_assert!(outcome != Outcome::Replayed || used.contains_key(&proof));
                    prop_assert!(outcome != Outcome::Unavailable);
                }
            }
        }
    }
}

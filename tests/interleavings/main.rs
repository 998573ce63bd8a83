//! Whoever goes on when: the memory of the replay store, under a scheduler that decides at every lock and counter which thread is next.
//!
//! The product's own files are compiled here once more, over the locks and counters of [`replay::sync`] in place of the standard library's.
//! So this target has no harness: with it their unit tests would run here, too, and they want the others.
//!
//! `KEYPROOF_SCHEDULES=100000 cargo test --test interleavings` tries more than CI does; a word behind `--` chooses laws by name.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

/// What the product's files find at these names.
mod clock {
    pub(crate) use keyproof::clock::{Moment, UnixTime};
}
mod jose {
    pub(crate) use keyproof::jose::Secret;
}
mod replay;

use replay::laws::LAWS;
use replay::sync::{self, Flaw};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};
use std::panic::catch_unwind;
use std::process::ExitCode;

/// Where the schedules of a run begin: a law that is broken is so again.
const SEED: u64 = 0x6b65_7970_726f_6f66;
/// How many moments a schedule of the second kind chooses at which the order of the threads changes.
const CHANGES: usize = 3;

/// How many schedules each law has to bear.
fn schedules() -> usize {
    let said = std::env::var_os("KEYPROOF_SCHEDULES");
    said.map_or(2000, |many| many.into_string().unwrap().parse().unwrap())
}

/// Tries the law under so many schedules: half of them by pure chance, half with few changes at chosen moments, which finds what needs long
/// stretches. A law that is broken panics.
fn try_law(law: fn(), schedules: usize, says_where: bool) {
    let mut config = Config::new();
    config.silence_warnings = true;
    if !says_where {
        config.failure_persistence = FailurePersistence::None;
    }
    let half = schedules / 2;
    assert_eq!(run(RandomScheduler::new_from_seed(SEED, half), &config, law), half);
    assert_eq!(run(PctScheduler::new_from_seed(SEED, CHANGES, half), &config, law), half);
}

/// How many schedules were tried.
fn run(scheduler: impl Scheduler + 'static, config: &Config, law: fn()) -> usize {
    Runner::new(scheduler, config.clone()).run(law)
}

/// Each law, and then each flaw, which must break a law that it is named with.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list" || argument == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| {
        let mut words = arguments.iter().filter(|word| !word.starts_with('-')).peekable();
        words.peek().is_none() || words.any(|word| name.contains(word.as_str()))
    };
    let (mut passed, mut failed) = (0, 0);
    let mut say = |name: &str, holds: bool| {
        println!("test {name} ... {}", if holds { "ok" } else { "FAILED" });
        *(if holds { &mut passed } else { &mut failed }) += 1;
    };
    for (name, law) in LAWS.iter().filter(|(name, _)| wanted(name)) {
        say(name, catch_unwind(|| try_law(*law, schedules(), true)).is_ok());
    }
    let aloud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for (flaw, law) in Flaw::MUST_BREAK {
        let name = format!("{flaw:?} breaks {law}");
        if wanted(&name) {
            let (_, law) = LAWS.iter().find(|(known, _)| known == law).unwrap();
            sync::set(Some(*flaw));
            say(&name, catch_unwind(|| try_law(*law, schedules(), false)).is_err());
            sync::set(None);
        }
    }
    std::panic::set_hook(aloud);
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

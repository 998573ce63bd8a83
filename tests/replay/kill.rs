//! Ten million proofs, a tenth of them replays, across ten `kill -9`: none is fresh twice, and what was
//! acknowledged is remembered.
//!
//! Small unless `KEYPROOF_REPLAY_PROOFS` says how many.

use keyproof::clock::{Clock, UnixTime};
use keyproof::replay::{OnStart, Outcome, ReplayKey, ReplayPlan, Settings, Store};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
const LIFE: Duration = Duration::from_secs(60);
const KILLS: usize = 10;
/// How many proofs the parent sends before it reads the answers.
const BATCH: usize = 512;
const PROOFS_A_MILLISECOND: u64 = 10;
/// Where the child finds its journal and its parent.
const DIRECTORY: &str = "KEYPROOF_REPLAY_TEST_DIRECTORY";

#[test]
fn nothing_acknowledged_is_forgotten_by_a_kill() {
    let proofs = std::env::var("KEYPROOF_REPLAY_PROOFS").map_or(100_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    let mut model = Model::new(proofs);
    for run in 0..=KILLS {
        let mut child = Peer::spawn(directory.path(), &listener, made(model.next));
        assert_eq!(child.complete_since, START, "run {run} vouches since the first");
        model.replay_what_was_in_the_air(&mut child);
        let end = if run == KILLS { proofs } else { (proofs * (run as u64 + 1) / (KILLS as u64 + 1)).max(1) };
        model.run(&mut child, end, run < KILLS);
    }
    assert_eq!(model.state.iter().filter(|state| **state == State::Used).count() as u64, proofs);
}

/// Not a test: what [`Peer::spawn`] starts.
#[test]
#[ignore = "the child of the test above"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut stream = UnixStream::connect(directory.join("socket")).unwrap();
    let mut first = [0; 8];
    stream.read_exact(&mut first).unwrap();
    let clock = Clock::manual(UnixTime::from_millis(i64::from_le_bytes(first)));
    let plan = ReplayPlan {
        capacity: 2_000_000,
        per_key_limit: 2_000_000,
        per_subject_limit: 100_000_000,
        on_start: OnStart::Challenge,
        journal: Some(directory.join("journal")),
        redis: None,
    };
    let settings = Settings { plan: &plan, retention: Duration::from_secs(70), terms: &[] };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&settings, &clock).await.unwrap();
        stream.write_all(&store.complete_since().as_millis().to_le_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = BufWriter::new(stream);
        let mut request = [0; 24];
        while reader.read_exact(&mut request).is_ok() {
            let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap());
            let moment = |at: usize| UnixTime::from_millis(number(at).cast_signed());
            let outcome = store.check_and_insert(key(number(0)), moment(8), moment(16)).await;
            let answer = ANSWERS.iter().position(|known| *known == outcome).unwrap();
            writer.write_all(&[answer as u8]).unwrap();
            if reader.buffer().is_empty() {
                writer.flush().unwrap();
            }
        }
    });
}

const ANSWERS: [Outcome; 6] = [
    Outcome::Fresh,
    Outcome::Replayed,
    Outcome::Full,
    Outcome::OverQuota,
    Outcome::Forgotten,
    Outcome::Unavailable,
];

fn key(number: u64) -> ReplayKey {
    let mix = |n: u64| {
        let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ n >> 31
    };
    ReplayKey { id: u128::from(mix(number)) << 64 | u128::from(mix(mix(number))), owner: number % 50 }
}

fn made(number: u64) -> UnixTime {
    START.saturating_add(Duration::from_millis(number / PROOFS_A_MILLISECOND))
}

/// What is known of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// It was sent, and the answer was lost with the process.
    Unknown,
    Used,
}

/// The exact memory, and the numbers of the proofs to come.
struct Model {
    state: Vec<State>,
    next: u64,
    chance: u64,
    in_the_air: Vec<u64>,
}

impl Model {
    fn new(proofs: u64) -> Self {
        Self {
            state: vec![State::New; proofs as usize],
            next: 0,
            chance: 0x2545_F491_4F6C_DD1D,
            in_the_air: Vec::new(),
        }
    }

    fn random(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    /// Every proof of the last batches comes again, at once.
    fn replay_what_was_in_the_air(&mut self, child: &mut Peer) {
        let recent = self.next.saturating_sub(20_000)..self.next;
        let all: Vec<u64> = recent.chain(std::mem::take(&mut self.in_the_air)).collect();
        for batch in all.chunks(BATCH) {
            self.send(child, batch, None);
        }
    }

    /// Sends proofs up to number `end`; then kills the child in the middle of a batch, if told to.
    fn run(&mut self, child: &mut Peer, end: u64, kill: bool) {
        while self.next < end {
            let mut batch = Vec::new();
            while batch.len() < BATCH && self.next < end {
                if self.random().is_multiple_of(10) && self.next > 0 {
                    let back = self.random() % self.next.min(500_000);
                    batch.push(self.next - 1 - back);
                } else {
                    batch.push(self.next);
                    self.next += 1;
                }
            }
            let last = kill && self.next == end;
            let patience = last.then(|| Duration::from_micros(self.random() % 3000));
            self.send(child, &batch, patience);
        }
    }

    /// Sends a batch, and judges the answers; with `kill_after`, those that came before the end.
    fn send(&mut self, child: &mut Peer, batch: &[u64], kill_after: Option<Duration>) {
        let now = made(self.next);
        child.ask(batch, now);
        if let Some(patience) = kill_after {
            std::thread::sleep(patience);
            child.process.kill().unwrap();
        }
        for (place, number) in batch.iter().enumerate() {
            let Some(outcome) = child.answer() else {
                assert!(kill_after.is_some(), "the child died by itself");
                for number in &batch[place..] {
                    let state = &mut self.state[*number as usize];
                    if *state == State::New {
                        *state = State::Unknown;
                    }
                    self.in_the_air.push(*number);
                }
                return;
            };
            let state = &mut self.state[*number as usize];
            match (outcome, *state) {
                (Outcome::Fresh, State::New | State::Unknown)
                | (Outcome::Replayed, State::Unknown | State::Used) => {}
                (outcome, state) => panic!("proof {number}, {state:?} so far, is {outcome:?}"),
            }
            *state = State::Used;
        }
    }
}

/// A child and the way to it.
struct Peer {
    process: Child,
    complete_since: UnixTime,
    to: BufWriter<UnixStream>,
    from: BufReader<UnixStream>,
}

impl Peer {
    fn spawn(directory: &Path, listener: &UnixListener, now: UnixTime) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "kill::child", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&now.as_millis().to_le_bytes()).unwrap();
        let mut since = [0; 8];
        stream.read_exact(&mut since).unwrap();
        let complete_since = UnixTime::from_millis(i64::from_le_bytes(since));
        Self {
            process,
            complete_since,
            to: BufWriter::new(stream.try_clone().unwrap()),
            from: BufReader::new(stream),
        }
    }

    fn ask(&mut self, batch: &[u64], now: UnixTime) {
        for number in batch {
            let until = made(*number).saturating_add(LIFE);
            self.to.write_all(&number.to_le_bytes()).unwrap();
            self.to.write_all(&until.as_millis().to_le_bytes()).unwrap();
            self.to.write_all(&now.as_millis().to_le_bytes()).unwrap();
        }
        self.to.flush().unwrap();
    }

    fn answer(&mut self) -> Option<Outcome> {
        let mut answer = [0];
        self.from.read_exact(&mut answer).ok()?;
        Some(ANSWERS[usize::from(answer[0])])
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

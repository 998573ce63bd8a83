//! One replica of the gateway: the product's own store, mint, verifier and decision, behind clocks that lie.

use super::engine::{self, Millis, Owner, between, note, one_in};
use super::flaw::{self, Flaw};
use super::law::{Ledger, Taken};
use super::redis::Network;
use super::world::spends_first;
use crate::app::Beginning;
use crate::authorize::Authorizer;
use crate::clock::{Clock, Moment, UnixTime};
use crate::denial::{Denial, Kind, ReplayError};
use crate::dpop::{AcceptanceWindow, Made, NoncePolicy, ProofError, VerifiedProof, Verifier};
use crate::jose::Secret;
use crate::replay::{OnStart, RedisPlan, RedisServers, ReplayPlan};
use crate::token::Issuers;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where proofs are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKind {
    Memory,
    Journal,
    Redis,
}

/// What is configured, for all replicas alike.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) store: StoreKind,
    pub(super) replicas: usize,
    pub(super) window: AcceptanceWindow,
    pub(super) policy: NoncePolicy,
    pub(super) nonce_lifetime: Duration,
    pub(super) nonces_are_shared: bool,
    pub(super) on_start: OnStart,
    pub(super) has_sentinel: bool,
    pub(super) timeout: Duration,
    /// Clocks differ by almost as much as is borne.
    pub(super) at_the_edge: bool,
}

impl Setting {
    /// Whether a client may ask another replica with each try: they share what they remember, and nonces.
    pub(super) fn shares_memory(&self) -> bool {
        self.store == StoreKind::Redis && self.nonces_are_shared
    }

    /// How far an honest client's clock may be from a right one.
    pub(super) fn bears(&self) -> Duration {
        (self.window.leeway / 2).min(self.window.max_age / 4)
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Admitted,
    Challenge(String),
    Refused(&'static str),
}

pub(super) struct Replica {
    pub(super) owner: Owner,
    setting: Setting,
    ledger: Rc<Ledger>,
    state: Rc<RefCell<State>>,
    /// Where its journal is.
    pub(super) journal: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    /// How many processes there were.
    processes: u32,
    /// One is on its way.
    starts: bool,
    /// The last of them that began with nothing to vouch for the past.
    emptied: u32,
    running: Option<Process>,
}

/// One process of it.
#[derive(Clone)]
pub(super) struct Process {
    number: u32,
    emptied: u32,
    began: UnixTime,
    pub(super) authorizer: Arc<Authorizer>,
}

impl Replica {
    pub(super) fn new(owner: Owner, setting: &Setting, ledger: &Rc<Ledger>) -> Self {
        let journal = (setting.store == StoreKind::Journal).then(|| super::journal::directory(owner));
        Self { owner, setting: setting.clone(), ledger: Rc::clone(ledger), state: Rc::default(), journal }
    }

    /// Starts a process, while the wall clock is so far from the truth.
    pub(super) fn start(&self, offset: i64) {
        let owner = self.owner;
        engine::set_clock(owner, offset, 0);
        engine::begin_process(owner);
        if std::mem::replace(&mut self.state.borrow_mut().starts, true) {
            // Two faults at once: of two processes that start, the one before is gone.
            engine::kill(owner);
        }
        let (setting, state, journal) = (self.setting.clone(), Rc::clone(&self.state), self.journal.clone());
        state.borrow_mut().processes += 1;
        let number = state.borrow().processes;
        note(|| format!("replica {owner} starts process {number}, its clock {offset} ms from the truth"));
        engine::spawn(owner, async move {
            let authorizer = Arc::new(begin(owner, &setting, journal).await);
            let began = engine::clocks_of(owner).steady;
            let replay = Arc::clone(&authorizer.replay);
            if replay.begins_empty() {
                state.borrow_mut().emptied = number;
            }
            let emptied = state.borrow().emptied;
            state.borrow_mut().starts = false;
            state.borrow_mut().running = Some(Process { number, emptied, began, authorizer });
            replay.watch(&Clock::system()).await;
        });
    }

    /// `kill -9`, wherever it is.
    pub(super) fn kill(&self) {
        note(|| format!("replica {} is killed", self.owner));
        let running = self.state.borrow_mut().running.take();
        self.state.borrow_mut().starts = false;
        engine::kill(self.owner);
        drop(running);
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.borrow().running.is_some()
    }

    /// When an instance that is not ready until it knows everything is ready.
    pub(super) fn settled(&self) -> Option<UnixTime> {
        let process = self.state.borrow().running.clone()?;
        let replay = &process.authorizer.replay;
        let waits =
            self.setting.on_start == OnStart::Wait && replay.begins_near(engine::clocks_of(self.owner));
        waits.then(|| crate::app::settled(replay, self.setting.window, engine::clocks_of(self.owner)))
    }

    /// A request arrives. No answer: nobody is there, or dies.
    pub(super) async fn receive(&self, proof: Made, forged: bool) -> Option<Answer> {
        let process = self.state.borrow().running.clone()?;
        let (owner, policy, ledger) = (self.owner, self.setting.policy, Rc::clone(&self.ledger));
        let (answer, answered) = oneshot::channel();
        engine::spawn(owner, async move {
            let jti = proof.jti.clone();
            let decided = process.decide(&proof, policy, forged).await;
            if decided == Answer::Admitted {
                let now = engine::clocks_of(owner);
                let age = now.steady.as_millis() - process.began.as_millis();
                let offset = engine::offset(owner);
                note(|| format!("replica {owner} admits {jti}"));
                let nonce_offset = ledger.offset_of(proof.nonce.as_ref());
                let (emptied, process) = (process.emptied, process.number);
                ledger.admit(&jti, Taken { by: owner, process, offset, nonce_offset, age, emptied });
            } else {
                if let Answer::Challenge(nonce) = &decided {
                    ledger.mint(nonce, engine::offset(owner));
                }
                note(|| {
                    format!(
                        "replica {owner} answers {jti}{}: {decided:?}",
                        if forged { " (forged)" } else { "" }
                    )
                });
            }
            drop(answer.send(decided));
        });
        answered.await.ok()
    }
}

/// What `app` does at a start.
async fn begin(owner: Owner, setting: &Setting, journal: Option<PathBuf>) -> Authorizer {
    let secrets = if setting.nonces_are_shared { vec![Secret::new(b"shared")] } else { Vec::new() };
    let mint = Arc::new(flaw::mint(&secrets, setting.nonce_lifetime));
    let redis = (setting.store == StoreKind::Redis).then(|| RedisPlan {
        servers: RedisServers::simulated(Network::new(owner, setting.has_sentinel)),
        timeout: setting.timeout,
        accept_on_failure: false,
        assume_noeviction: false,
    });
    let plan = ReplayPlan {
        capacity: 2000,
        per_key_limit: 1000,
        per_subject_limit: 1000,
        on_start: setting.on_start,
        journal,
        redis,
    };
    let beginning = Beginning {
        replay: &plan,
        window: setting.window,
        nonce_lifetime: setting.nonce_lifetime,
        nonces_are_shared: setting.nonces_are_shared,
        stop: crate::config::StopPlan { delay: Duration::ZERO, timeout: Duration::ZERO },
    };
    let store = flaw::opened(&beginning, beginning.open_store(&mint, &Clock::system()).await.unwrap());
    let proofs = Verifier::new(Vec::new(), setting.window, mint);
    let issuers = Arc::new(Issuers::new(Vec::new()));
    Authorizer { issuers, proofs, replay: Arc::new(store), on_start: setting.on_start }
}

impl Process {
    /// What the gate does with a proof of which everything but its dates is known to be right, or its signature to be wrong.
    async fn decide(&self, proof: &Made, policy: NoncePolicy, forged: bool) -> Answer {
        let clock = Clock::system();
        if one_in(10) {
            // The others who are here have their turn; now and then that takes long.
            let longest = if one_in(6) && !engine::is_calm() { 8000 } else { 20 };
            engine::sleep(between(0, longest)).await;
        }
        if forged && !spends_first() {
            return Answer::Refused("signature");
        }
        let verified = match self.verify(proof, policy, clock.moment()) {
            Ok(verified) => verified,
            Err(error) => return self.refuse(error.into(), &clock),
        };
        let spent = self.authorizer.use_up(&verified, None, clock.moment(), &clock).await;
        match spent {
            Ok(()) if forged => Answer::Refused("signature"),
            Ok(()) => Answer::Admitted,
            Err(error) => self.refuse(error.into(), &clock),
        }
    }

    fn verify(&self, proof: &Made, policy: NoncePolicy, now: Moment) -> Result<VerifiedProof, ProofError> {
        let nonce_now = flaw::when_nonces_are_judged(proof, now);
        let verified = self.authorizer.proofs.verify_dates(proof, policy, now, nonce_now)?;
        Ok(if flaw::is(Flaw::ForgetTheMark) { verified.without_mark() } else { verified })
    }

    fn refuse(&self, denial: Denial, clock: &Clock) -> Answer {
        match denial.row().kind {
            Kind::UseNonce => Answer::Challenge(self.authorizer.challenge_nonce(clock.moment())),
            _ => Answer::Refused(match denial {
                Denial::Replay(ReplayError::BeforeStart) => "before the start",
                Denial::Replay(_) if self.authorizer.replay.trouble().is_some() => {
                    note(|| format!("{:?}", self.authorizer.replay.trouble()));
                    "trouble"
                }
                Denial::Replay(ReplayError::Replayed) => "replayed",
                Denial::Replay(_) => "store",
                _ => "dates",
            }),
        }
    }
}

/// Something in the middle of the night.
pub(super) fn any_offset() -> i64 {
    let size: Millis = engine::one_of(&[300, 1000, 3000, 5000, 6000, 12_000, 30_000, 3_600_000, 86_400_000]);
    let exact = if one_in(2) { size } else { between(0, size) };
    if one_in(2) { exact } else { -exact }
}

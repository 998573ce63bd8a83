//! Reading the configuration again: whole or not at all.

use super::bound::own;
use super::candidate::{Candidate, Waiting};
use super::generation::Generation;
use super::listeners::{Listeners, Next};
use super::operator::RunningAdmin;
use super::process::Process;
use super::watch::{Change, Watch};
use super::wishes::{Asked, Rejected, Wishes};
use super::{AppError, history, notify};
use crate::admin::{self, Access, Configuration, Outcome};
use crate::clock::UnixTime;
use crate::config::{self, Attempt, Plan, Problem, Renewal};
use crate::observe::rfc3339;
use crate::token::Issuers;
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often, and at what distance, an address is tried that a listener may be about to leave.
const CLOSING: u8 = 20;
const CLOSING_STEP: Duration = Duration::from_millis(50);

/// What runs, and all that it takes to run something else.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Arc<Process>,
    pub(super) current: Arc<ArcSwap<Generation>>,
    pub(super) listeners: Listeners,
    pub(super) admin: RunningAdmin,
    pub(super) facts: Arc<admin::Facts>,
    pub(super) plan: Arc<Plan>,
    pub(super) watch: Watch,
    /// What is good and has no keys yet.
    pub(super) waiting: Option<Waiting>,
}

impl Running {
    /// Reads the configuration again whenever somebody asks or a file has changed; never ends. It may be dropped at any moment: what was not
    /// in force by then never is.
    pub(super) async fn follow(&mut self, wishes: &mut Wishes) {
        loop {
            let current = self.current.load_full();
            tokio::select! {
                biased;
                Some(asked) = wishes.next() => {
                    let may_pass = self.reload(asked).await;
                    // Who asked may ask again; nobody would ask for a file that is watched.
                    if may_pass && self.watch.is_with_file() {
                        self.watch.try_again(Change { file: true, named: false });
                    }
                }
                () = Waiting::is_over(&mut self.waiting, &current) => self.finish().await,
                change = self.watch.changed() => self.follow_change(change).await,
            }
        }
    }

    /// A file has changed. A configuration file that is watched comes first; where it is no good or has to wait, what it names is read by itself.
    async fn follow_change(&mut self, change: Change) {
        let file = change.file && self.reload(Asked::default()).await;
        let named = change.named && self.renew().await.is_err_and(|why| why.may_pass());
        self.watch.try_again(Change { file, named });
    }

    /// Everything, from the configuration file on. Whether it is not in force, and may be later as it is.
    async fn reload(&mut self, asked: Asked) -> bool {
        notify::reloading();
        match self.read_all().await {
            Ok(candidate) => self.offer(candidate, asked).await,
            Err(why) => self.conclude(Err(why), asked),
        }
    }

    async fn read_all(&mut self) -> Result<Candidate, Rejected> {
        let waiting = self.waiting.as_ref().map(|waiting| &waiting.candidate.plan);
        // A name that is new in what waits keeps its number.
        let (known, now) = (Arc::clone(waiting.unwrap_or(&self.plan)), self.process.clock.now());
        let attempt = blocking(move || config::load_again(&known, now)).await;
        let Some(Attempt { outcome, seen }) = attempt else { return Err(Rejected::Stopping) };
        // Only the configuration counts as seen: where that is no good, what it names may be new and good, and is still to be read by itself.
        self.watch.has_seen(seen.only(self.watch.file()));
        let (plan, warnings) = outcome.map_err(Rejected::Problems)?;
        let current = self.current.load_full();
        let before = match &self.waiting {
            Some(waiting) if waiting.has_keys_for(&plan, &current) => {
                Arc::clone(&waiting.candidate.generation)
            }
            Some(_) | None => current,
        };
        Candidate::build(before, plan, warnings, &self.process).await.ok_or(Rejected::Stopping)
    }

    /// Has a candidate run, or wait for the keys of what is new in it. It comes in place of one that waits, and who asked for that one learns
    /// what comes of this.
    async fn offer(&mut self, candidate: Candidate, asked: Asked) -> bool {
        let current = self.current.load_full();
        let before = self.waiting.take();
        if candidate.generation.keys.lacks_of_what_is_new(&current.keys).is_empty() {
            let asked = asked.and(before.map(|before| before.asked).unwrap_or_default());
            let outcome = self.enter(candidate).await;
            return self.conclude(outcome, asked);
        }
        self.waiting = Some(Waiting::begin(candidate, asked, before));
        true
    }

    /// The keys have come, or their time is over.
    async fn finish(&mut self) {
        let Some(Waiting { candidate, asked, .. }) = self.waiting.take() else { return };
        let lacks = candidate.generation.keys.lacks_of_what_is_new(&self.current.load().keys);
        let outcome = if lacks.is_empty() { self.enter(candidate).await } else { Err(Rejected::Keys(lacks)) };
        self.conclude(outcome, asked);
    }

    /// Tells what came of reading everything. Whether it is not in force, and may be later as it is.
    fn conclude(&self, outcome: Result<(), Rejected>, asked: Asked) -> bool {
        // Whether or not it was taken.
        notify::ready();
        let outcome = self.record(outcome);
        asked.tell(&outcome);
        outcome.is_err_and(|why| why.may_pass())
    }

    /// The files that the configuration names: that of what runs, and that of what waits.
    async fn renew(&mut self) -> Result<(), Arc<Rejected>> {
        let renewal = self.files_again(&self.plan).await.ok_or(Rejected::Stopping)?;
        let Renewal { plan, problems, seen } = renewal;
        self.watch.has_seen(seen);
        let mut outcome = Ok(());
        if let Some((plan, warnings)) = plan {
            let entered = self.enter_renewed(plan, warnings).await;
            outcome = self.record(entered);
        }
        if !problems.0.is_empty() {
            drop(self.record(Err(Rejected::Problems(problems))));
        }
        self.renew_what_waits().await;
        outcome
    }

    async fn enter_renewed(&mut self, plan: Plan, warnings: Vec<Problem>) -> Result<(), Rejected> {
        if plan.differs_in_who_is_denied_alone(&self.plan) {
            // Nothing else has to be made anew for that, and nothing else can stand in its way.
            let issuers = Arc::clone(&self.current.load().issuers);
            deny(&self.plan, &plan, &issuers);
            self.become_known(Arc::new(plan));
            return Ok(());
        }
        let candidate = Candidate::build(self.current.load_full(), plan, warnings, &self.process).await;
        self.enter(candidate.ok_or(Rejected::Stopping)?).await
    }

    /// Where a file is no good, what waits has it as it was read before; that it is no good was told of what runs.
    async fn renew_what_waits(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        let (plan, before) = (Arc::clone(&waiting.candidate.plan), Arc::clone(&waiting.candidate.generation));
        let Some(Renewal { plan: Some((plan, warnings)), .. }) = self.files_again(&plan).await else {
            return;
        };
        let candidate = Candidate::build(before, plan, warnings, &self.process).await;
        if let (Some(waiting), Some(candidate)) = (&mut self.waiting, candidate) {
            waiting.candidate = candidate;
        }
    }

    async fn files_again(&self, plan: &Arc<Plan>) -> Option<Renewal> {
        let (plan, now) = (Arc::clone(plan), self.process.clock.now());
        blocking(move || config::files_again(&plan, now)).await
    }

    /// Has a candidate run instead of what runs. All that can fail comes first, and the swap itself does not wait: nobody sees a part of it.
    async fn enter(&mut self, candidate: Candidate) -> Result<(), Rejected> {
        let Candidate { generation, plan, warnings } = candidate;
        // It may take a while, and what it makes room for is asked for from the swap on.
        let (replay, retention) = (Arc::clone(&self.process.replay), generation.mint.retention(plan.window));
        blocking(move || replay.remember_for(retention)).await.ok_or(Rejected::Stopping)?;
        let next = self.prepare_listeners(&plan).await?;
        self.swap(plan, &generation, next);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// A listener that went with the last reload closes its sockets a moment later: one that comes back waits for that.
    async fn prepare_listeners(&self, plan: &Plan) -> Result<Next, AppError> {
        let mut tries = 0_u8;
        loop {
            match self.listeners.prepare(plan, &self.admin) {
                Err(AppError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse
                        && (self.listeners.are_ending() || self.admin.is_ending())
                        && tries < CLOSING =>
                {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(CLOSING_STEP).await;
                }
                prepared => return prepared,
            }
        }
    }

    fn swap(&mut self, plan: Arc<Plan>, generation: &Arc<Generation>, next: Next) {
        let Self { process, current, listeners, admin, .. } = self;
        let forgets = history::forgets(&self.plan, &plan);
        process.adapt_store(&plan, &generation.mint);
        process.adapt_hot_keys(&plan);
        forgets.note(process);
        let files_changed = !plan.reading.has_same_files(&self.plan.reading);
        deny(&self.plan, &plan, &generation.issuers);
        current.store(Arc::clone(generation));
        if forgets.any() {
            tracing::info!(
                "a proof from before now gets use_dpop_nonce once: under the new terms it may have been used before"
            );
        }
        // Once more: what came in until the swap was judged by what was in force then.
        forgets.note(process);
        let metrics = &generation.observer.metrics;
        let issuers: Vec<&str> = plan.issuers.iter().map(|issuer| issuer.rules.name.as_str()).collect();
        metrics.set_issuers(&issuers);
        generation.proxy.tell(metrics);
        if let Some(bound) = next.admin {
            let is_taken =
                plan.listeners.iter().filter_map(own).any(|address| admin.sockets_at(address).is_some());
            admin.move_to(bound, is_taken);
        }
        listeners.become_next(next.listeners, &plan, metrics);
        if files_changed {
            generation.keys.look_at_files_again();
        }
        self.become_known(plan);
    }

    /// From now on this is what runs.
    fn become_known(&mut self, plan: Arc<Plan>) {
        let number = self.facts.configuration.load().number.saturating_add(1);
        let now = self.process.clock.now();
        self.facts.configuration.store(Arc::new(shown(&plan, number, now, None)));
        let same_text = plan.reading.digest() == self.plan.reading.digest();
        self.watch.turn_to(&plan, same_text);
        self.plan = plan;
    }

    /// Tells everybody what came of an attempt.
    fn record(&self, outcome: Result<(), Rejected>) -> Result<(), Arc<Rejected>> {
        let metrics = &self.current.load().observer.metrics;
        metrics.config_reloaded(outcome.is_ok());
        let shown = self.facts.configuration.load();
        let at = self.process.clock.now();
        let why = outcome.as_ref().err().map(ToString::to_string);
        let (number, sha256, since) = (shown.number, &shown.digest, rfc3339(shown.since));
        match &outcome {
            Ok(()) => {
                tracing::info!(number, sha256, since, "the configuration was reloaded");
            }
            Err(Rejected::Problems(problems)) => {
                for problem in &problems.0 {
                    tracing::error!("{problem}");
                }
                let problems = problems.0.len();
                tracing::error!(
                    problems,
                    number,
                    sha256,
                    since,
                    "the reload was rejected, and what ran before runs on"
                );
            }
            Err(error) => {
                tracing::error!(%error, number, sha256, since, "the reload was rejected, and what ran before runs on");
            }
        }
        let last = Some(Outcome { at, rejected: why });
        self.facts.configuration.store(Arc::new(Configuration { last, ..Configuration::clone(&shown) }));
        outcome.map_err(Arc::new)
    }
}

/// Puts in force whom the next plan denies: for requests and streams that began under one before it too.
fn deny(before: &Plan, next: &Plan, issuers: &Issuers) {
    let list = next.deny_list();
    if list != before.deny_list() {
        let entries = list.len();
        tracing::info!(entries, "denied_file: another list is in force");
        issuers.deny(list);
    }
}

/// What the admin address says of a plan that runs.
pub(super) fn shown(plan: &Plan, number: u64, since: UnixTime, last: Option<Outcome>) -> Configuration {
    Configuration {
        file: plan.reading.file().display().to_string(),
        digest: hex(&plan.reading.digest()),
        number,
        since,
        access: Access::new(&plan.admin),
        effective: plan.effective.clone(),
        last,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Does something that takes a while on a thread for that; `None` where the process stops.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

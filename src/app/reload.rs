//! Reading the configuration again: whole or not at all.

use super::generation::Generation;
use super::listeners::{Listeners, Next};
use super::process::Process;
use super::watch::{Change, Watch};
use super::{AppError, history, notify};
use crate::admin::{self, Admin, Configuration, Outcome};
use crate::clock::UnixTime;
use crate::config::{self, Attempt, Plan, Problem, Problems, Renewal};
use crate::observe::rfc3339;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the keys of a new source may take.
const KEYS: Duration = Duration::from_secs(5);
/// How often, and at what distance, an address is tried that a listener may be about to leave.
const CLOSING: u8 = 20;
const CLOSING_STEP: Duration = Duration::from_millis(50);

/// Why what was read is not what runs.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The file, or one that it names, has problems.
    #[error("{}", first_of(.0))]
    Problems(Problems),
    /// A new address cannot be bound.
    #[error(transparent)]
    Start(#[from] AppError),
    /// The keys of a new issuer, or of a new source, could not be had.
    #[error("issuers: {}", .0.join("; "))]
    Keys(Vec<String>),
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

impl Rejected {
    /// Whether the same files may be good later: an address that another process has, keys that cannot be had.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Start(error) => matches!(error, AppError::Bind { .. } | AppError::Files { .. }),
            Self::Keys(_) => true,
            Self::Problems(_) | Self::Stopping => false,
        }
    }
}

/// The first problem, and how many others there are.
fn first_of(Problems(problems): &Problems) -> String {
    let Some(first) = problems.first() else { return "it cannot be read".to_owned() };
    match problems.len().saturating_sub(1) {
        0 => first.to_string(),
        1 => format!("{first} (and one more problem)"),
        more => format!("{first} (and {more} more problems)"),
    }
}

/// Asks a gateway that runs to read its configuration again. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::UnboundedSender<oneshot::Sender<Result<(), Arc<Rejected>>>>);

/// Where it is asked.
#[derive(Debug)]
pub(super) struct Wishes(mpsc::UnboundedReceiver<oneshot::Sender<Result<(), Arc<Rejected>>>>);

impl Reloader {
    pub(super) fn new() -> (Self, Wishes) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Wishes(receiver))
    }

    /// Has everything read again, and waits for nothing.
    pub fn wish(&self) {
        let (sender, _) = oneshot::channel();
        self.0.send(sender).ok();
    }

    /// Has everything read again, and waits for what comes of it.
    ///
    /// # Errors
    /// It was rejected, and what ran before runs on.
    pub async fn reload(&self) -> Result<(), Arc<Rejected>> {
        let (sender, receiver) = oneshot::channel();
        // Where nobody listens the receiver is told so.
        self.0.send(sender).ok();
        receiver.await.unwrap_or_else(|_| Err(Arc::new(Rejected::Stopping)))
    }
}

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
}

/// The admin address.
#[derive(Debug)]
pub(super) struct RunningAdmin {
    configured: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What came of an attempt, for who asked.
struct Asked(Vec<oneshot::Sender<Result<(), Arc<Rejected>>>>);

impl RunningAdmin {
    pub(super) fn start(admin: Admin, configured: SocketAddr, facts: &Arc<admin::Facts>) -> Self {
        let running = Self { configured, stop: CancellationToken::new(), tasks: TaskTracker::new() };
        running.tasks.spawn(admin.run(Arc::clone(facts), running.stop.clone()));
        running
    }

    fn move_to(&mut self, admin: Admin, configured: SocketAddr, facts: &Arc<admin::Facts>) {
        let before = std::mem::replace(&mut self.stop, CancellationToken::new());
        before.cancel();
        self.configured = configured;
        self.tasks.spawn(admin.run(Arc::clone(facts), self.stop.clone()));
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Running {
    /// Reads the configuration again whenever somebody asks or a file has changed; never ends. It may be dropped at any moment: what was not
    /// in force by then never is.
    pub(super) async fn follow(&mut self, wishes: &mut Wishes) {
        loop {
            tokio::select! {
                biased;
                asked = wishes.0.recv() => match asked {
                    Some(first) => {
                        let mut asked = vec![first];
                        // Who asked until now is served by one reading.
                        while let Ok(another) = wishes.0.try_recv() {
                            asked.push(another);
                        }
                        let outcome = self.reload().await;
                        // Who asked may ask again; nobody would ask for a file that is watched.
                        if self.watch.is_with_file() && outcome.as_ref().is_err_and(|why| why.may_pass()) {
                            self.watch.try_again(Change { file: true, named: false });
                        }
                        Asked(asked).tell(&outcome);
                    }
                    None => return std::future::pending().await,
                },
                change = self.watch.changed() => self.follow_change(change).await,
            }
        }
    }

    /// A file has changed. A configuration file that is watched comes first; where it is no good, what it names is read by itself.
    async fn follow_change(&mut self, change: Change) {
        let may_pass = |outcome: Result<(), Arc<Rejected>>| outcome.is_err_and(|why| why.may_pass());
        let file = change.file && may_pass(self.reload().await);
        let named = change.named && may_pass(self.renew().await);
        self.watch.try_again(Change { file, named });
    }

    /// Everything, from the configuration file on.
    async fn reload(&mut self) -> Result<(), Arc<Rejected>> {
        notify::reloading();
        let outcome = self.read_all().await;
        // Whether or not it was taken.
        notify::ready();
        self.record(outcome)
    }

    async fn read_all(&mut self) -> Result<(), Rejected> {
        let (plan, now) = (Arc::clone(&self.plan), self.process.clock.now());
        let attempt = blocking(move || config::load_again(&plan, now)).await;
        let Some(Attempt { outcome, seen }) = attempt else { return Err(Rejected::Stopping) };
        // Only the configuration counts as seen: where that is no good, what it names may be new and good, and is still to be read by itself.
        self.watch.has_seen(seen.only(self.watch.file()));
        let (plan, warnings) = outcome.map_err(Rejected::Problems)?;
        self.enter(plan, &warnings).await
    }

    /// The files that the configuration names.
    async fn renew(&mut self) -> Result<(), Arc<Rejected>> {
        let (plan, now) = (Arc::clone(&self.plan), self.process.clock.now());
        let renewal = blocking(move || config::files_again(&plan, now)).await;
        let Some(Renewal { plan, problems, seen }) = renewal else {
            return Err(Arc::new(Rejected::Stopping));
        };
        self.watch.has_seen(seen);
        let mut outcome = Ok(());
        if let Some((plan, warnings)) = plan {
            let entered = self.enter(plan, &warnings).await;
            outcome = self.record(entered);
        }
        if !problems.0.is_empty() {
            drop(self.record(Err(Rejected::Problems(problems))));
        }
        outcome
    }

    /// Has the plan run instead of what runs. All that can fail comes first, and the swap itself does not wait: nobody sees a part of it.
    async fn enter(&mut self, plan: Plan, warnings: &[Problem]) -> Result<(), Rejected> {
        let next = self.prepare_listeners(&plan).await?;
        let admin = self.bind_admin(plan.admin).await?;
        let (before, process) = (self.current.load_full(), Arc::clone(&self.process));
        // Reading certificates and making tables may take a while, and this thread accepts connections.
        let built = blocking(move || {
            let generation = before.succeeded_by(&plan, &process);
            (generation, plan, before)
        });
        let Some((generation, plan, before)) = built.await else { return Err(Rejected::Stopping) };
        let keys = generation.keys.has_what_is_new(&before.keys);
        if tokio::time::timeout(KEYS, keys).await.is_err() {
            return Err(Rejected::Keys(generation.keys.lacks_of_what_is_new(&before.keys)));
        }
        // Before the swap, because it may take a while, and because what it makes room for is asked for then.
        let (replay, retention) = (Arc::clone(&self.process.replay), generation.mint.retention(plan.window));
        blocking(move || replay.remember_for(retention)).await.ok_or(Rejected::Stopping)?;
        self.swap(plan, generation, next, admin);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// A listener that went with the last reload closes its sockets a moment later: one that comes back waits for that.
    async fn prepare_listeners(&self, plan: &Plan) -> Result<Next, AppError> {
        let mut tries = 0_u8;
        loop {
            match self.listeners.prepare(plan) {
                Err(AppError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse
                        && self.listeners.are_ending()
                        && tries < CLOSING =>
                {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(CLOSING_STEP).await;
                }
                prepared => return prepared,
            }
        }
    }

    async fn bind_admin(&self, address: SocketAddr) -> Result<Option<Admin>, Rejected> {
        if address == self.admin.configured {
            return Ok(None);
        }
        let in_words = |source| AppError::Bind { name: "admin".to_owned(), address, source };
        Ok(Some(Admin::bind(address).await.map_err(in_words)?))
    }

    fn swap(&mut self, plan: Plan, generation: Generation, next: Next, admin: Option<Admin>) {
        let Self { process, current, listeners, facts, .. } = self;
        let forgets = history::forgets(&self.plan, &plan);
        process.adapt_store(&plan, &generation.mint);
        process.adapt_hot_keys(&plan);
        forgets.note(process);
        let generation = Arc::new(generation);
        let files_changed = !plan.reading.has_same_files(&self.plan.reading);
        current.store(Arc::clone(&generation));
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
        listeners.become_next(next, &plan, metrics);
        if let Some(admin) = admin {
            self.admin.move_to(admin, plan.admin, facts);
        }
        if files_changed {
            generation.keys.look_at_files_again();
        }
        let number = facts.configuration.load().number.saturating_add(1);
        let now = process.clock.now();
        facts.configuration.store(Arc::new(shown(&plan, number, now, None)));
        let same_text = plan.reading.digest() == self.plan.reading.digest();
        self.watch.turn_to(&plan, same_text);
        self.plan = Arc::new(plan);
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

impl Asked {
    fn tell(self, outcome: &Result<(), Arc<Rejected>>) {
        for who in self.0 {
            // Who does not wait for it need not know.
            who.send(outcome.clone()).ok();
        }
    }
}

/// What the admin address says of a plan that runs.
pub(super) fn shown(plan: &Plan, number: u64, since: UnixTime, last: Option<Outcome>) -> Configuration {
    Configuration {
        file: plan.reading.file().display().to_string(),
        digest: hex(&plan.reading.digest()),
        number,
        since,
        effective: plan.effective.clone(),
        last,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Does something that takes a while on a thread for that; `None` where the process stops.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

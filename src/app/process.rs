//! What lives as long as the process, whatever the configuration says later.

use super::AppError;
use crate::admin::Readiness;
use crate::clock::{CLOCK_DIFFERENCE, Clock};
use crate::config::{OnStart, Plan, ReplayPlan, StopPlan};
use crate::doctor::Marks;
use crate::dpop::{AcceptanceWindow, NonceMint};
use crate::forward_auth::grpc::Health;
use crate::hot_keys::HotKeys;
use crate::observe::{AccessLog, HotKeysState, Metrics, ReplayState};
use crate::replay::{self, OpenError, Store};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a process takes to end after its drain, at most.
const SPARE: Duration = Duration::from_secs(2);
/// How often a journal that another process has is asked for.
const RETRY: Duration = Duration::from_millis(50);

/// The replay store, log and clock: no reload may lose what they remember.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) clock: Clock,
    pub(super) replay: Arc<Store>,
    pub(super) hot_keys: Arc<HotKeys>,
    pub(super) log: Option<AccessLog>,
    /// What `keyproof doctor` is about to send.
    pub(super) marks: Arc<Marks>,
    /// What `/readyz` says.
    pub(super) readiness: Readiness,
    /// The same to who asks over gRPC.
    pub(super) health: Health,
    /// What runs beside the requests.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Process {
    /// Opens the replay store and starts what tends it.
    ///
    /// # Errors
    /// The store cannot be opened; nothing is left running then.
    pub(super) async fn start(
        plan: &Plan,
        mint: &NonceMint,
        clock: Clock,
        log: Option<AccessLog>,
    ) -> Result<Self, AppError> {
        // Boxed: what Redis needs is deep, and whoever waits for a start would carry it.
        let beginning = Beginning {
            replay: &plan.replay,
            window: plan.window,
            nonce_lifetime: plan.nonce_lifetime,
            nonces_are_shared: !plan.nonce_secrets.is_empty(),
            stop: plan.stop,
        };
        let replay = Arc::new(Box::pin(beginning.open_store(mint, &clock)).await?);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(watch(Arc::clone(&replay), clock.clone(), stop.clone()));
        let hot_keys = HotKeys::new(clock.clone());
        let (marks, readiness) = (Arc::default(), Readiness::default());
        let is_ready = readiness.clone();
        let health = Health::new(move || is_ready.reasons().is_empty());
        tasks.spawn(follow(health.clone(), stop.clone()));
        let process = Self { clock, replay, hot_keys, log, marks, readiness, health, tasks, stop };
        process.adapt_hot_keys(plan);
        Ok(process)
    }

    /// Has tables be made for as many keys as this plan says.
    pub(super) fn adapt_hot_keys(&self, plan: &Plan) {
        if let Err(error) = self.hot_keys.adapt(plan.hot_keys) {
            tracing::error!(%error, "dpop.hot_keys: there is no thread to make tables: every signature is verified as with 0");
        }
    }

    /// Says where the metrics of all this come from.
    pub(super) fn tell(&self, metrics: &Metrics) {
        if let Some(log) = self.log.clone() {
            metrics.set_dropped_lines_source(Box::new(move || log.dropped()));
        }
        let source = Arc::clone(&self.replay);
        metrics.set_replay_source(Box::new(move || ReplayState {
            entries: source.len(),
            capacity: source.capacity(),
            unchecked: source.accepted_unchecked(),
            journal_errors: source.journal_errors(),
        }));
        let source = Arc::clone(&self.hot_keys);
        metrics.set_hot_keys_source(Box::new(move || {
            let state = source.state();
            HotKeysState {
                tables: state.tables,
                most: state.most,
                built: state.built,
                verified: state.verified,
                differences: state.differences,
            }
        }));
    }

    /// Has the replay store go on as this plan says.
    pub(super) fn adapt_store(&self, plan: &Plan, mint: &NonceMint) {
        self.replay.adapt(&replay::Settings {
            plan: &plan.replay,
            retention: mint.retention(plan.window),
            terms: &[plan.window.max_age, plan.window.leeway, plan.nonce_lifetime],
        });
    }

    /// Ends what runs beside the requests, and waits for it.
    pub(super) async fn end(&self) {
        // To make none takes no thread.
        self.hot_keys.adapt(0).ok();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What decides what a store says of the past when it begins.
pub(crate) struct Beginning<'a> {
    pub(crate) replay: &'a ReplayPlan,
    pub(crate) window: AcceptanceWindow,
    pub(crate) nonce_lifetime: Duration,
    /// Other processes have our nonce secret.
    pub(crate) nonces_are_shared: bool,
    pub(crate) stop: StopPlan,
}

impl Beginning<'_> {
    /// Opens the replay store and sees to it that what it says of the past is true for every replica with our nonce secret.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub(crate) async fn open_store(&self, mint: &NonceMint, clock: &Clock) -> Result<Store, OpenError> {
        let settings = replay::Settings {
            plan: self.replay,
            retention: mint.retention(self.window),
            terms: &[self.window.max_age, self.window.leeway, self.nonce_lifetime],
        };
        let store = open_when_free(&settings, self.stop, clock).await?;
        let start = clock.moment();
        if store.begins_empty() {
            // A nonce from before the start may say that it is from after it, if a replica with a faster clock made it.
            store.complete_from(if self.nonces_are_shared {
                start.later_by(CLOCK_DIFFERENCE)
            } else {
                start
            });
            if self.replay.on_start == OnStart::Challenge {
                let window = self.window.max_age.saturating_add(self.window.leeway);
                store.take_only_own_until(start.steady.saturating_add(window));
            }
        }
        Ok(store)
    }
}

/// Opens the store. Where another process has its journal, which may be ending, it is waited for as long as an end may take.
async fn open_when_free(
    settings: &replay::Settings<'_>,
    stop: StopPlan,
    clock: &Clock,
) -> Result<Store, OpenError> {
    let path = match Store::open(settings, clock).await {
        Err(OpenError::InUse { path }) => path,
        opened => return opened,
    };
    let patience = stop.delay.saturating_add(stop.timeout).saturating_add(SPARE);
    let (journal, seconds) = (path.display(), patience.as_secs());
    tracing::warn!(%journal, "another process has the replay journal: waiting {seconds} s for it to end");
    let mut over = pin!(tokio::time::sleep(patience));
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = over.as_mut() => {}
        }
        match Store::open(settings, clock).await {
            Err(OpenError::InUse { .. }) if !over.is_elapsed() => {}
            opened => return opened,
        }
    }
}

/// Tells those who watch our health.
async fn follow(health: Health, stop: CancellationToken) {
    stop.run_until_cancelled(health.follow()).await;
}

/// Lets the store do what no request should wait for.
async fn watch(replay: Arc<Store>, clock: Clock, stop: CancellationToken) {
    stop.run_until_cancelled(replay.watch(&clock)).await;
}

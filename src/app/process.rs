//! What lives as long as the process, whatever the configuration says later.

use super::AppError;
use crate::clock::{CLOCK_DIFFERENCE, Clock};
use crate::config::{OnStart, Plan, StopPlan};
use crate::doctor::Marks;
use crate::dpop::NonceMint;
use crate::observe::{AccessLog, Metrics, ReplayState};
use crate::replay::{self, Store};
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
    pub(super) log: Option<AccessLog>,
    /// What `keyproof doctor` is about to send.
    pub(super) marks: Arc<Marks>,
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
        let replay = Arc::new(Box::pin(open_store(plan, mint, &clock)).await?);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(watch(Arc::clone(&replay), clock.clone(), stop.clone()));
        Ok(Self { clock, replay, log, marks: Arc::default(), tasks, stop })
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
    }

    /// Has the replay store go on as this plan says.
    pub(super) fn adapt_store(&self, plan: &Plan, mint: &NonceMint) {
        let terms = terms(plan);
        self.replay.adapt(&replay::Settings {
            plan: &plan.replay,
            retention: mint.retention(plan.window),
            terms: &terms,
        });
    }

    /// Ends what runs beside the requests, and waits for it.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What decides how long a proof is remembered.
fn terms(plan: &Plan) -> [Duration; 3] {
    [plan.window.max_age, plan.window.leeway, plan.nonce_lifetime]
}

/// Opens the replay store and sees to it that what it says of the past is true for every replica with our nonce secret.
async fn open_store(plan: &Plan, mint: &NonceMint, clock: &Clock) -> Result<Store, AppError> {
    let settings =
        replay::Settings { plan: &plan.replay, retention: mint.retention(plan.window), terms: &terms(plan) };
    let store = open_when_free(&settings, plan.stop, clock).await?;
    let start = clock.moment();
    if store.begins_empty() {
        if !plan.nonce_secrets.is_empty() {
            // A nonce from before the start may say that it is from after it, if a replica with a faster clock made it.
            store.complete_from(start.wall.saturating_add(CLOCK_DIFFERENCE));
        }
        if plan.replay.on_start == OnStart::Challenge {
            let window = plan.window.max_age.saturating_add(plan.window.leeway);
            store.take_only_own_until(start.steady.saturating_add(window));
        }
    }
    Ok(store)
}

/// Opens the store. Where another process has its journal, which may be ending, it is waited for as long as an end may take.
async fn open_when_free(
    settings: &replay::Settings<'_>,
    stop: StopPlan,
    clock: &Clock,
) -> Result<Store, replay::OpenError> {
    let patience = stop.delay.saturating_add(stop.timeout).saturating_add(SPARE);
    let mut over = pin!(tokio::time::sleep(patience));
    let mut told = false;
    loop {
        match Store::open(settings, clock).await {
            Err(replay::OpenError::InUse { path }) if !over.is_elapsed() => {
                if !std::mem::replace(&mut told, true) {
                    let (journal, seconds) = (path.display(), patience.as_secs());
                    tracing::warn!(%journal, "another process has the replay journal: waiting {seconds} s for it to end");
                }
            }
            opened => return opened,
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = over.as_mut() => {}
        }
    }
}

/// Lets the store do what no request should wait for.
async fn watch(replay: Arc<Store>, clock: Clock, stop: CancellationToken) {
    stop.run_until_cancelled(replay.watch(&clock)).await;
}

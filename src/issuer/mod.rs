//! Where issuers' keys come from: fetched, refreshed, kept while the endpoint is down.
//!
//! One background task for each issuer does all its fetching, so that a request which waits for keys may be
//! cancelled without cancelling the fetch, and a thousand of them cause one.

mod discovery;
mod fetch;
mod keys;
#[cfg(test)]
mod tests;

pub use fetch::{Document, FetchError, MAX_DOCUMENT, fetch};

use crate::clock::Clock;
use crate::config::{IssuerPlan, KeySource};
use crate::token::{IssuerId, Issuers};
use fetch::Fetcher;
use keys::Keeper;
use rustls::RootCertStore;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Told of every attempt to get keys: the issuer's name, and whether there are good ones now.
pub type OnRefresh = Arc<dyn Fn(&str, bool) + Send + Sync>;

/// Keeps every issuer's keys fresh, in background tasks of the given tracker.
pub struct KeyKeeper {
    issuers: Arc<Issuers>,
    keepers: Vec<Arc<Keeper>>,
}

impl std::fmt::Debug for KeyKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyKeeper").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

/// How long things take and last.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// One attempt, discovery included, and how long a request waits for one.
    attempt: Duration,
    /// From the start of an attempt that an unknown key caused to the next one.
    cooldown: Duration,
    /// Between two attempts when all is well and the endpoint's `max-age` says nothing.
    interval: Duration,
    /// The bounds of `max-age`.
    max_age: (Duration, Duration),
    /// The first and the longest wait after a failure.
    retry: (Duration, Duration),
    /// How long keys stay in use while they cannot be fetched again.
    max_stale: Duration,
}

const TIMING: Timing = Timing {
    attempt: Duration::from_secs(5),
    cooldown: Duration::from_secs(30),
    interval: Duration::from_secs(600),
    max_age: (Duration::from_secs(60), Duration::from_secs(3600)),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    max_stale: Duration::from_secs(24 * 3600),
};

impl KeyKeeper {
    /// Starts fetching. Keys from files are read before this returns. `issuers` was made of the rules of the
    /// same plans.
    pub fn start(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        clock: &Clock,
        on_refresh: &OnRefresh,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        Self::start_with(plans, issuers, clock, on_refresh, tasks, stop, TIMING)
    }

    fn start_with(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        clock: &Clock,
        on_refresh: &OnRefresh,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        timing: Timing,
    ) -> Arc<Self> {
        // Reading the system's authorities takes a while and may warn: not where all keys are files.
        let files_only = plans.iter().all(|plan| matches!(plan.keys, KeySource::File(_)));
        let fetcher = if files_only { Fetcher::trusting(RootCertStore::empty()) } else { Fetcher::new() };
        let start = |(place, plan): (usize, &IssuerPlan)| {
            let keeper = Arc::new(Keeper::new(
                IssuerId(place),
                plan,
                Arc::clone(&issuers),
                fetcher.clone(),
                clock.clone(),
                Arc::clone(on_refresh),
                timing,
            ));
            let memory = keeper.begin();
            tasks.spawn(Arc::clone(&keeper).run(memory, stop.clone()));
            keeper
        };
        let keepers = plans.iter().enumerate().map(start).collect();
        Arc::new(Self { issuers, keepers })
    }

    /// A token named an unknown key: fetch once (single flight, at most every 30 s per issuer) and wait for
    /// it, at most 5 s. `true` if the keys were fetched and verifying again makes sense.
    pub async fn refresh(&self, issuer: IssuerId) -> bool {
        match self.keepers.get(issuer.0) {
            Some(keeper) => keeper.refresh().await,
            None => false,
        }
    }

    /// Waits until every issuer's keys were asked for once, successfully or not: at most 5 s.
    pub async fn settled(&self) {
        for keeper in &self.keepers {
            keeper.settled().await;
        }
    }

    /// Whether every issuer has keys.
    pub fn ready(&self) -> bool {
        self.issuers.iter().all(|(_, issuer)| issuer.keys().is_some())
    }
}

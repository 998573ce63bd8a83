//! Where issuers' keys come from: fetched, refreshed, kept while the endpoint is down.
//!
//! One background task for each issuer does all its fetching, so that a request which waits for keys may be
//! cancelled without cancelling the fetch, and a thousand of them cause one.
//!
//! A signature that its named key does not verify causes none: every stranger can make such tokens, and nobody could tell a forgery from a
//! key that was replaced under its old `kid`. The next regular fetch notices that; RFC 7517 section 4.5 wants distinct names.

mod discovery;
mod fetch;
mod keys;
mod progress;
#[cfg(test)]
mod tests;

pub use discovery::{Tried, first_good, well_known};
pub use fetch::{Document, FetchError, fetch};

use crate::clock::Clock;
use crate::config::{IssuerPlan, KeySource};
use crate::net::Proxies;
use crate::token::{IssuerId, Issuers, TokenError};
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

/// What came of asking for a key that was not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether to verify again, and what a key that is still missing means"]
pub enum Refreshed {
    /// The keys were fetched since this key was first asked for: verify again; one that is still missing does not exist.
    Fetched,
    /// The keys were fetched, but that fetch began before this key was first asked for: verify again; one that is still missing may
    /// exist.
    Overtaken,
    /// The keys were fetched earlier, after this key was first asked for, or come from a file: it does not exist.
    Absent,
    /// The keys cannot be fetched now: it may exist.
    Unavailable,
}

impl Refreshed {
    /// Whether there may be keys now that were not there before: verify again.
    pub const fn verify_again(self) -> bool {
        match self {
            Self::Fetched | Self::Overtaken => true,
            Self::Absent | Self::Unavailable => false,
        }
    }

    /// What a key means that is missing after that: the client's fault only where a fetch has proved it.
    pub const fn still_missing(self, issuer: IssuerId) -> TokenError {
        match self {
            Self::Fetched | Self::Absent => TokenError::UnknownKey(issuer),
            Self::Overtaken | Self::Unavailable => TokenError::KeysUnavailable(issuer),
        }
    }
}

/// How long things take and last.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// One attempt, discovery included, and how long a request waits for one.
    attempt: Duration,
    /// From the start of an attempt that an unknown key caused to the next one.
    cooldown: Duration,
    /// For how long a fetch proves that a key is not there.
    absence: Duration,
    /// Between two attempts when all is well and the endpoint's `max-age` says nothing.
    interval: Duration,
    /// The bounds of `max-age`.
    max_age: (Duration, Duration),
    /// The first and the longest wait after a failure.
    retry: (Duration, Duration),
    /// How long keys stay in use while they cannot be fetched again.
    max_stale: Duration,
}

/// With what keys are fetched.
#[derive(Clone, Debug)]
struct Means {
    fetcher: Fetcher,
    timing: Timing,
}

const TIMING: Timing = Timing {
    attempt: Duration::from_secs(5),
    cooldown: Duration::from_secs(30),
    absence: Duration::from_secs(600),
    interval: Duration::from_secs(600),
    max_age: (Duration::from_secs(60), Duration::from_secs(3600)),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    max_stale: Duration::from_secs(24 * 3600),
};

impl KeyKeeper {
    /// Starts fetching, through these proxies. Keys from files are read before this returns. `issuers` was made of the rules of the
    /// same plans.
    pub fn start(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        clock: &Clock,
        on_refresh: &OnRefresh,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        proxies: &Proxies,
    ) -> Arc<Self> {
        // Reading the system's authorities takes a while and may warn: not where all keys are files.
        let files_only = plans.iter().all(|plan| matches!(plan.keys, KeySource::File(_)));
        let fetcher = if files_only {
            Fetcher::trusting(RootCertStore::empty(), proxies)
        } else {
            if let Some(proxy) = proxies.shown() {
                tracing::info!(%proxy, "issuers are asked through a proxy, except those in NO_PROXY");
            }
            Fetcher::new(proxies)
        };
        Self::start_with(plans, issuers, clock, on_refresh, tasks, stop, &Means { fetcher, timing: TIMING })
    }

    fn start_with(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        clock: &Clock,
        on_refresh: &OnRefresh,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        means: &Means,
    ) -> Arc<Self> {
        let start = |(place, plan): (usize, &IssuerPlan)| {
            let keeper = Arc::new(Keeper::new(
                IssuerId(place),
                plan,
                Arc::clone(&issuers),
                means.clone(),
                clock.clone(),
                Arc::clone(on_refresh),
            ));
            let memory = keeper.begin();
            tasks.spawn(Arc::clone(&keeper).run(memory, stop.clone()));
            keeper
        };
        let keepers = plans.iter().enumerate().map(start).collect();
        Arc::new(Self { issuers, keepers })
    }

    /// No key of the issuer fits this token: fetch them (one fetch for everybody who asks, at most every 30 s because of missing keys)
    /// and wait for it, at most 5 s.
    pub async fn refresh(&self, issuer: IssuerId, token: &str) -> Refreshed {
        match self.keepers.get(issuer.0) {
            Some(keeper) => keeper.refresh(token).await,
            None => Refreshed::Absent,
        }
    }

    /// Waits until every issuer's keys were asked for once, successfully or not: at most 5 s.
    pub async fn settled(&self) {
        for keeper in &self.keepers {
            keeper.settled().await;
        }
    }

    /// Which issuers have no keys, a line for each that says why: its name, and what came of the last attempt.
    pub fn missing(&self) -> Vec<String> {
        self.keepers.iter().filter_map(|keeper| keeper.lacks_keys()).collect()
    }
}

//! Where issuers' keys come from: fetched, refreshed, kept while the endpoint is down; and what they say of a token when they are asked.
//!
//! One background task for each issuer does all its fetching, so that a request which waits for keys may be
//! cancelled without cancelling the fetch, and a thousand of them cause one.
//!
//! A signature that its named key does not verify causes none: every stranger can make such tokens, and nobody could tell a forgery from a
//! key that was replaced under its old `kid`. The next regular fetch notices that; RFC 7517 section 4.5 wants distinct names.

mod discovery;
mod fetch;
mod introspection;
mod keys;
mod progress;
#[cfg(test)]
mod tests;

pub use discovery::{Tried, first_good, well_known};
pub use fetch::{Document, FetchError, fetch};
pub use introspection::{Answered, Introspection, OnAnswer};

use crate::clock::Clock;
use crate::config::{IssuerPlan, KeySource};
use crate::net::{self, Proxies};
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
    keepers: Vec<(IssuerId, Arc<Running>)>,
}

/// A keeper and its task, which ends with the last configuration that has the issuer.
struct Running {
    keeper: Arc<Keeper>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the tasks need.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// When keys are too old.
    pub clock: &'a Clock,
    /// Told of every attempt.
    pub on_refresh: &'a OnRefresh,
    /// Where the tasks run.
    pub tasks: &'a TaskTracker,
    /// Ends all of them.
    pub stop: &'a CancellationToken,
    /// The way out to issuers.
    pub proxies: &'a Proxies,
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

impl Means {
    /// Those for this issuer: with whom it trusts, and for as long as its keys may be kept.
    fn of(&self, plan: &IssuerPlan, proxies: &Proxies) -> Self {
        let fetcher = match &plan.authorities {
            Some(authorities) => Fetcher::trusting(net::tls::roots(authorities), proxies),
            None => self.fetcher.clone(),
        };
        Self { fetcher, timing: Timing { max_stale: plan.max_stale, ..self.timing } }
    }
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
    /// Starts fetching. Keys from files are read before this returns. `issuers` was made of the rules of the same plans.
    ///
    /// `before` is who kept keys until now: an issuer that it [keeps](Self::keeps) goes on with the same keeper, in the same slot.
    pub fn start(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        before: Option<&Self>,
        surroundings: Surroundings<'_>,
    ) -> Arc<Self> {
        let proxies = surroundings.proxies;
        let is_new = |plan: &&IssuerPlan| !before.is_some_and(|before| before.keeps(plan));
        // Reading the system's authorities takes a while and may warn: not where all keys are files.
        let with_own =
            |plan: &IssuerPlan| plan.authorities.is_some() || matches!(plan.keys, KeySource::File(_));
        let files_only = plans.iter().filter(is_new).all(with_own);
        let fetcher = if files_only {
            Fetcher::trusting(RootCertStore::empty(), proxies)
        } else {
            if let Some(proxy) = proxies.shown() {
                tracing::info!(%proxy, "issuers are asked through a proxy, except those in NO_PROXY");
            }
            Fetcher::new(proxies)
        };
        Self::start_with(plans, issuers, before, surroundings, &Means { fetcher, timing: TIMING })
    }

    fn start_with(
        plans: &[IssuerPlan],
        issuers: Arc<Issuers>,
        before: Option<&Self>,
        surroundings: Surroundings<'_>,
        means: &Means,
    ) -> Arc<Self> {
        let Surroundings { clock, on_refresh, tasks, stop, proxies } = surroundings;
        let start = |plan: &IssuerPlan| {
            if let Some(running) = before.and_then(|before| before.running(plan)) {
                return Some((plan.id, Arc::clone(running)));
            }
            let slot = Arc::clone(issuers.issuer(plan.id)?.slot());
            let keeper = Arc::new(Keeper::new(
                plan,
                slot,
                means.of(plan, proxies),
                clock.clone(),
                Arc::clone(on_refresh),
            ));
            let (memory, stop) = (keeper.begin(), stop.child_token());
            tasks.spawn(Arc::clone(&keeper).run(memory, stop.clone()));
            Some((plan.id, Arc::new(Running { keeper, stop })))
        };
        let keepers = plans.iter().filter_map(start).collect();
        Arc::new(Self { issuers, keepers })
    }

    /// Whether the keys of this issuer would be the same as they are here: its identifier and where its keys come from are.
    pub fn keeps(&self, plan: &IssuerPlan) -> bool {
        self.running(plan).is_some()
    }

    fn running(&self, plan: &IssuerPlan) -> Option<&Arc<Running>> {
        self.of(plan.id).filter(|running| running.keeper.is_for(plan))
    }

    fn of(&self, issuer: IssuerId) -> Option<&Arc<Running>> {
        self.keepers.iter().find(|(id, _)| *id == issuer).map(|(_, running)| running)
    }

    /// Waits until every issuer that `before` did not keep has keys.
    pub async fn has_what_is_new(&self, before: &Self) {
        let was_kept =
            |running: &Arc<Running>| before.keepers.iter().any(|(_, old)| Arc::ptr_eq(old, running));
        for (_, running) in self.keepers.iter().filter(|(_, running)| !was_kept(running)) {
            running.keeper.obtained().await;
        }
    }

    /// Which of the issuers that `before` did not keep have no keys, in words.
    pub fn lacks_of_what_is_new(&self, before: &Self) -> Vec<String> {
        let was_kept =
            |running: &Arc<Running>| before.keepers.iter().any(|(_, old)| Arc::ptr_eq(old, running));
        let new = self.keepers.iter().filter(|(_, running)| !was_kept(running));
        new.filter_map(|(_, running)| running.keeper.lacks_keys()).collect()
    }

    /// Files with keys may have changed: they are read again.
    pub fn look_at_files_again(&self) {
        self.keepers.iter().for_each(|(_, running)| running.keeper.look_again());
    }

    /// No key of the issuer fits this token: fetch them (one fetch for everybody who asks, at most every 30 s because of missing keys)
    /// and wait for it, at most 5 s.
    pub async fn refresh(&self, issuer: IssuerId, token: &str) -> Refreshed {
        match self.of(issuer) {
            Some(running) => running.keeper.refresh(token).await,
            None => Refreshed::Absent,
        }
    }

    /// Waits until every issuer's keys were asked for once, successfully or not: at most 5 s.
    pub async fn settled(&self) {
        for (_, running) in &self.keepers {
            running.keeper.settled().await;
        }
    }

    /// Which issuers have no keys, a line for each that says why: its name, and what came of the last attempt.
    pub fn missing(&self) -> Vec<String> {
        self.keepers.iter().filter_map(|(_, running)| running.keeper.lacks_keys()).collect()
    }
}

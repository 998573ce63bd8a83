//! A configuration that was read and is good, before it is in force.

use super::generation::Generation;
use super::process::Process;
use super::reload::blocking;
use super::wishes::Asked;
use crate::config::{IssuerPlan, Plan, Problem};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long the keys of a new source may take.
const KEYS: Duration = Duration::from_secs(5);

/// What could run.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) generation: Arc<Generation>,
    pub(super) plan: Arc<Plan>,
    pub(super) warnings: Vec<Problem>,
}

/// One that has issuers, or sources of keys, without keys yet. What runs runs on meanwhile, and its files are renewed: a certificate does not
/// wait for somebody's keys.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) candidate: Candidate,
    pub(super) asked: Asked,
    time: Pin<Box<Sleep>>,
}

impl Candidate {
    /// What comes after `before` by this plan; `None` where the process stops.
    ///
    /// Reading certificates and making tables may take a while, and this thread accepts connections.
    pub(super) async fn build(
        before: Arc<Generation>,
        plan: Plan,
        warnings: Vec<Problem>,
        process: &Arc<Process>,
    ) -> Option<Self> {
        let process = Arc::clone(process);
        let built = blocking(move || {
            let generation = Arc::new(before.succeeded_by(&plan, &process));
            // The last of an old one may take a while too, where it ends.
            drop(before);
            Self { generation, plan: Arc::new(plan), warnings }
        });
        built.await
    }
}

impl Waiting {
    /// Begins to wait, in place of one that did. Whoever asks for the same again and again gets no more time by it.
    pub(super) fn begin(candidate: Candidate, asked: Asked, before: Option<Self>) -> Self {
        let Some(before) = before else { return Self { candidate, asked, time: Box::pin(sleep(KEYS)) } };
        let are_awaited = candidate.plan.issuers.iter().all(|issuer| before.keys_of(issuer));
        let time = if are_awaited { before.time } else { Box::pin(sleep(KEYS)) };
        Self { candidate, asked: asked.and(before.asked), time }
    }

    /// Done when the keys of what is new have come, or their time is over. Where nothing waits, never.
    pub(super) async fn is_over(waiting: &mut Option<Self>, current: &Generation) {
        let Some(Self { candidate, time, .. }) = waiting else { return std::future::pending().await };
        tokio::select! {
            biased;
            () = candidate.generation.keys.has_what_is_new(&current.keys) => {}
            () = time => {}
        }
    }

    /// Whether this plan can go on with the keys that are here, or on their way, and loses none that runs.
    pub(super) fn has_keys_for(&self, plan: &Plan, current: &Generation) -> bool {
        plan.issuers.iter().all(|issuer| self.keys_of(issuer) || !current.keys.keeps(issuer))
    }

    fn keys_of(&self, issuer: &IssuerPlan) -> bool {
        self.candidate.generation.keys.keeps(issuer)
    }
}

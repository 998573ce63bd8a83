//! What lives until the configuration is read again.

use super::process::Process;
use crate::authorize::Authorizer;
use crate::clock::Clock;
use crate::config::{Plan, StopPlan};
use crate::dpop::Verifier;
use crate::gate::Gate;
use crate::issuer::{KeyKeeper, OnRefresh};
use crate::observe::Metrics;
use crate::proxy::Proxy;
use crate::token::Issuers;
use std::sync::Arc;

/// One reading of the configuration, running. A request is served by one of them from its beginning to its end.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) keys: Arc<KeyKeeper>,
    pub(super) proxy: Proxy,
    pub(super) stop: StopPlan,
}

impl Generation {
    /// Starts fetching keys, and puts the doors before one gate.
    pub(super) fn start(plan: &Plan, process: &Process) -> Self {
        let rules = plan.issuers.iter().map(|issuer| issuer.rules.clone()).collect();
        let issuers = Arc::new(Issuers::new(rules));
        let on_refresh = count_refreshes(&process.observer.metrics, &process.clock);
        let keys = KeyKeeper::start(
            &plan.issuers,
            Arc::clone(&issuers),
            &process.clock,
            &on_refresh,
            &process.tasks,
            &process.stop,
            &plan.proxies,
        );
        let proofs = Verifier::new(plan.proof_algorithms.clone(), plan.window, Arc::clone(&process.mint));
        let replay = Arc::clone(&process.replay);
        let authorizer = Authorizer { issuers, proofs, replay, on_start: plan.replay.on_start };
        let gate = Arc::new(Gate::new(plan, authorizer, Arc::clone(&keys), process.clock.clone()));
        let proxy = Proxy::new(plan, gate, Arc::clone(&process.observer), process.clock.clone());
        Self { keys, proxy, stop: plan.stop }
    }
}

fn count_refreshes(metrics: &Arc<Metrics>, clock: &Clock) -> OnRefresh {
    let (metrics, clock) = (Arc::clone(metrics), clock.clone());
    Arc::new(move |issuer, ok| metrics.jwks_refresh(issuer, ok, clock.now()))
}

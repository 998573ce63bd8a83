//! What lives until the configuration is read again.

use super::process::Process;
use crate::authorize::Authorizer;
use crate::config::{IssuerPlan, OnStart, Plan, StopPlan};
use crate::dpop::{AcceptanceWindow, NonceMint, Verifier};
use crate::entrance::Entrance;
use crate::forward_auth::{Decisions, ExtAuthz, ForwardAuth};
use crate::gate::Gate;
use crate::issuer::{Introspection, KeyKeeper, OnAnswer, OnRefresh, Surroundings};
use crate::names::{IssuerId, Names};
use crate::observe::{Metrics, Observer};
use crate::proxy::Proxy;
use crate::token::{IssuerRules, Issuers};
use std::sync::Arc;

/// One reading of the configuration, running. A request is served by one of them from its beginning to its end.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) keys: Arc<KeyKeeper>,
    pub(super) proxy: Proxy,
    pub(super) forward_auth: ForwardAuth,
    pub(super) ext_authz: ExtAuthz,
    pub(super) observer: Arc<Observer>,
    pub(super) terms: Terms,
    pub(super) stop: StopPlan,
    pub(super) mint: Arc<NonceMint>,
    pub(super) issuers: Arc<Issuers>,
    introspection: Arc<Introspection>,
    proofs: Verifier,
    names: Names,
}

/// What decides whether it is ready.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) window: AcceptanceWindow,
    /// `replay.redis.on_failure` is `accept`.
    pub(super) passes_unchecked: bool,
    /// `replay.on_start` is `wait`.
    pub(super) waits: bool,
}

impl Generation {
    /// The first one: starts fetching keys, and puts the doors before one gate.
    pub(super) fn first(plan: &Plan, process: &Process, mint: Arc<NonceMint>) -> Self {
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), &plan.names));
        let observer = Arc::new(Observer { metrics, log: process.log.clone() });
        let issuers = Issuers::named(plan.issuers.iter().map(rules));
        issuers.deny(plan.deny_list());
        let proofs = Verifier::new(plan.proof_algorithms.clone(), plan.window, Arc::clone(&mint));
        Self::build(plan, process, Parts { before: None, observer, issuers, proofs, mint })
    }

    /// The one that comes after this. It has what this one knows wherever that was decided by what has not changed: keys, verified tokens,
    /// connections to servers.
    pub(super) fn succeeded_by(&self, plan: &Plan, process: &Process) -> Self {
        let observer = if plan.names == self.names {
            Arc::clone(&self.observer)
        } else {
            let metrics = Arc::new(self.observer.metrics.renamed(&plan.names));
            Arc::new(Observer { metrics, log: process.log.clone() })
        };
        let keeps = |id| plan.issuers.iter().any(|issuer| issuer.id == id && self.keys.keeps(issuer));
        let issuers = self.issuers.succeeded_by(plan.issuers.iter().map(rules), keeps);
        let mint = Arc::new(self.mint.succeeded_by(&plan.nonce_secrets, plan.nonce_lifetime));
        let proofs = self.proofs.succeeded_by(plan.proof_algorithms.clone(), plan.window, Arc::clone(&mint));
        Self::build(plan, process, Parts { before: Some(self), observer, issuers, proofs, mint })
    }

    fn build(plan: &Plan, process: &Process, parts: Parts<'_>) -> Self {
        let Parts { before, observer, issuers, proofs, mint } = parts;
        let issuers = Arc::new(issuers);
        let surroundings = Surroundings {
            clock: &process.clock,
            on_refresh: &count_refreshes(&observer.metrics, process),
            tasks: &process.tasks,
            stop: &process.stop,
            proxies: &plan.proxies,
        };
        let keys_before = before.map(|before| &*before.keys);
        let keys = KeyKeeper::start(&plan.issuers, Arc::clone(&issuers), keys_before, surroundings);
        let on_answer = count_answers(&observer.metrics);
        let asked_before = before.map(|before| &*before.introspection);
        let introspection =
            Introspection::new(&plan.issuers, asked_before, &issuers, &keys, &on_answer, surroundings);
        let introspection = Arc::new(introspection);
        let hot_keys = (plan.hot_keys > 0).then(|| Arc::clone(&process.hot_keys));
        let authorizer = Authorizer {
            issuers: Arc::clone(&issuers),
            proofs: proofs.clone().with_hot_keys(hot_keys),
            replay: Arc::clone(&process.replay),
            on_start: plan.replay.on_start,
        };
        let gate = Arc::new(Gate::new(
            plan,
            authorizer,
            Arc::clone(&keys),
            Arc::clone(&introspection),
            Arc::clone(&process.marks),
            process.clock.clone(),
        ));
        let entrance = Arc::new(Entrance::new(plan, Arc::clone(&observer), process.clock.clone()));
        let decisions = Arc::new(Decisions::new(plan, Arc::clone(&gate), Arc::clone(&entrance)));
        let forward_auth = ForwardAuth(Arc::clone(&decisions));
        let ext_authz = ExtAuthz { decisions, health: process.health.clone() };
        let proxy = Proxy::new(plan, gate, entrance, before.map(|before| &before.proxy));
        let terms = Terms {
            window: plan.window,
            passes_unchecked: plan.replay.redis.as_ref().is_some_and(|redis| redis.accept_on_failure),
            waits: plan.replay.on_start == OnStart::Wait,
        };
        let (stop, names) = (plan.stop, plan.names.clone());
        Self {
            keys,
            proxy,
            forward_auth,
            ext_authz,
            observer,
            terms,
            stop,
            mint,
            issuers,
            introspection,
            proofs,
            names,
        }
    }
}

/// What a generation is built of.
struct Parts<'a> {
    before: Option<&'a Generation>,
    observer: Arc<Observer>,
    issuers: Issuers,
    proofs: Verifier,
    mint: Arc<NonceMint>,
}

fn rules(issuer: &IssuerPlan) -> (IssuerId, IssuerRules) {
    (issuer.id, issuer.rules.clone())
}

fn count_answers(metrics: &Arc<Metrics>) -> OnAnswer {
    let metrics = Arc::clone(metrics);
    Arc::new(move |issuer, result, duration| metrics.introspection(issuer, result.label(), duration))
}

fn count_refreshes(metrics: &Arc<Metrics>, process: &Process) -> OnRefresh {
    let (metrics, clock) = (Arc::clone(metrics), process.clock.clone());
    Arc::new(move |issuer, ok| metrics.jwks_refresh(issuer, ok, clock.now()))
}

//! When the gateway is ready.

use super::process::Process;
use crate::admin::Readiness;
use crate::config::{OnStart, Plan};
use crate::issuer::KeyKeeper;
use std::sync::Arc;
use std::time::Duration;

/// The checks behind `/readyz`.
pub(super) fn of(plan: &Plan, process: &Process, keys: &Arc<KeyKeeper>) -> Readiness {
    let (replay, clock) = (&process.replay, &process.clock);
    let readiness = Readiness::default();
    let keys = Arc::clone(keys);
    readiness.check(move || keys.missing().into_iter().map(|why| format!("issuers: {why}")).collect());
    if plan.replay.redis.as_ref().is_some_and(|redis| !redis.accept_on_failure) {
        let replay = Arc::clone(replay);
        readiness.check(move || replay.trouble().map(|why| format!("replay: {why}")).into_iter().collect());
    }
    if plan.replay.on_start == OnStart::Wait {
        let (replay, clock, leeway) = (Arc::clone(replay), clock.clone(), plan.window.leeway);
        readiness.check(move || {
            // From then on an honest client's proof, made just now, cannot have been used before the store remembers. Its `iat` is a
            // whole second, up to one before the moment it was made.
            let settled =
                replay.complete_since().saturating_add(leeway).saturating_add(Duration::from_secs(1));
            match clock.now() < settled {
                true => vec!["replay: waiting until no new proof can be from before the start".to_owned()],
                false => Vec::new(),
            }
        });
    }
    readiness
}

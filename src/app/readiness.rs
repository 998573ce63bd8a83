//! When the gateway is ready.

use super::history::settled;
use super::process::Process;
use crate::admin::Readiness;
use crate::config::{OnStart, Plan};
use crate::issuer::KeyKeeper;
use std::sync::Arc;

/// The checks behind `/readyz`.
pub(super) fn of(plan: &Plan, process: &Process, keys: &Arc<KeyKeeper>) -> Readiness {
    let (replay, clock) = (&process.replay, &process.clock);
    let readiness = Readiness::default();
    let keys = Arc::clone(keys);
    readiness.check(move || keys.missing().into_iter().map(|why| format!("issuers: {why}")).collect());
    if !plan.replay.redis.as_ref().is_some_and(|redis| redis.accept_on_failure) {
        let replay = Arc::clone(replay);
        readiness.check(move || replay.trouble().map(|why| format!("replay: {why}")).into_iter().collect());
    }
    if plan.replay.on_start == OnStart::Wait {
        let (replay, clock, window) = (Arc::clone(replay), clock.clone(), plan.window);
        readiness.check(move || {
            // Nobody waits for a clock to catch up with what it showed before: where it was set back clients are challenged.
            let now = clock.now();
            match now < settled(&replay, window) && replay.begins_near(now) {
                true => vec!["replay: waiting until no new proof can be from before the start".to_owned()],
                false => Vec::new(),
            }
        });
    }
    readiness
}

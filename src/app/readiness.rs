//! When the gateway is ready.

use super::generation::Generation;
use super::history::settled;
use super::process::Process;
use crate::admin::Readiness;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The checks behind `/readyz`, by the configuration that runs when somebody asks. They do not keep it alive: it asks them in its turn, and
/// neither would ever end.
pub(super) fn of(process: &Process, current: &Arc<ArcSwap<Generation>>) -> Readiness {
    let readiness = process.readiness.clone();
    let (current, replay, clock) =
        (Arc::downgrade(current), Arc::clone(&process.replay), process.clock.clone());
    readiness.check(move || {
        let Some(current) = current.upgrade() else { return vec!["the process has ended".to_owned()] };
        let generation = current.load();
        let terms = &generation.terms;
        let mut reasons: Vec<_> =
            generation.keys.missing().into_iter().map(|why| format!("issuers: {why}")).collect();
        if !terms.passes_unchecked {
            reasons.extend(replay.trouble().map(|why| format!("replay: {why}")));
        }
        // Nobody waits for a clock to catch up with what it showed before: where it was set back clients are challenged.
        let now = clock.moment();
        let waits = terms.waits && now.wall < settled(&replay, terms.window, now) && replay.begins_near(now);
        if waits && !replay.begins_by_reload() {
            reasons.push("replay: waiting until no new proof can be from before the start".to_owned());
        }
        reasons
    });
    readiness
}

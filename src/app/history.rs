//! The seconds after a start for which the replay store does not vouch.

use super::process::Process;
use crate::clock::UnixTime;
use crate::config::{OnStart, Plan, ReplayPlan, RoutePlan};
use crate::dpop::AcceptanceWindow;
use crate::observe::rfc3339;
use crate::replay::Store;
use std::time::Duration;

/// From then on an honest client's proof, made just now, cannot have been used before the store remembers. Its `iat` is a whole second, up to
/// one before the moment it was made.
pub(super) fn settled(replay: &Store, window: AcceptanceWindow) -> UnixTime {
    replay.complete_since().saturating_add(window.leeway).saturating_add(Duration::from_secs(1))
}

/// Says until when proofs are treated otherwise than later, where they are: whoever watches a roll-out would wonder.
pub(super) fn announce(plan: &Plan, process: &Process) {
    let now = process.clock.now();
    let mut settled = settled(&process.replay, plan.window);
    if process.replay.begins_empty() && plan.replay.on_start == OnStart::Challenge {
        settled = settled.max(now.saturating_add(plan.window.max_age).saturating_add(plan.window.leeway));
    }
    if settled <= now || !plan.routes.iter().any(takes_proofs) {
        return;
    }
    let (until, settings) = (rfc3339(settled), remedy(&plan.replay));
    match plan.replay.on_start {
        OnStart::Challenge => tracing::info!(
            until,
            settings,
            "until then every proof without a nonce from after this start gets use_dpop_nonce: it could have been used before"
        ),
        OnStart::Wait => tracing::info!(
            until,
            settings,
            "not ready until then: a proof made before could have been used before this start"
        ),
    }
}

const fn takes_proofs(route: &RoutePlan) -> bool {
    !route.policy.public && route.policy.accept.dpop
}

/// What changes it.
fn remedy(replay: &ReplayPlan) -> String {
    let other = match replay.on_start {
        OnStart::Challenge => "replay.on_start: wait is not ready until then instead",
        OnStart::Wait => "replay.on_start: challenge asks for a nonce until then instead",
    };
    if replay.redis.is_some() || replay.journal.is_some() {
        return other.to_owned();
    }
    format!("{other}; with replay.journal or replay.store: redis a restart forgets nothing")
}

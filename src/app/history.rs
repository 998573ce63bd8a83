//! The seconds after a start for which the replay store does not vouch.

use super::process::Process;
use crate::clock::{Moment, UnixTime};
use crate::config::{OnStart, Plan, ReplayPlan, RoutePlan};
use crate::dpop::AcceptanceWindow;
use crate::observe::rfc3339;
use crate::replay::Store;
use std::time::Duration;

/// From then on an honest client's proof, made just now, cannot have been used before the store remembers. Its `iat` is a whole second, up to
/// one before the moment it was made.
pub(crate) fn settled(replay: &Store, window: AcceptanceWindow, now: Moment) -> UnixTime {
    replay.complete_since_by(now).saturating_add(window.leeway).saturating_add(Duration::from_secs(1))
}

/// Says until when proofs are treated otherwise than later, where they are: whoever watches a roll-out would wonder.
pub(super) fn announce(plan: &Plan, process: &Process) {
    let read = process.clock.moment();
    let (now, mut settled) = (read.wall, settled(&process.replay, plan.window, read));
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

/// What a reload makes the replay store forget.
#[derive(Debug)]
pub(super) struct Forgets(Option<Duration>);

/// Under other terms a proof that was used, expired and dropped might be acceptable again.
///
/// Its `until` is told by the window, or by the lifetime of nonces where the route requires them. So it may be another where either has become
/// longer, or where the same proof may now meet another policy.
pub(super) fn forgets(before: &Plan, after: &Plan) -> Forgets {
    let is_longer = after.window.max_age > before.window.max_age
        || after.window.leeway > before.window.leeway
        || after.nonce_lifetime > before.nonce_lifetime;
    let others = is_longer || may_meet_another_policy(before, after);
    // A proof of before may say that it is from later, by as much as was allowed then and is not now.
    Forgets(others.then(|| before.window.leeway.saturating_sub(after.window.leeway)))
}

impl Forgets {
    /// Proofs that could have been used before now are challenged.
    pub(super) fn note(&self, process: &Process) {
        if let Some(ahead) = self.0 {
            process.replay.terms_changed_at(process.clock.moment().later_by(ahead));
        }
    }

    /// Whether it does.
    pub(super) const fn any(&self) -> bool {
        self.0.is_some()
    }
}

/// Whether there are routes of both nonce policies, and which request meets which may have changed.
fn may_meet_another_policy(before: &Plan, after: &Plan) -> bool {
    let policies = |plan: &Plan| -> Vec<_> {
        let asked = plan.routes.iter().filter(|route| takes_proofs(route));
        asked.map(|route| (route.matcher.clone(), route.policy.nonce)).collect()
    };
    let (before, after) = (policies(before), policies(after));
    let mut all = before.iter().chain(&after).map(|(_, nonce)| *nonce);
    let first = all.next();
    all.any(|nonce| Some(nonce) != first)
        && !(before.len() == after.len()
            && before.iter().all(|(matcher, nonce)| {
                after.iter().any(|(other, policy)| matcher.takes_the_same(other) && policy == nonce)
            }))
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

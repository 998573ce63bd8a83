//! What is known of one server, and what follows from it: no clock, no lock, no socket.

use crate::clock::UnixTime;
use crate::config::{EjectPlan, HealthPlan};
use std::time::Duration;

/// The longest rest.
const LONGEST: Duration = Duration::from_secs(300);
/// After so many answers a server that came back is as good as any other, where `eject.after` does not say.
const ANSWERS: u32 = 5;

/// What is known of a server. All times are of the clock that nobody sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Requests that failed, in a row.
    failed: u32,
    /// What its checks say.
    unhealthy: bool,
    /// Checks in a row that say otherwise.
    contrary: u32,
    /// Its last rest.
    rest: Option<Rest>,
    /// It came back from a rest, or was unhealthy: how many requests it has answered since then. `None`: enough.
    back: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    since: UnixTime,
    length: Duration,
    /// When it was as good as any other again; `None`: it is not yet.
    good_since: Option<UnixTime>,
}

/// What may be done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum State {
    /// It takes requests.
    Whole,
    /// It is back, and takes so many at once.
    Back { at_once: u32 },
    /// It rests.
    Ejected { since: UnixTime },
    /// It gets nothing.
    Unhealthy,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It rests so long.
    Ejected(Duration),
    /// It is as good as any other again.
    Whole,
    /// Its checks failed.
    Unhealthy,
    /// Its checks are good again.
    Healthy,
}

impl Health {
    pub(super) fn state(&self, now: UnixTime) -> State {
        match (self.unhealthy, self.rest, self.back) {
            (true, _, _) => State::Unhealthy,
            (false, _, None) => State::Whole,
            (false, Some(Rest { since, length, .. }), _) if now < since.saturating_add(length) => {
                State::Ejected { since }
            }
            (false, _, Some(answers)) => State::Back { at_once: answers.saturating_add(1) },
        }
    }

    /// It takes requests like any other, and none of them failed of late.
    pub(super) fn is_plain(&self) -> bool {
        self.takes_all() && self.failed == 0
    }

    /// It takes requests like any other.
    pub(super) fn takes_all(&self) -> bool {
        !self.unhealthy && self.back.is_none()
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, plan: &HealthPlan, now: UnixTime) -> Option<Change> {
        self.failed = 0;
        let State::Back { at_once: answers } = self.state(now) else { return None };
        if answers < plan.eject.map_or(ANSWERS, |eject| eject.after) {
            self.back = Some(answers);
            return None;
        }
        self.back = None;
        if let Some(rest) = &mut self.rest {
            rest.good_since = Some(now);
        }
        Some(Change::Whole)
    }

    /// A request failed. Says whether the server should rest: that is for others to allow.
    pub(super) fn failed(&mut self, plan: &HealthPlan, now: UnixTime) -> bool {
        self.failed = self.failed.saturating_add(1);
        match self.state(now) {
            State::Whole => plan.eject.is_some_and(|eject| self.failed >= eject.after),
            State::Back { .. } => {
                self.back = Some(0);
                plan.eject.is_some()
            }
            // Sent before.
            State::Ejected { .. } | State::Unhealthy => false,
        }
    }

    /// It rests from now on: twice as long as the last time if it has not been good for as long since then.
    pub(super) fn eject(&mut self, plan: EjectPlan, now: UnixTime) -> Change {
        let again = |rest: &Rest| rest.good_since.is_none_or(|since| now.since(since) < rest.length);
        let length = self.rest.filter(again).map_or(plan.rest, |rest| rest.length.saturating_mul(2));
        let length = length.min(LONGEST);
        self.rest = Some(Rest { since: now, length, good_since: None });
        self.back = Some(0);
        self.failed = 0;
        Change::Ejected(length)
    }

    /// A check was good, or not.
    pub(super) fn checked(&mut self, plan: &HealthPlan, good: bool) -> Option<Change> {
        if good != self.unhealthy {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        let enough = plan
            .check
            .as_ref()
            .map(|check| if good { check.healthy_after } else { check.unhealthy_after })
            .is_some_and(|enough| self.contrary >= enough);
        if !enough {
            return None;
        }
        self.contrary = 0;
        self.unhealthy = !good;
        if !good {
            return Some(Change::Unhealthy);
        }
        self.failed = 0;
        self.back = Some(0);
        Some(Change::Healthy)
    }
}

/// The states of all servers of an upstream, as they count: never more than half are out because their requests fail. Whoever has rested for longest
/// goes on to rest; the others take requests after all.
pub(super) fn allowed(states: &mut [State]) {
    let unhealthy = states.iter().filter(|state| **state == State::Unhealthy).count();
    let room = (states.len() / 2).saturating_sub(unhealthy);
    let mut resting: Vec<(UnixTime, &mut State)> = states
        .iter_mut()
        .filter_map(|state| match *state {
            State::Ejected { since } => Some((since, state)),
            State::Whole | State::Back { .. } | State::Unhealthy => None,
        })
        .collect();
    resting.sort_by_key(|(since, _)| *since);
    for (_, state) in resting.into_iter().skip(room) {
        *state = State::Whole;
    }
}

/// Whether one more may rest beside those in these states.
pub(super) fn may_rest(others: &[State]) -> bool {
    let out = |state: &&State| matches!(state, State::Ejected { .. } | State::Unhealthy);
    let all = others.len().saturating_add(1);
    others.iter().filter(out).count() < all / 2
}

#[cfg(test)]
mod tests;

//! Which server a request goes to, and which ones after that if it cannot be reached.

use super::health::{Fleet, State};
use super::server::Server;
use crate::config::Balance;
use std::sync::Arc;

/// The servers that may be tried, in order.
pub(super) enum Order<'a> {
    /// All of them, beginning with this one.
    All(&'a [Arc<Server>], usize),
    /// Some of them.
    Part(Vec<&'a Arc<Server>>),
}

impl<'a> Order<'a> {
    /// `turn` is the request's number: it says whose turn it is.
    pub(super) fn of(servers: &'a [Arc<Server>], fleet: &Fleet, balance: Balance, turn: usize) -> Self {
        if servers.iter().all(|server| server.member().takes_all()) {
            let first = first(balance, turn, servers.len(), |place| servers.get(place));
            return Self::All(servers, first);
        }
        let states = fleet.states(servers.iter().map(|server| server.member()));
        let of = |wanted: fn(State, &Server) -> bool| {
            let found = servers.iter().zip(&states).filter(|(server, state)| wanted(**state, server));
            found.map(|(server, _)| server).collect::<Vec<_>>()
        };
        let mut order = of(|state, server| match state {
            State::Whole => true,
            State::Back { at_once } => u32::try_from(server.requests()).is_ok_and(|has| has < at_once),
            State::Ejected { .. } | State::Unhealthy => false,
        });
        let first = first(balance, turn, order.len(), |place| order.get(place).copied());
        order.rotate_left(first);
        // Before a request fails because nobody else can be reached, they are better than nobody.
        order.extend(of(|state, server| match state {
            State::Back { at_once } => u32::try_from(server.requests()).is_ok_and(|has| has >= at_once),
            State::Whole | State::Ejected { .. } | State::Unhealthy => false,
        }));
        order.extend(of(|state, _| matches!(state, State::Ejected { .. })));
        Self::Part(order)
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::All(servers, _) => servers.len(),
            Self::Part(servers) => servers.len(),
        }
    }

    /// The one at this place; after the last comes the first.
    pub(super) fn get(&self, place: usize) -> Option<&'a Arc<Server>> {
        match self {
            Self::All(servers, first) => servers.get(first.saturating_add(place).checked_rem(servers.len())?),
            Self::Part(servers) => servers.get(place.checked_rem(servers.len())?).copied(),
        }
    }
}

/// The place of the first of so many.
fn first<'a>(
    balance: Balance,
    turn: usize,
    count: usize,
    get: impl Fn(usize) -> Option<&'a Arc<Server>>,
) -> usize {
    match balance {
        Balance::RoundRobin => turn.checked_rem(count).unwrap_or(0),
        Balance::LeastRequests => {
            let (one, other) = two(count, turn);
            let requests = |place| get(place).map(|server| server.requests());
            if requests(other) < requests(one) { other } else { one }
        }
    }
}

/// Two places, as apart as there are; the turn, well stirred, says which.
fn two(count: usize, turn: usize) -> (usize, usize) {
    let stirred = turn.wrapping_mul(0x9E37_79B9).rotate_right(11);
    let Some(one) = stirred.checked_rem(count) else { return (0, 0) };
    let Some(apart) = stirred.rotate_right(7).checked_rem(count.saturating_sub(1)) else {
        return (one, one);
    };
    let other = one.wrapping_add(apart).wrapping_add(1).checked_rem(count);
    (one, other.unwrap_or(one))
}

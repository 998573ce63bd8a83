//! What is known of the servers of an upstream: by the requests that they answered or did not, and by asking them.
//!
//! It belongs to a server and to what decided it. A look-up resets nothing, not even where a name comes to have an address again that it had
//! before; a reload keeps it where protocol, TLS, `health` and `eject` are the same.

mod check;
mod server;

pub(super) use server::State;

use super::target::Target;
use super::{UpstreamError, UpstreamState};
use crate::clock::{Clock, UnixTime};
use crate::config::{ConnectionPlan, HealthPlan, ServerPlan, UpstreamPlan};
use check::Check;
use server::{Change, Health, allowed, may_rest};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long it is remembered of a server that is gone that it was ill: longer than any rest.
const MEMORY: Duration = Duration::from_secs(600);

/// All servers of an upstream, in health.
#[derive(Debug)]
pub(super) struct Fleet {
    upstream: String,
    plan: HealthPlan,
    connection: ConnectionPlan,
    clock: Clock,
    known: Mutex<Vec<Known>>,
}

/// A server that there is, or was.
#[derive(Debug)]
struct Known {
    server: ServerPlan,
    address: SocketAddr,
    standing: Arc<Standing>,
    check: Weak<Check>,
    /// Since when there is no such server any more.
    gone: Option<UnixTime>,
}

/// How a server stands.
#[derive(Debug, Default)]
struct Standing {
    health: Mutex<Health>,
    /// It is not as any other: `health` says what it is.
    special: AtomicBool,
    /// An answer would change something of it.
    counts: AtomicBool,
}

/// A server's place in the fleet. As long as it lives the server is asked how it is, where it is to be.
#[derive(Clone, Debug)]
pub(super) struct Member {
    server: ServerPlan,
    address: SocketAddr,
    standing: Arc<Standing>,
    fleet: Arc<Fleet>,
    check: Option<Arc<Check>>,
}

impl Fleet {
    /// A new one, or the one before: where what decided it is the same.
    pub(super) fn after(before: Option<&Arc<Self>>, plan: &UpstreamPlan, clock: &Clock) -> Arc<Self> {
        let same = |before: &&Arc<Self>| before.plan == plan.health && before.connection == plan.connection;
        let new = || Self::new(&plan.name, plan.health.clone(), plan.connection.clone(), clock.clone());
        before.filter(same).map_or_else(|| Arc::new(new()), Arc::clone)
    }

    pub(super) fn new(upstream: &str, plan: HealthPlan, connection: ConnectionPlan, clock: Clock) -> Self {
        Self { upstream: upstream.to_owned(), plan, connection, clock, known: Mutex::default() }
    }

    /// The place of a server: the one that it has or had, or a new one.
    pub(super) fn join(self: &Arc<Self>, target: &Arc<Target>, address: SocketAddr) -> Member {
        let mut known = self.known();
        let place = known.iter().position(|known| known.server == *target.plan() && known.address == address);
        let (standing, check) = match place.and_then(|place| known.get(place)) {
            Some(known) => (Arc::clone(&known.standing), known.check.upgrade()),
            None => (Arc::default(), None),
        };
        let check = check.or_else(|| {
            let plan = self.plan.check.as_ref()?;
            let (fleet, standing) = (Arc::downgrade(self), Arc::clone(&standing));
            let tell = move |outcome: Result<(), check::Failure>| {
                if let Some(fleet) = fleet.upgrade() {
                    fleet.checked(&standing, address, outcome);
                }
            };
            Some(Arc::new(Check::begin(Arc::clone(target), address, plan.clone(), tell)))
        });
        let member =
            Member { server: target.plan().clone(), address, standing, fleet: Arc::clone(self), check };
        if let Some(known) = place.and_then(|place| known.get_mut(place)) {
            known.gone = None;
            known.check = member.weak_check();
        } else {
            known.push(member.known());
        }
        member
    }

    /// These are all that there are now. Of others it is remembered for a while if they were ill.
    pub(super) fn consists_of<'a>(&self, members: impl Iterator<Item = &'a Member>) {
        let now = self.now();
        let mut known = self.known();
        for one in known.iter_mut() {
            one.gone = one.gone.or(Some(now));
        }
        for member in members {
            match known.iter_mut().find(|known| Arc::ptr_eq(&known.standing, &member.standing)) {
                Some(known) => known.gone = None,
                None => known.push(member.known()),
            }
        }
        known.retain(|known| {
            known.gone.is_none_or(|since| known.standing.is_special() && now.since(since) < MEMORY)
        });
    }

    /// The states of some servers as they count.
    pub(super) fn states<'a>(&self, members: impl Iterator<Item = &'a Member>) -> Vec<State> {
        let now = self.now();
        let mut states: Vec<State> = members.map(|member| member.standing.health().state(now)).collect();
        allowed(&mut states);
        states
    }

    /// How many servers are in which state.
    pub(super) fn count<'a>(&self, members: impl Iterator<Item = &'a Member>) -> UpstreamState {
        let mut count = UpstreamState::default();
        for state in self.states(members) {
            let one = match state {
                State::Whole | State::Back { .. } => &mut count.healthy,
                State::Unhealthy => &mut count.unhealthy,
                State::Ejected { .. } => &mut count.ejected,
            };
            *one = one.saturating_add(1);
        }
        count
    }

    fn failed(&self, standing: &Arc<Standing>, address: SocketAddr, why: &str) {
        let now = self.now();
        let should_rest = standing.change(|health| health.failed(&self.plan, now));
        let Some(eject) = self.plan.eject.filter(|_| should_rest) else { return };
        // Of all that fail at once only so many get to rest: one after the other.
        let known = self.known();
        let others = known
            .iter()
            .filter(|known| known.gone.is_none() && !Arc::ptr_eq(&known.standing, standing))
            .map(|known| known.standing.health().state(now));
        if !may_rest(&others.collect::<Vec<_>>()) {
            return;
        }
        let change = standing.change(|health| {
            let rests = matches!(health.state(now), State::Ejected { .. });
            (!rests).then(|| health.eject(eject, now))
        });
        drop(known);
        self.tell(change, address, why);
    }

    fn answered(&self, standing: &Standing, address: SocketAddr) {
        let now = self.now();
        self.tell(standing.change(|health| health.answered(&self.plan, now)), address, "");
    }

    fn checked(&self, standing: &Standing, address: SocketAddr, outcome: Result<(), check::Failure>) {
        let change = standing.change(|health| health.checked(&self.plan, outcome.is_ok()));
        let why = outcome.err().map(|failure| failure.to_string());
        self.tell(change, address, why.as_deref().unwrap_or_default());
    }

    /// Each change is said once.
    fn tell(&self, change: Option<Change>, server: SocketAddr, error: &str) {
        let upstream = self.upstream.as_str();
        match change {
            None => {}
            Some(Change::Ejected(length)) => {
                let seconds = length.as_secs_f64();
                tracing::warn!(upstream, %server, seconds, error, "a server is ejected: its requests fail");
            }
            Some(Change::Whole) => tracing::info!(upstream, %server, "a server is back: it answers requests"),
            Some(Change::Unhealthy) => {
                tracing::warn!(upstream, %server, error, "a server is unhealthy: it gets no requests");
            }
            Some(Change::Healthy) => {
                tracing::info!(upstream, %server, "a server is healthy again: its requests come back slowly");
            }
        }
    }

    fn now(&self) -> UnixTime {
        self.clock.moment().steady
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        // No code that can panic runs under the lock; were it to, the list would still be whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Whether it is of this fleet.
    pub(super) fn is_in(&self, fleet: &Arc<Fleet>) -> bool {
        Arc::ptr_eq(&self.fleet, fleet)
    }

    /// Nothing is to be heeded with it.
    pub(super) fn takes_all(&self) -> bool {
        !self.standing.is_special()
    }

    /// It answered a request.
    pub(super) fn answered(&self) {
        if self.standing.counts.load(Ordering::Relaxed) {
            self.fleet.answered(&self.standing, self.address);
        }
    }

    /// It answered with a status that says that it cannot.
    pub(super) fn answered_badly(&self, status: http::StatusCode) {
        self.fleet.failed(&self.standing, self.address, &format!("answered {}", status.as_u16()));
    }

    /// It did not answer a request, or not to its end.
    pub(super) fn failed(&self, error: UpstreamError) {
        if error.is_the_servers() {
            self.fleet.failed(&self.standing, self.address, error.label());
        }
    }

    fn weak_check(&self) -> Weak<Check> {
        self.check.as_ref().map(Arc::downgrade).unwrap_or_default()
    }

    fn known(&self) -> Known {
        Known {
            server: self.server.clone(),
            address: self.address,
            standing: Arc::clone(&self.standing),
            check: self.weak_check(),
            gone: None,
        }
    }
}

impl Standing {
    fn is_special(&self) -> bool {
        self.special.load(Ordering::Relaxed)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // As above.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        let mut health = self.health();
        let result = change(&mut health);
        self.special.store(!health.takes_all(), Ordering::Relaxed);
        self.counts.store(!health.is_plain(), Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests;

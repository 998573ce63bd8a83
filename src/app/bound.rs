//! Listeners that have an address and do not run yet, and what is known of those that do.

use super::AppError;
use crate::config::{ListenAddress, ListenerMode, ListenerPlan, Plan};
use crate::names::ListenerId;
use crate::net::{Acceptor, Lent, Reserved, Sockets};
use crate::observe::{ListenerState, Metrics};
use crate::server::{Connections, HandedOver, Listener, Tls};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A listener that has its address.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) listener: Listener,
    pub(super) kept: Kept,
}

/// What is known of a listener while it runs.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: ListenerId,
    pub(super) mode: ListenerMode,
    /// As it is configured.
    pub(super) configured: ListenAddress,
    pub(super) tls: Option<Tls>,
    /// For another listener that may take them over.
    pub(super) sockets: Sockets,
    pub(super) connections: Arc<Connections>,
}

/// An address that is there for a listener, or for the admin address.
pub(super) enum Place {
    /// Somebody listens there, and we go on with that.
    Taken(Acceptor),
    /// Nobody listens there yet.
    Reserved(Reserved),
}

/// A listener that has its place and all else that could fail.
pub(super) struct Begun<'p> {
    plan: &'p ListenerPlan,
    tls: Option<Tls>,
    place: Place,
}

/// Binds every address of a plan.
///
/// # Errors
/// One cannot be bound, or its certificate not be used.
pub(super) fn bind(plan: &Plan, handed_over: &HandedOver) -> Result<Vec<Bound>, AppError> {
    warn_of_unused(handed_over, plan);
    let nothing = Lent::of([], &[]);
    let bind = |listener: &ListenerPlan| {
        Begun::new(listener, Place::of(listener, None, handed_over, &nothing)?)?.listen(None)
    };
    plan.listeners.iter().map(bind).collect()
}

/// Who connects to such a socket waits for an answer that nobody will give.
fn warn_of_unused(handed_over: &HandedOver, plan: &Plan) {
    let names = plan.listeners.iter().filter_map(|listener| match &listener.address {
        ListenAddress::Systemd(name) => Some(name.as_str()),
        ListenAddress::Own(_) => None,
    });
    for socket in handed_over.besides(&names.collect::<Vec<_>>()) {
        tracing::warn!(
            socket,
            "systemd handed over a socket that no listener has as its address: write systemd:{socket}, or take its .socket unit away"
        );
    }
}

/// The address that a listener binds, where systemd hands none over.
pub(super) const fn own(plan: &ListenerPlan) -> Option<SocketAddr> {
    match plan.address {
        ListenAddress::Own(address) => Some(address),
        ListenAddress::Systemd(_) => None,
    }
}

impl Place {
    /// Where a listener takes connections: on sockets that are here already, or on a new one.
    pub(super) fn of(
        plan: &ListenerPlan,
        here: Option<&Sockets>,
        handed_over: &HandedOver,
        lent: &Lent<'_>,
    ) -> Result<Self, AppError> {
        let name = plan.name.clone();
        match (here, &plan.address) {
            (Some(here), _) => {
                here.acceptor().map(Self::Taken).map_err(|source| AppError::Files { name, source })
            }
            (None, &ListenAddress::Own(address)) => Reserved::bind_beside(address, lent)
                .map(Self::Reserved)
                .map_err(|source| AppError::Bind { name, address, source }),
            (None, ListenAddress::Systemd(socket)) => handed_over
                .acceptor(socket)
                .map(Self::Taken)
                .map_err(|source| AppError::HandedOver { name, source }),
        }
    }

    pub(super) fn listen(self) -> io::Result<Acceptor> {
        match self {
            Self::Taken(acceptor) => Ok(acceptor),
            Self::Reserved(reserved) => reserved.listen(),
        }
    }
}

impl<'p> Begun<'p> {
    pub(super) fn new(plan: &'p ListenerPlan, place: Place) -> Result<Self, AppError> {
        let tls = plan.tls.as_ref().map(|tls| Tls::asking(Arc::clone(&tls.pair), &tls.clients)).transpose();
        let tls = tls.map_err(|source| AppError::Tls { name: plan.name.clone(), source })?;
        Ok(Self { plan, tls, place })
    }

    /// Takes connections from now on; they count among these.
    pub(super) fn listen(self, known: Option<Arc<Connections>>) -> Result<Bound, AppError> {
        let Self { plan, tls, place } = self;
        let name = plan.name.clone();
        let acceptor = match (place.listen(), &plan.address) {
            (Ok(acceptor), _) => acceptor,
            (Err(source), &ListenAddress::Own(address)) => {
                return Err(AppError::Bind { name, address, source });
            }
            (Err(source), ListenAddress::Systemd(_)) => return Err(AppError::Files { name, source }),
        };
        let connections = known.unwrap_or_else(|| Arc::new(Connections::new(plan.trusted_proxies.clone())));
        let listener = Listener::on(acceptor, Arc::clone(&connections));
        let sockets = listener.sockets().map_err(|source| AppError::Files { name, source })?;
        let (id, mode) = (plan.id, plan.mode);
        let kept = Kept { id, mode, configured: plan.address.clone(), tls, sockets, connections };
        Ok(Bound { addresses: listener.addresses(), listener, kept })
    }
}

impl Bound {
    /// Says where its metrics come from.
    pub(super) fn tell(&self, metrics: &Metrics) {
        self.kept.tell(metrics);
    }
}

impl Kept {
    /// Whether it can go on as this one.
    pub(super) fn goes_on_as(&self, plan: &ListenerPlan) -> bool {
        self.id == plan.id
            && self.mode == plan.mode
            && self.configured == plan.address
            && self.tls.is_some() == plan.tls.is_some()
    }

    /// Whether its sockets are what this one would bind. Port 0 is another port each time.
    pub(super) fn is_where(&self, plan: &ListenerPlan) -> bool {
        let is_any = matches!(self.configured, ListenAddress::Own(address) if address.port() == 0);
        self.configured == plan.address && (!is_any || self.id == plan.id)
    }

    /// Its sockets, if they are what the admin address would bind there.
    pub(super) fn sockets_at(&self, address: SocketAddr) -> Option<&Sockets> {
        let is_there = self.configured == ListenAddress::Own(address) && address.port() != 0;
        is_there.then_some(&self.sockets)
    }

    pub(super) fn tell(&self, metrics: &Metrics) {
        let connections = Arc::clone(&self.connections);
        let state = move || ListenerState {
            connections: connections.open(),
            failed_handshakes: connections.failed_handshakes(),
            malformed: connections.malformed(),
        };
        metrics.set_listener_source(self.id, Box::new(state));
        match self.tls.as_ref().and_then(Tls::not_after) {
            Some(not_after) => metrics.certificate_expires(self.id, not_after.as_secs()),
            None => metrics.certificate_is_gone(self.id),
        }
    }

    /// What changes while it goes on.
    pub(super) fn exchange(&self, plan: &ListenerPlan) {
        self.connections.trust(plan.trusted_proxies.clone());
        if let (Some(tls), Some(plan)) = (&self.tls, &plan.tls)
            && let Err(error) = tls.exchange(Arc::clone(&plan.pair), &plan.clients)
        {
            tracing::error!(%error, "a certificate cannot be exchanged");
        }
    }
}

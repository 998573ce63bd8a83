//! The listeners: those that run, and how they become those of another configuration.
//!
//! A listener goes on where its name, its address, what it is for and whether it speaks TLS stay: its connections too. In all other cases another one begins,
//! and the one until now stops accepting and lets its connections end. A socket stays where its address does, so nobody who waits in it
//! is lost.

use super::AppError;
use super::doors::Doors;
use crate::config::{ListenAddress, ListenerMode, ListenerPlan, Plan};
use crate::names::ListenerId;
use crate::net::workers::Runtimes;
use crate::observe::{ListenerState, Metrics};
use crate::server::{Connections, Drain, Drained, HandedOver, Listener, Sockets, Tls};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// A listener that has its address.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) addresses: Vec<SocketAddr>,
    listener: Listener,
    kept: Kept,
}

/// What is known of a listener while it runs.
#[derive(Debug)]
struct Kept {
    id: ListenerId,
    mode: ListenerMode,
    /// As it is configured.
    configured: ListenAddress,
    tls: Option<Tls>,
    /// For another listener that may take them over.
    sockets: Sockets,
    connections: Arc<Connections>,
}

/// One that runs.
#[derive(Debug)]
struct Life {
    kept: Kept,
    drain: Drain,
}

/// All that run.
#[derive(Debug)]
pub(super) struct Listeners {
    lives: Vec<Life>,
    runtimes: Runtimes,
    /// Who waits for the end of those that have stopped.
    ending: TaskTracker,
    doors: Doors,
    handed_over: HandedOver,
    /// What each one that ever ran has counted: it counts on when it comes again.
    known: BTreeMap<ListenerId, Arc<Connections>>,
    /// Which run.
    running: Arc<ArcSwap<Vec<ListenerId>>>,
}

/// What the listeners will be, with every address bound. None: the one with this identity goes on.
#[derive(Debug)]
pub(super) struct Next(Vec<Option<Bound>>);

/// Binds every address of a plan.
///
/// # Errors
/// One cannot be bound, or its certificate not be used.
pub(super) fn bind(plan: &Plan, handed_over: &HandedOver) -> Result<Vec<Bound>, AppError> {
    warn_of_unused(handed_over, plan);
    plan.listeners.iter().map(|listener| Bound::new(listener, handed_over, None, None)).collect()
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

impl Bound {
    /// A listener on sockets that are there already, or on new ones; what it counts is added to these.
    fn new(
        plan: &ListenerPlan,
        handed_over: &HandedOver,
        here: Option<&Sockets>,
        known: Option<Arc<Connections>>,
    ) -> Result<Self, AppError> {
        let name = || plan.name.clone();
        let no_files = |source| AppError::Files { name: name(), source };
        let tls = plan.tls.as_ref().map(|tls| Tls::new(Arc::clone(&tls.pair))).transpose();
        let tls = tls.map_err(|source| AppError::Tls { name: plan.name.clone(), source })?;
        let connections = known.unwrap_or_else(|| Arc::new(Connections::new(plan.trusted_proxies.clone())));
        let counted = Arc::clone(&connections);
        let listener = match (here, &plan.address) {
            (Some(here), _) => here.listener(counted).map_err(no_files)?,
            (None, ListenAddress::Own(address)) => Listener::bind_for(*address, counted)
                .map_err(|source| AppError::Bind { name: name(), address: *address, source })?,
            (None, ListenAddress::Systemd(socket)) => handed_over
                .listener(socket, counted)
                .map_err(|source| AppError::HandedOver { name: name(), source })?,
        };
        let sockets = listener.sockets().map_err(no_files)?;
        let (id, mode) = (plan.id, plan.mode);
        let kept = Kept { id, mode, configured: plan.address.clone(), tls, sockets, connections };
        Ok(Self { addresses: listener.addresses(), listener, kept })
    }

    /// Says where its metrics come from.
    pub(super) fn tell(&self, metrics: &Metrics) {
        self.kept.tell(metrics);
    }
}

impl Kept {
    /// Whether it can go on as this one.
    fn goes_on_as(&self, plan: &ListenerPlan) -> bool {
        self.id == plan.id
            && self.mode == plan.mode
            && self.configured == plan.address
            && self.tls.is_some() == plan.tls.is_some()
    }

    /// Whether its sockets are what this one would bind. Port 0 is another port each time.
    fn is_where(&self, plan: &ListenerPlan) -> bool {
        let is_any = matches!(self.configured, ListenAddress::Own(address) if address.port() == 0);
        self.configured == plan.address && (!is_any || self.id == plan.id)
    }

    fn tell(&self, metrics: &Metrics) {
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
    fn exchange(&self, plan: &ListenerPlan) {
        self.connections.trust(plan.trusted_proxies.clone());
        if let (Some(tls), Some(plan)) = (&self.tls, &plan.tls)
            && let Err(error) = tls.exchange(Arc::clone(&plan.pair))
        {
            tracing::error!(%error, "a certificate cannot be exchanged");
        }
    }
}

impl Listeners {
    /// Starts accepting.
    pub(super) fn start(
        bound: Vec<Bound>,
        handed_over: HandedOver,
        doors: Doors,
        runtimes: Runtimes,
    ) -> Self {
        let mut listeners = Self {
            lives: Vec::new(),
            runtimes,
            ending: TaskTracker::new(),
            doors,
            handed_over,
            known: BTreeMap::new(),
            running: Arc::default(),
        };
        let lives = bound.into_iter().map(|bound| listeners.begin(bound)).collect();
        listeners.run(lives);
        listeners
    }

    fn begin(&self, Bound { listener, kept, .. }: Bound) -> Life {
        let drain = Drain::on(self.runtimes.clone());
        self.doors.run(kept.mode, listener, kept.id, kept.tls.clone(), &drain);
        Life { kept, drain }
    }

    fn run(&mut self, lives: Vec<Life>) {
        self.lives = lives;
        let kept = self.lives.iter().map(|life| &life.kept);
        self.known.extend(kept.clone().map(|kept| (kept.id, Arc::clone(&kept.connections))));
        self.running.store(Arc::new(kept.map(|kept| kept.id).collect()));
    }

    /// Binds what is not bound yet; nothing else happens before [`Listeners::become_next`].
    ///
    /// # Errors
    /// An address cannot be bound, or a certificate not be used.
    pub(super) fn prepare(&self, plan: &Plan) -> Result<Next, AppError> {
        let next = plan.listeners.iter().map(|plan| {
            if self.lives.iter().any(|life| life.kept.goes_on_as(plan)) {
                return Ok(None);
            }
            let here = self.lives.iter().find(|life| life.kept.is_where(plan));
            let known = self.known.get(&plan.id).cloned();
            let here = here.map(|life| &life.kept.sockets);
            Bound::new(plan, &self.handed_over, here, known).map(Some)
        });
        Ok(Next(next.collect::<Result<_, AppError>>()?))
    }

    /// Whether some that have stopped are not over yet.
    pub(super) fn are_ending(&self) -> bool {
        !self.ending.is_empty()
    }

    /// Becomes what was prepared with this plan. Those that are gone stop accepting, and have the time of a drain for what is on its way.
    pub(super) fn become_next(&mut self, next: Next, plan: &Plan, metrics: &Arc<Metrics>) {
        let mut before = std::mem::take(&mut self.lives);
        let goes_on = |life: &Life| {
            next.0.iter().zip(&plan.listeners).any(|(bound, plan)| bound.is_none() && plan.id == life.kept.id)
        };
        let gone: Vec<Life> = before.extract_if(.., |life| !goes_on(life)).collect();
        for life in &gone {
            // Before another one begins to accept on them.
            let is_taken = plan.listeners.iter().any(|plan| life.kept.is_where(plan));
            if is_taken {
                life.kept.sockets.release();
            }
        }
        let mut lives = Vec::new();
        for (bound, plan) in next.0.into_iter().zip(&plan.listeners) {
            let life = match bound {
                Some(bound) => {
                    tracing::info!(listener = plan.name, addresses = ?bound.addresses, "listening");
                    Some(self.begin(bound))
                }
                None => before.extract_if(.., |life| life.kept.id == plan.id).next(),
            };
            if let Some(life) = &life {
                life.kept.exchange(plan);
                life.kept.tell(metrics);
            }
            lives.extend(life);
        }
        self.run(lives);
        for life in gone {
            self.end(life, metrics, plan.stop.timeout);
        }
    }

    fn end(&self, Life { kept, drain }: Life, metrics: &Arc<Metrics>, limit: Duration) {
        let (metrics, running) = (Arc::clone(metrics), Arc::clone(&self.running));
        // Its sockets close when it accepts on them no more: here nobody keeps them.
        let Kept { id, .. } = kept;
        tracing::info!(
            listener = metrics.listener_name(id),
            "no more a listener: what is on its way may end"
        );
        if !running.load().contains(&id) {
            metrics.certificate_is_gone(id);
        }
        self.ending.spawn(async move {
            drain.stop(limit).await;
            if !running.load().contains(&id) {
                metrics.listener_is_gone(id);
            }
        });
    }

    /// Stops all of them, and waits until what is on its way has ended, or for so long.
    pub(super) async fn stop(self, limit: Duration) -> Drained {
        let mut stopping = JoinSet::new();
        for Life { drain, .. } in self.lives {
            stopping.spawn(async move { drain.stop(limit).await });
        }
        let mut cut_off = 0_usize;
        while let Some(ended) = stopping.join_next().await {
            if let Ok(Drained::Aborted(count)) = ended {
                cut_off = cut_off.saturating_add(count);
            }
        }
        self.ending.close();
        self.ending.wait().await;
        if cut_off == 0 { Drained::Finished } else { Drained::Aborted(cut_off) }
    }
}

//! Wiring: the only room that knows every other. It builds the gateway from a plan, runs it, and drains it.
//!
//! What lives as long as the process is a `Process`: the replay store, the nonce mint, metrics and log. What lives until
//! the configuration is read again is a `Generation`: issuers and their keys, the gate, the doors. Sockets and
//! open connections belong to neither; they are here.

mod generation;
mod history;
mod notify;
mod process;
mod readiness;

use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::config::{ListenAddress, ListenerPlan, Plan, StopPlan};
use crate::names::ListenerId;
use crate::net::workers::Runtimes;
use crate::observe::{AccessLog, ListenerState};
use crate::proxy::Body;
use crate::replay;
use crate::server::{
    Drain, Drained, HandedOver, HandedOverError, Limits, Listener, Peer, Serve, Tls, TlsError,
};
use arc_swap::ArcSwap;
use generation::Generation;
use http::{Request, Response};
use hyper::body::Incoming;
use process::Process;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The gateway with everything around it, bound and ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Bound>,
    addresses: Vec<SocketAddr>,
    admin: Admin,
    admin_address: SocketAddr,
    state: Arc<admin::Facts>,
    process: Process,
    generation: Arc<Generation>,
}

/// A listener that has its address.
#[derive(Debug)]
struct Bound {
    id: ListenerId,
    listener: Listener,
    tls: Option<Tls>,
    addresses: Vec<SocketAddr>,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be bound: another process has it, or it needs a privilege.
    #[error("listener {name}: cannot bind {address}: {source}")]
    Bind {
        /// The listener's name, or `admin`.
        name: String,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// systemd did not hand over what a listener names.
    #[error("listener {name}: {source}")]
    HandedOver {
        /// The listener's name.
        name: String,
        /// What is missing.
        source: HandedOverError,
    },
    /// A certificate or key that was fine when the configuration was checked is not any more.
    #[error("listener {name}: {source}")]
    Tls {
        /// The listener's name.
        name: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The replay store cannot be opened.
    #[error(transparent)]
    Replay(#[from] replay::OpenError),
}

impl App {
    /// Binds every address, opens the replay store, and starts fetching keys.
    ///
    /// # Errors
    /// [`AppError`]; nothing is left running then.
    pub async fn build(plan: Plan, clock: Clock, log: Option<AccessLog>) -> Result<Self, AppError> {
        Self::build_on(&HandedOver::default(), plan, clock, log).await
    }

    /// The same with sockets that systemd handed over.
    ///
    /// # Errors
    /// [`AppError`]; nothing is left running then.
    pub async fn build_on(
        handed_over: &HandedOver,
        plan: Plan,
        clock: Clock,
        log: Option<AccessLog>,
    ) -> Result<Self, AppError> {
        let bound = plan.listeners.iter().map(|listener| bind(listener, handed_over));
        let listeners = bound.collect::<Result<Vec<_>, _>>()?;
        warn_of_unused(handed_over, &plan);
        let addresses = listeners.iter().flat_map(|bound| bound.addresses.clone()).collect();
        let bind_admin = |source| AppError::Bind { name: "admin".to_owned(), address: plan.admin, source };
        let admin = Admin::bind(plan.admin).await.map_err(bind_admin)?;
        let admin_address = admin.local_address().map_err(bind_admin)?;

        let process = Process::start(&plan, clock, log).await?;
        watch_listeners(&process, &listeners);
        history::announce(&plan, &process);
        let generation = Arc::new(Generation::start(&plan, &process));
        let state = Arc::new(admin::Facts {
            metrics: Arc::clone(&process.observer.metrics),
            readiness: readiness::of(&plan, &process, &generation.keys),
            config: ArcSwap::from_pointee(plan.effective),
            clock: process.clock.clone(),
        });
        Ok(Self { listeners, addresses, admin, admin_address, state, process, generation })
    }

    /// Where the listeners are, in the configuration's order: the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin address is.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `stop`. From then on it is not ready; it goes on as before for `limits.drain_delay`, so that whoever chooses among
    /// gateways can notice, and then lets what is in flight end, for at most `limits.drain_timeout`. The admin address answers to the end.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        self.run_on(Runtimes::default(), stop).await
    }

    /// The same with every connection on one of these runtimes.
    pub async fn run_on(self, runtimes: Runtimes, stop: CancellationToken) -> Drained {
        let drain = Drain::on(runtimes);
        let tracker = TaskTracker::new();
        for Bound { id, listener, tls, .. } in self.listeners {
            let serve = Door(Arc::clone(&self.generation));
            // A task of the drain: it ends when nobody is left whom the system has connected and we have not accepted.
            drain.spawn(listener.run(id, tls, serve, Limits::DEFAULT, drain.clone()));
        }
        let stop_admin = CancellationToken::new();
        tracker.spawn(self.admin.run(Arc::clone(&self.state), stop_admin.clone()));
        tracker.close();
        notify::ready();

        stop.cancelled().await;
        self.state.readiness.waiting("draining", "the process is stopping");
        let StopPlan { delay, timeout } = self.generation.stop;
        notify::stopping(self.generation.stop);
        tokio::time::sleep(delay).await;
        let drained = drain.stop(timeout).await;
        self.process.end().await;
        stop_admin.cancel();
        tracker.wait().await;
        drained
    }
}

/// What every connection of a proxy listener serves.
#[derive(Clone)]
struct Door(Arc<Generation>);

impl Serve for Door {
    type Body = Body;

    fn serve(&self, peer: &Peer, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send {
        self.0.proxy.serve(peer, request)
    }
}

fn bind(plan: &ListenerPlan, handed_over: &HandedOver) -> Result<Bound, AppError> {
    let tls = plan.tls.as_ref().map(|tls| Tls::load(&tls.certificate, &tls.private_key)).transpose();
    let tls = tls.map_err(|source| AppError::Tls { name: plan.name.clone(), source })?;
    let listener = match &plan.address {
        ListenAddress::Own(address) => Listener::bind(*address, plan.trusted_proxies.clone())
            .map_err(|source| AppError::Bind { name: plan.name.clone(), address: *address, source })?,
        ListenAddress::Systemd(name) => handed_over
            .listener(name, plan.trusted_proxies.clone())
            .map_err(|source| AppError::HandedOver { name: plan.name.clone(), source })?,
    };
    let addresses = listener.addresses();
    Ok(Bound { id: plan.id, listener, tls, addresses })
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

fn watch_listeners(process: &Process, listeners: &[Bound]) {
    let metrics = &process.observer.metrics;
    for Bound { id, listener, tls, .. } in listeners {
        let connections = listener.connections();
        let state = move || ListenerState {
            connections: connections.open(),
            failed_handshakes: connections.failed_handshakes(),
            malformed: connections.malformed(),
        };
        metrics.set_listener_source(*id, Box::new(state));
        if let Some(not_after) = tls.as_ref().and_then(Tls::not_after) {
            metrics.certificate_expires(*id, not_after.as_secs());
        }
    }
}

//! Wiring: the only file that knows every room. It builds the gateway from a plan, runs it, and drains it.

use crate::admin::{self, Admin, Readiness};
use crate::authorize::Authorizer;
use crate::clock::Clock;
use crate::config::{ListenerPlan, OnStart, Plan};
use crate::dpop::{NonceMint, Verifier};
use crate::gate::Gate;
use crate::issuer::{KeyKeeper, OnRefresh};
use crate::net::workers::Runtimes;
use crate::observe::{AccessLog, Metrics, Observer, ReplayState};
use crate::proxy::{Body, Proxy};
use crate::replay::{self, Store};
use crate::server::{Drain, Drained, Limits, Listener, Peer, Serve, Tls, TlsError};
use crate::token::Issuers;
use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long requests in flight may take to end once the process stops.
const DRAIN: Duration = Duration::from_secs(30);
/// How far the clocks of replicas that share a nonce secret may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// The gateway with everything around it, bound and ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Vec<(Listener, Option<Tls>)>,
    addresses: Vec<SocketAddr>,
    admin: Admin,
    admin_address: SocketAddr,
    state: Arc<admin::State>,
    proxy: Arc<Proxy>,
    tasks: TaskTracker,
    stop_tasks: CancellationToken,
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
        let listeners = plan.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().map(|(_, _, address)| *address).collect();
        let listeners: Vec<_> = listeners.into_iter().map(|(listener, tls, _)| (listener, tls)).collect();
        let bind_admin = |source| AppError::Bind { name: "admin".to_owned(), address: plan.admin, source };
        let admin = Admin::bind(plan.admin).await.map_err(bind_admin)?;
        let admin_address = admin.local_address().map_err(bind_admin)?;

        // Boxed: what Redis needs is deep, and whoever waits for a start would carry it.
        let replay = Arc::new(Box::pin(open_store(&plan, &clock)).await?);
        let (tasks, stop_tasks) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(metrics_of(&plan));
        watch_listeners(&metrics, &listeners);
        let issuers =
            Arc::new(Issuers::new(plan.issuers.iter().map(|issuer| issuer.rules.clone()).collect()));
        let keys = KeyKeeper::start(
            &plan.issuers,
            Arc::clone(&issuers),
            &clock,
            &count_refreshes(&metrics, &clock),
            &tasks,
            &stop_tasks,
        );
        tasks.spawn(watch(Arc::clone(&replay), clock.clone(), stop_tasks.clone()));
        let source = Arc::clone(&replay);
        if let Some(log) = log.clone() {
            metrics.set_dropped_lines_source(Box::new(move || log.dropped()));
        }
        metrics.set_replay_source(Box::new(move || ReplayState {
            entries: source.len(),
            capacity: source.capacity(),
            unchecked: source.accepted_unchecked(),
        }));
        let readiness = readiness(&plan, &keys, &replay, &clock);
        let effective = ArcSwap::from_pointee(plan.effective.clone());
        let state = Arc::new(admin::State {
            metrics: Arc::clone(&metrics),
            readiness,
            config: effective,
            clock: clock.clone(),
        });
        let observer = Arc::new(Observer { metrics, log });
        let proxy = proxy(plan, issuers, replay, keys, observer, clock);
        Ok(Self { listeners, addresses, admin, admin_address, state, proxy, tasks, stop_tasks })
    }

    /// Where the listeners are, in the configuration's order: the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin address is.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `stop`, then lets what is in flight end, for at most 30 seconds. Not ready from the first moment of that on.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        self.run_on(Runtimes::default(), stop).await
    }

    /// The same with every connection on one of these runtimes.
    pub async fn run_on(self, runtimes: Runtimes, stop: CancellationToken) -> Drained {
        let drain = Drain::on(runtimes);
        let tracker = TaskTracker::new();
        for (number, (listener, tls)) in self.listeners.into_iter().enumerate() {
            let serve = Shared(Arc::clone(&self.proxy));
            tracker.spawn(listener.run(number, tls, serve, Limits::DEFAULT, drain.clone()));
        }
        let stop_admin = CancellationToken::new();
        tracker.spawn(self.admin.run(Arc::clone(&self.state), stop_admin.clone()));
        tracker.close();

        stop.cancelled().await;
        self.state.readiness.waiting("draining", "the process is stopping");
        let drained = drain.stop(DRAIN).await;
        self.stop_tasks.cancel();
        stop_admin.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        tracker.wait().await;
        drained
    }
}

/// What every connection serves.
#[derive(Clone)]
struct Shared(Arc<Proxy>);

impl Serve for Shared {
    type Body = Body;

    fn serve(&self, peer: &Peer, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send {
        self.0.serve(peer, request)
    }
}

fn bind(plan: &ListenerPlan) -> Result<(Listener, Option<Tls>, SocketAddr), AppError> {
    let tls = plan.tls.as_ref().map(|tls| Tls::load(&tls.certificate, &tls.private_key)).transpose();
    let tls = tls.map_err(|source| AppError::Tls { name: plan.name.clone(), source })?;
    let in_words = |source| AppError::Bind { name: plan.name.clone(), address: plan.address, source };
    let listener = Listener::bind(plan.address, plan.trusted_proxies.clone()).map_err(in_words)?;
    let address = listener.local_addr().map_err(in_words)?;
    Ok((listener, tls, address))
}

fn metrics_of(plan: &Plan) -> Metrics {
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>();
    Metrics::new(
        env!("CARGO_PKG_VERSION"),
        &names(&mut plan.routes.iter().map(|route| &route.name)),
        &names(&mut plan.upstreams.iter().map(|upstream| &upstream.name)),
        &names(&mut plan.listeners.iter().map(|listener| &listener.name)),
        &names(&mut plan.issuers.iter().map(|issuer| &issuer.rules.name)),
    )
}

fn watch_listeners(metrics: &Metrics, listeners: &[(Listener, Option<Tls>)]) {
    for (number, (listener, tls)) in listeners.iter().enumerate() {
        let connections = listener.connections();
        metrics.set_connections_source(number, Box::new(move || connections.open()));
        if let Some(not_after) = tls.as_ref().and_then(Tls::not_after) {
            metrics.certificate_expires(number, not_after.as_secs());
        }
    }
}

fn count_refreshes(metrics: &Arc<Metrics>, clock: &Clock) -> OnRefresh {
    let (metrics, clock) = (Arc::clone(metrics), clock.clone());
    Arc::new(move |issuer, ok| metrics.jwks_refresh(issuer, ok, clock.now()))
}

/// Opens the replay store and sees to it that what it says of the past is true for every replica with our nonce secret.
async fn open_store(plan: &Plan, clock: &Clock) -> Result<Store, AppError> {
    let start = clock.now();
    let settings = replay::Settings {
        plan: &plan.replay,
        retention: retention(plan),
        terms: &[plan.window.max_age, plan.window.leeway, plan.nonce_lifetime],
    };
    let store = Store::open(&settings, clock).await?;
    let begins_empty = store.complete_since() >= start;
    if begins_empty && !plan.nonce_secrets.is_empty() {
        // A nonce from before the start may say that it is from after it, if a replica with a faster clock made it.
        store.complete_from(start.saturating_add(CLOCK_DIFFERENCE));
    }
    Ok(store)
}

/// Lets the store do what no request should wait for.
async fn watch(replay: Arc<Store>, clock: Clock, stop: CancellationToken) {
    stop.run_until_cancelled(replay.watch(&clock)).await;
}

/// The longest time from a proof's acceptance to the last moment at which it could be accepted again.
fn retention(plan: &Plan) -> Duration {
    let by_window = plan.window.max_age.saturating_add(plan.window.leeway);
    by_window.max(plan.nonce_lifetime.saturating_add(NonceMint::AHEAD))
}

fn readiness(plan: &Plan, keys: &Arc<KeyKeeper>, replay: &Arc<Store>, clock: &Clock) -> Readiness {
    let readiness = Readiness::default();
    let keys = Arc::clone(keys);
    readiness.check(move || keys.missing().into_iter().map(|why| format!("issuers: {why}")).collect());
    if plan.replay.redis.as_ref().is_some_and(|redis| !redis.accept_on_failure) {
        let replay = Arc::clone(replay);
        readiness.check(move || replay.trouble().map(|why| format!("replay: {why}")).into_iter().collect());
    }
    if plan.replay.on_start == OnStart::Wait {
        let (replay, clock, leeway) = (Arc::clone(replay), clock.clone(), plan.window.leeway);
        readiness.check(move || {
            // From then on an honest client's proof, made just now, cannot have been used before the store remembers. Its `iat` is a
            // whole second, up to one before the moment it was made.
            let settled =
                replay.complete_since().saturating_add(leeway).saturating_add(Duration::from_secs(1));
            match clock.now() < settled {
                true => vec!["replay: waiting until no new proof can be from before the start".to_owned()],
                false => Vec::new(),
            }
        });
    }
    readiness
}

fn proxy(
    plan: Plan,
    issuers: Arc<Issuers>,
    replay: Arc<Store>,
    keys: Arc<KeyKeeper>,
    observer: Arc<Observer>,
    clock: Clock,
) -> Arc<Proxy> {
    let mut plan = plan;
    let mint = Arc::new(NonceMint::new(std::mem::take(&mut plan.nonce_secrets), plan.nonce_lifetime));
    let proofs = Verifier::new(plan.proof_algorithms.clone(), plan.window, mint);
    let authorizer = Authorizer { issuers, proofs, replay, on_start: plan.replay.on_start };
    let gate = Arc::new(Gate::new(&plan, authorizer, keys, clock.clone()));
    Arc::new(Proxy::new(&plan, gate, observer, clock))
}

//! Wiring: the only room that knows every other. It builds the gateway from a plan, runs it, and drains it.
//!
//! What lives as long as the process is a `Process`: the replay store, the nonce mint, metrics and log. What lives until
//! the configuration is read again is a `Generation`: issuers and their keys, the gate, the doors. Sockets and
//! open connections belong to neither; they are here.

mod bound;
mod candidate;
mod doors;
mod generation;
mod history;
mod listeners;
mod notify;
mod operator;
mod process;
mod readiness;
mod reload;
mod watch;
mod wishes;

pub use wishes::{Rejected, Reloader};

use crate::admin;
use crate::clock::Clock;
use crate::config::{Plan, StopPlan};
use crate::dpop::NonceMint;
use crate::net::workers::Runtimes;
use crate::observe::{AccessLog, rfc3339};
use crate::replay;
use crate::server::{Drained, HandedOver, HandedOverError};
use arc_swap::ArcSwap;
use bound::Bound;
use doors::Doors;
use generation::Generation;
#[cfg(test)]
pub(crate) use history::settled;
use listeners::Listeners;
use operator::{BoundAdmin, RunningAdmin};
#[cfg(test)]
pub(crate) use process::Beginning;
use process::Process;
use reload::Running;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use watch::Watch;
use wishes::Wishes;

/// The gateway with everything around it, bound and ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Bound>,
    handed_over: HandedOver,
    admin: BoundAdmin,
    facts: Arc<admin::Facts>,
    process: Arc<Process>,
    current: Arc<ArcSwap<Generation>>,
    plan: Arc<Plan>,
    reloader: Reloader,
    wishes: Wishes,
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
    /// The process has no file for another listener.
    #[error("listener {name}: {source}")]
    Files {
        /// The listener's name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("listener {name}: {source}")]
    Tls {
        /// The listener's name.
        name: String,
        /// What is wrong.
        source: rustls::Error,
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
        Self::build_on(HandedOver::default(), plan, clock, log).await
    }

    /// The same with sockets that systemd handed over.
    ///
    /// # Errors
    /// [`AppError`]; nothing is left running then.
    pub async fn build_on(
        handed_over: HandedOver,
        plan: Plan,
        clock: Clock,
        log: Option<AccessLog>,
    ) -> Result<Self, AppError> {
        let listeners = bound::bind(&plan, &handed_over)?;
        let admin = BoundAdmin::bind(&plan.admin)?;

        let mint = Arc::new(NonceMint::new(&plan.nonce_secrets, plan.nonce_lifetime));
        let process = Arc::new(Process::start(&plan, &mint, clock, log).await?);
        history::announce(&plan, &process);
        let generation = Generation::first(&plan, &process, mint);
        let metrics = Arc::clone(&generation.observer.metrics);
        process.tell(&metrics);
        generation.proxy.tell(&metrics);
        listeners.iter().for_each(|bound| bound.tell(&metrics));
        let current = Arc::new(ArcSwap::from_pointee(generation));
        let shown = reload::shown(&plan, 1, process.clock.now(), None);
        let since = rfc3339(shown.since);
        tracing::info!(
            file = shown.file,
            number = shown.number,
            sha256 = shown.digest,
            since,
            "the configuration"
        );
        let facts = Arc::new(admin::Facts {
            metrics,
            readiness: readiness::of(&process, &current),
            configuration: ArcSwap::from_pointee(shown),
            marks: Arc::clone(&process.marks),
            clock: process.clock.clone(),
        });
        let (reloader, wishes) = Reloader::new();
        let plan = Arc::new(plan);
        Ok(Self { listeners, handed_over, admin, facts, process, current, plan, reloader, wishes })
    }

    /// Asks it to read its configuration again while it runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Where the listeners are, in the configuration's order: the ports that port 0 became.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().flat_map(|bound| bound.addresses.clone()).collect()
    }

    /// Where the admin address is.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Serves until `stop`. From then on it is not ready; it goes on as before for `limits.drain_delay`, so that whoever chooses among
    /// gateways can notice, and then lets what is in flight end, for at most `limits.drain_timeout`. The admin address answers to the end.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        self.run_on(Runtimes::default(), stop).await
    }

    /// The same with every connection on one of these runtimes.
    pub async fn run_on(self, runtimes: Runtimes, stop: CancellationToken) -> Drained {
        let Self { listeners, handed_over, admin, facts, process, current, plan, mut wishes, .. } = self;
        let doors = Doors(Arc::clone(&current));
        let mut running = Running {
            listeners: Listeners::start(listeners, handed_over, doors, runtimes),
            admin: RunningAdmin::start(admin, &facts),
            watch: Watch::of(&plan),
            process,
            current,
            facts,
            plan,
            waiting: None,
        };
        notify::ready();
        // A reload that is not in force yet when the process is told to stop never is.
        stop.run_until_cancelled(running.follow(&mut wishes)).await;
        drop(wishes);
        let plan = running.current.load().stop;
        notify::stopping(plan);
        let StopPlan { delay, timeout } = plan;
        let not_ready = || running.facts.readiness.waiting("draining", "the process is stopping");
        if !delay.is_zero() {
            not_ready();
            tokio::time::sleep(delay).await;
        }
        let told = async {
            // Once the listeners have taken notice: whoever reads that it is not ready, where there is no delay, can rely on it that no new
            // connection is taken.
            tokio::task::yield_now().await;
            not_ready();
        };
        let (drained, ()) = tokio::join!(running.listeners.stop(timeout), told);
        running.process.end().await;
        running.admin.end().await;
        drained
    }
}

//! The admin address while it runs.

use super::AppError;
use crate::admin::{self, Admin};
use crate::config::AdminPlan;
use crate::net::{Acceptor, Sockets};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One that has its address.
#[derive(Debug)]
pub(super) struct BoundAdmin {
    /// Where it is: the port that port 0 became.
    pub(super) address: SocketAddr,
    /// As it is configured.
    configured: SocketAddr,
    admin: Admin,
    /// For a listener that may take them over.
    sockets: Sockets,
}

/// One that runs.
#[derive(Debug)]
pub(super) struct RunningAdmin {
    configured: SocketAddr,
    sockets: Sockets,
    facts: Arc<admin::Facts>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl BoundAdmin {
    /// Binds the address of a plan.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(super) fn bind(plan: &AdminPlan) -> Result<Self, AppError> {
        Self::on(plan, Acceptor::bind(plan.address))
    }

    /// On what takes connections there, if that could be had.
    ///
    /// # Errors
    /// It could not.
    pub(super) fn on(plan: &AdminPlan, acceptor: io::Result<Acceptor>) -> Result<Self, AppError> {
        let configured = plan.address;
        let bound = acceptor.and_then(|acceptor| {
            let admin = Admin::on(acceptor);
            let (address, sockets) = (admin.local_address()?, admin.sockets()?);
            Ok(Self { address, configured, admin, sockets })
        });
        bound.map_err(|source| cannot_bind(plan, source))
    }
}

/// Why there is no admin address.
pub(super) fn cannot_bind(plan: &AdminPlan, source: io::Error) -> AppError {
    AppError::Bind { name: "admin".to_owned(), address: plan.address, source }
}

impl RunningAdmin {
    pub(super) fn start(bound: BoundAdmin, facts: &Arc<admin::Facts>) -> Self {
        let BoundAdmin { configured, admin, sockets, .. } = bound;
        let (facts, stop, tasks) = (Arc::clone(facts), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(admin.run(Arc::clone(&facts), stop.clone()));
        Self { configured, sockets, facts, stop, tasks }
    }

    /// Whether it goes on where this plan has it.
    pub(super) fn goes_on_at(&self, plan: &AdminPlan) -> bool {
        self.configured == plan.address
    }

    /// Its sockets.
    pub(super) const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Its sockets, if they are what who listens on this address would bind. Port 0 is another port each time.
    pub(super) fn sockets_at(&self, address: SocketAddr) -> Option<&Sockets> {
        (self.configured == address && address.port() != 0).then_some(&self.sockets)
    }

    /// Whether one that has moved away is not over yet.
    pub(super) fn is_ending(&self) -> bool {
        self.tasks.len() > 1
    }

    /// Goes on elsewhere. `is_taken`: a listener goes on with its sockets.
    pub(super) fn move_to(&mut self, bound: BoundAdmin, is_taken: bool) {
        if is_taken {
            self.sockets.release();
        }
        let BoundAdmin { configured, admin, sockets, .. } = bound;
        let before = std::mem::replace(&mut self.stop, CancellationToken::new());
        before.cancel();
        (self.configured, self.sockets) = (configured, sockets);
        self.tasks.spawn(admin.run(Arc::clone(&self.facts), self.stop.clone()));
    }

    pub(super) async fn end(self) {
        let Self { sockets, stop, tasks, .. } = self;
        drop(sockets);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

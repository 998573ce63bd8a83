//! Stopping without dropping anybody.

use crate::net::workers::{Runtimes, Seat};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What listeners and connections run on. Clones are the same drain.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    tasks: TaskTracker,
    stopping: Signal,
    aborting: Signal,
    runtimes: Runtimes,
}

/// What every connection waits for all its life. Clones are the same signal.
#[derive(Clone, Debug, Default)]
struct Signal {
    token: CancellationToken,
    /// Set before the token: looking at it takes no lock.
    given: Arc<AtomicBool>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything finished by itself.
    Finished,
    /// So many tasks were cut off when the time was over.
    Aborted(usize),
}

impl Signal {
    fn give(&self) {
        self.given.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    fn is_given(&self) -> bool {
        self.given.load(Ordering::SeqCst)
    }

    /// Done once it is given. To be awaited by a task itself, whose waker stays the same: who waits is written down once, not at each of
    /// the many times that a connection's task is polled.
    async fn given(&self) {
        let mut waiting = pin!(self.token.cancelled());
        let mut waits = false;
        poll_fn(|cx| {
            if waits && !self.is_given() {
                return Poll::Pending;
            }
            waits = true;
            waiting.as_mut().poll(cx)
        })
        .await;
    }
}

impl Drain {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing runs yet; connections will run on these, not on the listener's own runtime.
    pub fn on(runtimes: Runtimes) -> Self {
        Self { runtimes, ..Self::default() }
    }

    /// A place for a new connection; `None`: here.
    pub(super) fn seat(&self) -> Option<Seat> {
        self.runtimes.seat()
    }

    /// [`Drain::spawn`] on the runtime of a seat, which is kept until the task is done.
    pub(super) fn spawn_on(&self, seat: Seat, task: impl Future<Output = ()> + Send + 'static) {
        let aborting = self.aborting.clone();
        let runtime = seat.runtime.clone();
        let seated = async move {
            tokio::select! {
                biased;
                () = task => {}
                () = aborting.given() => {}
            }
            drop(seat);
        };
        drop(self.tasks.spawn_on(seated, &runtime));
    }

    /// Runs a task that [`Drain::stop`] waits for, and ends at the latest when its time is over.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let aborting = self.aborting.clone();
        // Nobody joins it: the tracker knows when it is done.
        drop(self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = task => {}
                () = aborting.given() => {}
            }
        }));
    }

    /// Done as soon as [`Drain::stop`] is called.
    pub async fn stopping(&self) {
        self.stopping.given().await;
    }

    /// Whether [`Drain::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_given()
    }

    /// Stops accepting, tells every connection to finish what it is doing, waits up to `limit`, then cuts off
    /// what is left.
    pub async fn stop(&self, limit: Duration) -> Drained {
        self.stopping.give();
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_ok() {
            return Drained::Finished;
        }
        let left = self.tasks.len();
        self.aborting.give();
        self.tasks.wait().await;
        Drained::Aborted(left)
    }
}

/// Runs HTTP/2's streams.
impl<F> hyper::rt::Executor<F> for Drain
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.spawn(stream);
    }
}

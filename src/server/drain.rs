//! Stopping without dropping anybody.

use crate::net::workers::{Runtimes, Seat};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long an idle client may still send a request, where the drain has time enough.
const LAST_CALL: Duration = Duration::from_secs(5);

/// What listeners and connections run on. Clones are the same drain.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    tasks: TaskTracker,
    /// The connections that were accepted before the drain began.
    earlier: TaskTracker,
    stopping: Signal,
    last_call: LastCall,
    aborting: Signal,
    runtimes: Runtimes,
}

/// How long idle clients may still send a request: nothing is said before the drain begins. Clones are the same.
///
/// A client that has not been told cannot know that its next request comes too late: its bytes may be on their way when we close.
#[derive(Clone, Debug, Default)]
pub(super) struct LastCall(Arc<OnceLock<Duration>>);

impl LastCall {
    pub(super) fn get(&self) -> Option<Duration> {
        self.0.get().copied()
    }
}

/// What every connection waits for all its life. Clones are the same signal.
#[derive(Clone, Debug, Default)]
struct Signal {
    token: CancellationToken,
    /// Set before the token: looking at it takes no lock.
    given: Arc<AtomicBool>,
}

/// The end of a listener, for an answer that would outlast it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Ending(Signal);

impl Ending {
    /// Done as soon as the listener stops: what is on its way may end then, and should.
    pub async fn begins(&self) {
        self.0.given().await;
    }
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

    /// The end that connections of this drain meet.
    pub(super) fn ending(&self) -> Ending {
        Ending(self.stopping.clone())
    }

    /// What the connections of this drain look at.
    pub(super) fn last_call(&self) -> LastCall {
        self.last_call.clone()
    }

    /// A connection that begins now holds this to its end; `None` where the drain has begun.
    pub(super) fn earlier(&self) -> Option<TaskTrackerToken> {
        (!self.is_stopping()).then(|| self.earlier.token())
    }

    /// Done when no connection is left from before the drain, but no later than idle ones are closed.
    pub(super) async fn earlier_are_over(&self) {
        let patience = self.last_call.get().unwrap_or(LAST_CALL);
        // Over or not: somebody else can take the new ones now.
        let _late = tokio::time::timeout(patience, self.earlier.wait()).await;
    }

    /// Closes the listeners, lets every connection finish what it is doing and every idle one send one more request, waits up to `limit`,
    /// then cuts off what is left.
    pub async fn stop(&self, limit: Duration) -> Drained {
        // Half of a short time is left for the answers to what comes last. It is set once: a drain begins once.
        self.last_call.0.set(LAST_CALL.min(limit / 2)).ok();
        self.earlier.close();
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

//! One thread for each core, each with a runtime of its own.
//!
//! A connection stays where it is put: its requests, its timers and its connections to upstreams never meet another thread. And a runtime of
//! one thread takes what is ready in turn, so that what it sends goes out in bunches; one that steals work sends each request as soon as it can,
//! and pays for waking its receiver each time.

use super::turns;
use std::cell::Cell;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the thread that asks among the workers; 0 on any other.
pub fn number() -> usize {
    NUMBER.get()
}

/// How many workers there can be: one for each core that this process may use.
pub fn most() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A runtime of one thread, as each worker has. It tells [`ready_to_verify`](super::ready_to_verify()) when its thread slept.
///
/// # Errors
/// The system has no more of what it takes.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().on_thread_unpark(turns::thread_slept).build()
}

/// The threads. They end when this is dropped; let what runs on them end before.
#[derive(Debug)]
pub struct Workers {
    runtimes: Runtimes,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// Where connections can go. Clones are the same places.
#[derive(Clone, Debug, Default)]
pub struct Runtimes(Arc<[Worker]>);

/// One of them; whoever holds a clone besides the list is on it.
#[derive(Clone, Debug)]
struct Worker {
    runtime: Handle,
    load: Arc<()>,
}

/// A connection's place on a worker.
#[derive(Debug)]
pub struct Seat {
    /// Where the connection's tasks run.
    pub runtime: Handle,
    _load: Arc<()>,
}

impl Workers {
    /// Starts one for each core; none where there is a single one, whose thread is the one that asks.
    ///
    /// # Errors
    /// A thread or its runtime cannot be started.
    pub fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let count = Some(most()).filter(|cores| *cores > 1).unwrap_or(0);
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            let runtime = runtime()?;
            workers.push(Worker { runtime: runtime.handle().clone(), load: Arc::default() });
            let stop = stop.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || {
                NUMBER.set(number);
                runtime.block_on(stop.cancelled());
            })?);
        }
        Ok(Self { runtimes: Runtimes(workers.into()), threads, stop })
    }

    /// Where connections can go.
    pub fn runtimes(&self) -> Runtimes {
        self.runtimes.clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // It has nothing to say; what panicked on it was said then.
            thread.join().ok();
        }
    }
}

impl Runtimes {
    /// A place on the one with the fewest connections; `None` where there is only the caller's own.
    pub fn seat(&self) -> Option<Seat> {
        let least = self.0.iter().min_by_key(|worker| Arc::strong_count(&worker.load))?;
        Some(Seat { runtime: least.runtime.clone(), _load: Arc::clone(&least.load) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_evenly_and_leave() {
        let runtime = runtime().unwrap();
        let worker = || Worker { runtime: runtime.handle().clone(), load: Arc::default() };
        let runtimes = Runtimes([worker(), worker()].into());
        let load = || runtimes.0.iter().map(|worker| Arc::strong_count(&worker.load) - 1).collect::<Vec<_>>();
        let seats: Vec<_> = (0..6).filter_map(|_| runtimes.seat()).collect();
        assert_eq!(load(), [3, 3]);
        drop(seats);
        assert_eq!(load(), [0, 0]);
        assert!(Runtimes::default().seat().is_none());
    }
}

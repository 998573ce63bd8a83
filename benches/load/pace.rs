//! The open loop: when each request should be sent, whatever became of those before.

use keyproof::clock::Stopwatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hands out the moments at which requests are due. The runtime's timers are a millisecond coarse, so a thread keeps the time.
#[derive(Debug)]
pub(crate) struct Pace {
    due: Mutex<UnboundedReceiver<Duration>>,
    orders: Arc<Orders>,
    keeper: Thread,
}

/// What the thread is to do; it is woken when that changes.
#[derive(Debug, Default)]
struct Orders {
    go: AtomicBool,
    stop: AtomicBool,
}

impl Pace {
    /// A request every `1 / rate` seconds of `clock`, from when it is told to [`go`](Self::go).
    pub(crate) fn new(rate: f64, clock: Stopwatch) -> Self {
        let (sender, due) = unbounded_channel();
        let orders = Arc::<Orders>::default();
        let its_own = Arc::clone(&orders);
        // It ends with the run; nobody waits for it.
        let keeper = std::thread::spawn(move || keep_time(rate, clock, &sender, &its_own)).thread().clone();
        Self { due: Mutex::new(due), orders, keeper }
    }

    /// Requests are due from now on, or none until it is told again. What was not sent meanwhile is not made up for.
    pub(crate) fn go(&self, go: bool) {
        self.orders.go.store(go, Ordering::Relaxed);
        self.keeper.unpark();
    }

    /// The next request's moment, when it has come. Those that wait take turns.
    pub(crate) async fn turn(&self) -> Option<Duration> {
        self.due.lock().await.recv().await
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        self.keeper.unpark();
    }
}

fn keep_time(rate: f64, clock: Stopwatch, sender: &UnboundedSender<Duration>, orders: &Orders) {
    wake_on_time();
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = clock.elapsed();
    while !orders.stop.load(Ordering::Relaxed) {
        if !orders.go.load(Ordering::Relaxed) {
            std::thread::park();
            due = clock.elapsed();
            continue;
        }
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        if sender.send(due).is_err() {
            return;
        }
        due += interval;
    }
}

/// Linux lets timers be 50 us late to save power; a thread may ask for less. Where it may not, every server waits alike.
fn wake_on_time() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let id = thread.file_name().unwrap_or_default().to_os_string();
    std::fs::write(std::path::Path::new("/proc").join(id).join("timerslack_ns"), "1").ok();
}

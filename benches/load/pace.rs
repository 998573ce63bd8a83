//! The open loop: when each request should be sent, whatever became of those before.

use keyproof::clock::Stopwatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hands out the moments at which requests are due. The runtime's timers are a millisecond coarse, so a thread keeps the time.
#[derive(Debug)]
pub(crate) struct Pace {
    due: Mutex<UnboundedReceiver<Duration>>,
    stop: Arc<AtomicBool>,
}

impl Pace {
    /// Begins: a request every `1 / rate` seconds of `clock`.
    pub(crate) fn begin(rate: f64, clock: Stopwatch) -> Self {
        let (sender, due) = unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // It ends with the run; nobody waits for it.
        drop(std::thread::spawn(move || keep_time(rate, clock, &sender, &stopped)));
        Self { due: Mutex::new(due), stop }
    }

    /// The next request's moment, when it has come. Those that wait take turns.
    pub(crate) async fn turn(&self) -> Option<Duration> {
        self.due.lock().await.recv().await
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn keep_time(rate: f64, clock: Stopwatch, sender: &UnboundedSender<Duration>, stopped: &AtomicBool) {
    wake_on_time();
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = clock.elapsed();
    while !stopped.load(Ordering::Relaxed) {
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

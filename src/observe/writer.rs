//! The log's output: a thread that writes what others hand it, so that a stalled output never stops a
//! request.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait for the output; lines that come while it is full are lost and counted.
const CAPACITY: usize = 4 * 1024 * 1024;
/// How long the thread lets lines gather after the first: at most this late, many lines to a write.
const GATHER: Duration = Duration::from_millis(5);
/// How long the end of the process waits for an output that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes finished lines and never waits for the output. Clones share one output.
#[derive(Clone, Debug)]
pub struct LogWriter(Arc<Shared>);

/// Writes what is left when it is dropped; keep it until the end of the process.
#[derive(Debug)]
#[must_use]
pub struct LogGuard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something to write, or the end.
    work: Condvar,
    /// Everything is written.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    writing: bool,
    closed: bool,
    dropped: u64,
}

impl LogWriter {
    /// Writes to standard output.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn stdout() -> std::io::Result<(Self, LogGuard)> {
        Self::to(std::io::stdout())
    }

    /// Writes to standard error.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn stderr() -> std::io::Result<(Self, LogGuard)> {
        Self::to(std::io::stderr())
    }

    /// Writes to `output`, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn to(output: impl Write + Send + 'static) -> std::io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), idle: Condvar::new() });
        let its_own = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || its_own.write_all_to(output))?;
        Ok((Self(Arc::clone(&shared)), LogGuard(shared)))
    }

    /// Hands over whole lines, each with its end. They are copied, or lost where too much waits already.
    pub fn write_lines(&self, lines: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len().saturating_add(lines.len()) > CAPACITY || state.closed {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(lines);
        drop(state);
        if first {
            self.0.work.notify_one();
        }
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.writing = false;
            while state.waiting.is_empty() {
                self.idle.notify_all();
                if state.closed {
                    return;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.closed {
                drop(state);
                std::thread::sleep(GATHER);
                state = self.lock();
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            state.writing = true;
            drop(state);
            if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
                let lost = batch.iter().filter(|byte| **byte == b'\n').count();
                let mut state = self.lock();
                state.dropped = state.dropped.saturating_add(u64::try_from(lost).unwrap_or(u64::MAX));
            }
            batch.clear();
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.work.notify_one();
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        drop(self.0.idle.wait_timeout_while(state, LAST_WORDS, busy));
    }
}

/// What `tracing` writes its diagnostics with: one event, one write.
impl Write for LogWriter {
    fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
        self.write_lines(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// An output whose every write waits to be let through, and can be looked at afterwards.
    struct Gate {
        passes: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // An error means that the test holds no gate any more.
            let _open = self.passes.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_many_threads_arrive_whole_and_before_the_end() {
        let (gate, passes) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (log, guard) = LogWriter::to(Gate { passes, written: Arc::clone(&written) }).unwrap();
        drop(gate);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = log.clone();
                scope.spawn(move || {
                    for line in 0..100 {
                        log.write_lines(format!("{thread} {line}\n").as_bytes());
                    }
                });
            }
        });
        drop(guard);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        for thread in 0..4 {
            let mine: Vec<_> = text.lines().filter(|line| line.starts_with(&thread.to_string())).collect();
            let expected: Vec<_> = (0..100).map(|line| format!("{thread} {line}")).collect();
            assert_eq!(mine, expected);
        }
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_stalled_output_loses_lines_and_stops_nobody() {
        let (gate, passes) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (log, guard) = LogWriter::to(Gate { passes, written: Arc::clone(&written) }).unwrap();
        let line = vec![b'x'; CAPACITY / 4];
        let mut sent = 0;
        while log.dropped() < 3 {
            log.write_lines(&line);
            sent += 1;
        }
        drop(gate);
        drop(guard);
        assert_eq!(written.lock().unwrap().len(), (sent - 3) * line.len());
        log.write_lines(b"too late\n");
        assert_eq!(log.dropped(), 4);
    }
}

//! The log's output: a thread that writes what others hand it, so that a stalled output never stops a
//! request.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait for the output; lines that come while it is full are lost and counted.
const CAPACITY: usize = 4 * 1024 * 1024;
/// How long the thread lets lines gather after the first: no line is later than this.
///
/// Under load the thread shares a core with the work, and each of its turns holds up what is on its way: ten a second concern fewer than
/// one request in a hundred, and a hundred more than that. A process that is killed loses this much of its log; one that ends writes
/// everything.
const GATHER: Duration = Duration::from_millis(100);
/// How many bytes are written before that time is over: enough for a write to be worth its price, and far from
/// [`CAPACITY`] whatever the load.
const ENOUGH: usize = 256 * 1024;
/// How many bytes are written in one go. The thread gives way after each piece, so that it does not hold up whoever shares its core for longer than
/// it takes to copy one: all of [`ENOUGH`] at once held up one request in three hundred.
const PIECE: usize = 32 * 1024;
/// No number of bytes.
const NEVER: usize = usize::MAX;
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
    state: Mutex<Buffer>,
    /// As much to write as the thread wants, or the end.
    work: Condvar,
    /// Everything is written.
    idle: Condvar,
}

#[derive(Debug)]
struct Buffer {
    waiting: Vec<u8>,
    /// How many bytes must wait for the thread to be woken: one when it has nothing to do, [`ENOUGH`] while lines
    /// gather, [`NEVER`] when it is awake. Waking is a call to the system even if nobody sleeps.
    wanted: usize,
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
        let state = Buffer { waiting: Vec::new(), wanted: NEVER, writing: false, closed: false, dropped: 0 };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), idle: Condvar::new() });
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
        state.waiting.extend_from_slice(lines);
        let wake = state.waiting.len() >= state.wanted;
        if wake {
            state.wanted = NEVER;
        }
        drop(state);
        if wake {
            self.0.work.notify_one();
        }
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.writing = false;
            while state.waiting.is_empty() {
                if state.closed {
                    self.idle.notify_all();
                    return;
                }
                state.wanted = 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.wanted = ENOUGH;
            let few = |state: &mut Buffer| !state.closed && state.waiting.len() < ENOUGH;
            (state, _) =
                self.work.wait_timeout_while(state, GATHER, few).unwrap_or_else(PoisonError::into_inner);
            state.wanted = NEVER;
            std::mem::swap(&mut batch, &mut state.waiting);
            state.writing = true;
            drop(state);
            self.write_in_pieces(&batch, &mut output);
            batch.clear();
        }
    }

    /// Gives way between pieces, unless so much waits already that there is no time to lose.
    fn write_in_pieces(&self, mut lines: &[u8], output: &mut impl Write) {
        while !lines.is_empty() {
            let (piece, rest) = first_piece(lines);
            if output.write_all(piece).and_then(|()| output.flush()).is_err() {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                let mut state = self.lock();
                state.dropped = state.dropped.saturating_add(u64::try_from(lost).unwrap_or(u64::MAX));
                return;
            }
            lines = rest;
            if !lines.is_empty() && self.lock().waiting.len() < ENOUGH {
                std::thread::yield_now();
            }
        }
    }
}

/// As many whole lines as fit into a [`PIECE`], or all where not even one does, and what is left.
fn first_piece(lines: &[u8]) -> (&[u8], &[u8]) {
    let end = lines.get(..PIECE).and_then(|piece| piece.iter().rposition(|byte| *byte == b'\n'));
    end.and_then(|end| lines.split_at_checked(end.saturating_add(1))).unwrap_or((lines, &[]))
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.work.notify_one();
        let busy = |state: &mut Buffer| state.writing || !state.waiting.is_empty();
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
    fn a_line_is_written_while_others_may_still_come() {
        struct Said(mpsc::Sender<usize>);
        impl Write for Said {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _nobody_listens = self.0.send(bytes.len());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (said, heard) = mpsc::channel();
        let (log, _guard) = LogWriter::to(Said(said)).unwrap();
        for length in [1, ENOUGH, 1] {
            log.write_lines(&vec![b'x'; length]);
            assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(length));
        }
    }

    #[test]
    fn much_is_written_in_pieces_of_whole_lines() {
        struct Pieces(Vec<Vec<u8>>);
        impl Write for Pieces {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                // The output breaks at the third piece.
                if self.0.len() == 2 {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (log, _guard) = LogWriter::to(std::io::sink()).unwrap();
        let mut pieces = Pieces(Vec::new());
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        log.0.write_in_pieces(&line.repeat(100), &mut pieces);
        assert_eq!(pieces.0, [line.repeat(32), line.repeat(32)]);
        assert_eq!(log.dropped(), 36);

        let long = [vec![b'x'; 2 * PIECE].as_slice(), b"\nshort\n"].concat();
        let mut pieces = Pieces(Vec::new());
        log.0.write_in_pieces(&long, &mut pieces);
        assert_eq!(pieces.0, [long]);
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

//! Where the access log goes, and which of its lines.

use super::LogWriter;
use super::line::Line;
use super::time::Second;
use std::cell::RefCell;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where the access log goes, and which of its lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    writer: LogWriter,
    format: LogFormat,
    info: bool,
    warn: bool,
}

impl AccessLog {
    /// How many lines were lost because the output was stalled.
    pub fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// The lines of requests that went well, at level `info`, and of those that failed by trouble of our own,
    /// at `warn`.
    /// `level` is that of the process; with `warn` only the latter are written, with `error` and `off` none.
    pub fn new(writer: LogWriter, format: LogFormat, level: &str) -> Self {
        let warn = !matches!(level, "error" | "off");
        Self { writer, format, info: warn && level != "warn", warn }
    }

    /// Whether a request gets a line: one that failed by trouble of our own has another level.
    pub(super) const fn has(&self, by_our_trouble: bool) -> bool {
        if by_our_trouble { self.warn } else { self.info }
    }

    /// Formats the line in a buffer that the thread keeps, and hands it over.
    pub(super) fn write(&self, line: &Line<'_>) {
        thread_local! {
            static BUFFER: RefCell<(Second, Vec<u8>)> = RefCell::new((Second::NONE, Vec::with_capacity(1024)));
        }
        // Only a thread that is ending has no buffer any more; nobody waits for its line.
        let _ended = BUFFER.try_with(|buffer| {
            if let Ok(mut buffer) = buffer.try_borrow_mut() {
                let (second, buffer) = &mut *buffer;
                buffer.clear();
                line.write(self.format, second, buffer);
                self.writer.write_lines(buffer);
            }
        });
    }
}

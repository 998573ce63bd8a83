//! What a gateway in this process logs.

use super::raw::{Answer, PATIENCE};
use keyproof::observe::{AccessLog, LogFormat, LogGuard, LogWriter};
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The access log of one gateway.
pub struct Log {
    written: Written,
    _writes_the_rest: LogGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// An empty one, and what a gateway writes it with.
    pub fn begin() -> (Self, AccessLog) {
        let written = Written::default();
        let (writer, guard) = LogWriter::to(written.clone()).unwrap();
        (Self { written, _writes_the_rest: guard }, AccessLog::new(writer, LogFormat::Json, "info"))
    }

    /// Everything that was written so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    /// The line of the request that got this answer.
    pub async fn line_of(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id").expect("an identifier").to_owned();
        self.line(|line| line["request_id"] == id.as_str()).await
    }

    /// The first line of which this is so.
    pub async fn line(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let lines = self.text();
                // The last line may not be whole yet.
                let mut lines = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                if let Some(line) = lines.find_map(|line| serde_json::from_str(line).ok().filter(&is_it)) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("a line in time")
    }
}

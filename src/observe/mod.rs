//! What is seen of a request: one [`Exchange`] a request, written to metrics and log when it is dropped.
//!
//! [`Metrics`] are atomics resolved beforehand, a log line is formatted in a buffer of the thread's own and
//! handed to
//! [`LogWriter`], whose thread writes it: a request waits for neither.

mod access_log;
mod exchange;
mod families;
mod line;
mod metrics;
mod scrape;
mod slots;
mod text;
mod time;
mod trace;
mod tracing;
mod writer;

pub use access_log::{AccessLog, LogFormat};
pub use exchange::{Binding, Decision, Exchange, Observer};
pub use line::Finding;
pub use metrics::Metrics;
pub use scrape::{HotKeysState, ListenerState, ReplayState, ServersSource, ServersState};
pub use text::write_address;
pub use time::rfc3339;
pub use tracing::{LevelError, init};
pub use writer::{LogGuard, LogWriter};

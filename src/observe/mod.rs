//! What is seen of a request: one [`Exchange`] a request, written to metrics and log when it is dropped.
//!
//! [`Metrics`] are atomics resolved beforehand, a log line is formatted in a buffer of the thread's own and
//! handed to
//! [`LogWriter`], whose thread writes it: a request waits for neither.

mod exchange;
mod families;
mod line;
mod metrics;
mod slots;
mod trace;
mod tracing;
mod writer;

pub use exchange::{AccessLog, Binding, Decision, Exchange, LogFormat, Observer};
pub use line::write_address;
pub use metrics::{Metrics, ReplayState};
pub use tracing::{LevelError, init};
pub use writer::{LogGuard, LogWriter};

//! What is seen of a request: one [`Exchange`] a request, written to metrics and log when it is dropped.

mod exchange;
mod metrics;
mod tracing;

pub use exchange::{AccessLog, Decision, Exchange, LogFormat};
pub use metrics::Metrics;
pub use tracing::init;

//! The metrics of contract section 6, their names in one place.
use prometheus::Registry;
/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    /// Where they are registered.
    pub registry: Registry,
}

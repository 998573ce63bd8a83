//! The replay store against the world outside the process: kills, and real Redis servers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "helpers of tests are tests"
)]

#[cfg(test)]
mod failover;
mod kill;
mod log;
mod redis;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod sentinel;
mod server;
#[cfg(test)]
mod stopped;

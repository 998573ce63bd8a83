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
#[expect(dead_code, unreachable_pub, reason = "what several test programs share")]
#[path = "../support/mod.rs"]
mod support;

mod kill;
mod redis;
#[cfg(test)]
mod replicas;
mod server;

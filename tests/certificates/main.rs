//! Tokens that are bound to a client certificate (RFC 8705), before the whole gateway.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod base64;
#[cfg(test)]
mod bindings;
mod client;
#[cfg(test)]
mod command;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod fronts;
#[cfg(test)]
mod handshake;
mod identity;
#[cfg(test)]
mod reload;

//! Tokens that are bound to a client certificate (RFC 8705), before the whole gateway.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests are tests"
)]

#[cfg(test)]
mod bindings;
mod client;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod fronts;
#[cfg(test)]
mod handshake;
mod identity;
#[cfg(test)]
mod reload;

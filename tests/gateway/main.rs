//! What the gateway promises, end to end: real sockets, a real upstream, a clock that the test sets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    reason = "a failed expectation ends the test with its place"
)]
#![expect(unreachable_pub, dead_code, reason = "what several test programs share, none of them uses all of")]

#[path = "../support/mod.rs"]
mod support;

mod cors;
mod forwarding;
mod nonce;
mod replay;
mod routes;

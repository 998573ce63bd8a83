//! The HTTP plumbing, byte by byte: what hyper refuses, what it lets through, what becomes of bodies,
//! upstreams and drains.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its helpers are tests too; tests spawn where it suits them"
)]

mod alpn;
mod answers;
mod bodies;
mod drain;
mod framing;
mod gateway;
mod health;
mod http2;
mod http2_upstreams;
mod limits;
mod malformed;
mod prior_knowledge;
mod retries;
mod room;
mod secure;
mod upstreams;

//! The parts of `keyproof demo`: everything a DPoP deployment has, on loopback, in one process.
//!
//! [`Stage`] starts an authorization server, a legacy upstream and the gateway between client and upstream,
//! the same gateway as `serve` runs, from a configuration file like anybody's. [`Story`] plays the client
//! and the thief, one [`Scene`] after the other.

mod issuer;
mod listen;
mod stage;
mod story;
mod upstream;

pub use stage::{CLIENT_ID, CLIENT_SECRET, DemoError, Stage};
pub use story::{Act, Scene, Story};

//! Listeners, TLS, connections, drain.

mod connection;
mod deadline;
mod drain;
mod gathered;
mod listen;
mod tls;
pub mod turns;
pub mod workers;

pub use connection::{Peer, Protocol, Serve};
pub use deadline::Limits;
pub use drain::{Drain, Drained};
pub use gathered::Gathered;
pub use listen::{Connections, Listener};
pub use tls::{Tls, TlsError};

//! What listeners, upstreams and the gate share about threads, sockets and files with certificates.

mod acceptor;
mod ahead;
mod basic;
mod egress;
mod gathered;
mod interim;
pub mod pem;
pub mod tls;
mod turns;
pub mod workers;

pub use acceptor::{Acceptor, Lent, Reserved, Sockets};
pub use ahead::Ahead;
pub use basic::client_secret_basic;
pub use egress::{ConnectTo, Connector, Egress, Proxies, ProxyError, connector, connector_to};
pub use gathered::{Gathered, poll_write_gathered};
pub use interim::{Interim, MAX_INTERIM};
pub use turns::ready_to_verify;

/// How requests of our own name themselves (RFC 9110 section 10.1.5): some servers refuse those that do not.
pub const USER_AGENT: &str = concat!("keyproof/", env!("CARGO_PKG_VERSION"));

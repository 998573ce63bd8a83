//! Listeners, TLS, connections, drain.

mod chunks;
mod connection;
mod connections;
mod deadline;
mod drain;
mod handed_over;
mod listen;
mod malformed;
mod preface;
mod sender;
mod takeover;
mod tls;

pub use connection::{Door, Peer, Protocol, Serve};
pub use connections::Connections;
pub use deadline::Limits;
pub use drain::{Drain, Drained, Ending};
pub use handed_over::{HandedOver, HandedOverError};
pub use listen::Listener;
pub use sender::Sender;
pub use takeover::{ClientSocket, Takeover};
pub use tls::{ClientCertificate, Clients, Tls};

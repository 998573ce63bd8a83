//! Listeners, TLS, connections, drain.

mod connection;
mod drain;
mod listen;
mod tls;

//! A listener: an address, and what becomes of the connections that come to it.

use super::connection::{self, Serve};
use super::connections::Connections;
use super::deadline::Limits;
use super::drain::Drain;
use super::malformed::Refusals;
use super::tls::Tls;
use crate::names::ListenerId;
use crate::net::{Acceptor, Sockets};
use ipnet::IpNet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    connections: Arc<Connections>,
}

/// What every connection of a listener needs.
#[derive(Clone, Debug)]
pub(super) struct Arrival<S> {
    pub(super) listener: ListenerId,
    pub(super) tls: Option<Tls>,
    pub(super) serve: S,
    pub(super) drain: Drain,
    pub(super) limits: Limits,
    pub(super) connections: Arc<Connections>,
}

impl<S> Arrival<S> {
    /// Where refusals of the HTTP layer on a connection from here are counted.
    pub(super) fn refusals(&self, peer: SocketAddr) -> Refusals {
        Refusals { connections: Arc::clone(&self.connections), listener: self.listener, peer }
    }
}

impl Listener {
    /// Binds an address. `trusted` peers may have as many connections as they like, up to the listener's
    /// limit.
    ///
    /// # Errors
    /// What the system says, as when the address is in use.
    pub fn bind(address: SocketAddr, trusted: Vec<IpNet>) -> io::Result<Self> {
        Ok(Self::on(Acceptor::bind(address)?, Arc::new(Connections::new(trusted))))
    }

    /// A listener for what comes here, whose connections count among these.
    pub const fn on(acceptor: Acceptor, connections: Arc<Connections>) -> Self {
        Self { acceptor, connections }
    }

    /// Its sockets, for another one.
    ///
    /// # Errors
    /// The process has no more files.
    pub fn sockets(&self) -> io::Result<Sockets> {
        self.acceptor.sockets()
    }

    /// Where it listens: the ports the system chose, where none was named.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.acceptor.addresses()
    }

    /// Its connections, for metrics.
    pub fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.connections)
    }

    /// Accepts and serves until `drain` stops; connections are tasks of `drain`. `listener` says which one this is.
    ///
    /// Then it closes, but loses nobody: whom the system has connected already is served. With sockets that were handed over, new clients are
    /// served until those from before are done, so that they wait no longer for the next process than it takes to start.
    pub async fn run<S: Serve>(
        self,
        listener: ListenerId,
        tls: Option<Tls>,
        serve: S,
        limits: Limits,
        drain: Drain,
    ) {
        let Self { acceptor, connections } = self;
        let arrival = Arc::new(Arrival { listener, tls, serve, drain: drain.clone(), limits, connections });
        let admit = |socket, address| admit(socket, address, &arrival);
        acceptor.accept_until(drain.stopping(), &admit).await;
        if acceptor.is_released() {
            return;
        }
        if acceptor.is_handed_over() {
            acceptor.accept_until(drain.earlier_are_over(), &admit).await;
        } else {
            acceptor.close(drain.last_call().get().unwrap_or(Duration::MAX), &admit).await;
        }
    }
}

/// Serves a connection, or closes it at once where there are too many.
///
/// Its future is in a box: a task that can be aborted has room for its future twice.
fn admit<S: Serve>(socket: TcpStream, address: SocketAddr, arrival: &Arc<Arrival<S>>) {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let Some(place) = arrival.connections.enter(address.ip()) else { return };
    let arrival = Arc::clone(arrival);
    let drain = arrival.drain.clone();
    let held = (place, drain.earlier());
    let Some(seat) = drain.seat() else {
        return drain.spawn(Box::pin(async move {
            connection::run(socket, address, &arrival).await;
            drop(held);
        }));
    };
    // A socket is watched by the runtime that it was made on.
    let Ok(socket) = socket.into_std() else { return };
    drain.spawn_on(
        seat,
        Box::pin(async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                connection::run(socket, address, &arrival).await;
            }
            drop(held);
        }),
    );
}

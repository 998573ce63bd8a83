//! Accepting, without parking or spinning when files run out, and without a reset for who was connected when it ends.

use super::connection::{self, Serve};
use super::connections::Connections;
use super::deadline::Limits;
use super::drain::Drain;
use super::malformed::Refusals;
use super::tls::Tls;
use crate::names::ListenerId;
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const BACKLOG: i32 = 1024;
/// How long to wait when the system has no file for a connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// How long the handshakes of TCP may take that have begun when a listener closes.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    /// Another process holds the sockets too: what we do not accept, the next one will.
    handed_over: bool,
    /// Another listener of this process goes on with the sockets: what we do not accept, it does.
    released: Arc<AtomicBool>,
    connections: Arc<Connections>,
}

/// The sockets of a listener, for another one that goes on with them.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<std::net::TcpListener>,
    handed_over: bool,
    released: Arc<AtomicBool>,
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
        Self::bind_for(address, Arc::new(Connections::new(trusted)))
    }

    /// The same for connections that are counted among these.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind_for(address: SocketAddr, connections: Arc<Connections>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` takes IPv4 too, whatever the system's default is: one listener serves both.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let sockets = vec![TcpListener::from_std(socket.into())?];
        Ok(Self { sockets, handed_over: false, released: Arc::default(), connections })
    }

    /// Its sockets, for another one.
    ///
    /// # Errors
    /// The process has no more files.
    pub fn sockets(&self) -> io::Result<Sockets> {
        let copy =
            |socket: &TcpListener| socket.as_fd().try_clone_to_owned().map(std::net::TcpListener::from);
        Ok(Sockets {
            sockets: self.sockets.iter().map(copy).collect::<io::Result<_>>()?,
            handed_over: self.handed_over,
            released: Arc::clone(&self.released),
        })
    }

    /// Listens on sockets that another process holds too.
    pub(super) fn on(sockets: Vec<std::net::TcpListener>, connections: Arc<Connections>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        Ok(Self { sockets, handed_over: true, released: Arc::default(), connections })
    }

    /// Where it listens: the ports the system chose, where none was named.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
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
        let connections = self.connections();
        let arrival = Arc::new(Arrival { listener, tls, serve, drain: drain.clone(), limits, connections });
        self.accept_until(drain.stopping(), &arrival).await;
        if self.released.load(Ordering::SeqCst) {
            return;
        }
        if self.handed_over {
            self.accept_until(drain.earlier_are_over(), &arrival).await;
        } else {
            self.close(&arrival).await;
        }
    }

    async fn accept_until<S: Serve>(&self, end: impl Future<Output = ()>, arrival: &Arc<Arrival<S>>) {
        let mut end = pin!(end);
        let (mut out_of_files, mut accepted) = (false, 0_usize);
        loop {
            let arrived = tokio::select! {
                biased;
                () = &mut end => return,
                arrived = self.accept(accepted) => arrived,
            };
            accepted = accepted.wrapping_add(1);
            match arrived {
                Ok((socket, address)) => {
                    out_of_files = false;
                    admit(socket, address, arrival);
                }
                // The client left before we came to it.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut out_of_files, true) {
                        let listener = arrival.listener.0;
                        tracing::warn!(listener, %error, "cannot accept connections, trying again");
                    }
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }

    /// The next connection of any socket; each is asked first in its turn.
    async fn accept(&self, turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
        let count = self.sockets.len();
        let first = turn.checked_rem(count).unwrap_or(0);
        poll_fn(|cx| {
            let mut sockets = self.sockets.iter().cycle().skip(first).take(count);
            let ready = sockets.find_map(|socket| match socket.poll_accept(cx) {
                Poll::Ready(arrived) => Some(arrived),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Closes the sockets. The system connects clients before we accept them, and they may have sent a request: closing would answer them
    /// with a reset. So those that come now are no longer heard (they try again, and are refused), and all others are accepted first.
    async fn close<S: Serve>(self, arrival: &Arc<Arrival<S>>) {
        if self.sockets.iter().all(|socket| hear_no_more(socket).is_ok()) {
            let patience = arrival.drain.last_call().get().map_or(HANDSHAKES, |last| last.min(HANDSHAKES));
            self.accept_until(tokio::time::sleep(patience), arrival).await;
        }
        // By hand: the runtime may not know yet that a connection is there.
        for socket in self.sockets.into_iter().filter_map(|socket| socket.into_std().ok()) {
            loop {
                match socket.accept() {
                    Ok((accepted, address)) => {
                        if accepted.set_nonblocking(true).is_ok()
                            && let Ok(accepted) = TcpStream::from_std(accepted)
                        {
                            admit(accepted, address, arrival);
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => break,
                }
            }
        }
    }
}

impl Sockets {
    /// A listener on them whose connections count among these.
    ///
    /// # Errors
    /// The process has no more files.
    pub fn listener(&self, connections: Arc<Connections>) -> io::Result<Listener> {
        let copy = |socket: &std::net::TcpListener| TcpListener::from_std(socket.try_clone()?);
        let sockets = self.sockets.iter().map(copy).collect::<io::Result<_>>()?;
        Ok(Listener { sockets, handed_over: self.handed_over, released: Arc::default(), connections })
    }

    /// The listener that they are of does not close them when it stops: another one has them.
    pub fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

/// Makes the system drop every SYN that comes to this socket: whoever sends it tries again after a second.
#[cfg(target_os = "linux")]
fn hear_no_more(socket: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;
    /// The byte of a TCP header with the flags (RFC 9293 section 3.1), and SYN among them.
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    /// Classic BPF: load a byte, jump if a bit is set, return how much is kept.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    socket2::SockRef::from(socket).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Elsewhere it cannot be told so; whoever comes between the last that is accepted and the end is reset.
#[cfg(not(target_os = "linux"))]
fn hear_no_more(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

//! Sockets on which connections are taken: bound beside our own, gone on with by another owner, and closed without a reset for who was
//! connected.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
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
/// How long the handshakes of TCP may take that have begun when the sockets close.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// Sockets, and who takes the connections that come to them.
#[derive(Debug)]
pub struct Acceptor {
    sockets: Vec<TcpListener>,
    /// Another process holds the sockets too: what we do not accept, the next one will.
    handed_over: bool,
    /// Another one of this process goes on with the sockets: what we do not accept, it does.
    released: Arc<AtomicBool>,
}

/// The sockets of an [`Acceptor`], for another one that goes on with them.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<std::net::TcpListener>,
    handed_over: bool,
    released: Arc<AtomicBool>,
}

/// An address that is ours, and on which nobody listens yet: given up again, no client will have noticed.
#[derive(Debug)]
pub struct Reserved(Socket);

/// While it lives, addresses can be bound that overlap with these sockets of our own.
///
/// `127.0.0.1:80` cannot be bound where somebody listens on `0.0.0.0:80`, whoever that is, except if both have `SO_REUSEPORT` at that moment.
/// Connections then go to the narrower address, and to the other one's socket once that is closed. Nobody keeps the option: who binds a port
/// that we have, as a second gateway would, finds it in use. (Linux remembers it, for processes of the same user that ask for the same option: those
/// could read our memory, too.)
#[derive(Debug)]
pub struct Lent<'s>(Vec<&'s Sockets>);

impl Reserved {
    /// Reserves an address.
    ///
    /// # Errors
    /// What the system says, as when the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_as(address, false)
    }

    /// The same, also where it overlaps with what is lent.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind_beside(address: SocketAddr, lent: &Lent<'_>) -> io::Result<Self> {
        Self::bind_as(address, !lent.0.is_empty())
    }

    fn bind_as(address: SocketAddr, shares: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` takes IPv4 too, whatever the system's default is: one listener serves both.
            socket.set_only_v6(false)?;
        }
        if shares {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self(socket))
    }

    /// Connections may come from now on. Where it was bound beside what is lent, that must still be.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(self) -> io::Result<Acceptor> {
        self.0.listen(BACKLOG)?;
        self.0.set_reuse_port(false)?;
        Acceptor::of(vec![self.0.into()], false)
    }
}

impl<'s> Lent<'s> {
    /// Lends those of these sockets that have one of these ports.
    pub fn of(sockets: impl IntoIterator<Item = &'s Sockets>, ports: &[u16]) -> Self {
        let is_wanted = |socket: &std::net::TcpListener| {
            socket.local_addr().is_ok_and(|address| ports.contains(&address.port()))
        };
        let wanted = sockets.into_iter().filter(|sockets| sockets.sockets.iter().any(is_wanted));
        let lent = Self(wanted.filter(|sockets| !sockets.handed_over).collect());
        lent.set(true);
        lent
    }

    /// Where it cannot be done the address is in use, as whoever binds it will find.
    fn set(&self, shares: bool) {
        for socket in self.0.iter().flat_map(|sockets| &sockets.sockets) {
            SockRef::from(socket).set_reuse_port(shares).ok();
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl Acceptor {
    /// Takes connections at an address.
    ///
    /// # Errors
    /// What the system says, as when the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Reserved::bind(address)?.listen()
    }

    /// Takes connections on sockets that another process holds too.
    ///
    /// # Errors
    /// The runtime cannot watch them.
    pub fn on(sockets: Vec<std::net::TcpListener>) -> io::Result<Self> {
        Self::of(sockets, true)
    }

    fn of(sockets: Vec<std::net::TcpListener>, handed_over: bool) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        Ok(Self { sockets, handed_over, released: Arc::default() })
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

    /// Where it listens: the ports the system chose, where none was named.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Whether another process holds the sockets too.
    pub const fn is_handed_over(&self) -> bool {
        self.handed_over
    }

    /// Whether another one goes on with the sockets.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    /// Hands every connection to `admit`, without parking or spinning when files run out.
    pub async fn accept_until(&self, end: impl Future<Output = ()>, admit: &impl Fn(TcpStream, SocketAddr)) {
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
                    admit(socket, address);
                }
                // The client left before we came to it.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut out_of_files, true) {
                        let addresses = self.addresses();
                        tracing::warn!(?addresses, %error, "cannot accept connections, trying again");
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

    /// Closes the sockets; it may take so long, and it takes no longer than handshakes do. The system connects clients before we accept them, and
    /// they may have sent a request: closing would answer them with a reset. So those that come now are no longer heard (they try again, and are
    /// refused, or meet who listens there then), and all others are accepted first.
    pub async fn close(self, patience: Duration, admit: &impl Fn(TcpStream, SocketAddr)) {
        if self.sockets.iter().all(|socket| hear_no_more(socket).is_ok()) {
            self.accept_until(tokio::time::sleep(patience.min(HANDSHAKES)), admit).await;
        }
        // By hand: the runtime may not know yet that a connection is there.
        for socket in self.sockets.into_iter().filter_map(|socket| socket.into_std().ok()) {
            loop {
                match socket.accept() {
                    Ok((accepted, address)) => {
                        if accepted.set_nonblocking(true).is_ok()
                            && let Ok(accepted) = TcpStream::from_std(accepted)
                        {
                            admit(accepted, address);
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
    /// Another one that takes connections on them.
    ///
    /// # Errors
    /// The process has no more files.
    pub fn acceptor(&self) -> io::Result<Acceptor> {
        let copies = self.sockets.iter().map(std::net::TcpListener::try_clone).collect::<io::Result<_>>()?;
        Acceptor::of(copies, self.handed_over)
    }

    /// The one that they are of does not close them when it stops: another one has them.
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
    SockRef::from(socket).attach_filter(&[
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

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

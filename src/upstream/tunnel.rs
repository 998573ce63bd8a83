//! A connection that was switched to another protocol by a server's 101: bytes go both ways until it ends.

use super::answer::UpstreamBody;
use super::server::Underway;
use super::socket::Socket;
use super::stream::Stream;
use crate::clock::Stopwatch;
use crate::net::Ahead;
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};

/// How long the end of a tunnel may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The server's side of a tunnel. As long as it lives, the server counts a request.
#[derive(Debug)]
pub struct Tunnel {
    server: OnUpgrade,
    idle: Duration,
    underway: Option<Underway>,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides closed it, or the client left.
    Closed,
    /// The server's side failed.
    Broken,
    /// No byte went either way for too long.
    Idle,
}

impl TunnelEnd {
    /// What the metric says where that is not how the handshake ended.
    pub const fn result(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Broken => Some("reset"),
            Self::Idle => Some("timeout"),
        }
    }

    /// What the log says: one of a fixed set of texts, which begin with a word for programs.
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Broken => Some("upstream_broken: the server's side of the tunnel failed"),
            Self::Idle => Some("upstream_idle_timeout: no byte went through the tunnel either way"),
        }
    }
}

impl Tunnel {
    /// The tunnel that an answer opens: where it is a 101, which only a request with `Upgrade` gets. It ends when no byte has gone through it
    /// for so long.
    pub fn of(response: &mut Response<UpstreamBody>, idle: Duration) -> Option<Self> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return None;
        }
        let server = hyper::upgrade::on(&mut *response);
        Some(Self { server, idle, underway: response.body_mut().take_underway() })
    }

    /// Carries what comes from either side to the other, as it comes, until both have closed, one fails, or nothing moves for too long.
    pub async fn carry<C: AsyncRead + AsyncWrite + Unpin>(self, client: &mut C) -> TunnelEnd {
        let Some(server) = self.server.await.ok().and_then(socket_of) else { return TunnelEnd::Broken };
        let last = Last::default();
        let mut server = Side { socket: server, last: last.clone(), failed: false };
        let mut client = Side { socket: client, last: last.clone(), failed: false };
        let end = tokio::select! {
            biased;
            end = copy_bidirectional(&mut client, &mut server) => Some(end.is_ok()),
            () = last.silent(self.idle) => None,
        };
        let end = match end {
            None => TunnelEnd::Idle,
            Some(false) if server.failed => TunnelEnd::Broken,
            Some(_) => TunnelEnd::Closed,
        };
        // Whoever still listens is told that it is over; nobody is waited for.
        let last_words = async { tokio::join!(client.socket.shutdown(), server.socket.shutdown()) };
        let _told = tokio::time::timeout(LAST_WORDS, last_words).await;
        drop(self.underway);
        end
    }
}

/// When a byte last went either way. Clones are the same.
#[derive(Clone, Debug)]
struct Last(Arc<(Stopwatch, AtomicU64)>);

impl Default for Last {
    fn default() -> Self {
        Self(Arc::new((Stopwatch::start(), AtomicU64::new(0))))
    }
}

impl Last {
    fn age(&self) -> u64 {
        self.0.0.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn moved(&self) {
        self.0.1.store(self.age(), Ordering::Relaxed);
    }

    /// Done when nothing has moved for so long.
    async fn silent(&self, limit: Duration) {
        loop {
            let quiet = Duration::from_millis(self.age().saturating_sub(self.0.1.load(Ordering::Relaxed)));
            if quiet >= limit {
                return;
            }
            tokio::time::sleep(limit.saturating_sub(quiet)).await;
        }
    }
}

/// A side of a tunnel.
struct Side<S> {
    socket: S,
    last: Last,
    failed: bool,
}

impl<S> Side<S> {
    fn note<T>(&mut self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &poll {
            Poll::Ready(Ok(_)) => self.last.moved(),
            Poll::Ready(Err(_)) => self.failed = true,
            Poll::Pending => {}
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_read(cx, buf);
        this.note(poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.note(poll)
    }

    // What is flushed or shut down is no byte that moves.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// The connection to the server, with what hyper has read of it behind the 101.
fn socket_of(upgraded: Upgraded) -> Option<Ahead<Stream>> {
    let parts = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    Some(Ahead::new(parts.read_buf, parts.io.into_inner().into_stream()))
}

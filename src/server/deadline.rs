//! Deadlines on a connection's socket: for a request's head, for idling, for a client that does not read, and
//! for its leaving.

use super::drain::LastCall;
use crate::clock::Stopwatch;
use crate::net::poll_write_gathered;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request's head to its end; on a new connection, from the beginning.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Without taking a byte of an answer.
    pub write: Duration,
    /// How long the client may go on sending after we have closed.
    pub linger: Duration,
    /// How long an answer may still take after the client has said that it sends no more. It may be waiting for the answer, or have left;
    /// only time tells. HTTP/2 has its own word for leaving and waits for nothing.
    pub half_closed: Duration,
}

impl Limits {
    /// 10 s, 10 s, 60 s, 60 s, 2 s, 1 s.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(60),
        linger: Duration::from_secs(2),
        half_closed: Duration::from_secs(1),
    };
}

/// Whether a request is being answered, and the socket's silence therefore not the client's fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<Activity>);

#[derive(Debug)]
struct Activity {
    answering: AtomicBool,
    begun: AtomicUsize,
    /// When the last answer ended, in milliseconds of `age`.
    ended: AtomicU64,
    age: Stopwatch,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            answering: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            age: Stopwatch::start(),
        }
    }
}

impl Activity {
    fn age(&self) -> u64 {
        self.age.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }
}

impl Busy {
    /// A request's head is complete; drop what this returns when its answer is.
    pub(super) fn begin(&self) -> Answering {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.answering.store(true, Ordering::Relaxed);
        Answering(Arc::clone(&self.0))
    }

    /// How many requests have begun.
    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// How long no request has been answered; not at all while one is.
    fn idle_for(&self) -> Duration {
        if self.is_set() {
            return Duration::ZERO;
        }
        Duration::from_millis(self.0.age().saturating_sub(self.0.ended.load(Ordering::Relaxed)))
    }

    /// Whether one is being answered.
    pub(super) fn is_set(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed)
    }
}

/// A request is being answered while this lives.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended.store(self.0.age(), Ordering::Relaxed);
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// A socket that fails with `TimedOut` when a deadline passes.
///
/// hyper has one timer for a head, which also runs between requests; here a kept-alive connection may idle
/// longer than a head may take. hyper does not read again when an answer ends, so no timer can be set there:
/// the one that runs is looked at when it fires, and set for what is left. Requests therefore cost no timer.
#[derive(Debug)]
pub(super) struct Deadlines<S> {
    socket: S,
    busy: Busy,
    /// How many requests had begun when we last looked.
    begun: usize,
    limits: Limits,
    last_call: LastCall,
    /// When we noticed that the drain had begun, in milliseconds of the connection's age.
    called_at: Option<u64>,
    reading: Timer<Silence>,
    writing: Timer<()>,
    lingering: Timer<()>,
    half_closed: Timer<usize>,
    /// A part of the next head is here (or must come, on a new connection).
    in_head: bool,
    /// Nothing has come yet.
    is_new: bool,
    /// The client has said its last.
    at_end: bool,
    leaving: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// In the head of the request after so many.
    Head(usize),
    /// While a request is answered, or none is there.
    Quiet,
    /// The same once the listener has closed.
    LastCall,
}

#[derive(Debug)]
enum Leaving {
    No,
    Closing,
    Lingering { left: usize },
}

/// How much a client may still send after we have closed.
const LINGER_BYTES: usize = 1 << 20;

impl<S> Deadlines<S> {
    pub(super) fn new(socket: S, busy: Busy, limits: Limits, last_call: LastCall) -> Self {
        Self {
            socket,
            busy,
            begun: 0,
            limits,
            last_call,
            called_at: None,
            reading: Timer::default(),
            writing: Timer::default(),
            lingering: Timer::default(),
            half_closed: Timer::default(),
            in_head: true,
            is_new: true,
            at_end: false,
            leaving: Leaving::No,
        }
    }

    /// The socket alone.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// Fails when the client has been silent for too long, or ends what it can send when nothing more is waited for.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.busy.begun() != self.begun {
            self.begun = self.busy.begun();
            self.in_head = false;
        }
        let last_call = self.last_call.get().filter(|_| self.is_new || !self.in_head);
        if let Some(patience) = last_call {
            return self.poll_last_call(patience, cx).map(Ok);
        }
        if self.in_head {
            ready!(self.reading.poll(Silence::Head(self.begun), self.limits.head, cx));
        } else {
            let mut left = self.limits.idle;
            while !left.is_zero() {
                ready!(self.reading.poll(Silence::Quiet, left, cx));
                self.reading.clear();
                left = self.limits.idle.saturating_sub(self.busy.idle_for());
            }
        }
        // It has had its time: nothing to linger for.
        self.at_end = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Done when an idle client has had its time to send one more request. To hyper that looks as if the client had ended its side: it
    /// closes the connection in order, and nothing that the client still sends is answered by a reset.
    fn poll_last_call(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let called_at = *self.called_at.get_or_insert_with(|| self.busy.0.age());
        loop {
            let since = Duration::from_millis(self.busy.0.age().saturating_sub(called_at));
            let idle = self.busy.idle_for();
            let left = patience.saturating_sub(idle.min(since)).min(self.limits.idle.saturating_sub(idle));
            if left.is_zero() {
                return Poll::Ready(());
            }
            ready!(self.reading.poll(Silence::LastCall, left, cx));
            self.reading.clear();
        }
    }

    fn took(&mut self, read: usize) {
        self.at_end |= read == 0;
        self.is_new = false;
        self.in_head = !self.busy.is_set();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlines<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len().saturating_sub(before);
                this.took(read);
                // hyper gives up on a client that ends its side, and with it on the answer: the end waits for the answer a little.
                if read == 0 && this.busy.is_set() && !this.limits.half_closed.is_zero() {
                    ready!(this.half_closed.poll(this.busy.begun(), this.limits.half_closed, cx));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_silence(cx),
        }
    }
}

impl<S: AsyncWrite + AsyncRead + Unpin> AsyncWrite for Deadlines<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.written(poll, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = poll_write_gathered(Pin::new(&mut this.socket), cx, bufs);
        this.written(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_flush(cx);
        this.written(poll, cx)
    }

    /// Closes our side, then reads what the client is still sending: closing with unread bytes resets the
    /// connection, and the client might lose the answer it has not read yet (RFC 9112 section 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.leaving, Leaving::No) {
            this.leaving = Leaving::Closing;
        }
        if matches!(this.leaving, Leaving::Closing) {
            let poll = Pin::new(&mut this.socket).poll_shutdown(cx);
            ready!(this.written(poll, cx))?;
            this.leaving = Leaving::Lingering { left: LINGER_BYTES };
        }
        if !this.at_end && this.poll_discard(cx).is_pending() {
            ready!(this.lingering.poll((), this.limits.linger, cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Deadlines<S> {
    /// Ready at the client's end, an error, or when it has sent too much.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 4096];
        while let Leaving::Lingering { left } = &mut self.leaving {
            let mut buf = ReadBuf::new(&mut waste);
            let outcome = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf));
            *left = left.saturating_sub(buf.filled().len());
            if outcome.is_err() || buf.filled().is_empty() || *left == 0 {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl<S> Deadlines<S> {
    /// Passes on the outcome of a write, or fails when the client has not taken a byte for too long.
    fn written<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.writing.clear();
            return poll;
        }
        self.writing.poll((), self.limits.write, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A timer that is allocated once and set again for every wait.
#[derive(Debug)]
struct Timer<K> {
    sleep: Option<Pin<Box<Sleep>>>,
    running: Option<K>,
}

impl<K> Default for Timer<K> {
    fn default() -> Self {
        Self { sleep: None, running: None }
    }
}

impl<K: Copy + PartialEq> Timer<K> {
    /// Ready `limit` after this wait began. A wait for something else begins anew.
    fn poll(&mut self, what: K, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if self.running != Some(what) {
            self.running = Some(what);
            sleep.as_mut().reset(Instant::now() + limit);
        }
        sleep.as_mut().poll(cx)
    }

    fn clear(&mut self) {
        self.running = None;
    }
}

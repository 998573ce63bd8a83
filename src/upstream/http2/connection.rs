//! One connection of HTTP/2, what drives it, and a request's place on it.

use super::super::UpstreamError;
use super::super::error::ConnectStage;
use super::super::http1::MAX_HEAD;
use super::super::stream::Stream;
use super::super::tls::TlsFailure;
use super::failure::Http2Failure;
use super::pool::Shelf;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;

/// How many requests a connection has at once, at most: each may keep its window full of bytes that its client does not read, and what the
/// windows of all of them hold must not exceed the connection's, or slow clients would keep the others waiting.
const MAX_STREAMS: usize = 100;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
const STREAM_SEND_BUFFER: usize = 64 * 1024;

/// The type of a SETTINGS frame.
const SETTINGS: u8 = 4;

/// How long a server may be silent: then, if nobody waits for it, the connection is closed, and else it is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(20);
/// How long it may be silent after it said that it is. Servers of gRPC take more than two questions in five minutes for an attack.
const QUIET_AGAIN: Duration = Duration::from_secs(310);
/// How long the answer to that question may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection. It ends once all that hold it, and its streams, are gone.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Streams that are open.
    open: AtomicUsize,
    /// Streams that there were.
    ever: AtomicUsize,
    /// Takes no more requests.
    over: AtomicBool,
    /// How often bytes came.
    heard: AtomicUsize,
    /// The server has begun as it must: with its settings.
    settled: AtomicBool,
    /// It did not say in time that it is there.
    silent: AtomicBool,
    tls: OnceLock<TlsFailure>,
}

impl Connection {
    /// Begins HTTP/2 on a stream. `limit` is how long the server may take to say its settings, with which it begins.
    pub(super) async fn begin(
        stream: Stream,
        shelf: &Arc<Shelf>,
        limit: Duration,
    ) -> Result<Self, UpstreamError> {
        let state = Arc::<State>::default();
        let socket = Watched { stream, state: Arc::clone(&state) };
        let head = u32::try_from(MAX_HEAD).unwrap_or(u32::MAX);
        let begun = Builder::new()
            .enable_push(false)
            // Until it has said how many there may be.
            .initial_max_send_streams(1)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(head)
            .max_send_buffer_size(STREAM_SEND_BUFFER)
            .handshake(socket)
            .await;
        let (sender, connection) = begun.map_err(|error| state.cause(&error))?;
        // Drain does not wait for it: it waits for the requests.
        drop(Handle::current().spawn(drive(connection, Arc::clone(&state), Arc::clone(shelf), limit)));
        Ok(Self { sender, state })
    }

    /// A place for one more request, if there is one.
    pub(super) fn reserve(&self, shelf: &Arc<Shelf>) -> Option<Place> {
        let limit = self.limit();
        let open = self.state.open.fetch_add(1, Ordering::SeqCst);
        if open >= limit || self.is_over() {
            self.state.open.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let before = self.state.ever.fetch_add(1, Ordering::Relaxed);
        let (sender, state) = (self.sender.clone(), Arc::clone(&self.state));
        Some(Place { sender, state, shelf: Arc::clone(shelf), used_before: before > 0 })
    }

    /// How many requests it takes at once.
    pub(super) fn limit(&self) -> usize {
        self.sender.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Takes no more requests.
    pub(super) fn is_over(&self) -> bool {
        self.state.over.load(Ordering::SeqCst)
    }

    /// The server has said its settings.
    pub(super) fn is_settled(&self) -> bool {
        self.state.is_settled()
    }
}

impl State {
    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }

    /// Ends it, unless somebody has just come.
    fn retire(&self) -> bool {
        self.over.store(true, Ordering::SeqCst);
        let retired = !self.is_open();
        self.over.store(retired, Ordering::SeqCst);
        retired
    }

    /// Why a stream or the whole connection failed.
    fn cause(&self, error: &h2::Error) -> UpstreamError {
        if self.silent.load(Ordering::Relaxed) {
            return if self.is_settled() { Http2Failure::Silent.into() } else { ConnectStage::Http2.into() };
        }
        if error.is_io() {
            return self.tls.get().map_or(UpstreamError::Broken, |failure| UpstreamError::Tls(*failure));
        }
        Http2Failure::of(error, self.is_settled())
    }
}

/// A request's place on a connection, until its answer is over.
#[derive(Debug)]
pub(super) struct Place {
    sender: SendRequest<Bytes>,
    state: Arc<State>,
    shelf: Arc<Shelf>,
    used_before: bool,
}

impl Place {
    /// What sends on it.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// The connection takes no more requests.
    pub(super) fn give_up(&self) {
        self.state.over.store(true, Ordering::SeqCst);
    }

    /// The connection had a request before this one.
    pub(super) const fn was_used_before(&self) -> bool {
        self.used_before
    }

    /// Why the stream failed.
    pub(super) fn cause(&self, error: &h2::Error) -> UpstreamError {
        if error.is_go_away() || error.is_io() {
            self.give_up();
        }
        self.state.cause(error)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::SeqCst);
        self.shelf.one_place_more();
    }
}

/// Drives a connection until it ends, by itself or because nobody is there or nobody wants it any more.
async fn drive(
    mut connection: h2::client::Connection<Watched, Bytes>,
    state: Arc<State>,
    shelf: Arc<Shelf>,
    limit: Duration,
) {
    let mut watch = pin!(watch_over(connection.ping_pong(), &state, limit));
    let mut told = false;
    poll_fn(|cx| {
        // How it ends, the requests on it are told.
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !told && state.heard.load(Ordering::Relaxed) > 0 {
            told = true;
            state.settled.store(true, Ordering::Relaxed);
            shelf.connections_changed();
        }
        watch.as_mut().poll(cx)
    })
    .await;
    state.over.store(true, Ordering::SeqCst);
    shelf.connections_changed();
}

/// Done when the server is gone, or nobody needs it.
async fn watch_over(pings: Option<PingPong>, state: &State, limit: Duration) {
    tokio::time::sleep(limit).await;
    if !state.is_settled() {
        return state.silent.store(true, Ordering::Relaxed);
    }
    let Some(mut pings) = pings else { return std::future::pending().await };
    let mut patience = QUIET;
    loop {
        let heard = state.heard.load(Ordering::Relaxed);
        tokio::time::sleep(patience).await;
        patience = QUIET;
        if state.heard.load(Ordering::Relaxed) != heard {
            continue;
        }
        if !state.is_open() {
            if state.retire() {
                return;
            }
            continue;
        }
        match tokio::time::timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => patience = QUIET_AGAIN,
            Ok(Err(_)) => return,
            Err(_) => return state.silent.store(true, Ordering::Relaxed),
        }
    }
}

/// A socket that tells when bytes come, and what of TLS fails on it, which h2 does not hand on.
struct Watched {
    stream: Stream,
    state: Arc<State>,
}

impl Watched {
    fn told<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &poll
            && let Some(failure) = TlsFailure::of(error)
        {
            self.state.tls.set(failure).ok();
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buf);
        let read = buf.filled().get(before..).unwrap_or_default();
        if !read.is_empty() && this.state.heard.fetch_add(1, Ordering::Relaxed) == 0 {
            // The type of the first frame (RFC 9113 sections 3.4 and 4.1).
            this.state.settled.store(read.get(3) == Some(&SETTINGS), Ordering::Relaxed);
        }
        this.told(poll)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.told(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.told(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(cx);
        this.told(poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

//! One connection: HTTP/1.1 or HTTP/2, with limits.

use super::chunks::{Chunks, Watch};
use super::deadline::{Busy, Deadlines, Limits};
use super::drain::{Ending, LastCall};
use super::listen::Arrival;
use super::malformed::{Traffic, Watched, check_http2};
use super::takeover::Takeover;
use super::tls::ClientCertificate;
use crate::names::ListenerId;
use crate::net::Ahead;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The head of an HTTP/1.1 request, in bytes. It may have 100 fields: hyper's own limit, which is not set here because only then are
/// the fields parsed on the stack.
const MAX_HEAD: usize = 32 * 1024;
/// The same for HTTP/2, as RFC 9113 section 6.5.2 counts it.
const MAX_HEADER_LIST: u32 = 32 * 1024;
const MAX_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const STREAM_SEND_BUFFER: usize = 64 * 1024;
const HEADER_TABLE: u32 = 4096;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Who sent a request, and where it came in.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other end of the TCP connection.
    pub address: SocketAddr,
    /// The listener.
    pub listener: ListenerId,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The certificate that it was begun with. Whether it still counts is not said here.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// When the listener stops.
    pub ending: Ending,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 (or 1.0).
    Http1,
    /// HTTP/2, after ALPN, or with prior knowledge where there is no TLS.
    Http2,
}

/// Answers requests. The gateway does, and so do tests.
pub trait Serve: Clone + Send + Sync + 'static {
    /// The body of its answers. An error in it cuts the answer off visibly.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static;

    /// Answers a request. The future is dropped when the client goes away.
    fn serve(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A kind of request that listeners are for. Whoever holds the door keeps it for as long as an answer takes.
pub trait Door: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static;

    /// Answers a request. `house` keeps the door, and all behind it.
    fn serve<H: AsRef<Self> + Send + Sync>(
        house: H,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self, H>;
}

/// Serves a connection until it closes.
pub(super) async fn run<S: Serve>(socket: TcpStream, address: SocketAddr, arrival: &Arrival<S>) {
    // Only latency is at stake, and the connection works without.
    socket.set_nodelay(true).ok();
    let peer = |protocol, certificate| {
        let (listener, ending) = (arrival.listener, arrival.drain.ending());
        Arc::new(Peer { address, listener, tls: arrival.tls.is_some(), certificate, protocol, ending })
    };
    let Some(tls) = &arrival.tls else {
        if let Some(begun) = http1(socket, peer(Protocol::Http1, None), arrival).await {
            http2(begun, peer(Protocol::Http2, None), arrival).await;
        }
        return;
    };
    // A drain does not cut it off: the client's first request may come with its end.
    let handshake = tokio::time::timeout(arrival.limits.handshake, tls.accept(socket));
    let (socket, certificate) = match handshake.await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return arrival.refusals(address).handshake(&error),
        Err(late) => return arrival.refusals(address).handshake(&late),
    };
    // By ALPN alone (RFC 9113 section 3.2).
    if socket.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(Begun { socket, read: Bytes::new() }, peer(Protocol::Http2, certificate), arrival).await;
    } else if let Some(begun) = http1(socket, peer(Protocol::Http1, certificate), arrival).await {
        arrival.refusals(address).malformed(&"HTTP/2 over TLS without ALPN");
        refuse_http2(begun.socket).await;
    }
}

/// A connection that began with the preface of HTTP/2.
struct Begun<S> {
    socket: S,
    /// What was read of it to know that.
    read: Bytes,
}

/// Serves a connection of HTTP/1.1, unless it turns out to be one of HTTP/2.
async fn http1<S: Serve, C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: C,
    peer: Arc<Peer>,
    arrival: &Arrival<S>,
) -> Option<Begun<C>> {
    let busy = Busy::default();
    let watch = Watch::default();
    let refusals = arrival.refusals(peer.address);
    let (told, switched) = (refusals.clone(), watch.clone());
    let last_call = arrival.drain.last_call();
    let socket = Deadlines::new(socket, busy.clone(), arrival.limits, last_call.clone());
    let socket = TokioIo::new(Chunks::new(socket, watch.clone(), busy.clone(), refusals.clone()));
    let serve = arrival.serve.clone();
    let service = service_fn(move |request| {
        let (serve, peer, answering) = (serve.clone(), Arc::clone(&peer), busy.begin());
        let (last_call, watch) = (last_call.clone(), watch.clone());
        let checked = watch.begin(&request).inspect_err(|bad| refusals.malformed(bad));
        async move {
            if checked.is_err() {
                let mut response = bad_request(answering);
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return Ok(response);
            }
            let mut response = serve.serve(&peer, request).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let takeover = response.extensions_mut().remove::<Takeover>();
                takeover.into_iter().for_each(|takeover| watch.switch(takeover));
                return Ok(response.map(|body| Answer { body: Some(body), _answering: answering }));
            }
            // Only who is told will send nothing more. An answer whose head has gone out before cannot say it any more.
            if last_call.get().is_some() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Answer { body: Some(body), _answering: answering }))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        // `Deadlines` has the clock for heads and for idling: hyper's is one for both.
        .header_read_timeout(None)
        // No `pipeline_flush`: with it, hyper 1.12 closes without sending its last answer where unread bytes
        // are left.
        .half_close(false)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD);
    let mut connection = builder.serve_connection(socket, service);
    let end = tokio::select! {
        biased;
        end = &mut connection => end,
        // Not hyper's own way to end: it closes an idle connection at once, and one whose answer says nothing of an end after that. Polled
        // again, `Deadlines` sees that the last call has come.
        () = arrival.drain.stopping() => (&mut connection).await,
    };
    // How else a connection ends is the client's business; what was answered on it is recorded elsewhere.
    let Err(error) = end else {
        // hyper is done, and has the socket still: the place on this listener goes with it.
        if let Some(takeover) = switched.switched() {
            let rest = connection.into_parts();
            Box::pin(takeover.run(rest.io.into_inner(), rest.read_buf)).await;
        }
        return None;
    };
    // hyper says so of a preface that comes later, too.
    if error.is_parse_version_h2() {
        let begun = connection.into_parts();
        if let Some(socket) = begun.io.into_inner().of_http2() {
            return Some(Begun { socket: socket.into_inner(), read: begun.read_buf });
        }
    }
    if error.is_parse() {
        told.malformed(&error);
    }
    None
}

/// Tells a client that began with the preface of HTTP/2 over TLS, where nothing was agreed on by ALPN, to come back with HTTP/1.1.
async fn refuse_http2(mut socket: impl AsyncWrite + Unpin) {
    /// An empty SETTINGS, as a server's preface must be (RFC 9113 section 3.4), and the head of a GOAWAY on the connection.
    const SETTINGS_GOAWAY: [u8; 18] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, GOAWAY_LENGTH, 7, 0, 0, 0, 0, 0];
    /// No stream was taken; HTTP_1_1_REQUIRED (RFC 9113 section 7).
    const REASON: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0xd];
    const TEXT: &[u8; 62] = b"HTTP/2 over TLS needs ALPN: without it this is HTTP/1.1 alone.";
    const GOAWAY_LENGTH: u8 = 8 + 62;
    let goaway = [SETTINGS_GOAWAY.as_slice(), &REASON, TEXT].concat();
    // Whoever does not wait for it is not told.
    if socket.write_all(&goaway).await.is_ok() {
        socket.shutdown().await.ok();
    }
}

async fn http2<S: Serve>(
    begun: Begun<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    peer: Arc<Peer>,
    arrival: &Arrival<S>,
) {
    // Between streams the socket's silence is watched by `finish_idle`.
    let busy = Busy::default();
    let _always = busy.begin();
    let limits = Limits { half_closed: Duration::ZERO, ..arrival.limits };
    let refusals = arrival.refusals(peer.address);
    let socket = Deadlines::new(begun.socket, busy, limits, LastCall::default());
    let streams = Streams::default();
    // The preface was read to see that it is HTTP/2.
    let socket = Ahead::new(begun.read, socket);
    let socket = TokioIo::new(Watched::new(socket, refusals.clone(), streams.traffic()));
    let counted = streams.clone();
    let serve = arrival.serve.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (serve, peer, open) = (serve.clone(), Arc::clone(&peer), counted.open());
        let checked = check_http2(request.headers_mut()).inspect_err(|cause| refusals.malformed(cause));
        // In a box: on its way to a task of its own, a stream's future is moved a dozen times.
        Box::pin(async move {
            if checked.is_err() {
                return Ok(bad_request(open));
            }
            let silent = *request.method() == Method::HEAD;
            let response = serve.serve(&peer, request).await;
            let response = if silent { without_body(response) } else { response.map(Some) };
            Ok::<_, Infallible>(response.map(|body| Answer { body, _answering: open }))
        })
    });
    let mut builder = http2::Builder::new(arrival.drain.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_SEND_BUFFER)
        .max_header_list_size(MAX_HEADER_LIST)
        .header_table_size(HEADER_TABLE)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(socket, service));
    let linger = arrival.limits.linger;
    let patience = tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = arrival.drain.stopping() => arrival.drain.last_call().get().unwrap_or(linger),
        () = streams.idle(arrival.limits.idle) => linger,
    };
    if !streams.any() {
        // As in HTTP/1.1: who has asked nothing yet may ask once before it is told.
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = streams.first() => {}
            () = tokio::time::sleep(patience) => {}
        }
    }
    // A GOAWAY that refuses no stream yet, and a PING; once that is answered, whatever the client began before it read the first is here,
    // and a second GOAWAY names the last stream (RFC 9113 section 6.8). Streams that are open finish, and then h2 closes the connection.
    // A peer that does not answer is not waited for.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = streams.silent(patience) => {}
    }
}

/// How many streams of a connection are open, and how many there were.
#[derive(Clone, Debug, Default)]
struct Streams(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    ever: AtomicUsize,
    first: Notify,
    traffic: Traffic,
}

struct Open(Arc<Counts>);

impl Streams {
    fn open(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        if self.0.ever.fetch_add(1, Ordering::Relaxed) == 0 {
            self.0.first.notify_one();
        }
        Open(Arc::clone(&self.0))
    }

    /// Whether there was one.
    fn any(&self) -> bool {
        self.0.ever.load(Ordering::Relaxed) > 0
    }

    /// Done when the first is opened.
    async fn first(&self) {
        self.0.first.notified().await;
    }

    /// What counts the bytes of the connection.
    fn traffic(&self) -> Traffic {
        self.0.traffic.clone()
    }

    /// Done when no stream was open or opened for `limit`, give or take another `limit`.
    async fn idle(&self, limit: Duration) {
        self.none_while(limit, || self.0.ever.load(Ordering::Relaxed)).await;
    }

    /// The same where nothing came or went either: the end of an answer may wait in h2 for a client that reads slowly.
    async fn silent(&self, limit: Duration) {
        self.none_while(limit, || self.0.traffic.moved()).await;
    }

    /// Done when no stream was open at the end of a `limit` in which this has not changed.
    async fn none_while(&self, limit: Duration, sign: impl Fn() -> usize) {
        loop {
            let before = sign();
            tokio::time::sleep(limit).await;
            if self.0.open.load(Ordering::Relaxed) == 0 && sign() == before {
                return;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to `HEAD` has the length of the body it leaves out (RFC 9110 section 9.3.2). hyper sees to it
/// in HTTP/1.1 only.
fn without_body<B: Body>(response: Response<B>) -> Response<Option<B>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    Response::from_parts(head, None)
}

/// What is no HTTP gets no more than a status.
fn bad_request<B, G>(answering: G) -> Response<Answer<B, G>> {
    let mut response = Response::new(Answer { body: None, _answering: answering });
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// An answer's body; when it is dropped, the answer is over.
struct Answer<B, G> {
    body: Option<B>,
    _answering: G,
}

impl<B: Body + Unpin, G: Unpin> Body for Answer<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.get_mut().body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

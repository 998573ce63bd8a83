//! One server: a request goes out on a connection that is idle, or on a new one.

use super::answer::{Lease, UpstreamBody};
use super::framing::{Framing, reframe};
use super::http2::{self, Http2Pool, Routed};
use super::pool::{self, Pool};
use super::socket::{Socket, Watch};
use super::stream::Stream;
use super::tls::{Tls, TlsFailure};
use super::{Malformed, RequestBody, UpstreamError, again};
use crate::config::{ServerPlan, UpstreamHost, UpstreamProtocol};
use http::header::{HOST, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// The head of an answer may be this big, in bytes: `limits.response_header_size`. More is read only where it comes.
pub(super) const MAX_HEAD: usize = 256 * 1024;
/// And have so many lines. Room for them costs each answer 0.2 µs, since hyper has room for 100 without an allocation.
pub(super) const MAX_LINES: usize = 1000;

/// What drives a connection of HTTP/1.1.
type Carry = fn(http1::Connection<TokioIo<Socket>, RequestBody>);

/// How an attempt failed.
pub(super) enum Attempt {
    /// Bytes of the request may be out.
    Sent(UpstreamError),
    /// None are: the request can go elsewhere.
    Unsent(Box<Request<RequestBody>>, UpstreamError),
    /// Bytes are out, but nothing was taken: the request can go elsewhere once.
    Refused(Box<Request<RequestBody>>, UpstreamError),
}

/// A server as the configuration names it: what every address behind the name shares.
#[derive(Debug)]
pub(super) struct Target {
    plan: ServerPlan,
    host: HeaderValue,
    tls: Option<Tls>,
    protocol: UpstreamProtocol,
}

/// One address of a server.
#[derive(Debug)]
pub(super) struct Server {
    target: Arc<Target>,
    address: SocketAddr,
    pool: Arc<Pool>,
    /// Where HTTP/2 may be spoken.
    http2: Option<Box<Http2Pool>>,
    requests: AtomicUsize,
}

/// A request that a server has, until its answer is over.
#[derive(Debug)]
pub(super) struct Underway(Arc<Server>);

impl Underway {
    pub(super) fn server(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What decides how one request goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) host: UpstreamHost,
    pub(super) connect_timeout: Duration,
    /// The request asks for another protocol: it goes out on a connection of its own, which becomes a tunnel.
    pub(super) upgrade: bool,
}

impl Target {
    pub(super) fn new(plan: &ServerPlan, tls: Option<Tls>, protocol: UpstreamProtocol) -> Self {
        let host = HeaderValue::from_str(plan.authority.as_str());
        let host = host.unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { plan: plan.clone(), host, tls, protocol }
    }

    /// Whether HTTP/2 may be spoken to it.
    const fn may_speak_http2(&self) -> bool {
        match self.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => self.plan.tls,
        }
    }

    /// Its name or address, without the brackets that IPv6 has in a URL.
    pub(super) fn host(&self) -> &str {
        self.plan.authority.host().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.plan.authority.port_u16().unwrap_or(if self.plan.tls { 443 } else { 80 })
    }
}

/// A stream to a server, by what is spoken on it.
pub(super) enum Reached {
    Http1(Stream),
    Http2(Stream),
}

/// A connection to a server, driven by a task of its own.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    watch: Arc<Watch>,
}

impl Connection {
    /// Can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.watch.is_deaf()
    }

    /// Will never take one again.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.watch.is_deaf()
    }
}

impl Server {
    pub(super) fn new(target: Arc<Target>, address: SocketAddr) -> Self {
        let http2 = target.may_speak_http2().then(|| Box::new(Http2Pool::new()));
        Self { target, address, pool: Arc::new(Pool::new()), http2, requests: AtomicUsize::new(0) }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It has one more request.
    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Underway(Arc::clone(self))
    }

    /// How many requests it has.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether it is an address of this server of the configuration.
    pub(super) fn is_of(&self, target: &Target) -> bool {
        self.target.plan == target.plan
    }

    /// Sends a request on a connection of the pool, or on a new one.
    ///
    /// A connection of the pool may close just as the request goes out on it. If hyper hands the request back, nothing of it was sent, and it
    /// goes out on another. A GET, HEAD or OPTIONS without a body that was sent goes out once more, on a new connection, unless an answer had
    /// begun (RFC 9110 section 9.2.2).
    pub(super) async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        manner: Manner,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        if manner.host == UpstreamHost::Server || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.target.host.clone());
        }
        if manner.upgrade {
            // In a box, as what connects below: most requests have no use for its room.
            return Box::pin(self.switch(request, manner.connect_timeout)).await;
        }
        if let Some(http2) = self.http2.as_ref().filter(|http2| http2.is_spoken()) {
            match Box::pin(http2::send(self, http2, request, manner.connect_timeout)).await {
                Routed::Tried(tried) => return tried,
                Routed::Http1(unsent) => request = unsent,
            }
        }
        let repeatable = again::is_repeatable(&request);
        while let Some(connection) = self.pool.take() {
            let watch = repeatable.then(|| Arc::clone(&connection.watch));
            match self.send_on(connection, request, repeatable).await {
                Err(Attempt::Unsent(unsent, _) | Attempt::Refused(unsent, _)) => request = unsent,
                Err(Attempt::Sent(error)) => {
                    let copy = watch.and_then(|watch| watch.unanswered()).and_then(|copy| again::read(&copy));
                    request = copy.ok_or(Attempt::Sent(error))?;
                    break;
                }
                Ok(response) => return Ok(response),
            }
        }
        match Box::pin(self.connect(manner.connect_timeout, Pool::carry)).await {
            Ok(Some(connection)) => self.send_on(connection, request, false).await,
            // By ALPN it chose HTTP/2 this time.
            Ok(None) => match &self.http2 {
                Some(http2) => {
                    Box::pin(http2::send(self, http2, request, manner.connect_timeout)).await.tried()
                }
                None => Err(Attempt::Unsent(request, UpstreamError::Connect)),
            },
            Err(reason) => Err(Attempt::Unsent(request, reason)),
        }
    }

    /// Sends a request that asks for another protocol. Only the 101 of a server that chose among what was asked for is one.
    async fn switch(
        &self,
        request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        let asked = request.headers().get(UPGRADE).cloned();
        let mut connection = match self.connect(connect_timeout, Pool::carry_switching).await {
            Ok(Some(connection)) => connection,
            // Nothing can be switched to in HTTP/2.
            Ok(None) => return Err(Attempt::Unsent(request, TlsFailure::NothingInCommon.into())),
            Err(reason) => return Err(Attempt::Unsent(request, reason)),
        };
        connection.watch.begin(false);
        let response = match connection.sender.try_send_request(*request).await {
            Ok(response) => response,
            Err(error) => return Err(Attempt::Sent(cause(error.error(), &connection.watch))),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(response, connection).map_err(Attempt::Sent);
        }
        if !asked.is_some_and(|asked| chose_among(&asked, response.headers())) {
            return Err(Attempt::Sent(Malformed::Upgrade.into()));
        }
        let (head, incoming) = response.into_parts();
        let body = UpstreamBody::begin(incoming, None).map_err(Attempt::Sent)?;
        Ok(Response::from_parts(head, body))
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        request: Box<Request<RequestBody>>,
        copying: bool,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        connection.watch.begin(copying);
        match connection.sender.try_send_request(*request).await {
            Ok(response) => self.answer(response, connection).map_err(Attempt::Sent),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Err(Attempt::Unsent(Box::new(unsent), UpstreamError::Connect)),
                None => Err(Attempt::Sent(cause(error.error(), &connection.watch))),
            },
        }
    }

    /// Takes an answer whose head is read; refuses what cannot be handed on.
    fn answer(
        &self,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut head, incoming) = response.into_parts();
        // Nobody asked for an upgrade.
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Upgrade.into());
        }
        let lease = match reframe(&mut head.headers, head.status, head.version)? {
            Framing::Last => None,
            Framing::Plain => {
                let idle = pool::idle_time(&head.headers);
                Some(Lease { connection, pool: Arc::clone(&self.pool), idle })
            }
        };
        // The version is the connection's (RFC 9110 section 6.2): with the server's HTTP/1.0, hyper would leave the end of a body to be told by
        // the end of the client's connection, and one that broke off would look whole.
        head.version = Version::HTTP_11;
        let body = UpstreamBody::begin(incoming, lease)?;
        Ok(Response::from_parts(head, body))
    }

    /// Connects, shakes hands where there is TLS, and starts HTTP/1.1; `limit` is for all of it. `None` where the server has chosen HTTP/2.
    async fn connect(&self, limit: Duration, carry: Carry) -> Result<Option<Connection>, UpstreamError> {
        let connected = tokio::time::timeout(limit, self.reach()).await;
        match connected.map_err(|_| UpstreamError::ConnectTimeout)?? {
            Reached::Http1(stream) => Self::start(stream, carry).await.map(Some),
            Reached::Http2(stream) => {
                if let Some(http2) = &self.http2 {
                    http2.take_in(stream, limit).await?;
                }
                Ok(None)
            }
        }
    }

    /// Starts HTTP/1.1 on a stream, for the next request.
    pub(super) async fn keep(&self, stream: Stream) -> Result<(), UpstreamError> {
        self.pool.give_back(Self::start(stream, Pool::carry).await?, pool::IDLE_TIME);
        Ok(())
    }

    async fn start(stream: Stream, carry: Carry) -> Result<Connection, UpstreamError> {
        let watch = Arc::default();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_LINES)
            .handshake(TokioIo::new(Socket::new(stream, Arc::clone(&watch))))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        carry(connection);
        Ok(Connection { sender, watch })
    }

    /// The scheme that a request has for it.
    pub(super) fn scheme(&self) -> Scheme {
        if self.target.plan.tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Connects, and shakes hands where there is TLS, which says what is spoken.
    pub(super) async fn reach(&self) -> Result<Reached, UpstreamError> {
        let stream = self.stream().await?;
        if self.http2.is_none() {
            return Ok(Reached::Http1(stream));
        }
        match (stream.alpn(), self.target.protocol) {
            (None, UpstreamProtocol::Http2) | (Some(b"h2"), _) => Ok(Reached::Http2(stream)),
            // The server knows nothing of ALPN, or not enough.
            (Some(_), UpstreamProtocol::Http2) => Err(TlsFailure::NothingInCommon.into()),
            (_, UpstreamProtocol::Http1 | UpstreamProtocol::Auto) => Ok(Reached::Http1(stream)),
        }
    }

    async fn stream(&self) -> Result<Stream, UpstreamError> {
        let stream = TcpStream::connect(self.address).await.map_err(|_| UpstreamError::Connect)?;
        // Only latency is at stake, and the connection works without.
        stream.set_nodelay(true).ok();
        match &self.target.tls {
            None => Ok(Stream::Plain(stream)),
            Some(tls) => Ok(Stream::Tls(Box::new(Box::pin(tls.handshake(stream)).await?))),
        }
    }
}

/// Whether a 101 names protocols (RFC 9110 section 7.8), and none that was not asked for.
fn chose_among(asked: &HeaderValue, answer: &HeaderMap) -> bool {
    let members = |line: &'_ HeaderValue| -> Vec<Vec<u8>> {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(|member| member.trim_ascii().to_ascii_lowercase())
            .collect()
    };
    let asked = members(asked);
    let mut chosen = answer.get_all(UPGRADE).iter().flat_map(members).peekable();
    chosen.peek().is_some() && chosen.all(|member| asked.contains(&member))
}

/// Why no head of an answer came.
fn cause(error: &hyper::Error, watch: &Watch) -> UpstreamError {
    if watch.too_many_interim() {
        return Malformed::Interim.into();
    }
    if error.is_parse_too_large() {
        return Malformed::HeadTooLarge.into();
    }
    if !error.is_parse() {
        // With TLS 1.3 a server says only after the handshake that it misses a certificate.
        return TlsFailure::of(error).map_or(UpstreamError::Broken, UpstreamError::Tls);
    }
    // hyper says no more of it but in words.
    let said = error.to_string();
    if said.contains("content-length") {
        Malformed::ContentLength.into()
    } else if said.contains("transfer-encoding") {
        Malformed::TransferCoding.into()
    } else {
        Malformed::Head.into()
    }
}

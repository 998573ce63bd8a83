//! Connections to the upstreams, pooled.

use super::body::{Flow, RequestBody};
use crate::config::UpstreamPlan;
use crate::net::Gathered;
use bytes::Bytes;
use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;

use pool::Pool;

mod pool;

/// A response's head may be this big. It may have 100 fields: hyper's own limit, not set because only then are they parsed on the stack.
const MAX_HEAD: usize = 64 * 1024;

/// Why there is no answer from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamError {
    /// No server could be reached; nothing was sent.
    #[error("the upstream cannot be reached")]
    Connect,
    /// No server accepted a connection in time; nothing was sent.
    #[error("connecting to the upstream timed out")]
    ConnectTimeout,
    /// The head of the response did not come in time.
    #[error("the upstream's answer timed out")]
    ResponseTimeout,
    /// The connection broke, or what came is no HTTP answer to our request.
    #[error("the upstream's answer is broken")]
    Broken,
    /// The client's body failed, not the upstream: answer 400 and close.
    #[error("the client's body failed")]
    ClientBody,
}

impl UpstreamError {
    /// 502, 504 or, where it is the client's fault, 400.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Connect | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientBody => StatusCode::BAD_REQUEST,
        }
    }

    /// The metric and log label: one of a fixed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "upstream_connect",
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::ResponseTimeout => "upstream_response_timeout",
            Self::Broken => "upstream_broken",
            Self::ClientBody => "client_body",
        }
    }
}

/// One upstream: its servers in turn, a pool of idle connections for each.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    servers: Vec<Server>,
    turn: AtomicUsize,
    connect_timeout: Duration,
    response_timeout: Duration,
}

#[derive(Debug)]
struct Server {
    authority: Authority,
    host: HeaderValue,
    pool: Arc<Pool>,
}

impl Upstream {
    /// The upstream of this plan.
    pub fn new(plan: &UpstreamPlan) -> Self {
        let server = |authority: &Authority| Server {
            authority: authority.clone(),
            host: HeaderValue::from_str(authority.as_str()).unwrap_or_else(|_| HeaderValue::from_static("")),
            pool: Arc::new(Pool::new()),
        };
        Self {
            name: plan.name.as_str().into(),
            servers: plan.servers.iter().map(server).collect(),
            turn: AtomicUsize::new(0),
            connect_timeout: plan.connect_timeout,
            response_timeout: plan.response_timeout,
        }
    }

    /// Its name: a metric label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request and waits for the head of its answer. Dropping the future cancels the request and
    /// closes its connection.
    ///
    /// The request goes out as HTTP/1.1 in origin form, with the `Host` it has (the server's own where it has
    /// none). A server that cannot be reached is passed over for the next; a request of which a byte may have
    /// been sent is never sent again. It comes in a box because it is handed on from future to future on its way, each of which
    /// would have room for a copy.
    ///
    /// # Errors
    /// [`UpstreamError`], as its variants say.
    pub async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let flow = request.body().flow();
        prepare(&mut request);
        let outcome = tokio::select! {
            biased;
            outcome = self.exchange(request) => outcome,
            () = overdue(self.response_timeout, flow.as_deref()) => Err(UpstreamError::ResponseTimeout),
        };
        outcome.map_err(|error| match flow {
            Some(flow) if flow.failed() => UpstreamError::ClientBody,
            Some(_) | None => error,
        })
    }

    /// Tries the servers, beginning with the one whose turn it is.
    async fn exchange(
        &self,
        mut request: Box<Request<RequestBody>>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failure = UpstreamError::Connect;
        let first = turn.checked_rem(self.servers.len()).unwrap_or(0);
        for server in self.servers.iter().cycle().skip(first).take(self.servers.len()) {
            request = match server.send(request, self.connect_timeout).await {
                Ok(response) => return Ok(response),
                Err(Attempt::Sent) => return Err(UpstreamError::Broken),
                Err(Attempt::Unsent(request, reason)) => {
                    failure = reason;
                    request
                }
            };
        }
        Err(failure)
    }
}

/// How an attempt failed.
enum Attempt {
    /// Bytes of the request may be out.
    Sent,
    /// None are: the request can go elsewhere.
    Unsent(Box<Request<RequestBody>>, UpstreamError),
}

impl Server {
    async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.host.clone());
        }
        // A pooled connection may turn out closed just now; hyper then hands the request back, unsent.
        while let Some(connection) = self.pool.take() {
            match self.send_on(connection, request).await {
                Err(Attempt::Unsent(unsent, _)) => request = unsent,
                outcome @ (Ok(_) | Err(Attempt::Sent)) => return outcome,
            }
        }
        match self.connect(connect_timeout).await {
            Ok(connection) => self.send_on(connection, request).await,
            Err(reason) => Err(Attempt::Unsent(request, reason)),
        }
    }

    async fn send_on(
        &self,
        mut connection: SendRequest<RequestBody>,
        request: Box<Request<RequestBody>>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        match connection.try_send_request(*request).await {
            // Nobody asked for an upgrade: `Upgrade` never leaves the gateway.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Attempt::Sent),
            Ok(response) => {
                let idle = pool::idle_time(response.headers());
                let lease = Lease { connection, pool: Arc::clone(&self.pool), idle };
                Ok(response.map(|incoming| UpstreamBody { incoming, lease: Some(lease), over: false }))
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) => Err(Attempt::Unsent(Box::new(unsent), UpstreamError::Connect)),
                None => Err(Attempt::Sent),
            },
        }
    }

    /// Resolves, connects and starts HTTP/1.1; `limit` is for all of it.
    async fn connect(&self, limit: Duration) -> Result<SendRequest<RequestBody>, UpstreamError> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let target = (host, self.authority.port_u16().unwrap_or(80));
        let connected = tokio::time::timeout(limit, TcpStream::connect(target)).await;
        let stream =
            connected.map_err(|_| UpstreamError::ConnectTimeout)?.map_err(|_| UpstreamError::Connect)?;
        // Only latency is at stake, and the connection works without.
        stream.set_nodelay(true).ok();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(Gathered(stream)))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        Pool::carry(connection);
        Ok(sender)
    }
}

/// The upstream's body. Its connection goes back to the pool once the body is read to its end, and is closed
/// otherwise.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    over: bool,
}

#[derive(Debug)]
struct Lease {
    connection: SendRequest<RequestBody>,
    pool: Arc<Pool>,
    idle: Duration,
}

impl UpstreamBody {
    /// The next bytes; trailers are dropped.
    pub(super) fn poll_data(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let data = match next.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            Some(Err(error)) => {
                self.lease = None;
                Some(Err(error))
            }
            // Trailers are the last frame there can be.
            Some(Ok(Err(_))) | None => None,
        };
        self.over = true;
        Poll::Ready(data)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.over || self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.is_end_stream()
        {
            lease.pool.give_back(lease.connection, lease.idle);
        }
    }
}

/// What an HTTP/1.1 upstream is sent.
fn prepare(request: &mut Request<RequestBody>) {
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        let origin_form =
            request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(origin_form);
    }
    // hyper takes it that these methods have no body, unless told, and would drop it.
    let seldom = matches!(*request.method(), Method::GET | Method::HEAD);
    if seldom && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Ends when the upstream has kept us waiting for `limit`, an upload that still moves not counted.
async fn overdue(limit: Duration, flow: Option<&Flow>) {
    loop {
        tokio::time::sleep(limit).await;
        if !flow.is_some_and(Flow::excuses_upstream) {
            return;
        }
    }
}

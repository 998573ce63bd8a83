//! The way to the upstreams: their servers, the connections to them, and the bodies that go over these.

mod again;
mod answer;
mod body;
mod connect;
mod framing;
mod http2;
mod interim;
mod pool;
mod servers;
mod socket;
mod stream;
mod tls;
mod tunnel;

pub use answer::{UpstreamBody, UpstreamBodyError};
pub use body::{Pace, RequestBody, RequestBodyError, TrailerFilter};
pub use http2::Http2Failure;
pub use tls::TlsFailure;
pub use tunnel::{Tunnel, TunnelEnd};

use crate::config::{Balance, ConnectionPlan, TimeoutPlan, UpstreamHost, UpstreamPlan};
use body::Flow;
use connect::{Attempt, Manner, Server, Target};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use servers::Servers;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tls::Tls;

/// Why there is no answer from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamError {
    /// No server could be reached; nothing was sent.
    #[error("the upstream cannot be reached")]
    Connect,
    /// Its names have no address.
    #[error("the upstream cannot be reached")]
    Unresolved,
    /// TLS failed.
    #[error("the upstream cannot be reached")]
    Tls(TlsFailure),
    /// No server accepted a connection in time; nothing was sent.
    #[error("connecting to the upstream timed out")]
    ConnectTimeout,
    /// The head of the response did not come in time.
    #[error("the upstream's answer timed out")]
    ResponseTimeout,
    /// The connection ended before the head of an answer was whole.
    #[error("the upstream's answer is broken")]
    Broken,
    /// HTTP/2 says why there is no answer.
    #[error("the upstream's answer is broken")]
    Http2(Http2Failure),
    /// What came is no answer that can be handed on for sure.
    #[error("the upstream's answer is malformed")]
    Malformed(Malformed),
    /// The client's body failed, not the upstream: answer 400 and close.
    #[error("the client's body failed")]
    ClientBody,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// No head of HTTP/1.1.
    Head,
    /// A head beyond `limits.response_header_size`.
    HeadTooLarge,
    /// More interim answers (1xx) than are taken.
    Interim,
    /// Where the body ends cannot be told (RFC 9112 section 6.3).
    ContentLength,
    /// Another coding than `chunked`, or one that HTTP/1.0 does not have (RFC 9112 section 6.1).
    TransferCoding,
    /// A switch of protocols that nobody asked for (RFC 9110 section 15.2.2).
    Upgrade,
    /// The body was badly framed or broke off before anything was sent to the client.
    Body,
    /// Against the rules of HTTP/2 (RFC 9113).
    Http2,
    /// Not a beginning of HTTP/2.
    NotHttp2,
}

impl From<TlsFailure> for UpstreamError {
    fn from(what: TlsFailure) -> Self {
        Self::Tls(what)
    }
}

impl From<Malformed> for UpstreamError {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl UpstreamError {
    /// 502, 504 or, where it is the client's fault, 400.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Http2(Http2Failure::Silent | Http2Failure::Deadline)
            | Self::ConnectTimeout
            | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect
            | Self::Unresolved
            | Self::Tls(_)
            | Self::Broken
            | Self::Http2(_)
            | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
            Self::ClientBody => StatusCode::BAD_REQUEST,
        }
    }

    /// What the metric says: one of a fixed set; `None` where it is the client's fault.
    pub const fn result(self) -> Option<&'static str> {
        match self {
            Self::Connect | Self::Unresolved | Self::Tls(_) => Some("refused"),
            Self::ConnectTimeout | Self::ResponseTimeout => Some("timeout"),
            Self::Broken => Some("reset"),
            Self::Http2(how) => Some(how.result()),
            Self::Malformed(_) => Some("malformed"),
            Self::ClientBody => None,
        }
    }

    /// What the log says: one of a fixed set of texts, which begin with a word for programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "upstream_connect",
            Self::Unresolved => "upstream_unresolved: the names of its servers have no address",
            Self::Tls(what) => what.label(),
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::ResponseTimeout => "upstream_response_timeout",
            Self::Broken => "upstream_broken: the connection ended before the answer's head",
            Self::Http2(how) => how.label(),
            Self::Malformed(what) => what.label(),
            Self::ClientBody => "client_body",
        }
    }
}

impl Malformed {
    const fn label(self) -> &'static str {
        match self {
            Self::Head => "upstream_malformed: the answer's head is no HTTP/1.1",
            Self::HeadTooLarge => {
                "upstream_malformed: the answer's head is beyond response_header_size, 256 KiB in 1,000 lines at most"
            }
            Self::Interim => "upstream_malformed: more than 32 interim answers (1xx)",
            Self::ContentLength => "upstream_malformed: the answer's Content-Length is not one number",
            Self::TransferCoding => "upstream_malformed: the answer's Transfer-Encoding is not chunked alone",
            Self::Upgrade => "upstream_malformed: the answer is a 101 that nobody asked for",
            Self::Body => "upstream_malformed: the answer's body is badly framed or breaks off",
            Self::Http2 => "upstream_malformed: the server breaks the rules of HTTP/2",
            Self::NotHttp2 => "upstream_malformed: the server speaks no HTTP/2",
        }
    }
}

/// Why there is no answer, and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    pub error: UpstreamError,
    /// The server that was asked last.
    pub server: Option<SocketAddr>,
}

/// One upstream: its servers in turn, a pool of idle connections for each.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    servers: Servers,
    /// What decides their connections.
    connection: ConnectionPlan,
    turn: AtomicUsize,
    balance: Balance,
    host: UpstreamHost,
}

impl Upstream {
    /// The upstream of this plan. Where its servers have names it looks them up from now on, on the runtime of the caller.
    pub fn new(plan: &UpstreamPlan) -> Self {
        Self::after(None, plan)
    }

    /// The same, with the connections of the one before: those to servers that it still has, if what decides them is the same.
    pub fn after(before: Option<&Self>, plan: &UpstreamPlan) -> Self {
        let before = before.filter(|before| before.connection == plan.connection);
        let before = before.map(|before| before.servers.known()).unwrap_or_default();
        let config = plan
            .servers
            .iter()
            .any(|server| server.tls)
            .then(|| tls::config(&plan.connection.tls, plan.connection.protocol));
        let target = |server| {
            let tls = config.as_ref().and_then(|config| Tls::new(config, &plan.connection.tls, server));
            Arc::new(Target::new(server, tls.filter(|_| server.tls), plan.connection.protocol))
        };
        Self {
            name: plan.name.as_str().into(),
            servers: Servers::new(plan.servers.iter().map(target).collect(), plan.resolve, &before),
            connection: plan.connection.clone(),
            turn: AtomicUsize::new(0),
            balance: plan.balance,
            host: plan.host,
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
    /// Where it has `Upgrade`, the answer may be a 101: [`Tunnel::of`] has then the connection.
    ///
    /// # Errors
    /// [`Failure`]: why, as the variants of [`UpstreamError`] say, and where.
    pub async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        timeouts: &TimeoutPlan,
    ) -> Result<Response<UpstreamBody>, Failure> {
        request.body_mut().look_ahead();
        let flow = request.body().flow();
        prepare(&mut request);
        let mut server = None;
        let outcome = tokio::select! {
            biased;
            outcome = self.exchange(request, timeouts.connect, &mut server) => outcome,
            () = overdue(timeouts.response, flow.as_deref()) => Err(UpstreamError::ResponseTimeout),
        };
        let mut response = outcome.map_err(|error| match &flow {
            Some(flow) if flow.failed() => Failure { error: UpstreamError::ClientBody, server },
            Some(_) | None => Failure { error, server },
        })?;
        response.body_mut().waits_for(timeouts.idle);
        // The server may not read the rest of a request that it has answered: what would follow on the connection is not sure to be understood.
        if flow.is_some_and(|flow| !flow.is_whole()) {
            response.body_mut().close();
        }
        Ok(response)
    }

    /// Tries the servers, beginning with the one whose turn it is; says which one it tries.
    async fn exchange(
        &self,
        mut request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
        asked: &mut Option<SocketAddr>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let upgrade = request.headers().contains_key(UPGRADE);
        let manner = Manner { host: self.host, connect_timeout, upgrade };
        let servers = self.servers.now(connect_timeout).await;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failure = UpstreamError::Unresolved;
        let first = match self.balance {
            Balance::RoundRobin => turn.checked_rem(servers.len()).unwrap_or(0),
            Balance::LeastRequests => less_busy(&servers, turn),
        };
        let mut refused = false;
        // One more than there are, where a single one has refused.
        for (tried, server) in servers.iter().cycle().skip(first).enumerate() {
            if tried >= servers.len() && !(refused && tried == servers.len()) {
                break;
            }
            *asked = Some(server.address());
            let underway = server.begin();
            request = match server.send(request, manner).await {
                Ok(mut response) => {
                    response.body_mut().counted(underway);
                    return Ok(response);
                }
                Err(Attempt::Sent(error)) => return Err(error),
                Err(Attempt::Refused(request, reason)) if !refused => {
                    refused = true;
                    failure = reason;
                    request
                }
                Err(Attempt::Refused(_, reason)) => return Err(reason),
                Err(Attempt::Unsent(request, reason)) => {
                    failure = reason;
                    request
                }
            };
        }
        Err(failure)
    }
}

/// The place of the less busy of two servers; the turn, well stirred, says which two.
fn less_busy(servers: &[Arc<Server>], turn: usize) -> usize {
    let stirred = turn.wrapping_mul(0x9E37_79B9).rotate_right(11);
    let Some(one) = stirred.checked_rem(servers.len()) else { return 0 };
    let Some(apart) = stirred.rotate_right(7).checked_rem(servers.len().saturating_sub(1)) else {
        return one;
    };
    let other = one.wrapping_add(apart).wrapping_add(1).checked_rem(servers.len()).unwrap_or(one);
    let requests = |place: usize| servers.get(place).map(|server| server.requests());
    if requests(other) < requests(one) { other } else { one }
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
    frame(request);
}

/// How the request's body is told. hyper finds out most of it.
fn frame(request: &mut Request<RequestBody>) {
    let (method, body) = (request.method(), request.body());
    if body.is_end_stream() {
        // Some servers ask those for a length even where there is nothing (RFC 9110 section 8.6); it has no meaning for others.
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        } else {
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        return;
    }
    // hyper takes it that these methods have no body, unless told, and would drop it.
    let seldom = matches!(*method, Method::GET | Method::HEAD);
    if seldom && body.size_hint().exact().is_none() {
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

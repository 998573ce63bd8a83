//! The way to the upstreams: their servers, the connections to them, and the bodies that go over these.

mod again;
mod answer;
mod balance;
mod body;
mod error;
mod framing;
mod health;
mod http1;
mod http2;
mod interim;
mod pool;
mod room;
mod server;
mod servers;
mod socket;
mod stream;
mod target;
mod tls;
mod tunnel;

pub use answer::{UpstreamBody, UpstreamBodyError};
pub use body::{Pace, RequestBody, RequestBodyError, TrailerFilter};
pub use error::{ConnectFailure, ConnectStage, Failure, Malformed, UpstreamError};
pub use http2::Http2Failure;
pub use tls::TlsFailure;
pub use tunnel::{Tunnel, TunnelEnd};

use crate::clock::Clock;
use crate::config::{Balance, ConnectionPlan, TimeoutPlan, UpstreamHost, UpstreamPlan};
use balance::Order;
use body::Flow;
use health::Fleet;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use server::{Attempt, Manner, Underway};
use servers::{Servers, Terms};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use target::Target;
use tls::Tls;

/// How many servers of an upstream are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamState {
    /// They get requests.
    pub healthy: usize,
    /// Their checks fail.
    pub unhealthy: usize,
    /// They rest because requests failed.
    pub ejected: usize,
    /// Connections to all of them, those included that are being opened.
    pub connections: usize,
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
    /// The upstream of this plan. Where its servers have names or are asked for their health, that is done from now on, on the runtime of the
    /// caller.
    pub fn new(plan: &UpstreamPlan, clock: &Clock) -> Self {
        Self::after(None, plan, clock)
    }

    /// The same, with what the one before has and knows of servers that it still has: their connections, if what decides them is the same, and
    /// their health, if what decides that is.
    pub fn after(before: Option<&Self>, plan: &UpstreamPlan, clock: &Clock) -> Self {
        let fleet = Fleet::after(before.map(|before| before.servers.fleet()), plan, clock);
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
        let terms = Terms { fleet, connections: plan.connections };
        Self {
            name: plan.name.as_str().into(),
            servers: Servers::new(terms, plan.servers.iter().map(target).collect(), plan.resolve, &before),
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

    /// Says how its servers are, whenever it is asked.
    pub fn state(&self) -> impl Fn() -> UpstreamState + Send + use<> {
        self.servers.state()
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
        let mut underway = None;
        let outcome = tokio::select! {
            biased;
            outcome = self.exchange(request, timeouts.connect, flow.as_deref(), &mut underway) => outcome,
            () = overdue(timeouts.response, flow.as_deref()) => {
                Err(note(UpstreamError::ResponseTimeout, flow.as_deref(), &mut underway))
            }
        };
        let mut response = outcome.map_err(|error| {
            let server = underway.as_ref().map(Underway::server);
            Failure { error, server }
        })?;
        if let Some(mut underway) = underway {
            underway.begins(response.status());
            response.body_mut().counted(underway);
        }
        response.body_mut().waits_for(timeouts.idle);
        // The server may not read the rest of a request that it has answered: what would follow on the connection is not sure to be understood.
        if flow.is_some_and(|flow| !flow.is_whole()) {
            response.body_mut().close();
        }
        Ok(response)
    }

    /// Tries the servers, beginning with the one whose turn it is; says which one has the request.
    async fn exchange(
        &self,
        mut request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
        flow: Option<&Flow>,
        underway: &mut Option<Underway>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let upgrade = request.headers().contains_key(UPGRADE);
        let servers = self.servers.now(connect_timeout).await;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = Order::of(&servers, self.servers.fleet(), self.balance, turn);
        let mut failure =
            if servers.is_empty() { UpstreamError::Unresolved } else { UpstreamError::Unhealthy };
        // Where there is another server, that is better than to wait for room.
        let mut manner = Manner { host: self.host, connect_timeout, upgrade, waits: order.len() == 1 };
        let (mut tried, mut refused, mut full) = (0, false, None);
        let mut next = Some(0);
        while let Some(server) = next.and_then(|place| order.get(place)) {
            *underway = Some(server.begin());
            let (unsent, reason, once) = match server.send(request, manner).await {
                Ok(response) => return Ok(response),
                Err(Attempt::Sent(error)) => return Err(note(error, flow, underway)),
                Err(Attempt::Refused(request, reason)) => (request, reason, true),
                Err(Attempt::Unsent(request, reason)) => (request, reason, false),
            };
            failure = note(reason, flow, underway);
            if once && refused {
                break;
            }
            request = unsent;
            refused |= once;
            if reason == UpstreamError::NoRoom {
                full = full.or(next);
            }
            tried += 1;
            // One more than there are, where a single one has refused; then the first that had no room.
            next = if tried < order.len() || (refused && tried == order.len()) {
                Some(tried)
            } else {
                full.take().filter(|_| !std::mem::replace(&mut manner.waits, true))
            };
        }
        Err(failure)
    }
}

/// What became of a request that has no answer, of which the server is told where it is its own doing.
fn note(error: UpstreamError, flow: Option<&Flow>, underway: &mut Option<Underway>) -> UpstreamError {
    if flow.is_some_and(Flow::failed) {
        return UpstreamError::ClientBody;
    }
    if let Some(underway) = underway {
        underway.fails(error);
    }
    error
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

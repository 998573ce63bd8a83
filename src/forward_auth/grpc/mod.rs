//! Over gRPC: Envoy's `ext_authz`, `envoy.service.auth.v3.Authorization/Check`.
//!
//! Whatever is refused is an answer, a `DeniedHttpResponse`, and no failure of the call: where a front is told to let pass what it could not ask
//! about (`failure_mode_allow`), a client could otherwise bring about what makes the call fail.

mod answer;
mod call;
mod describe;
mod health;
mod messages;

pub use health::Health;

use super::described::Fault;
use super::{Body, Decisions};
use crate::denial::DescriptionError;
use crate::doctor::Arrival;
use crate::entrance::Arrived;
use crate::names::ListenerId;
use crate::observe::Exchange;
use crate::server::{Door, Ending, Peer, Sender};
use call::Failure;
use describe::Asked;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use messages::{CheckRequest, CheckResponse};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest `CheckRequest`, which is gRPC's own default. Fronts that send bodies along send longer ones than we need.
const MAX_QUESTION: usize = 4 * 1024 * 1024;
/// Anybody may ask for our health, in a few words.
const MAX_HEALTH_QUESTION: usize = 1024;

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";
const HEALTH: &str = "grpc.health.v1.Health";

/// The door that answers Envoy in gRPC.
#[derive(Debug)]
pub struct ExtAuthz {
    /// What it asks.
    pub decisions: Arc<Decisions>,
    /// What it says of itself.
    pub health: Health,
}

/// The methods that can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Check,
    Health,
    Watch,
}

impl Method {
    fn of(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        match (service, method) {
            (AUTHORIZATION, "Check") => Some(Self::Check),
            (HEALTH, "Check") => Some(Self::Health),
            (HEALTH, "Watch") => Some(Self::Watch),
            _ => None,
        }
    }
}

impl Door for ExtAuthz {
    type Body = Body;

    /// One call. Who asks for our health is no request, and anybody may.
    fn serve<H: AsRef<Self> + Send + Sync>(
        house: H,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + use<H> {
        let called = call::check(&request)
            .and_then(|()| Method::of(request.uri().path()).ok_or(Failure::Unimplemented));
        let is_request = !matches!(called, Ok(Method::Health | Method::Watch));
        let arrived =
            is_request.then(|| (peer.listener, house.as_ref().decisions.entrance.receive(peer, &request)));
        let watches = (called == Ok(Method::Watch)).then(|| peer.ending.clone());
        let (head, body) = request.into_parts();
        async move {
            let door = house.as_ref();
            let wait = call::patience(&head.headers).unwrap_or(Duration::MAX);
            match (arrived, called) {
                (None, _) => door.health(&head, body, watches, wait).await,
                (Some((listener, arrived)), Ok(_)) => door.check(listener, arrived, &head, body, wait).await,
                (Some((_, Arrived { mut exchange, .. })), Err(failure)) => {
                    let field =
                        if failure == Failure::Unimplemented { "request-target" } else { "content-type" };
                    door.is_none(field, &mut exchange);
                    fails(failure, exchange)
                }
            }
        }
    }
}

impl ExtAuthz {
    /// Our health now; or where it is watched, now and whenever it changes, to the end of the listener.
    async fn health(
        &self,
        head: &Parts,
        body: Incoming,
        watches: Option<Ending>,
        wait: Duration,
    ) -> Response<Body> {
        let asked = tokio::time::timeout(wait, call::message(&head.headers, body, MAX_HEALTH_QUESTION)).await;
        let answer = asked.unwrap_or(Err(Failure::Late)).and_then(|request| match watches {
            None => Ok(call::answer(&self.health.of(&request)?)),
            Some(ending) => Ok(call::answer_of(Body::coming(self.health.watch(&request, ending, wait)?))),
        });
        answer.unwrap_or_else(Failure::response)
    }

    async fn check(
        &self,
        listener: ListenerId,
        arrived: Arrived,
        head: &Parts,
        body: Incoming,
        wait: Duration,
    ) -> Response<Body> {
        let Arrived { sender, mut exchange, .. } = arrived;
        let decided = self.decide(listener, &sender, head, body, &mut exchange);
        match tokio::time::timeout(wait, decided).await.unwrap_or(Err(Failure::Late)) {
            Ok(message) => call::answer(&message).map(|body| body.recorded(exchange)),
            Err(failure) => fails(failure, exchange),
        }
    }

    /// The straight line: who asks, what about, and what the gate says.
    async fn decide(
        &self,
        listener: ListenerId,
        sender: &Sender,
        head: &Parts,
        body: Incoming,
        exchange: &mut Exchange,
    ) -> Result<CheckResponse, Failure> {
        if !sender.trusted {
            return Ok(self.refuse(&Fault::in_field(DescriptionError::Untrusted, ""), None, exchange));
        }
        let request = match call::message::<CheckRequest>(&head.headers, body, MAX_QUESTION).await {
            Ok(request) => request,
            // What is in the message the client has a part in.
            Err(Failure::TooLong | Failure::Undecodable) => {
                return Ok(self.refuse(
                    &Fault::in_field(DescriptionError::Malformed, "message"),
                    None,
                    exchange,
                ));
            }
            Err(failure) => {
                self.is_none("message", exchange);
                return Err(failure);
            }
        };
        let asked = match Asked::of(request) {
            Ok(asked) => asked,
            Err(fault) => return Ok(self.refuse(&fault, None, exchange)),
        };
        // What the front says of the client: it has ended the client's TLS.
        let sender = &Sender { certificate: asked.certificate, ..*sender };
        exchange.client(self.client(&asked, listener, sender));
        exchange.is_about(&asked.headers);
        let described = asked.described();
        if let Some(marked) = self.decisions.marked(&asked.headers) {
            let arrival = Arrival::new("ext_authz_grpc", exchange.listener_name(), sender.peer, head.version);
            let answer =
                self.decisions.examine(&marked, arrival, sender, described, &asked.headers, exchange);
            exchange.status(answer.status);
            return Ok(answer::denied(answer));
        }
        let described = match described {
            Ok(described) => described,
            Err(fault) => return Ok(self.refuse(&fault, Some(&asked.headers), exchange)),
        };
        // The message was waited for.
        let now = self.decisions.entrance.now();
        let verdict = self.decisions.about(&described, sender, now, exchange).await;
        exchange.status(verdict.status());
        Ok(answer::of(verdict))
    }

    /// The client, as the front has it. Where that is a trusted proxy itself, it is whom that one speaks for.
    fn client(&self, asked: &Asked, listener: ListenerId, sender: &Sender) -> IpAddr {
        let trusted = self.decisions.entrance.trusted(listener);
        let sender = asked.source.map_or(*sender, |source| sender.behind(source, trusted));
        sender.client(&asked.headers, trusted)
    }

    fn refuse(&self, fault: &Fault, asked: Option<&HeaderMap>, exchange: &mut Exchange) -> CheckResponse {
        let origin = asked.and_then(|headers| headers.get(http::header::ORIGIN));
        let answer = self.decisions.refuse(fault, origin, exchange);
        exchange.status(answer.status);
        answer::denied(answer)
    }

    /// Records that this describes no request.
    fn is_none(&self, field: &str, exchange: &mut Exchange) {
        drop(self.decisions.refuse(&Fault::in_field(DescriptionError::Malformed, field), None, exchange));
    }
}

/// A call that has no message for an answer.
fn fails(failure: Failure, mut exchange: Exchange) -> Response<Body> {
    exchange.status(failure.status());
    failure.response().map(|body| body.recorded(exchange))
}

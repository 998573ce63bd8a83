//! The proxy door: a request from its head to its answer, top to bottom.

mod ask;
mod body;
mod forward;
mod forwarded;
mod grpc;
pub mod respond;
mod trailers;
mod until;
mod upgrade;

pub use body::{BodyError, ResponseBody, Rider};
pub use forwarded::{Origination, set_forwarded};
pub use trailers::{strip_answer, takes_trailers};
pub use until::End;

use crate::authorize::Mode;
use crate::clock::UnixTime;
use crate::config::{Authorization, FieldPlan, Plan, PrefixPlan, RoutePlan, TimeoutPlan, UpstreamPlan};
use crate::denial::Denial;
use crate::doctor::{Arrival, Marked};
use crate::entrance::{Arrived, Entrance};
use crate::gate::{Admission, Admitted, Gate, Question, Refused, Understood};
use crate::headers::{self, Protected};
use crate::names::{ById, IssuerId, RouteId, UpstreamId};
use crate::observe::{Exchange, Metrics, ServersSource, ServersState};
use crate::server::{Door, Peer, Sender};
use crate::upstream::{Pace, RequestBody, TrailerFilter, Upstream, UpstreamState};
use forward::{Answered, Onward};
use http::header::{ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use trailers::strip_request_trailers;

/// The body of every answer; the record of the request rides along and is written when the last byte is gone.
pub type Body = ResponseBody<Exchange>;

/// The door that forwards: it asks the gate, and what may pass goes to its upstream.
#[derive(Debug)]
pub struct Proxy {
    entrance: Arc<Entrance>,
    gate: Arc<Gate>,
    forwarding: ById<RouteId, Forwarding>,
    upstreams: ById<UpstreamId, Upstream>,
    protected: Arc<Protected>,
    /// What may pass of a request's trailers.
    trailers: TrailerFilter,
    /// How much later than `exp` the tokens of each issuer end.
    leeways: ById<IssuerId, Duration>,
}

/// How a route's requests are forwarded.
#[derive(Debug)]
struct Forwarding {
    /// Absent only where no listener forwards.
    upstream: Option<UpstreamId>,
    prefix: Option<PrefixPlan>,
    /// Which protocols a request may ask to switch to.
    upgrades: Vec<String>,
    timeouts: TimeoutPlan,
    ends_with_token: bool,
    /// Absent where the route changes none.
    fields: Option<Box<Fields>>,
    authorization: Authorization,
    /// Nothing that an upstream may live by is taken away: it has been reached without a gateway so far.
    observes: bool,
}

/// What a route changes in the fields of its requests and answers, after everything else.
#[derive(Debug)]
struct Fields {
    request: FieldPlan,
    response: FieldPlan,
}

impl Proxy {
    /// The proxy door of this plan, before this gate. `before` is the one until now: connections to servers that stay are kept.
    pub fn new(plan: &Plan, gate: Arc<Gate>, entrance: Arc<Entrance>, before: Option<&Self>) -> Self {
        let forwarding = |route: &RoutePlan| {
            let forwarding = Forwarding {
                upstream: route.upstream,
                prefix: route.prefix.clone(),
                upgrades: route.upgrades.clone(),
                timeouts: route.timeouts,
                ends_with_token: route.ends_with_token,
                fields: fields(route),
                authorization: route.authorization,
                observes: route.policy.mode == Mode::Observe,
            };
            (route.id, forwarding)
        };
        let clock = entrance.clock().clone();
        let upstream = |plan: &UpstreamPlan| {
            let before = before.and_then(|before| before.upstreams.get(plan.id));
            (plan.id, Upstream::after(before, plan, &clock))
        };
        let identity = plan.routes.iter().flat_map(|route| route.policy.identity.names());
        let certificates = plan.certificate_fields();
        let protected = Arc::new(Protected::new(identity.chain(certificates)));
        let names = Arc::clone(&protected);
        let trailers = TrailerFilter::new(move |fields| strip_request_trailers(fields, &names));
        Self {
            entrance,
            gate,
            forwarding: plan.routes.iter().map(forwarding).collect(),
            upstreams: plan.upstreams.iter().map(upstream).collect(),
            protected,
            trailers,
            leeways: plan.issuers.iter().map(|issuer| (issuer.id, issuer.rules.leeway)).collect(),
        }
    }

    /// Says where the metrics of upstreams come from.
    pub fn tell(&self, metrics: &Metrics) {
        metrics.set_upstream_sources(self.upstreams.pairs().map(|(id, upstream)| {
            let state = upstream.state();
            let source: ServersSource = Box::new(move || {
                let UpstreamState { healthy, unhealthy, ejected, connections } = state();
                ServersState { healthy, unhealthy, ejected, connections }
            });
            (id, source)
        }));
    }

    /// The gate's refusal on this connection.
    fn refuse(&self, refused: Refused, grpc: bool, mut exchange: Exchange) -> Response<Body> {
        exchange.status(refused.answer.status);
        let answer =
            if grpc { grpc::told(refused.answer, &refused.denial.to_string()) } else { refused.answer };
        let mut response = respond::carry(answer, exchange);
        if let Some(route) = refused.route {
            self.change_fields(route, response.headers_mut());
        }
        if refused.denial == Denial::Body {
            respond::close(response.headers_mut());
        }
        response
    }

    /// What the route says of the fields of its answers.
    fn change_fields(&self, route: RouteId, headers: &mut HeaderMap) {
        if let Some(fields) = self.forwarding.get(route).and_then(|forwarding| forwarding.fields.as_ref()) {
            fields.response.apply(headers);
        }
    }

    /// The straight line. Whatever fails leaves it; only what the gate admits is forwarded.
    async fn pass(
        &self,
        sender: &Sender,
        head: &mut Parts,
        body: Incoming,
        now: UnixTime,
        origin: Option<&HeaderValue>,
        exchange: &mut Exchange,
    ) -> Result<Answered, Box<Refused>> {
        // What was asked, who may ask, and was this proof ever used.
        if !headers::is_chunked_at_most(&head.headers) {
            return Err(self.gate.refused(Denial::Body, None, origin, exchange));
        }
        if head.headers.contains_key(UPGRADE) {
            let settled = self.settle_upgrade(head, !body.is_end_stream(), sender);
            settled.map_err(|(denial, route)| {
                exchange.route(route);
                self.gate.refused(denial, Some(route), origin, exchange)
            })?;
        }
        let question = ask::question(head, sender);
        if let Some(marked) = self.gate.marked(&head.headers) {
            return Err(self.examine(&marked, &question, sender, head, exchange));
        }
        let Admitted { site, path, route, mut permit } =
            match self.gate.decide(&question, now, exchange).await? {
                Admission::Forward(admitted) => admitted,
                Admission::Preflight(answer, route) => return Ok(Answered::Preflight(answer, route)),
            };

        // Forward.
        let Some(forwarding) = self.forwarding.get(route) else {
            return Err(self.gate.refused(Denial::NoRoute, None, origin, exchange));
        };
        let target = forward::target(&head.uri, &path, forwarding.prefix.as_ref());
        let onward = Onward { target, site, forwarding, permit: &mut permit, sender };
        let request = onward.request(head, self.body(body), &self.protected, exchange);
        let answered = self.send(request, route, &permit, exchange).await;
        answered.map_err(|denial| self.gate.refused(denial, Some(route), origin, exchange))
    }
}

impl Proxy {
    /// A request of `keyproof doctor`: what came of it is kept, and it goes no further.
    fn examine(
        &self,
        marked: &Marked,
        question: &Question<'_>,
        sender: &Sender,
        head: &Parts,
        exchange: &mut Exchange,
    ) -> Box<Refused> {
        let arrival = Arrival {
            trusted: sender.trusted,
            tls: sender.tls,
            ..Arrival::new("proxy", exchange.listener_name(), sender.peer, head.version)
        };
        let understood = Understood::Question(question, Some(question.scheme));
        self.gate.examine(marked, &arrival, understood, &head.headers, exchange)
    }
}

impl Door for Proxy {
    type Body = Body;

    /// One request, from its head to the head of its answer.
    fn serve<H: AsRef<Self> + Send + Sync>(
        house: H,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + use<H> {
        let Arrived { sender, now, mut exchange } = house.as_ref().entrance.receive(peer, &request);
        let (mut head, body) = request.into_parts();
        let origin = head.headers.get(ORIGIN).cloned();
        let takes_trailers = takes_trailers(head.version, &head.headers);
        let grpc = grpc::is_spoken(&head.headers);
        async move {
            let door = house.as_ref();
            match door.pass(&sender, &mut head, body, now, origin.as_ref(), &mut exchange).await {
                Ok(answered) => door.relay(answered, origin.as_ref(), takes_trailers, grpc, exchange),
                Err(refused) => door.refuse(*refused, grpc, exchange),
            }
        }
    }
}

impl Proxy {
    /// A client's body on its way.
    fn body(&self, incoming: Incoming) -> RequestBody {
        RequestBody::new(incoming, Pace::DEFAULT).with_trailers(&self.trailers)
    }
}

impl AsRef<Self> for Proxy {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// What a route changes in fields, if anything.
fn fields(route: &RoutePlan) -> Option<Box<Fields>> {
    let (request, response) = (&route.request_fields, &route.response_fields);
    let any = !request.is_empty() || !response.is_empty();
    any.then(|| Box::new(Fields { request: request.clone(), response: response.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<F>(_: fn(&'static Proxy, &'static Peer, Request<Incoming>) -> F) -> usize {
        size_of::<F>()
    }

    /// It was 4.3 KB once, most of it room for one request in each of seven futures, and under HTTP/2 all of it is moved.
    #[test]
    fn a_request_on_its_way_takes_little_room() {
        let size = size_of_output(Proxy::serve);
        assert!(size <= 2432, "{size} bytes");
    }
}

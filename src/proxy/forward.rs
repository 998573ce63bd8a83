//! The permitted request on its way to the upstream, and the upstream's answer on its way back.

use super::grpc;
use super::trailers::request_announcement;
use super::until::Until;
use super::{
    Body, BodyError, Forwarding, Origination, Proxy, ResponseBody, Rider, respond, set_forwarded,
    strip_answer, upgrade,
};
use crate::authorize::Permit;
use crate::config::{Authorization, PrefixPlan};
use crate::denial::Denial;
use crate::gate::{Answer, Site};
use crate::headers::{
    DPOP, DPOP_NONCE, Keep, Protected, TRACEPARENT, TRACESTATE, X_REQUEST_ID, strip_request,
};
use crate::names::RouteId;
use crate::observe::Exchange;
use crate::server::Sender;
use crate::upstream::{Failure, RequestBody, Tunnel, UpstreamBody, UpstreamError};
use crate::uri::CanonicalPath;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, RETRY_AFTER, TRAILER, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use std::mem;

/// How many fields the gateway sets besides the identity. With room for all of them the map grows once, or it would up to three times.
const FIELDS: usize = 8;

/// After so many seconds a request that no server could take may be sent again.
const SOON: u32 = 1;

/// A request that may go on, with everything that decides how it looks to the upstream.
pub(super) struct Onward<'a> {
    pub(super) target: PathAndQuery,
    pub(super) site: &'a Site,
    pub(super) forwarding: &'a Forwarding,
    pub(super) permit: &'a mut Permit,
    pub(super) sender: &'a Sender,
}

/// What goes back, before the record rides along.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the other two are rare, and a box would cost each good request an allocation"
)]
pub(super) enum Answered {
    /// By the upstream, with a fresh nonce for the client where one is due.
    Upstream {
        response: Response<UpstreamBody>,
        route: RouteId,
        nonce: Option<HeaderValue>,
        until: Option<Box<Until>>,
    },
    /// By the gate, to a preflight that asks about this route.
    Preflight(Answer, RouteId),
    /// The upstream gave no answer.
    Failed(UpstreamError, RouteId),
}

/// The path and query for the upstream: the canonical path that was matched, with what the upstream sees in place of its beginning.
pub(super) fn target(uri: &Uri, path: &CanonicalPath<'_>, prefix: Option<&PrefixPlan>) -> PathAndQuery {
    let rest =
        prefix.and_then(|prefix| Some((prefix.put.as_str(), path.as_str().strip_prefix(&prefix.strip)?)));
    let (put, rest) = match rest {
        Some(("", "")) => ("", "/"),
        Some(seen) => seen,
        None => ("", path.as_str()),
    };
    match uri.path_and_query() {
        Some(target) if put.is_empty() && target.path() == rest => target.clone(),
        _ => {
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            // A canonical path and a query that was parsed before are a target.
            PathAndQuery::try_from(format!("{put}{rest}{query}"))
                .unwrap_or_else(|_| PathAndQuery::from_static("/"))
        }
    }
}

impl Onward<'_> {
    /// Strips what no client may say, then sets what we say. What it needs of the head is taken out of it.
    pub(super) fn request(
        self,
        head: &mut Parts,
        body: RequestBody,
        protected: &Protected,
        exchange: &Exchange,
    ) -> Box<Request<RequestBody>> {
        let announced =
            if body.is_end_stream() { None } else { request_announcement(&head.headers, protected) };
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = mem::take(&mut head.method);
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = mem::take(&mut head.headers);
        let headers = request.headers_mut();
        let upgrade = if self.forwarding.upgrades.is_empty() { None } else { headers.remove(UPGRADE) };
        let keep = Keep { origination: self.sender.trusted, method_override: self.forwarding.observes };
        strip_request(headers, keep);
        protected.strip(headers);
        if let Some(announced) = announced {
            headers.insert(TRAILER, announced);
        }
        settle_credentials(headers, self.forwarding, self.permit);

        let identity = self.permit.take_identity();
        headers.reserve(identity.len().saturating_add(FIELDS));
        for (name, value) in identity {
            headers.insert(name, value);
        }
        headers.insert(HOST, self.site.host.clone());
        headers.insert(X_REQUEST_ID, exchange.request_id());
        if !exchange.continues_trace() {
            headers.remove(TRACESTATE);
        }
        headers.insert(TRACEPARENT, exchange.traceparent());
        let origination = Origination {
            peer: self.sender.peer,
            trusted: self.sender.trusted,
            scheme: self.site.origin.scheme(),
            authority: &self.site.host,
            version: head.version,
        };
        set_forwarded(headers, &origination);
        if let Some(protocols) = upgrade {
            upgrade::ask_for(headers, protocols);
        }
        if let Some(fields) = &self.forwarding.fields {
            fields.request.apply(headers);
        }
        request
    }
}

/// What the body says of an answer that no upstream gave.
const fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::GATEWAY_TIMEOUT => "gateway_timeout",
        StatusCode::SERVICE_UNAVAILABLE => "upstream_unavailable",
        _ => "bad_gateway",
    }
}

/// What the upstream sees of token and proof. While a route only observes, an API that checks them itself still gets both.
fn settle_credentials(headers: &mut HeaderMap, forwarding: &Forwarding, permit: &Permit) {
    if !forwarding.observes {
        headers.remove(DPOP);
    }
    match forwarding.authorization {
        Authorization::Remove if !forwarding.observes => drop(headers.remove(AUTHORIZATION)),
        Authorization::Bearer => hand_on_as_bearer(headers, permit),
        Authorization::Remove | Authorization::Keep => {}
    }
}

/// `DPoP …` becomes `Bearer …`: an API that reads the token itself knows nothing of DPoP. Only a token that this permit was given for is
/// rewritten; what was not verified would look to the upstream as if it had been.
fn hand_on_as_bearer(headers: &mut HeaderMap, permit: &Permit) {
    if !permit.passed() {
        return;
    }
    let token =
        headers.get(AUTHORIZATION).and_then(|line| line.to_str().ok()).and_then(|line| line.split_once(' '));
    let bearer =
        token.and_then(|(_, token)| HeaderValue::try_from(format!("Bearer {}", token.trim_start())).ok());
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, bearer);
    }
}

impl Proxy {
    /// Sends the request on. The upstream's trouble is an answer, the client's a refusal.
    pub(super) async fn send(
        &self,
        request: Box<Request<RequestBody>>,
        route: RouteId,
        permit: &Permit,
        exchange: &mut Exchange,
    ) -> Result<Answered, Denial> {
        let way = self.forwarding.get(route).and_then(|forwarding| {
            let number = forwarding.upstream?;
            Some((number, self.upstreams.get(number)?, &forwarding.timeouts))
        });
        let Some((number, upstream, timeouts)) = way else {
            return Ok(Answered::Failed(UpstreamError::Unresolved, route));
        };
        exchange.to_upstream(number);
        match upstream.send(request, timeouts).await {
            Ok(response) => {
                exchange.upstream_answered(response.body().server());
                let nonce = self.gate.fresh_nonce(route, permit);
                Ok(Answered::Upstream { response, route, nonce, until: self.until(route, permit) })
            }
            Err(Failure { error, server }) => {
                exchange.upstream_failed(error.result(), error.label(), server);
                match error {
                    UpstreamError::ClientBody => Err(Denial::Body),
                    UpstreamError::Connect(_)
                    | UpstreamError::Unresolved
                    | UpstreamError::Tls(_)
                    | UpstreamError::ConnectTimeout(_)
                    | UpstreamError::ResponseTimeout
                    | UpstreamError::Broken
                    | UpstreamError::Http2(_)
                    | UpstreamError::Malformed(_)
                    | UpstreamError::NoRoom
                    | UpstreamError::Unhealthy => Ok(Answered::Failed(error, route)),
                }
            }
        }
    }

    /// The answer as the client sees it, with the record riding along.
    pub(super) fn relay(
        &self,
        answered: Answered,
        origin: Option<&HeaderValue>,
        takes_trailers: bool,
        grpc: bool,
        mut exchange: Exchange,
    ) -> Response<Body> {
        let request_id = exchange.request_id();
        let (mut response, route) = match answered {
            Answered::Preflight(answer, route) => {
                exchange.status(answer.status);
                let mut response = respond::carry(answer, exchange);
                self.change_fields(route, response.headers_mut());
                return response;
            }
            Answered::Failed(error, route) => {
                exchange.status(error.status());
                let description = error.to_string();
                let mut answer =
                    Answer::error(error.status(), code(error.status()), &description, request_id);
                if error.status() == StatusCode::SERVICE_UNAVAILABLE {
                    answer.headers.insert(RETRY_AFTER, HeaderValue::from(SOON));
                }
                let answer = if grpc { grpc::told(answer, &description) } else { answer };
                (respond::carry(answer, exchange), route)
            }
            Answered::Upstream { mut response, route, nonce, until } => {
                exchange.status(response.status());
                let forwarding = self.forwarding.get(route);
                let tunnel = forwarding.and_then(|rule| Tunnel::of(&mut response, rule.timeouts.idle));
                let tunnel = tunnel.zip(response.headers().get(UPGRADE).cloned());
                let headers = response.headers_mut();
                strip_answer(headers, takes_trailers);
                // RFC 9449 section 8 allows one nonce, and an answer with it should not be stored (section 8.2). Where the route only observes,
                // an upstream that asks for nonces of its own goes on to do so.
                if !forwarding.is_some_and(|forwarding| forwarding.observes) {
                    headers.remove(DPOP_NONCE);
                }
                if let Some(nonce) = nonce.filter(|_| !headers.contains_key(DPOP_NONCE)) {
                    headers.insert(DPOP_NONCE, nonce);
                    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                }
                headers.insert(X_REQUEST_ID, request_id);
                let response = match tunnel {
                    None => response.map(|body| ResponseBody::upstream(body, exchange).until(until)),
                    Some((tunnel, protocol)) => upgrade::opened(response, protocol, tunnel, until, exchange),
                };
                (response, route)
            }
        };
        self.gate.show_to_browser(route, origin, response.headers_mut());
        self.change_fields(route, response.headers_mut());
        response
    }

    /// Until when what is sent on this route for this permit may run, where the route limits that. What only was observed does not end with its
    /// token's time, as it would not have without the gateway, but it does once the token is denied.
    fn until(&self, route: RouteId, permit: &Permit) -> Option<Box<Until>> {
        if !self.forwarding.get(route)?.ends_with_token {
            return None;
        }
        let standing = self.gate.standing(permit)?;
        let end = standing.expires().map(|(issuer, expires)| {
            expires.saturating_add(self.leeways.get(issuer).copied().unwrap_or_default())
        });
        Some(Until::new(self.entrance.clock().clone(), end, standing))
    }
}

/// The record of a request is written when its answer is over.
impl Rider for Exchange {
    fn sent(&mut self, bytes: usize) {
        Self::sent(self, bytes.try_into().unwrap_or(u64::MAX));
    }

    fn broken(&mut self, why: &BodyError) {
        match why {
            BodyError::Upstream(why) => self.cut(Some(why.result()), Some(why.label())),
            BodyError::Token(end) => self.cut(None, Some(end.told())),
        }
    }
}

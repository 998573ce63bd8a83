//! The page: a request from its head to its answer, top to bottom.

mod body;
mod cors;
mod forward;
mod hop;
mod locate;
mod refuse;
pub mod respond;

pub use body::{ResponseBody, Rider};
pub use hop::{Origination, set_forwarded, strip_request, strip_response};

use crate::authorize::{Asked, Authorizer, Challenges, Credentials, Permit, Policy, Refusal};
use crate::clock::{Clock, UnixTime};
use crate::config::{Authorization, CorsPlan, Plan};
use crate::denial::Denial;
use crate::dpop::TargetUri;
use crate::identity::Protected;
use crate::issuer::KeyKeeper;
use crate::net::ready_to_verify;
use crate::observe::{Decision, Exchange, Observer};
use crate::server::Peer;
use crate::token::TokenError;
use crate::upstream::Upstream;
use forward::Onward;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use locate::{Map, Place};
use std::sync::Arc;

/// The body of every answer; the record of the request rides along and is written when the last byte is gone.
pub type Body = ResponseBody<Exchange>;

/// Everything that a request passes on its way.
#[derive(Debug)]
pub struct Gateway {
    clock: Clock,
    map: Map,
    routes: Vec<Route>,
    upstreams: Vec<Upstream>,
    authorizer: Authorizer,
    challenges: Challenges,
    protected: Protected,
    keys: Arc<KeyKeeper>,
    observer: Arc<Observer>,
    /// Whose word is taken for the client's address, by listener.
    trusted_proxies: Vec<Vec<ipnet::IpNet>>,
}

/// A route, as requests meet it.
#[derive(Debug)]
struct Route {
    number: usize,
    policy: Policy,
    upstream: usize,
    strip_prefix: Option<String>,
    authorization: Authorization,
    cors: Option<CorsPlan>,
}

/// Who sent a request, as far as we believe it.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// The TCP peer is a proxy that may speak for others.
    trusted: bool,
    tls: bool,
    peer: std::net::IpAddr,
}

/// A request that stops here, and the route that says so, once there is one.
#[derive(Debug)]
struct Stop<'a> {
    refusal: Refusal,
    route: Option<&'a Route>,
    /// The methods that would have been taken, where only the method was wrong.
    allow: Option<http::HeaderValue>,
}

impl Gateway {
    /// The gateway of this plan.
    pub fn new(
        plan: &Plan,
        authorizer: Authorizer,
        keys: Arc<KeyKeeper>,
        observer: Arc<Observer>,
        clock: Clock,
    ) -> Self {
        let route = |(number, route): (usize, &crate::config::RoutePlan)| Route {
            number,
            policy: route.policy.clone(),
            upstream: route.upstream,
            strip_prefix: route.strip_prefix.clone(),
            authorization: route.authorization,
            cors: route.cors.clone(),
        };
        Self {
            clock,
            map: Map::new(plan),
            routes: plan.routes.iter().enumerate().map(route).collect(),
            upstreams: plan.upstreams.iter().map(Upstream::new).collect(),
            challenges: Challenges::new(authorizer.proofs.algorithms()),
            authorizer,
            protected: Protected::new(plan.routes.iter().map(|route| &route.policy.identity)),
            keys,
            observer,
            trusted_proxies: plan.listeners.iter().map(|listener| listener.trusted_proxies.clone()).collect(),
        }
    }

    /// One request, from its head to the head of its answer.
    pub fn serve(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send {
        let now = self.clock.now();
        let sender = self.sender(peer);
        let client = sender.client(request.headers(), self.trusted_by(peer));
        let mut exchange = Exchange::begin(Arc::clone(&self.observer), peer.listener, client, &request, now);
        let (mut head, body) = request.into_parts();
        let origin = head.headers.get(http::header::ORIGIN).cloned();
        async move {
            match self.pass(&sender, &mut head, body, now, &mut exchange).await {
                Ok((answer, route)) => forward::relay(answer, route, origin.as_ref(), exchange),
                Err(stop) => {
                    exchange.decided(Decision::Deny(stop.refusal.denial));
                    if stop.refusal.denial.cost_a_signature() {
                        // Whoever made us check a signature for nothing waits until those who are here too had their turn. And such answers go
                        // out in bunches: each by itself would wake its receiver, at up to a tenth of what the signature costs.
                        tokio::task::yield_now().await;
                    }
                    self.refuse(&stop, origin.as_ref(), now, exchange)
                }
            }
        }
    }

    /// The straight line. Whatever fails leaves it; only a [`Permit`] reaches its end.
    async fn pass<'a>(
        &'a self,
        sender: &Sender,
        head: &mut Parts,
        body: Incoming,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Result<(forward::Answer, &'a Route), Stop<'a>> {
        // What was asked: one body, one authority, one path, one route.
        if !hop::is_chunked_at_most(&head.headers) {
            return Err(Denial::Body.into());
        }
        let place = self.map.place(head, sender)?;
        exchange.path(&place.path);
        if let Some((answer, route)) = self.preflight(head, &place) {
            exchange.route(route.number);
            exchange.decided(Decision::Allow("preflight"));
            return Ok((answer, route));
        }
        let route = self.route(&place, &head.method)?;
        exchange.route(route.number);

        // Who may ask, and was this proof ever used.
        let mut permit = match self.permit(route, head, &place, now).await {
            Ok(permit) => {
                exchange.decided(Decision::Allow(permit.label()));
                permit
            }
            Err(refusal) => {
                let denial = refusal.denial;
                let permit =
                    Permit::observe(&route.policy, refusal).map_err(|refusal| route.stop(refusal))?;
                exchange.decided(Decision::Observe(denial));
                permit
            }
        };
        self.record(&permit, now, exchange);

        // Forward.
        let target = forward::target(&head.uri, &place.path, route.strip_prefix.as_deref());
        let onward = Onward { target, site: place.site, route, permit: &mut permit, sender };
        let request = onward.request(head, body, &self.protected, exchange);
        let answer = self.send(request, route, &permit, now, exchange).await;
        answer.map(|answer| (answer, route)).map_err(|denial| route.stop(denial.into()))
    }

    /// Verifies, asks for an unknown key once, and spends the proof.
    async fn permit(
        &self,
        route: &Route,
        head: &Parts,
        place: &Place<'_, '_>,
        now: UnixTime,
    ) -> Result<Permit, Refusal> {
        let target = TargetUri { origin: &place.site.origin, path: place.path.as_str() };
        let asked = Asked { method: &head.method, target, query: head.uri.query(), headers: &head.headers };
        // Who has nothing to show costs no signature, and is not kept waiting for those who do. After a wait it is later: a proof must not be
        // fresh by the time of its arrival when a shared store has already forgotten that it was used.
        let costly = !route.policy.public && head.headers.contains_key(http::header::AUTHORIZATION);
        let mut now = if costly && ready_to_verify().await { self.clock.now() } else { now };
        let mut verified = self.authorizer.verify(&route.policy, &asked, now);
        if let Err(Refusal { denial: Denial::Token(TokenError::UnknownKey(issuer)), scheme, .. }) = verified
            && let Ok(credentials) = Credentials::read(asked.headers, asked.query)
        {
            let refreshed = self.keys.refresh(issuer, credentials.token).await;
            // The wait may have been seconds.
            now = self.clock.now();
            if refreshed.verify_again() {
                verified = self.authorizer.verify(&route.policy, &asked, now);
            }
            if let Err(Refusal { denial: Denial::Token(TokenError::UnknownKey(_)), .. }) = verified {
                verified = Err(Refusal { scheme, ..Denial::from(refreshed.still_missing(issuer)).into() });
            }
        }
        self.authorizer.spend(verified?, now).await
    }

    fn route(&self, place: &Place<'_, '_>, method: &http::Method) -> Result<&Route, Stop<'_>> {
        match self.map.route(place, method) {
            Ok(id) => Ok(self.routes.get(id.0).ok_or(Denial::NoRoute)?),
            Err(Denial::MethodNotAllowed) => {
                Err(Stop { allow: self.map.allow(place), ..Denial::MethodNotAllowed.into() })
            }
            Err(denial) => Err(denial.into()),
        }
    }

    /// Whose request it turned out to be.
    fn record(&self, permit: &Permit, now: UnixTime, exchange: &mut Exchange) {
        if let Some(token) = permit.token() {
            exchange.token(Arc::clone(token));
        }
        if let Some(proof) = permit.proof() {
            exchange.skew(now.seconds_after(proof.iat()));
        }
    }

    fn sender(&self, peer: &Peer) -> Sender {
        let address = peer.address.ip().to_canonical();
        let trusted = self.trusted_by(peer).iter().any(|network| network.contains(&address));
        Sender { trusted, tls: peer.tls, peer: address }
    }

    fn trusted_by(&self, peer: &Peer) -> &[ipnet::IpNet] {
        self.trusted_proxies.get(peer.listener).map_or(&[], Vec::as_slice)
    }
}

impl Sender {
    /// The client's address: the peer's, or the last one in `X-Forwarded-For` that a trusted proxy vouches for and that is no proxy itself.
    fn client(&self, headers: &http::HeaderMap, trusted: &[ipnet::IpNet]) -> std::net::IpAddr {
        if !self.trusted {
            return self.peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        hops.reverse();
        let mut client = self.peer;
        for hop in hops {
            match hop.parse() {
                Ok(address) if trusted.iter().any(|network| network.contains(&address)) => client = address,
                Ok(address) => return address,
                Err(_) => return client,
            }
        }
        client
    }
}

impl Route {
    const fn stop(&self, refusal: Refusal) -> Stop<'_> {
        Stop { refusal, route: Some(self), allow: None }
    }
}

impl From<Denial> for Stop<'_> {
    fn from(denial: Denial) -> Self {
        Self { refusal: denial.into(), route: None, allow: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<F>(_: fn(&'static Gateway, &'static Peer, Request<Incoming>) -> F) -> usize {
        size_of::<F>()
    }

    /// It was 4.3 KB once, most of it room for one request in each of seven futures, and under HTTP/2 all of it is moved.
    #[test]
    fn a_request_on_its_way_takes_little_room() {
        let size = size_of_output(|gateway, peer, request| gateway.serve(peer, request));
        assert!(size <= 2304, "{size} bytes");
    }
}

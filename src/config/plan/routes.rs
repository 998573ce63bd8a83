//! The routes, each by itself.

mod matching;
mod together;

use super::{
    Authorization, RoutePlan, TimeoutPlan, fields, headers, listeners, names, origins, proofs, upstreams,
};
use crate::authorize::{Accept, Policy};
use crate::config::document::{Document, EncodedSlashes, Route, RouteTimeouts, StreamsEnd, Token, Upstream};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::headers::is_token;
use crate::names::{Names, UpstreamId};
use crate::route::{Matcher, Table};
use crate::uri::Origin;
use matching::{matcher, prefix};
use std::time::Duration;
use together::{slashes_above_stricter_routes, table, warn_of_observing};

type Text = Spot<String>;

/// The routes, each checked by itself, and the table of them all.
pub(super) fn plan(
    document: &Document,
    origins: &[Origin],
    files: &Files<'_>,
    names: &mut Names,
    findings: &mut Findings,
) -> (Vec<RoutePlan>, Option<Table>) {
    let Some(routes) = &document.routes else { return (Vec::new(), None) };
    if routes.is_empty() {
        let help = "add one with name, match and upstream";
        findings.problem(&routes.place, "there is no route: every request would be answered 404", help);
    }
    names::check("route", routes.items.iter().map(|route| &route.name), findings);
    let matchers: Vec<(&Route, Matcher)> = routes
        .items
        .iter()
        .filter_map(|route| {
            let id = names.routes.id(&route.name.as_ref()?.value);
            Some((route, matcher(id, route.matches.as_ref()?, origins, findings)?))
        })
        .collect();
    let table = table(&matchers, origins, findings);
    warn_of_observing(&routes.items, findings);
    let plans = routes.items.iter().filter_map(|route| {
        let matcher =
            matchers.iter().find(|(other, _)| std::ptr::eq(*other, route)).map(|(_, matcher)| matcher);
        Some((route, one(route, matcher, document, files, names, findings)?))
    });
    let plans: Vec<_> = plans.collect();
    slashes_above_stricter_routes(&plans, findings);
    (plans.into_iter().map(|(_, plan)| plan).collect(), table)
}

fn one(
    route: &Route,
    matcher: Option<&Matcher>,
    document: &Document,
    files: &Files<'_>,
    names: &mut Names,
    findings: &mut Findings,
) -> Option<RoutePlan> {
    contradictions(route, findings);
    let upstream = upstream(route, document, names, findings);
    let prefix = prefix(route, matcher, findings);
    let policy = policy(route, document, names, findings);
    let cors = route.cors.as_ref().map(|cors| origins::cors(cors, findings));
    Some(RoutePlan {
        id: matcher?.route,
        name: route.name.as_ref()?.value.clone(),
        matcher: matcher?.clone(),
        policy,
        upstream,
        prefix,
        upgrades: upgrades(route, findings),
        timeouts: timeouts(route, document, findings),
        ends_with_token: route.streams_end.value == StreamsEnd::TokenExpiry,
        request_fields: fields::plan(&route.headers.request, document, files, findings),
        response_fields: fields::plan(&route.headers.response, document, files, findings),
        keep_encoded_slashes: route.encoded_slashes.value == EncodedSlashes::Keep,
        authorization: route.identity.authorization.value,
        cors,
    })
}

/// Where the route's requests go. Only where nothing is forwarded it need not say.
fn upstream(
    route: &Route,
    document: &Document,
    names: &mut Names,
    findings: &mut Findings,
) -> Option<UpstreamId> {
    let Some(name) = &route.upstream else {
        if listeners::forward(document) && !findings.has(&route.place.absent("upstream")) {
            let help = "add \"upstream: …\" (The name of the upstream that they go to)";
            findings.problem(&route.place, "the key \"upstream\" is missing", help);
        }
        return None;
    };
    let upstreams = document.upstreams.items.iter().map(|upstream| &upstream.name);
    names::find("upstream", name, upstreams, findings).map(|_| names.upstreams.id(&name.value))
}

/// The protocols that requests may switch to. HTTP is none of them: requests in a tunnel would pass unseen.
fn upgrades(route: &Route, findings: &mut Findings) -> Vec<String> {
    names::distinct(
        &route.upgrades,
        "delete the key where requests may switch to no other protocol",
        findings,
    );
    let mut protocols: Vec<String> = Vec::new();
    for text in &route.upgrades.items {
        let protocol = text.value.to_ascii_lowercase();
        let name = protocol.split('/').next().unwrap_or_default();
        if ["h2c", "h2", "h3", "http", "https", "tls"].contains(&name) {
            let what = format!(
                "{} cannot be switched to: what is asked for inside it would pass unseen",
                text.shown()
            );
            findings.problem(
                &text.place,
                what,
                "delete it: HTTP/2 is spoken by ALPN, and never after an upgrade",
            );
        } else if protocol.trim().is_empty() || !protocol.splitn(2, '/').all(|part| is_token(part.as_bytes()))
        {
            let help = "write a protocol as Upgrade names it: websocket";
            findings.problem(&text.place, format!("{} is no protocol", text.shown()), help);
        } else {
            protocols.push(protocol);
        }
    }
    protocols
}

/// How long the route's upstream may take: what the route does not say is as the upstream says.
fn timeouts(route: &Route, document: &Document, findings: &mut Findings) -> TimeoutPlan {
    let name = route.upstream.as_ref().map(|name| &name.value);
    let is_named = |upstream: &&Upstream| upstream.name.as_ref().map(|name| &name.value) == name;
    let said = document.upstreams.items.iter().find(is_named).map(upstreams::timeouts).unwrap_or_default();
    let RouteTimeouts { connect, response, idle, .. } = &route.timeouts;
    for (timeout, most) in
        [(connect, upstreams::LONGEST), (response, upstreams::LONGEST), (idle, upstreams::LONGEST_IDLE)]
    {
        timeout.iter().for_each(|timeout| proofs::between(timeout, upstreams::SHORTEST, most, findings));
    }
    let or = |own: &Option<Spot<Duration>>, said| own.as_ref().map_or(said, |own| own.value);
    TimeoutPlan {
        connect: or(connect, said.connect),
        response: or(response, said.response),
        idle: or(idle, said.idle),
    }
}

/// A public route asks for no token, so nothing can be asked of one.
fn contradictions(route: &Route, findings: &mut Findings) {
    if !route.public.value {
        return;
    }
    for (place, key) in [
        (&route.accept.place, "accept"),
        (&route.scopes.place, "scopes"),
        (&route.nonce.place, "nonce"),
        (&route.issuers.place, "issuers"),
    ] {
        if place.given {
            let what = format!("{key} contradicts \"public: true\" on line {}", route.public.place.line);
            let help = format!("delete {key}, or delete public: a public route asks for no token");
            findings.problem(place, what, help);
        }
    }
    let authorization = &route.identity.authorization;
    if authorization.value == Authorization::Bearer {
        let what = format!(
            "\"authorization: bearer\" contradicts \"public: true\" on line {}: what was not verified is never rewritten",
            route.public.place.line
        );
        let help = "write \"authorization: keep\" to pass it on as it came, or delete public";
        findings.problem(&authorization.place, what, help);
    }
}

fn policy(route: &Route, document: &Document, ids: &mut Names, findings: &mut Findings) -> Policy {
    let takes = |token: Token| route.accept.items.iter().any(|accepted| accepted.value == token);
    if route.accept.is_empty() {
        let help = "name what it takes: [dpop], or set \"public: true\" for a route without tokens";
        findings.problem(&route.accept.place, "the list is empty: no token could ever be accepted", help);
    }
    for (index, token) in route.accept.items.iter().enumerate() {
        if route.accept.items.iter().take(index).any(|earlier| earlier.value == token.value) {
            findings.problem(&token.place, "the same kind of token is listed twice", "delete one of them");
        }
    }
    names::distinct(&route.issuers, "delete the key to take every issuer's tokens, or name one", findings);
    names::distinct(&route.scopes, "delete the key where no scope is needed", findings);
    for scope in &route.scopes.items {
        scope_token(scope, findings);
    }
    let known = document.issuers.items.iter().map(|issuer| &issuer.name);
    let issuers: Vec<_> = route
        .issuers
        .items
        .iter()
        .filter_map(|name| {
            names::find("issuer", name, known.clone(), findings).map(|_| ids.issuers.id(&name.value))
        })
        .collect();
    let introspection = introspection(route, document, findings).map(|name| ids.issuers.id(name));
    Policy {
        issuers,
        introspection,
        accept: Accept { dpop: takes(Token::Dpop), mtls: takes(Token::Mtls), bearer: takes(Token::Bearer) },
        public: route.public.value,
        mode: route.mode.value,
        nonce: route.nonce.value,
        scopes: route.scopes.items.iter().map(|scope| scope.value.clone()).collect(),
        identity: headers::plan(&route.identity, findings),
    }
}

/// Which of the route's issuers is asked about tokens that are no JWTs. Only one can be: nobody can tell whose such a token is, and one
/// issuer's tokens must not be shown to another.
fn introspection<'d>(route: &Route, document: &'d Document, findings: &mut Findings) -> Option<&'d str> {
    let is_taken =
        |name: &str| route.issuers.is_empty() || route.issuers.items.iter().any(|taken| taken.value == name);
    let asked = document.issuers.items.iter().filter(|issuer| issuer.introspection.is_some());
    let names: Vec<&str> =
        asked.filter_map(|issuer| issuer.name.as_ref()).map(|name| name.value.as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| is_taken(name)).collect();
    if names.len() > 1 && !route.public.value {
        let what = format!(
            "this route takes the tokens of several issuers with introspection: {}",
            names.join(", ")
        );
        let help = "name one of them in issuers: nobody can tell whose an opaque token is, and it must not be shown to another issuer";
        findings.problem(&route.issuers.place, what, help);
    }
    names.first().copied().filter(|_| !route.public.value)
}

/// RFC 6749 section 3.3: printable ASCII without space, `"` and `\`.
fn scope_token(scope: &Text, findings: &mut Findings) {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    if !scope.value.is_empty() && !scope.value.bytes().all(allowed) {
        let help = "write each scope as its own item, without spaces, quotes and backslashes";
        findings.problem(&scope.place, format!("{} is no scope", scope.shown()), help);
    }
}

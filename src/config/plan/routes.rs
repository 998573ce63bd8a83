//! Public origins and routes.

use super::{Authorization, CorsPlan, RoutePlan, headers, names};
use crate::authorize::{Accept, Mode, Policy};
use crate::config::document::{Cors, Document, EncodedSlashes, Match, Route, Token};
use crate::config::problem::Findings;
use crate::config::read::{Spot, did_you_mean};
use crate::dpop::NoncePolicy;
use crate::names::{Names, RouteId};
use crate::route::{Matcher, Table};
use crate::token::IssuerId;
use crate::uri::{CanonicalPath, Origin, Scheme};
use http::Method;

type Text = Spot<String>;

/// The public origins.
pub(super) fn origins(document: &Document, findings: &mut Findings) -> Vec<Origin> {
    let Some(list) = &document.public_origins else { return Vec::new() };
    if list.is_empty() {
        let help = "name the origins that clients use: [\"https://api.example.com\"]";
        findings.problem(&list.place, "the list is empty", help);
    }
    let mut origins: Vec<Origin> = Vec::new();
    for text in &list.items {
        let Some(origin) = origin(text, findings) else { continue };
        if origins.contains(&origin) {
            findings.problem(&text.place, format!("{} is listed twice", text.shown()), "delete one of them");
        } else {
            origins.push(origin);
        }
    }
    origins
}

/// An origin: nothing after host and port, not even a slash.
fn origin(text: &Text, findings: &mut Findings) -> Option<Origin> {
    let parsed = Origin::parse(&text.value);
    let (what, help) = match &parsed {
        Ok(origin) if text.value.ends_with('/') => {
            ("an origin has no path".to_owned(), format!("write {}", origin.as_str()))
        }
        Ok(_) => return parsed.ok(),
        Err(error) => (error.to_string(), "write scheme and host, as https://api.example.com".to_owned()),
    };
    findings.problem(&text.place, format!("{} is no origin: {what}", text.shown()), help);
    None
}

/// The routes, each checked by itself, and the table of them all.
pub(super) fn plan(
    document: &Document,
    origins: &[Origin],
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
        Some((route, one(route, matcher, document, names, findings)?))
    });
    let plans: Vec<_> = plans.collect();
    slashes_above_stricter_routes(&plans, findings);
    (plans.into_iter().map(|(_, plan)| plan).collect(), table)
}

/// A route that keeps encoded slashes, above one that asks for more: many upstreams take `%2F` for `/`.
fn slashes_above_stricter_routes(routes: &[(&Route, RoutePlan)], findings: &mut Findings) {
    for (route, plan) in routes.iter().filter(|(_, plan)| plan.keep_encoded_slashes) {
        let below = |other: &RoutePlan| {
            let rest = other.matcher.path.strip_prefix(plan.matcher.path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
                && share_a_host(&plan.matcher, &other.matcher)
                && asks_for_more(&other.policy, &plan.policy)
        };
        if let Some((_, stricter)) = routes.iter().find(|(_, other)| below(other)) {
            let what = format!(
                "encoded slashes are kept above the stricter route \"{}\": many upstreams take %2F for a slash",
                stricter.name
            );
            let help = "a path that they would read as that route's is refused (400); delete encoded_slashes unless %2F is needed here";
            findings.warn(&route.encoded_slashes.place, what, help);
        }
    }
}

fn share_a_host(one: &Matcher, other: &Matcher) -> bool {
    let name = |host: &String| host.split(':').next().map(str::to_owned);
    one.hosts.is_empty()
        || other.hosts.is_empty()
        || one.hosts.iter().any(|host| other.hosts.iter().any(|rival| name(host) == name(rival)))
}

/// Whether something that passes under `than` would not under `policy`.
fn asks_for_more(policy: &Policy, than: &Policy) -> bool {
    let required = |policy: &Policy| policy.nonce == NoncePolicy::Required;
    let enforced = |policy: &Policy| policy.mode == Mode::Enforce;
    !policy.public
        && (than.public
            || (than.accept.bearer && !policy.accept.bearer)
            || (than.accept.dpop && !policy.accept.dpop)
            || (required(policy) && !required(than))
            || (enforced(policy) && !enforced(than))
            || policy.scopes.iter().any(|scope| !than.scopes.contains(scope))
            || (!policy.issuers.is_empty() && policy.issuers != than.issuers))
}

/// Says once what observing does not let through.
fn warn_of_observing(routes: &[Route], findings: &mut Findings) {
    let observes = |route: &&Route| route.mode.value == Mode::Observe;
    if let Some(route) = routes.iter().find(observes) {
        let what = "this mode lets through what the checks would refuse, but not what cannot be forwarded for sure: bad framing, an \
                    authority that is not in public_origins, an ambiguous path, a path or method that no route takes";
        let help = "look for decision \"deny\" in log and metrics: such requests are refused in every mode";
        findings.warn(&route.mode.place, what, help);
    }
}

/// The table of routes; every route that can never match is a problem.
fn table(routes: &[(&Route, Matcher)], origins: &[Origin], findings: &mut Findings) -> Option<Table> {
    let matchers: Vec<Matcher> = routes.iter().map(|(_, matcher)| matcher.clone()).collect();
    let conflicts = match Table::new(origins, &matchers) {
        Ok(table) => return Some(table),
        Err(conflicts) => conflicts,
    };
    for conflict in conflicts {
        let (Some((first, _)), Some((second, _))) = (routes.get(conflict.first), routes.get(conflict.second))
        else {
            continue;
        };
        let place = second.matches.as_ref().map_or(&second.place, |matches| &matches.place);
        let name = first.name.as_ref().map(Spot::shown).unwrap_or_default();
        let what = format!("route {name} on line {} already takes these requests", first.place.line);
        findings.problem(
            place,
            what,
            "give this one another path, a more specific host or other methods, or delete it",
        );
    }
    None
}

fn one(
    route: &Route,
    matcher: Option<&Matcher>,
    document: &Document,
    names: &mut Names,
    findings: &mut Findings,
) -> Option<RoutePlan> {
    contradictions(route, findings);
    let upstreams = document.upstreams.iter().flat_map(|list| &list.items).map(|upstream| &upstream.name);
    let upstream = route.upstream.as_ref().and_then(|name| {
        names::find("upstream", name, upstreams, findings).map(|_| names.upstreams.id(&name.value))
    });
    let strip_prefix = route.strip_prefix.as_ref().and_then(|prefix| strip_prefix(prefix, matcher, findings));
    let policy = policy(route, document, findings);
    let cors = route.cors.as_ref().map(|cors| self::cors(cors, findings));
    Some(RoutePlan {
        id: matcher?.route,
        name: route.name.as_ref()?.value.clone(),
        matcher: matcher?.clone(),
        policy,
        upstream: upstream?,
        strip_prefix,
        keep_encoded_slashes: route.encoded_slashes.value == EncodedSlashes::Keep,
        authorization: route.identity.authorization.value,
        cors,
    })
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

fn policy(route: &Route, document: &Document, findings: &mut Findings) -> Policy {
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
    let issuers = route
        .issuers
        .items
        .iter()
        .filter_map(|name| names::find("issuer", name, known.clone(), findings).map(IssuerId));
    Policy {
        issuers: issuers.collect(),
        accept: Accept { dpop: takes(Token::Dpop), bearer: takes(Token::Bearer) },
        public: route.public.value,
        mode: route.mode.value,
        nonce: route.nonce.value,
        scopes: route.scopes.items.iter().map(|scope| scope.value.clone()).collect(),
        identity: headers::plan(&route.identity, findings),
    }
}

/// RFC 6749 section 3.3: printable ASCII without space, `"` and `\`.
fn scope_token(scope: &Text, findings: &mut Findings) {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    if !scope.value.is_empty() && !scope.value.bytes().all(allowed) {
        let help = "write each scope as its own item, without spaces, quotes and backslashes";
        findings.problem(&scope.place, format!("{} is no scope", scope.shown()), help);
    }
}

fn matcher(route: RouteId, matches: &Match, origins: &[Origin], findings: &mut Findings) -> Option<Matcher> {
    names::distinct(&matches.hosts, "delete the key to match every public origin", findings);
    names::distinct(&matches.methods, "delete the key to match any method", findings);
    let hosts = matches.hosts.items.iter().filter_map(|text| host(text, origins, findings)).collect();
    let methods = matches.methods.items.iter().filter_map(|text| method(text, findings)).collect();
    let path = matches.path.as_ref().and_then(|path| match_path(path, findings));
    Some(Matcher { route, hosts, path: path?, methods })
}

/// `host` or `host:port`, in lower case, of one of the public origins.
fn host(text: &Text, origins: &[Origin], findings: &mut Findings) -> Option<String> {
    let Ok(read) = Origin::from_authority(Scheme::Https, &text.value) else {
        let help = "write a host as api.example.com, or with a port as api.example.com:8443";
        findings.problem(&text.place, format!("{} is no host", text.shown()), help);
        return None;
    };
    let named_port = text.value.len() > read.host().len();
    let serves =
        |origin: &Origin| origin.host() == read.host() && (!named_port || origin.port() == read.port());
    // Where no origin could be read, that problem is the one to mend.
    if !origins.is_empty() && !origins.iter().any(serves) {
        let known: Vec<&str> = origins.iter().map(Origin::authority).collect();
        let what = format!("{} is the host of no public origin", text.shown());
        findings.problem(
            &text.place,
            what,
            format!(
                "{}, or add it to public_origins",
                did_you_mean(&text.value, &known).trim_end_matches('?')
            ),
        );
    }
    Some(if named_port { format!("{}:{}", read.host(), read.port()) } else { read.host().to_owned() })
}

fn method(text: &Text, findings: &mut Findings) -> Option<Method> {
    let upper = text.value.to_ascii_uppercase();
    let help = match upper.as_str() {
        "TRACE" | "CONNECT" => Some("delete it: TRACE and CONNECT are always answered 405".to_owned()),
        "*" | "ANY" | "ALL" => Some("delete the key methods to match any method".to_owned()),
        "" => return None,
        _ if STANDARD.contains(&upper.as_str()) && upper != text.value => {
            Some(format!("write {upper}: methods are compared to the letter"))
        }
        _ => None,
    };
    let method = Method::from_bytes(text.value.as_bytes()).ok().filter(|_| help.is_none());
    if method.is_none() {
        let what = format!("{} is not a method that can match", text.shown());
        findings.problem(&text.place, what, help.unwrap_or_else(|| did_you_mean(&upper, &STANDARD)));
    }
    method
}

/// The methods that clients use (RFC 9110 section 9.3, RFC 5789).
const STANDARD: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A canonical path. A slash at its end says nothing more: a path takes itself and everything below it, so `/orders/` is `/orders`.
fn match_path(text: &Text, findings: &mut Findings) -> Option<String> {
    let path = canonical(text, findings)?;
    let bare = path.trim_end_matches('/');
    let (what, help) = if path.contains('*') || path.contains('{') {
        (
            "has a wildcard",
            "delete it: a path takes itself and everything below it, by whole segments".to_owned(),
        )
    } else if !CanonicalPath::parse(&path).is_ok_and(|path| path.every_reading(|_| false)) {
        (
            "can never match: many upstreams would read it as another path, so that such requests are refused",
            "write it without \";\", encoded slashes, and dots or spaces at the end of a name".to_owned(),
        )
    } else {
        return Some(if bare.is_empty() { path } else { bare.to_owned() });
    };
    findings.problem(&text.place, format!("{} {what}", text.shown()), help);
    None
}

fn canonical(text: &Text, findings: &mut Findings) -> Option<String> {
    let canonical = CanonicalPath::parse(&text.value);
    let (what, help) = match &canonical {
        Ok(path) if path.as_str() == text.value => return Some(text.value.clone()),
        Ok(path) => ("has another spelling".to_owned(), format!("write {}", path.as_str())),
        Err(error) if text.value.contains(['?', '#']) => {
            (error.to_string(), "write the path alone: query and fragment never matter".to_owned())
        }
        Err(error) if !text.value.starts_with('/') => (
            error.to_string(),
            format!(
                "begin it with a slash: /{}",
                if text.value.contains(':') { "orders" } else { &text.value }
            ),
        ),
        Err(error) => (error.to_string(), "write it as /orders or /orders/archive".to_owned()),
    };
    findings.problem(&text.place, format!("{} is not a canonical path: {what}", text.shown()), help);
    None
}

/// The first segments of the route's own path.
fn strip_prefix(text: &Text, matcher: Option<&Matcher>, findings: &mut Findings) -> Option<String> {
    let prefix = canonical(text, findings)?;
    let bare = prefix.trim_end_matches('/');
    let path = matcher.map(|matcher| matcher.path.as_str());
    let fits =
        |path: &str| path.strip_prefix(bare).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let (what, help) = if bare.is_empty() {
        ("strips nothing", "delete strip_prefix".to_owned())
    } else if let Some(path) = path.filter(|path| !fits(path)) {
        (
            "is not the beginning of match.path, by whole segments",
            format!("write {path} or the first segments of it"),
        )
    } else {
        return Some(bare.to_owned());
    };
    findings.problem(&text.place, format!("{} {what}", text.shown()), help);
    None
}

fn cors(cors: &Cors, findings: &mut Findings) -> CorsPlan {
    let mut origins = Vec::new();
    let Some(list) = &cors.origins else { return CorsPlan { origins } };
    names::distinct(list, "name the origins of your web applications, or delete cors", findings);
    for text in &list.items {
        if text.value == "*" || text.value.eq_ignore_ascii_case("null") {
            let help = "name each origin, as https://app.example.com: answers to requests with tokens are not for every page";
            findings.problem(&text.place, format!("{} cannot be allowed", text.shown()), help);
        } else if is_of_an_app(&text.value) {
            origins.push(text.value.clone());
        } else if let Some(origin) = origin(text, findings) {
            origins.push(origin.as_str().to_owned());
        }
    }
    CorsPlan { origins }
}

/// The origin of an application's own shell, as browsers write it: `capacitor://localhost`, `chrome-extension://…` (HTML standard,
/// "serialization of an origin"). It is compared to the letter.
fn is_of_an_app(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(in_scheme)
        && !matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "file" | "data")
        && !host.is_empty()
        && host.bytes().all(in_host)
}

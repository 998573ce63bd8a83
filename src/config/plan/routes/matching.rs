//! What a route matches, and what it strips of the path.

use crate::config::PrefixPlan;
use crate::config::document::{Match, Route};
use crate::config::plan::names;
use crate::config::problem::Findings;
use crate::config::read::{Spot, did_you_mean};
use crate::names::RouteId;
use crate::route::Matcher;
use crate::uri::{CanonicalPath, Origin, Scheme};
use http::Method;

type Text = Spot<String>;

/// What a route matches; every part is checked by itself.
pub(super) fn matcher(
    route: RouteId,
    matches: &Match,
    origins: &[Origin],
    findings: &mut Findings,
) -> Option<Matcher> {
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

/// What the upstream sees in place of the beginning of the path.
pub(super) fn prefix(
    route: &Route,
    matcher: Option<&Matcher>,
    findings: &mut Findings,
) -> Option<PrefixPlan> {
    if let (Some(strip), Some(replace)) = (&route.strip_prefix, &route.replace_prefix) {
        let what = format!("replace_prefix contradicts strip_prefix on line {}", strip.place.line);
        findings.problem(&replace.place, what, "delete one of them");
    }
    let stripped = route.strip_prefix.as_ref().and_then(|text| strip_prefix(text, matcher, findings));
    let replaced = route.replace_prefix.as_ref().and_then(|text| {
        let put = canonical(text, findings)?.trim_end_matches('/').to_owned();
        Some(PrefixPlan { strip: matcher?.path.trim_end_matches('/').to_owned(), put })
    });
    stripped.map(|strip| PrefixPlan { strip, put: String::new() }).or(replaced)
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

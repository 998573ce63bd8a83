//! Whether what was asked for arrived as it was sent: method, authority, path, query, scheme.

use super::sent::Sent;
use super::{Cause, Finding};
use crate::doctor::{Fault, Place, Sighting};
use crate::dpop::TargetUri;
use crate::uri::{Origin, Scheme, normalize_path};

/// What is wrong with where the request led.
pub(super) fn findings(sent: &Sent, seen: &Sighting) -> Vec<Finding> {
    let Some(place) = &seen.place else {
        return seen.fault.as_ref().map(|fault| undescribed(fault, seen)).into_iter().collect();
    };
    let mut found = Vec::new();
    found.extend(method(sent, place));
    let authority = authority(sent, place);
    let path = path(sent, place);
    let arrived = authority.is_none() && path.is_none();
    found.extend(authority);
    found.extend(path);
    found.extend(scheme(sent, place, seen));
    found.extend(query(sent, place));
    if arrived && found.iter().all(|finding| !finding.stops) {
        found.extend(gateway(sent, seen));
    }
    found
}

/// Whether a proof for the URL that was sent names what the gateway expects.
pub(super) fn htu_matches(sent: &Sent, seen: &Sighting) -> bool {
    let Some((origin, path)) = seen.htu.as_deref().and_then(split) else { return false };
    TargetUri { origin: &origin, path }.check(&sent.htu).is_ok()
}

/// Origin and path of what is expected.
fn split(htu: &str) -> Option<(Origin, &str)> {
    let authority = htu.find("://")? + "://".len();
    let end = htu.get(authority..)?.find('/')? + authority;
    Some((Origin::parse(htu.get(..end)?).ok()?, htu.get(end..)?))
}

/// The front that asks does not say whole what about, or may not ask.
fn undescribed(fault: &Fault, seen: &Sighting) -> Finding {
    if fault.reason == "description_untrusted" {
        let (peer, listener) = (&seen.arrival.peer, &seen.arrival.listener);
        let text = format!("{peer} may not ask: it is none of trusted_proxies of the listener {listener}");
        return Finding { cause: Cause::Untrusted, stops: true, text };
    }
    let fields = fault.fields.as_deref().map(|fields| format!(" ({fields})")).unwrap_or_default();
    Finding { cause: Cause::Described, stops: true, text: format!("{}{fields}", fault.text) }
}

fn method(sent: &Sent, place: &Place) -> Option<Finding> {
    let changed = place.method != sent.method.as_str();
    let text = format!("the method is changed on the way: {} became {}", sent.method, place.method);
    changed.then_some(Finding { cause: Cause::Method, stops: true, text })
}

fn authority(sent: &Sent, place: &Place) -> Option<Finding> {
    let got = place.authority.as_deref().unwrap_or_default();
    if sent.origin.is_authority(got) {
        return None;
    }
    let other = Origin::from_authority(sent.scheme, got);
    let own = sent.origin.authority();
    let (cause, text) = match &other {
        Ok(other) if other.host() == sent.origin.host() && !got.ends_with(&format!(":{}", other.port())) => {
            (Cause::Port, format!("the port is lost on the way: {own} became {got}"))
        }
        Ok(other) if other.host() == sent.origin.host() => {
            (Cause::Port, format!("the port is changed on the way: {own} became {got}"))
        }
        Ok(_) => (Cause::Host, format!("Host is rewritten on the way: {own} became {got}")),
        Err(_) if got.is_empty() => (Cause::Host, format!("Host is lost on the way: it was {own}")),
        Err(error) => (Cause::Host, format!("Host is rewritten on the way: {own} became {got:?} ({error})")),
    };
    Some(Finding { cause, stops: true, text })
}

fn path(sent: &Sent, place: &Place) -> Option<Finding> {
    let own = if sent.uri.path().is_empty() { "/" } else { sent.uri.path() };
    let got = place.path.as_str();
    if own == got {
        return None;
    }
    let bare = |path: &str| path.trim_end_matches('/').to_owned();
    let (cause, text) = if let Some(prefix) = prefix_of(own, got) {
        (Cause::PrefixStripped, format!("a path prefix is stripped on the way, {prefix}: {own} became {got}"))
    } else if let Some(prefix) = prefix_of(got, own) {
        (Cause::PrefixAdded, format!("a path prefix is added on the way, {prefix}: {own} became {got}"))
    } else if bare(own) == bare(got) {
        (Cause::Path, format!("the slash at the path's end is changed on the way: {own} became {got}"))
    } else if normalize_path(own) == normalize_path(got) {
        // The same by RFC 3986, and `htu` is compared so.
        let text = format!("the path is spelled anew on the way, which htu survives: {own} became {got}");
        return Some(Finding { cause: Cause::Path, stops: false, text });
    } else {
        (Cause::Path, format!("the path is changed on the way: {own} became {got}"))
    };
    Some(Finding { cause, stops: true, text })
}

/// What stands before `short` in `long`, whole segments.
fn prefix_of<'a>(long: &'a str, short: &str) -> Option<&'a str> {
    let prefix = match long.strip_suffix(short) {
        Some(prefix) => prefix,
        // `/api` without its prefix is `/`.
        None if short == "/" && !long.ends_with('/') => long,
        None => return None,
    };
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    (prefix.len() > 1 && prefix.starts_with('/')).then_some(prefix)
}

/// TLS ended on the way and whoever ended it did not say so. It decides only between origins that differ in nothing else.
fn scheme(sent: &Sent, place: &Place, seen: &Sighting) -> Option<Finding> {
    let expected = seen.htu.as_deref().and_then(|htu| Scheme::split(htu)).map(|(scheme, _)| scheme);
    let said = place.scheme.as_deref();
    let own = sent.scheme.as_str();
    let wrong = expected.is_some_and(|expected| expected != sent.scheme);
    let asks = seen.arrival.mode != "proxy";
    if wrong && said != Some(own) && seen.origins.iter().any(|origin| *origin == sent.origin.as_str()) {
        let said = said.unwrap_or("nothing");
        let text = format!(
            "TLS ends on the way and the gateway does not learn of it: {own} was asked, {said} arrived"
        );
        return Some(Finding { cause: Cause::Scheme, stops: true, text });
    }
    let said = said.filter(|said| asks && *said != own)?;
    let text = format!(
        "the front says {said}, and {own} was asked: TLS ends before it. It does no harm as long as public_origins has one of the two"
    );
    (!wrong).then_some(Finding { cause: Cause::Scheme, stops: false, text })
}

/// The query is no part of `htu`, but the API wants it.
fn query(sent: &Sent, place: &Place) -> Option<Finding> {
    let (own, got) = (sent.uri.query().unwrap_or_default(), place.query.as_deref().unwrap_or_default());
    let text = match (own, got) {
        _ if own == got => return None,
        (_, "") => "the query is dropped on the way".to_owned(),
        ("", _) => format!("a query is added on the way: ?{got}"),
        (_, _) => format!("the query is changed on the way: ?{own} became ?{got}"),
    };
    Some(Finding {
        cause: Cause::Query,
        stops: false,
        text: format!("{text}; htu does not have it, but the API may want it"),
    })
}

/// It arrived as it was sent, and still is nothing that can be asked here.
fn gateway(sent: &Sent, seen: &Sighting) -> Option<Finding> {
    let origins = seen.origins.join(" ");
    match &seen.fault {
        Some(fault) if fault.reason == "authority_invalid" => {
            let text =
                "Host is there more than once on the way, or contradicts the rest of the request".to_owned();
            Some(Finding { cause: Cause::Host, stops: true, text })
        }
        Some(fault) if fault.reason == "authority_unknown" => {
            let text = format!("{} is none of public_origins ({origins})", sent.origin);
            Some(Finding { cause: Cause::Origin, stops: true, text })
        }
        Some(fault) => {
            let text = format!("{} ({})", fault.text, fault.reason);
            Some(Finding { cause: Cause::Route, stops: seen.htu.is_none(), text })
        }
        None if !htu_matches(sent, seen) => {
            let expected = seen.htu.as_deref().unwrap_or("nothing");
            let text = format!(
                "clients sign {}, and the gateway expects {expected}: public_origins has {origins}",
                sent.htu
            );
            Some(Finding { cause: Cause::Origin, stops: true, text })
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Answered, Arrival, Window};
    use http::{HeaderMap, Method, Uri, Version};

    fn sent(url: &str) -> Sent {
        let uri: Uri = url.parse().unwrap();
        let origin = Origin::from_authority(Scheme::Https, uri.authority().unwrap().as_str()).unwrap();
        let htu = crate::client::proof::htu(&uri);
        Sent { method: Method::GET, uri, scheme: Scheme::Https, origin, htu, headers: HeaderMap::new() }
    }

    fn seen(authority: &str, target: &str, htu: Option<&str>, reason: Option<&str>) -> Sighting {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let fault = |reason: &str| Fault { reason: reason.to_owned(), text: "so".to_owned(), fields: None };
        Sighting {
            at: 0.0,
            arrival: Arrival::new("proxy", "public", [127, 0, 0, 1].into(), Version::HTTP_11),
            place: Some(Place {
                method: "GET".to_owned(),
                scheme: Some("http".to_owned()),
                authority: Some(authority.to_owned()),
                path: path.to_owned(),
                query: query.map(str::to_owned),
            }),
            fault: reason.map(fault),
            htu: htu.map(str::to_owned),
            route: None,
            origins: vec!["https://api.test".to_owned(), "https://api.test:8443".to_owned()],
            window: Window { max_age: 60, leeway: 10 },
            verdict: None,
            headers: vec![],
            answered: Answered { status: 401, headers: vec![] },
        }
    }

    #[test]
    fn what_arrived_otherwise_is_named() {
        let (own, known) = ("https://api.test/a/b?c=1", Some("https://api.test/a/b"));
        for (url, seen, cause, stops) in [
            (own, seen("api.test", "/a/b?c=1", known, None), None, false),
            (own, seen("API.test:443", "/a/b?c=1", known, None), None, false),
            ("https://api.test", seen("api.test", "/", Some("https://api.test/"), None), None, false),
            (
                own,
                seen("api.test:8443", "/a/b?c=1", Some("https://api.test:8443/a/b"), None),
                Some(Cause::Port),
                true,
            ),
            (
                "https://api.test:8443/a",
                seen("api.test", "/a", Some("https://api.test/a"), None),
                Some(Cause::Port),
                true,
            ),
            (own, seen("10.0.0.5", "/a/b?c=1", None, Some("authority_unknown")), Some(Cause::Host), true),
            (own, seen("", "/a/b?c=1", None, Some("authority_invalid")), Some(Cause::Host), true),
            (own, seen("api.test", "/a/b?c=1", None, Some("authority_invalid")), Some(Cause::Host), true),
            (own, seen("api.test", "/a/b?c=1", None, Some("authority_unknown")), Some(Cause::Origin), true),
            (
                own,
                seen("api.test", "/b?c=1", Some("https://api.test/b"), None),
                Some(Cause::PrefixStripped),
                true,
            ),
            (
                own,
                seen("api.test", "/v1/a/b?c=1", Some("https://api.test/v1/a/b"), None),
                Some(Cause::PrefixAdded),
                true,
            ),
            (
                "https://api.test/a",
                seen("api.test", "/", Some("https://api.test/"), None),
                Some(Cause::PrefixStripped),
                true,
            ),
            (
                "https://api.test/a",
                seen("api.test", "/aa", Some("https://api.test/aa"), None),
                Some(Cause::Path),
                true,
            ),
            (
                "https://api.test/a",
                seen("api.test", "/a/", Some("https://api.test/a/"), None),
                Some(Cause::Path),
                true,
            ),
            (
                "https://api.test/%41",
                seen("api.test", "/A", Some("https://api.test/A"), None),
                Some(Cause::Path),
                false,
            ),
            (
                "https://api.test/a%2Fb",
                seen("api.test", "/a/b", Some("https://api.test/a/b"), None),
                Some(Cause::Path),
                true,
            ),
            (own, seen("api.test", "/a/b", known, None), Some(Cause::Query), false),
            (own, seen("api.test", "/a/b?c=1&d", known, None), Some(Cause::Query), false),
            (own, seen("api.test", "/a/b?c=1", known, Some("no_route")), Some(Cause::Route), false),
            (own, seen("api.test", "/a/b?c=1", None, Some("path_percent")), Some(Cause::Route), true),
        ] {
            let found = findings(&sent(url), &seen);
            let first = found.first().map(|finding| finding.cause);
            assert_eq!(
                (first, found.iter().any(|finding| finding.stops)),
                (cause, stops),
                "{url}: {seen:?}: {found:?}"
            );
            assert!(found.len() <= 1, "{url}: {found:?}");
            assert_eq!(htu_matches(&sent(url), &seen), seen.htu.is_some() && !stops, "{url}: {seen:?}");
        }
    }

    #[test]
    fn tls_that_ends_unnoticed_matters_where_origins_differ_in_it() {
        let mut two = seen("api.test", "/a", Some("http://api.test/a"), None);
        two.origins.push("http://api.test".to_owned());
        let found = findings(&sent("https://api.test/a"), &two);
        assert!(matches!(found.as_slice(), [Finding { cause: Cause::Scheme, stops: true, .. }]), "{found:?}");
        two.origins = vec!["http://api.test".to_owned()];
        let found = findings(&sent("https://api.test/a"), &two);
        assert!(matches!(found.as_slice(), [Finding { cause: Cause::Origin, stops: true, .. }]), "{found:?}");
        let mut asks = seen("api.test", "/a", Some("https://api.test/a"), None);
        asks.arrival.mode = "forward_auth".to_owned();
        let found = findings(&sent("https://api.test/a"), &asks);
        assert!(
            matches!(found.as_slice(), [Finding { cause: Cause::Scheme, stops: false, .. }]),
            "{found:?}"
        );
    }
}

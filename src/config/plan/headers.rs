//! Identity headers: which names a route may set.

use crate::config::document::Identity;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::identity::IdentityMap;
use http::HeaderName;

/// Names with a meaning of their own to HTTP, to proxies or to us, folded as [`folded`] does.
const RESERVED: [&str; 39] = [
    "accept",
    "acceptencoding",
    "authorization",
    "cachecontrol",
    "connection",
    "contentencoding",
    "contentlength",
    "contenttype",
    "cookie",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2settings",
    "ifmatch",
    "ifnonematch",
    "keepalive",
    "maxforwards",
    "origin",
    "proxyauthenticate",
    "proxyauthorization",
    "proxyconnection",
    "range",
    "setcookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "trailers",
    "transferencoding",
    "upgrade",
    "via",
    "wwwauthenticate",
    "xhttpmethodoverride",
    "xoriginalurl",
    "xrealip",
    "xrequestid",
    "xrewriteurl",
];

/// The headers of a route's `identity` section.
pub(super) fn plan(identity: &Identity, findings: &mut Findings) -> IdentityMap {
    let mut headers = Vec::new();
    let mut seen: Vec<(String, &Spot<String>)> = Vec::new();
    for (name, claim) in &identity.headers.items {
        let fold = folded(&name.value);
        let what = if let Some((_, first)) = seen.iter().find(|(earlier, _)| *earlier == fold) {
            Some((
                format!("{} is the same header as {} to many applications", name.shown(), first.shown()),
                "use names that differ in letters or digits, not only in case or marks",
            ))
        } else if RESERVED.contains(&fold.as_str()) || fold.starts_with("xforwarded") {
            Some((
                format!("{} has a meaning of its own and cannot carry a claim", name.shown()),
                "use another name, such as X-Auth-Subject",
            ))
        } else {
            None
        };
        if let Some((what, help)) = what {
            findings.problem(&name.place, what, help);
        }
        if claim.value.is_empty()
            || claim.value.split('.').any(|member| member.trim() != member || member.is_empty())
        {
            let help = "write a claim's name, as sub, or a path to a member of it, as cnf.jkt";
            findings.problem(&claim.place, format!("{} is no claim", claim.shown()), help);
        }
        let parsed = HeaderName::from_bytes(name.value.as_bytes()).ok().filter(|_| !fold.is_empty());
        match parsed {
            Some(header) => headers.push((header, claim.value.clone())),
            None => {
                let help = "use letters, digits and \"-\", as X-Auth-Subject";
                findings.problem(&name.place, format!("{} is not a header name", name.shown()), help);
            }
        }
        seen.push((fold, name));
    }
    IdentityMap { headers }
}

/// Letters and digits in lower case: what is left of a name where an application turns every other mark into `_`.
fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

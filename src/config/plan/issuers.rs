//! Issuers and where their keys come from.

use super::{IssuerPlan, KeySource, files, introspection, names, proofs};
use crate::config::document::{ClaimNames, Document, Issuer};
use crate::config::problem::Findings;
use crate::config::read::{List, Spot};
use crate::config::reading::Files;
use crate::config::value::written;
use crate::names::{IssuerId, Register};
use crate::token::{self, IssuerRules, KeySet, KeySetError};
use std::time::Duration;
use url::{Host, Url};

type Text = Spot<String>;

/// More than a few minutes would keep expired tokens alive (RFC 7519 section 4.1.4).
const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// Between these bounds keys may be kept while they cannot be fetched.
const STALE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 24 * 3600));

/// The issuers.
pub(super) fn plan(
    document: &Document,
    files: &Files<'_>,
    ids: &mut Register<IssuerId>,
    findings: &mut Findings,
) -> Vec<IssuerPlan> {
    let issuers = &document.issuers.items;
    names::check("issuer", issuers.iter().map(|issuer| &issuer.name), findings);
    let routes = document.routes.iter().flat_map(|list| &list.items);
    if issuers.is_empty() && routes.clone().any(|route| !route.public.value) {
        let help = "add an issuer with name, issuer and audiences, or set \"public: true\" on routes that need no token";
        findings.problem(&document.issuers.place, "no issuer, but a route asks for tokens", help);
    }
    let mut seen: Vec<&Text> = Vec::new();
    for identifier in issuers.iter().filter_map(|issuer| issuer.issuer.as_ref()) {
        if let Some(first) = seen.iter().find(|first| first.value == identifier.value) {
            let what =
                format!("a second issuer with this identifier, the first is on line {}", first.place.line);
            findings.problem(&identifier.place, what, "merge them: a token's iss names exactly one issuer");
        } else {
            seen.push(identifier);
        }
    }
    issuers.iter().filter_map(|issuer| one(issuer, files, ids, findings)).collect()
}

fn one(
    issuer: &Issuer,
    files: &Files<'_>,
    ids: &mut Register<IssuerId>,
    findings: &mut Findings,
) -> Option<IssuerPlan> {
    let algorithms = names::algorithms(&issuer.algorithms, findings);
    if let Some(audiences) = &issuer.audiences {
        names::distinct(audiences, "name what the issuer puts into aud for this API", findings);
    }
    names::distinct(&issuer.token_types, "name at least one, such as at+jwt", findings);
    if issuer.leeway.value > MAX_LEEWAY {
        let what = format!("{} is too long", written(issuer.leeway.value));
        findings.problem(&issuer.leeway.place, what, "write at most 5m: expired tokens live on that long");
    }
    proofs::between(&issuer.max_stale, STALE.0, STALE.1, findings);
    let keys = key_source(issuer, files, findings);
    let authorities = issuer.ca.as_ref().map(|name| files::authorities(name, files, findings));
    let insecure = issuer.insecure_http.value;
    let asked = issuer.introspection.as_ref();
    let asked = asked.map(|section| introspection::plan(section, insecure, files, findings));
    // Both are there, or are problems that were noted.
    let authorities = authorities.map_or(Some(None), |read| read.map(Some));
    let asked =
        asked.map_or(Some((None, None)), |asked| asked.map(|(plan, rules)| (Some(plan), Some(rules))));
    let (authorities, (introspection, introspection_rules)) = (authorities?, asked?);
    let rules = IssuerRules {
        name: issuer.name.as_ref()?.value.clone(),
        issuer: issuer.issuer.as_ref()?.value.clone(),
        audiences: texts(&issuer.audiences.as_ref()?.items),
        algorithms,
        token_types: texts(&issuer.token_types.items),
        claims: claim_names(&issuer.claims, findings),
        required_claims: issuer.required_claims.as_ref().map(|list| required_claims(list, findings)),
        leeway: issuer.leeway.value,
        introspection: introspection_rules,
    };
    Some(IssuerPlan {
        id: ids.id(&rules.name),
        rules,
        keys: keys?,
        authorities,
        max_stale: issuer.max_stale.value,
        introspection,
    })
}

fn claim_names(claims: &ClaimNames, findings: &mut Findings) -> token::ClaimNames {
    for list in [&claims.client_id, &claims.scope] {
        names::distinct(list, "name at least one claim, or delete the key", findings);
        each_is_a_claim(list, findings);
    }
    token::ClaimNames { client_id: texts(&claims.client_id.items), scope: texts(&claims.scope.items) }
}

/// They may be none: then `iss`, `exp` and `aud` are enough.
fn required_claims(list: &List<Text>, findings: &mut Findings) -> Vec<String> {
    if !list.is_empty() {
        names::distinct(list, "", findings);
    }
    each_is_a_claim(list, findings);
    texts(&list.items)
}

/// An empty text has been noted already.
fn each_is_a_claim(list: &List<Text>, findings: &mut Findings) {
    let written = list.items.iter().filter(|name| !name.value.trim().is_empty());
    written.for_each(|name| names::claim(name, findings));
}

fn texts(list: &[Text]) -> Vec<String> {
    list.iter().map(|text| text.value.clone()).collect()
}

fn key_source(issuer: &Issuer, files: &Files<'_>, findings: &mut Findings) -> Option<KeySource> {
    let insecure = issuer.insecure_http.value;
    let identifier = issuer.issuer.as_ref();
    if let Some(identifier) = identifier.filter(|identifier| identifier.value.trim().is_empty()) {
        findings.problem(
            &identifier.place,
            "the issuer identifier is empty",
            "write what its tokens have in iss",
        );
        return None;
    }
    match (&issuer.jwks_uri, &issuer.jwks_file) {
        (Some(uri), Some(file)) => {
            let what = format!("both jwks_uri (line {}) and jwks_file are given", uri.place.line);
            findings.problem(&file.place, what, "delete one of them: keys come from one place");
            None
        }
        (Some(uri), None) => endpoint(uri, insecure, findings).map(KeySource::Uri),
        (None, Some(file)) => key_file(file, files, findings),
        (None, None) => {
            let url = endpoint(identifier?, insecure, findings)?;
            if url.query().is_some() {
                let help = "delete the query (RFC 8414 section 2), or give jwks_uri or jwks_file";
                findings.problem(&identifier?.place, "an issuer with a query cannot be discovered", help);
                return None;
            }
            Some(KeySource::Discovery(url))
        }
    }
}

/// A JWK Set. It may be empty still: the issuer's first key can come later, and readiness waits for it.
fn key_file(file: &Text, files: &Files<'_>, findings: &mut Findings) -> Option<KeySource> {
    let (path, contents) = files::read(file, files, findings)?;
    match KeySet::parse(&contents) {
        Ok(set) => {
            for key in set.left_out() {
                let help = "the others serve; have the issuer mend or remove it";
                findings.warn(&file.place, format!("{}: {key}", file.path()), help);
            }
        }
        Err(KeySetError::Empty) => {}
        Err(
            error @ (KeySetError::Format
            | KeySetError::TooLarge
            | KeySetError::TooMany
            | KeySetError::Unusable(_)),
        ) => {
            let help = "name a JWK Set with the issuer's public keys (RFC 7517 section 5)";
            findings.problem(&file.place, format!("{} is no use: {error}", file.path()), help);
            return None;
        }
    }
    Some(KeySource::File(path))
}

/// An https URL, or a plain http one to loopback or with `insecure_http: true`.
pub(super) fn endpoint(text: &Text, insecure: bool, findings: &mut Findings) -> Option<Url> {
    let mut refuse = |what: &str, help: &str| {
        findings.problem(&text.place, format!("{} {what}", text.shown()), help);
        None
    };
    let Ok(url) = Url::parse(&text.value) else {
        return refuse("is not a URL", "write it as https://id.example.com/…");
    };
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return refuse("is not an https URL", "write it as https://id.example.com/…");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("has user information in it", "delete what stands before the \"@\"");
    }
    if url.fragment().is_some() {
        return refuse("has a fragment", "delete the \"#\" and what follows it");
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !loopback && !insecure {
        let help = "use https, or set \"insecure_http: true\" on this issuer where nobody else can reach that network";
        return refuse("is plain http: whoever can answer for it can forge every token", help);
    }
    Some(url)
}

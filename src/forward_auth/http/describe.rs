//! What a front says of the request that it asks about.
//!
//! Two families of fields are in use. A description is whole in one of them, and whatever there is of the other says the same: a field
//! that the front does not set is the client's (CVE-2026-40575 was a forged `X-Forwarded-Uri`).

use crate::denial::{AuthorityError, DescriptionError};
use crate::forward_auth::described::{Described, Fault, ToldBy, is_same_authority, method, scheme, target};
use crate::gate::Authority;
use crate::headers::{
    X_FORWARDED_HOST, X_FORWARDED_METHOD, X_FORWARDED_PROTO, X_FORWARDED_URI, X_ORIGINAL_METHOD,
    X_ORIGINAL_URL, only,
};
use crate::uri::Scheme;
use http::header::{HOST, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

/// Under this path the request itself is asked about; its own path follows.
const CHECK: &str = "/check";

/// Reads the description.
///
/// # Errors
/// It is not there, or does not say one thing.
pub(super) fn read(head: &Parts) -> Result<Described<'_>, Fault> {
    match head.uri.path().strip_prefix(CHECK) {
        Some(path) if path.starts_with('/') => checked(head, path),
        // What `OPTIONS *` becomes, and what says no path at all: a client could have sent the description fields that then counted.
        Some("" | "*") => Err(Fault::in_field(DescriptionError::Malformed, "request-target")),
        _ => described(&head.headers),
    }
}

/// The request that is asked about is the one that came, but for the beginning of its path.
fn checked<'q>(head: &'q Parts, path: &str) -> Result<Described<'q>, Fault> {
    let target = match head.uri.query() {
        Some(query) => target(&format!("{path}?{query}")),
        None => target(path),
    };
    let malformed = Fault::in_field(DescriptionError::Malformed, "request-target");
    Ok(Described {
        method: head.method.clone(),
        scheme: one(&head.headers, &X_FORWARDED_PROTO, scheme)?,
        authority: Authority::of(head, false).map_err(|error| authority_fault(head, error))?,
        target: target.ok_or(malformed)?,
        headers: &head.headers,
        told_by: ToldBy { scheme: "x-forwarded-proto", authority: "host", target: "request-target" },
    })
}

fn authority_fault(head: &Parts, _: AuthorityError) -> Fault {
    let error = match head.headers.get_all(HOST).iter().count() {
        0 => DescriptionError::Missing,
        1 => DescriptionError::Malformed,
        _ => DescriptionError::Repeated,
    };
    Fault::of(error, &HOST)
}

/// The fields of one family, as far as they are there.
struct Family<'q> {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<&'q str>,
    target: Option<PathAndQuery>,
    /// Which field says which, in this order.
    names: [&'static str; 4],
    headers: &'q HeaderMap,
}

const ORIGINAL: [&str; 4] = ["x-original-method", "x-original-url", "x-original-url", "x-original-url"];
const FORWARDED: [&str; 4] =
    ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"];

/// `X-Original-*` or `X-Forwarded-*`, whole; and what there is of the other says the same.
fn described(headers: &HeaderMap) -> Result<Described<'_>, Fault> {
    let (original, forwarded) = (Family::original(headers)?, Family::forwarded(headers)?);
    match (original.whole(), forwarded.whole()) {
        (Some(described), _) => forwarded.agrees_with(described),
        (None, Some(described)) => original.agrees_with(described),
        (None, None) => Err(incomplete(&original, &forwarded)),
    }
}

/// Names what is missing. The family that was begun is the one that was meant.
fn incomplete(original: &Family<'_>, forwarded: &Family<'_>) -> Fault {
    let mut fields = match (original.is_begun(), forwarded.is_begun()) {
        (true, false) => original.missing(),
        (false, true) => forwarded.missing(),
        (true, true) | (false, false) => [original.missing(), forwarded.missing()].concat(),
    };
    fields.dedup();
    Fault { error: DescriptionError::Missing, fields: fields.join(", ") }
}

impl<'q> Family<'q> {
    /// `X-Original-Method` and the absolute `X-Original-URL`.
    fn original(headers: &'q HeaderMap) -> Result<Self, Fault> {
        let url = one(headers, &X_ORIGINAL_URL, absolute)?;
        let (scheme, authority, target) = match url {
            Some((scheme, authority, target)) => (Some(scheme), Some(authority), Some(target)),
            None => (None, None, None),
        };
        let method = one(headers, &X_ORIGINAL_METHOD, method)?;
        Ok(Self { method, scheme, authority, target, names: ORIGINAL, headers })
    }

    /// `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`. `X-Forwarded-Port` is not asked: the authority has the port.
    fn forwarded(headers: &'q HeaderMap) -> Result<Self, Fault> {
        Ok(Self {
            method: one(headers, &X_FORWARDED_METHOD, method)?,
            scheme: one(headers, &X_FORWARDED_PROTO, scheme)?,
            authority: one(headers, &X_FORWARDED_HOST, |text| (!text.is_empty()).then_some(text))?,
            target: one(headers, &X_FORWARDED_URI, target)?,
            names: FORWARDED,
            headers,
        })
    }

    fn whole(&self) -> Option<Described<'q>> {
        let [_, scheme, authority, target] = self.names;
        Some(Described {
            method: self.method.clone()?,
            scheme: Some(self.scheme?),
            authority: Authority::One(self.authority?),
            target: self.target.clone()?,
            headers: self.headers,
            told_by: ToldBy { scheme, authority, target },
        })
    }

    fn is_begun(&self) -> bool {
        self.missing().len() < self.names.len()
    }

    /// The names of the fields that are not there.
    fn missing(&self) -> Vec<&'static str> {
        let missing =
            [self.method.is_none(), self.scheme.is_none(), self.authority.is_none(), self.target.is_none()];
        self.names.into_iter().zip(missing).filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// The description, if what there is here says the same.
    fn agrees_with(&self, described: Described<'q>) -> Result<Described<'q>, Fault> {
        let is_other_authority = |one: &str| {
            let scheme = described.scheme.unwrap_or(Scheme::Https);
            !is_same_authority(scheme, one, described.authority.first())
        };
        let differs = [
            self.method.as_ref().is_some_and(|method| *method != described.method),
            self.scheme.is_some_and(|scheme| Some(scheme) != described.scheme),
            self.authority.is_some_and(is_other_authority),
            self.target.as_ref().is_some_and(|target| *target != described.target),
        ];
        match self.names.into_iter().zip(differs).find(|(_, differs)| *differs) {
            Some((field, _)) => Err(Fault::in_field(DescriptionError::Contradictory, field)),
            None => Ok(described),
        }
    }
}

/// The field's one value, as `read` understands it; `None` where the field is not there.
fn one<'q, T>(
    headers: &'q HeaderMap,
    name: &HeaderName,
    read: impl Fn(&'q str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let line = only(headers, name).map_err(|_| Fault::of(DescriptionError::Repeated, name))?;
    let read = |line: &'q HeaderValue| {
        let value = line.to_str().ok().and_then(&read);
        value.ok_or_else(|| Fault::of(DescriptionError::Malformed, name))
    };
    line.map(read).transpose()
}

/// `scheme://authority/path?query`
fn absolute(text: &str) -> Option<(Scheme, &str, PathAndQuery)> {
    let (name, rest) = text.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#'])?);
    (!authority.is_empty()).then_some(())?;
    Some((scheme(name)?, authority, target(rest)?))
}

#[cfg(test)]
mod tests;

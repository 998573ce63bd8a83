//! What a `CheckRequest` says of the request that it asks about.
//!
//! Method, path, host and scheme stand in fields of their own, and Envoy repeats them among the headers as HTTP/2 has them (`:path`): both must
//! say the same. The client's own `X-Forwarded-*` describe nothing here.

use super::messages::{Attributes, CheckRequest, Field, HttpRequest};
use crate::certificate::{Format, Shown};
use crate::denial::DescriptionError::{Contradictory, Malformed, Missing, Repeated};
use crate::forward_auth::described::{Described, Fault, ToldBy, is_same_authority, method, scheme, target};
use crate::gate::Authority;
use crate::headers::only;
use crate::uri::Scheme;
use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

/// A `CheckRequest` taken to pieces.
#[derive(Debug)]
pub(super) struct Asked {
    http: HttpRequest,
    /// The client's headers.
    pub(super) headers: HeaderMap,
    /// What Envoy lists among them and HTTP does not call so: their names begin with a colon.
    pseudo: Vec<(&'static str, Bytes)>,
    /// The other end of the front's own connection.
    pub(super) source: Option<IpAddr>,
    /// The certificate that the client has shown to the front.
    pub(super) certificate: Shown,
}

const PSEUDO: [&str; 4] = [":method", ":path", ":authority", ":scheme"];

impl Asked {
    /// Reads the headers.
    ///
    /// # Errors
    /// They cannot be headers, or are there in two ways.
    pub(super) fn of(request: CheckRequest) -> Result<Self, Fault> {
        let Attributes { source, request } = request.attributes.unwrap_or_default();
        let certificate = source.as_ref().map_or(&[][..], |source| &source.certificate);
        let certificate = Format::PemUrlEncoded.read(certificate);
        let mut http = request
            .and_then(|request| request.http)
            .ok_or_else(|| Fault::in_field(Missing, "attributes.request.http"))?;
        let raw = http.header_map.take().unwrap_or_default().headers;
        let plain = std::mem::take(&mut http.headers);
        let (fields, name) = match (plain.is_empty(), raw.is_empty()) {
            (false, false) => return Err(Fault::in_field(Contradictory, "header_map")),
            (_, true) => (plain, "headers"),
            (true, false) => (raw, "header_map"),
        };
        // More than a map has room for are no headers either, and no reason to panic: the front might let pass what it could not ask about.
        let room = HeaderMap::try_with_capacity(fields.len());
        let headers = room.map_err(|_| Fault::in_field(Malformed, name))?;
        let mut asked = Self { http, headers, pseudo: Vec::new(), source: None, certificate };
        for field in fields {
            asked.take(field).ok_or_else(|| Fault::in_field(Malformed, name))?;
        }
        let address = source.and_then(|source| source.address).and_then(|address| address.socket_address);
        asked.source = address.and_then(|address| str::from_utf8(&address.address).ok()?.parse().ok());
        Ok(asked)
    }

    fn take(&mut self, Field { key, value, raw_value }: Field) -> Option<()> {
        let value = match (value.is_empty(), raw_value.is_empty()) {
            (_, true) => value,
            (true, false) => raw_value,
            (false, false) => return None,
        };
        if key.starts_with(b":") {
            let name = PSEUDO.into_iter().find(|name| name.as_bytes() == key);
            self.pseudo.extend(name.map(|name| (name, value)));
            return Some(());
        }
        let name = HeaderName::from_bytes(&key).ok()?;
        let value = HeaderValue::from_maybe_shared(value).ok()?;
        self.headers.try_append(name, value).ok()?;
        Some(())
    }

    /// Reads the description.
    ///
    /// # Errors
    /// It is not whole, or does not say one thing.
    pub(super) fn described(&self) -> Result<Described<'_>, Fault> {
        let HttpRequest { method: verb, path, host, scheme: by, query, fragment, .. } = &self.http;
        let read_method = required("method", verb, method)?;
        let read_target = required("path", path, target)?;
        let authority = required("host", host, Some)?;
        let read_scheme = optional("scheme", by, scheme)?;
        if !fragment.is_empty() {
            return Err(Fault::in_field(Malformed, "fragment"));
        }
        if !query.is_empty() && read_target.query().map(str::as_bytes) != Some(query.as_ref()) {
            return Err(Fault::in_field(Contradictory, "query"));
        }
        let is_it = |other: &str| is_same_authority(read_scheme.unwrap_or(Scheme::Https), other, authority);
        self.agrees(":method", |text| text.as_bytes() == verb)?;
        self.agrees(":path", |text| text.as_bytes() == path)?;
        self.agrees(":authority", is_it)?;
        self.agrees(":scheme", |text| read_scheme.is_none() || scheme(text) == read_scheme)?;
        let line = only(&self.headers, &HOST).map_err(|_| Fault::of(Repeated, &HOST))?;
        if line.is_some_and(|line| !line.to_str().is_ok_and(is_it)) {
            return Err(Fault::in_field(Contradictory, "host"));
        }
        Ok(Described {
            method: read_method,
            scheme: read_scheme,
            authority: Authority::One(authority),
            target: read_target,
            headers: &self.headers,
            told_by: ToldBy { scheme: "scheme", authority: "host", target: "path" },
        })
    }

    /// Whether what stands among the headers says the same as the field of its own.
    fn agrees(&self, name: &'static str, is_it: impl Fn(&str) -> bool) -> Result<(), Fault> {
        let mut lines = self.pseudo.iter().filter(|(other, _)| *other == name).map(|(_, value)| value);
        let Some(line) = lines.next() else { return Ok(()) };
        if lines.next().is_some() {
            return Err(Fault::in_field(Repeated, name));
        }
        if str::from_utf8(line).is_ok_and(is_it) { Ok(()) } else { Err(Fault::in_field(Contradictory, name)) }
    }
}

/// A field, as `read` understands it. One that is empty is not there (protocol buffers, version 3).
fn optional<'q, T>(
    name: &str,
    field: &'q Bytes,
    read: impl Fn(&'q str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    if field.is_empty() {
        return Ok(None);
    }
    let value = str::from_utf8(field).ok().and_then(read);
    value.map(Some).ok_or_else(|| Fault::in_field(Malformed, name))
}

fn required<'q, T>(name: &str, field: &'q Bytes, read: impl Fn(&'q str) -> Option<T>) -> Result<T, Fault> {
    optional(name, field, read)?.ok_or_else(|| Fault::in_field(Missing, name))
}

#[cfg(test)]
mod tests;

//! Where to connect instead of where a URI says, as curl's `--connect-to` has it: to test a front that no DNS names yet.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use std::str::FromStr;

/// `HOST1:PORT1:HOST2:PORT2`: what is for the first goes to the second. Name and TLS stay those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// Any, where nothing is written.
    host: Option<String>,
    port: Option<u16>,
    /// As before, where nothing is written.
    to_host: Option<String>,
    to_port: Option<u16>,
}

impl FromStr for ConnectTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "write HOST1:PORT1:HOST2:PORT2";
        let (host, rest) = host(text).ok_or(expected)?;
        let (port, rest) = rest.split_once(':').ok_or(expected)?;
        let (to_host, to_port) = self::host(rest).ok_or(expected)?;
        Ok(Self { host, port: self::port(port)?, to_host, to_port: self::port(to_port)? })
    }
}

impl ConnectTo {
    /// The URI with the authority to connect to, where one of these is for it: the first.
    pub(super) fn apply(all: &[Self], uri: Uri) -> Uri {
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
        let Some(own) = uri.host().map(str::to_owned) else { return uri };
        let is_for = |one: &&Self| {
            one.host.as_ref().is_none_or(|host| host.eq_ignore_ascii_case(&own))
                && one.port.is_none_or(|one| one == port)
        };
        let Some(found) = all.iter().find(is_for) else { return uri };
        let host = found.to_host.clone().unwrap_or(own);
        let authority = Authority::try_from(format!("{host}:{}", found.to_port.unwrap_or(port)));
        let mut parts = uri.clone().into_parts();
        parts.authority = authority.ok();
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        Uri::from_parts(parts).unwrap_or(uri)
    }
}

/// A host, in brackets where it has colons, and what follows its colon.
fn host(text: &str) -> Option<(Option<String>, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':')? };
    let (host, rest) = text.split_at_checked(end)?;
    Some(((!host.is_empty()).then(|| host.to_owned()), rest.strip_prefix(':')?))
}

fn port(text: &str) -> Result<Option<u16>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "a port is a number from 0 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_for_it_says_where_to_connect() {
        let all: Vec<ConnectTo> =
            ["api.test:443:127.0.0.1:8443", "::[::1]:", "x:80::1"].map(|text| text.parse().unwrap()).into();
        for (uri, expected) in [
            ("https://API.test/orders?a=1", "https://127.0.0.1:8443/orders?a=1"),
            ("https://api.test", "https://127.0.0.1:8443/"),
            ("https://api.test:8443/orders", "https://[::1]:8443/orders"),
            ("http://other.test/", "http://[::1]:80/"),
        ] {
            assert_eq!(ConnectTo::apply(&all, uri.parse().unwrap()).to_string(), expected);
        }
        let untouched: Uri = "https://other.test/".parse().unwrap();
        assert_eq!(ConnectTo::apply(&all[..1], untouched.clone()), untouched);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "api.test", "api.test:443", "api.test:443:127.0.0.1", "a:b:c:d", "a:1:b:70000", "[::1:1:b:2"]
        {
            assert!(bad.parse::<ConnectTo>().is_err(), "{bad}");
        }
    }
}

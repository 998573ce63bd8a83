//! `HTTPS_PROXY` and `NO_PROXY`, as curl reads them.

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a variable may stand: curl takes the lower case first. One that is empty is not set.
const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Through which proxy https goes, and for which servers it does not. Plain http never goes through a proxy: to loopback it must not, and
/// to others it is only asked where nobody is in between.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Option<Arc<Set>>);

#[derive(Debug)]
struct Set {
    https: Proxy,
    no: NoProxy,
}

/// A proxy, and how to say who we are.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) uri: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

/// A variable of the environment that is no proxy. Its value is not shown: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {what}")]
pub struct ProxyError {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Proxies {
    /// What the environment says.
    ///
    /// # Errors
    /// The proxy is not `http://[USER:PASSWORD@]HOST[:PORT]`, or the same with https.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let set = |names: [&'static str; 2]| {
            let value = |name| Some((name, variable(name).filter(|value| !value.trim().is_empty())?));
            names.into_iter().find_map(value)
        };
        let Some((name, value)) = set(HTTPS_PROXY) else { return Ok(Self::default()) };
        let https = Proxy::parse(value.trim()).map_err(|what| ProxyError { variable: name, what })?;
        let no = set(NO_PROXY).map_or_else(NoProxy::default, |(_, value)| NoProxy::parse(&value));
        Ok(Self(Some(Arc::new(Set { https, no }))))
    }

    /// The proxy for https, without user and password, to be shown.
    pub fn shown(&self) -> Option<&Uri> {
        self.https().map(|proxy| &proxy.uri)
    }

    pub(super) fn https(&self) -> Option<&Proxy> {
        self.0.as_ref().map(|set| &set.https)
    }

    /// The proxy through which this URI is asked.
    pub(super) fn of(&self, uri: &Uri) -> Option<&Proxy> {
        let set = self.0.as_ref().filter(|_| uri.scheme() == Some(&Scheme::HTTPS))?;
        if set.no.has(uri.host()?) { None } else { Some(&set.https) }
    }
}

impl Proxy {
    /// A URL, or host and port alone for an http one.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const NOT: &str = "is not a proxy's URL; write it as http://proxy.example.com:3128";
        let any = Uri::from_static("https://any.invalid/");
        let read = Matcher::builder().https(text).build().intercept(&any).ok_or(NOT)?;
        let uri = read.uri().clone();
        if uri.scheme() != Some(&Scheme::HTTP) && uri.scheme() != Some(&Scheme::HTTPS) {
            return Err("names a proxy that is neither http nor https; others are not supported");
        }
        // A port that is no number is only found when it is asked for.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if uri.host().is_none_or(str::is_empty) || (has_port && uri.port_u16().is_none_or(|port| port == 0)) {
            return Err(NOT);
        }
        Ok(Self { uri, authorization: read.basic_auth().cloned() })
    }
}

/// Which servers are asked directly.
#[derive(Debug, Default)]
struct NoProxy {
    all: bool,
    networks: Vec<IpNet>,
    /// Lower case, without dots around.
    names: Vec<String>,
}

impl NoProxy {
    /// Names, addresses and networks between commas or blanks; or `*` alone.
    fn parse(text: &str) -> Self {
        let mut found = Self { all: text.trim() == "*", ..Self::default() };
        for item in text.split([',', ' ', '\t']).filter(|item| !item.is_empty()) {
            let address = item.trim_start_matches('[').trim_end_matches(']');
            match (item.parse::<IpNet>(), address.parse::<IpAddr>()) {
                (Ok(network), _) => found.networks.push(network),
                (Err(_), Ok(address)) => found.networks.push(address.into()),
                (Err(_), Err(_)) => found.names.push(item.trim_matches('.').to_ascii_lowercase()),
            }
        }
        found
    }

    /// Whether this host is one of them: an address by its network, a name by itself or by a name that it ends with.
    fn has(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        if self.all {
            return true;
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.networks.iter().any(|network| network.contains(&address));
        }
        let host = host.to_ascii_lowercase();
        self.names.iter().any(|name| {
            let rest = host.strip_suffix(name.as_str());
            rest.is_some_and(|rest| !name.is_empty() && (rest.is_empty() || rest.ends_with('.')))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Proxies::from_environment(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn way(variables: &[(&str, &str)], uri: &str) -> Option<String> {
        of(variables).unwrap().of(&uri.parse().unwrap()).map(|proxy| proxy.uri.to_string())
    }

    #[test]
    fn https_goes_through_the_proxy_and_http_does_not() {
        let proxy = Some("http://proxy.test:3128/".to_owned());
        for (name, value) in [
            ("HTTPS_PROXY", "http://proxy.test:3128"),
            ("https_proxy", "http://proxy.test:3128/"),
            ("HTTPS_PROXY", " proxy.test:3128 "),
        ] {
            assert_eq!(way(&[(name, value)], "https://id.test/jwks"), proxy);
            assert_eq!(way(&[(name, value)], "https://localhost/jwks"), proxy);
            assert_eq!(way(&[(name, value)], "http://127.0.0.1/jwks"), None);
            assert_eq!(way(&[(name, value)], "http://id.test/jwks"), None);
        }
        let both = [("HTTPS_PROXY", "http://upper.test"), ("https_proxy", "http://lower.test")];
        assert_eq!(way(&both, "https://id.test"), Some("http://lower.test/".to_owned()));
        let empty = [("HTTPS_PROXY", "http://upper.test"), ("https_proxy", "")];
        assert_eq!(way(&empty, "https://id.test"), Some("http://upper.test/".to_owned()));
        for nothing in [vec![], vec![("HTTPS_PROXY", "")], vec![("HTTP_PROXY", "http://other.test")]] {
            assert_eq!(way(&nothing, "https://id.test"), None);
        }
    }

    #[test]
    fn a_password_is_sent_and_not_shown() {
        let proxies = of(&[("HTTPS_PROXY", "http://me:s%40cret@proxy.test:3128")]).unwrap();
        let proxy = proxies.https().unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic bWU6c0BjcmV0");
        assert_eq!(proxies.shown().unwrap(), "http://proxy.test:3128/");
        assert!(!format!("{proxies:?}").contains("cret"), "{proxies:?}");
    }

    #[test]
    fn a_bad_proxy_is_told_by_its_variable() {
        for bad in [
            "socks5://proxy.test:1080",
            "ftp://proxy.test",
            "http://",
            "http://:3128",
            "http:/proxy.test",
            "http://proxy.test:x",
            "http://proxy.test:99999",
            "http://proxy.test:0",
            "a b",
            "http://[::1",
        ] {
            for name in ["HTTPS_PROXY", "https_proxy"] {
                let error = of(&[(name, bad)]).unwrap_err();
                assert_eq!(error.variable, name, "{bad}");
                assert!(
                    error.to_string().starts_with(&format!("the environment variable {name} ")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let rows: [(&str, &[&str], &[&str]); 10] = [
            (
                "id.test",
                &["id.test", "a.id.test", "ID.Test", "id.test."],
                &["xid.test", "test", "id.test.com"],
            ),
            (".id.test", &["id.test", "a.id.test"], &["xid.test"]),
            ("id.test.", &["id.test", "a.id.test"], &["other.test"]),
            ("a.test, b.test", &["a.test", "b.test"], &["c.test"]),
            ("a.test b.test", &["a.test", "b.test"], &["c.test"]),
            ("*", &["id.test", "10.0.0.1", "[::1]"], &[]),
            (
                "10.0.0.0/8,192.168.1.7",
                &["10.1.2.3", "192.168.1.7"],
                &["11.0.0.1", "192.168.1.8", "a.10.0.0.0"],
            ),
            ("::1,fd00::/8", &["[::1]", "[fd12::3]"], &["[fe80::1]", "[::2]"]),
            ("[::1]", &["[::1]"], &["[::2]"]),
            (",,", &[], &["id.test", "10.0.0.1"]),
        ];
        for (no, direct, proxied) in rows {
            let variables = [("HTTPS_PROXY", "http://proxy.test"), ("NO_PROXY", no)];
            for host in direct {
                assert_eq!(way(&variables, &format!("https://{host}:8443/jwks")), None, "{no} {host}");
            }
            for host in proxied {
                assert!(way(&variables, &format!("https://{host}/jwks")).is_some(), "{no} {host}");
            }
        }
    }
}

//! Who may ask for what.
//!
//! Two come by this door whom nobody has invited: whoever reaches the address over the network, and the page that an operator's own browser
//! shows, from a name whose DNS leads here (DNS rebinding). The first has no token, and the second has no say in what the browser writes into
//! `Host`.

use super::answer::{TEXT, not_found, page};
use crate::config::AdminPlan;
use crate::headers::{AuthScheme, only};
use crate::jose::Password;
use crate::uri::{Origin, Scheme};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use std::net::IpAddr;

/// What anybody may ask under any name: whoever asks for it, like a load balancer, may not choose what it calls us.
const PROBES: [&str; 2] = ["/livez", "/readyz"];
/// What tells about clients or the configuration.
const PRIVATE: [&str; 4] = ["/", "/report", "/config", "/doctor"];

/// Who may ask, as the configuration has it.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<Password>,
    hosts: Vec<String>,
}

impl Access {
    /// As this plan says.
    pub fn new(plan: &AdminPlan) -> Self {
        Self { token: plan.token.clone(), hosts: plan.hosts.clone() }
    }

    /// The answer to who may not ask for this; `None`: it may.
    pub(super) fn refusal<B>(&self, request: &Request<B>, peer: IpAddr) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path();
        if !PROBES.contains(&path) && !self.is_called_rightly(request) {
            let text = "call it by an IP address, by localhost, or by one of admin.hosts\n";
            return Some(page(StatusCode::MISDIRECTED_REQUEST, TEXT, text));
        }
        let may = !PRIVATE.contains(&path)
            || peer.to_canonical().is_loopback()
            || self.brings_token(request.headers());
        // What is not for you is not there.
        (!may).then(not_found)
    }

    /// Whether every name that the request gives us is one that nobody else's DNS can have.
    fn is_called_rightly<B>(&self, request: &Request<B>) -> bool {
        let Ok(Some(host)) = only(request.headers(), &HOST) else { return false };
        let target = request.uri().authority().map(|authority| authority.as_str());
        let is_ours = |name: &str| self.is_ours(name);
        host.to_str().is_ok_and(is_ours) && target.is_none_or(is_ours)
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(origin) = Origin::from_authority(Scheme::Http, authority) else { return false };
        let (host, port) = (origin.host(), origin.port());
        let is_listed = |listed: &String| {
            listed == host || listed.strip_prefix(host).is_some_and(|rest| rest == format!(":{port}"))
        };
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(is_listed)
    }

    fn brings_token(&self, headers: &HeaderMap) -> bool {
        let line =
            only(headers, &AUTHORIZATION).ok().flatten().and_then(|line| HeaderValue::to_str(line).ok());
        let (Some(token), Some((scheme, brought))) =
            (&self.token, line.and_then(|line| line.split_once(' ')))
        else {
            return false;
        };
        AuthScheme::from_name(scheme) == Some(AuthScheme::Bearer) && token.is(brought.trim().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-that-is-as-long-as-tokens-have-to-be";
    const HERE: &str = "127.0.0.1";
    const FAR: &str = "192.0.2.7";

    fn access(token: Option<&str>) -> Access {
        let hosts = ["gateway.internal", "gateway.test:9901"].map(str::to_owned).to_vec();
        Access { token: token.map(|token| Password::new(token.as_bytes())), hosts }
    }

    /// What this peer is answered, who asks so; 200: it may ask.
    fn status(access: &Access, peer: &str, target: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let refusal = access.refusal(&request.body(()).unwrap(), peer.parse().unwrap());
        refusal.map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn what_tells_about_clients_is_for_this_machine_and_for_who_brings_the_token() {
        let (with, without) = (access(Some(TOKEN)), access(None));
        let right = format!("Bearer {TOKEN}");
        for path in ["/", "/report", "/config", "/doctor", "/config?a=b", "/report?accept=dpop"] {
            let ask = |access, peer, authorization: &[&str]| {
                let lines = authorization.iter().map(|line| ("authorization", *line));
                let fields: Vec<_> = [("host", "127.0.0.1:9901")].into_iter().chain(lines).collect();
                status(access, peer, path, &fields)
            };
            for near in [HERE, "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
                assert_eq!((ask(&with, near, &[]), ask(&without, near, &[])), (200, 200), "{near} {path}");
                assert_eq!(ask(&with, near, &["Bearer wrong"]), 200, "{near} {path}");
            }
            for far in [FAR, "2001:db8::7", "::ffff:192.0.2.7"] {
                assert_eq!((ask(&with, far, &[]), ask(&without, far, &[])), (404, 404), "{far} {path}");
                for good in [right.clone(), format!("bearer {TOKEN}"), format!("BEARER   {TOKEN}")] {
                    assert_eq!(
                        (ask(&with, far, &[&good]), ask(&without, far, &[&good])),
                        (200, 404),
                        "{good}"
                    );
                }
                for bad in [
                    &format!("Bearer {TOKEN}a")[..],
                    &right[..right.len() - 1],
                    &format!("Basic {TOKEN}"),
                    &format!("DPoP {TOKEN}"),
                    TOKEN,
                    "Bearer",
                    "Bearer ",
                    "",
                ] {
                    assert_eq!(ask(&with, far, &[bad]), 404, "{bad:?}");
                }
                assert_eq!(ask(&with, far, &[&right, &right]), 404, "two lines");
            }
        }
        for path in ["/metrics", "/version", "/livez", "/readyz", "/nowhere"] {
            assert_eq!(status(&with, FAR, path, &[("host", "[::1]")]), 200, "{path}");
        }
    }

    /// A page that an operator looks at says that it comes from `rebound.test`, whose DNS then leads here: for the browser that is one place, and
    /// its scripts could read all that this machine may read.
    #[test]
    fn a_browser_that_was_led_here_by_somebodys_dns_reads_nothing() {
        let access = access(Some(TOKEN));
        for path in ["/", "/report", "/config", "/doctor", "/metrics", "/version", "/nowhere"] {
            for peer in [HERE, FAR] {
                let bearer = format!("Bearer {TOKEN}");
                let ask = |host| status(&access, peer, path, &[("host", host), ("authorization", &bearer)]);
                for good in [
                    "127.0.0.1:9901",
                    "10.0.0.1",
                    "[::1]:9901",
                    "localhost",
                    "LocalHost:9901",
                    "gateway.internal",
                    "Gateway.Internal:80",
                    "gateway.internal:9901",
                    "gateway.test:9901",
                ] {
                    assert_eq!(ask(good), 200, "{good} {path}");
                }
                for bad in [
                    "rebound.test",
                    "rebound.test:9901",
                    "localhost.rebound.test",
                    "127.0.0.1.rebound.test",
                    "gateway.internal.rebound.test",
                    "rebound.gateway.internal",
                    "gateway.internal.",
                    "gateway.test",
                    "gateway.test:80",
                    "rebound.test@localhost",
                    "localhost:9901, rebound.test",
                    "127.1",
                    "0x7f000001",
                    "localhost:",
                    "",
                ] {
                    assert_eq!(ask(bad), 421, "{bad:?} {path}");
                }
            }
        }
        let ask = |target, fields: &[_]| status(&access, HERE, target, fields);
        assert_eq!(ask("/config", &[]), 421, "no name at all");
        assert_eq!(ask("/config", &[("host", "localhost"), ("host", "localhost")]), 421);
        assert_eq!(ask("http://rebound.test/config", &[("host", "localhost")]), 421);
        assert_eq!(ask("http://localhost/config", &[("host", "rebound.test")]), 421);
        assert_eq!(ask("http://localhost/config", &[("host", "localhost")]), 200);
        for path in ["/livez", "/readyz"] {
            assert_eq!(ask(path, &[("host", "rebound.test")]), 200, "whoever probes calls us as it likes");
            assert_eq!(ask(path, &[]), 200);
        }
    }
}

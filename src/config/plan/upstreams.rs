//! Upstreams.

use super::{
    ConnectionPlan, ServerPlan, TimeoutPlan, UpstreamPlan, UpstreamProtocol, UpstreamTlsPlan, files,
    listeners, names, proofs,
};
use crate::config::document::{Document, Timeouts, Upstream, UpstreamTls};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::names::{Register, UpstreamId};
use http::Uri;
use rustls::pki_types::ServerName;
use std::time::Duration;

type Text = Spot<String>;

/// What timeouts may be.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(24 * 3600);

/// The upstreams.
pub(super) fn plan(
    document: &Document,
    files: &Files<'_>,
    ids: &mut Register<UpstreamId>,
    findings: &mut Findings,
) -> Vec<UpstreamPlan> {
    let upstreams = &document.upstreams;
    if upstreams.is_empty() && listeners::forward(document) {
        let help = "add one: \"- name: api\" and \"servers: [http://127.0.0.1:9000]\"";
        findings.problem(&upstreams.place, "there is no upstream", help);
    }
    names::check("upstream", upstreams.items.iter().map(|upstream| &upstream.name), findings);
    upstreams.items.iter().filter_map(|upstream| one(upstream, files, ids, findings)).collect()
}

fn one(
    upstream: &Upstream,
    files: &Files<'_>,
    ids: &mut Register<UpstreamId>,
    findings: &mut Findings,
) -> Option<UpstreamPlan> {
    proofs::between(&upstream.timeouts.connect, SHORTEST, LONGEST, findings);
    proofs::between(&upstream.timeouts.response, SHORTEST, LONGEST, findings);
    proofs::between(&upstream.timeouts.idle, SHORTEST, LONGEST_IDLE, findings);
    proofs::between(&upstream.resolve, Duration::from_secs(1), LONGEST, findings);
    let servers: Option<Vec<ServerPlan>> = upstream.servers.as_ref().map(|servers| {
        names::distinct(servers, "name at least one server, such as http://127.0.0.1:9000", findings);
        servers.items.iter().filter_map(|text| server(text, findings)).collect()
    });
    let tls = upstream.tls.as_ref().map(|tls| self::tls(tls, files, findings));
    if let Some(place) = upstream.tls.as_ref().map(|tls| &tls.place)
        && servers
            .as_ref()
            .is_some_and(|servers| !servers.is_empty() && !servers.iter().any(|server| server.tls))
    {
        let help = "write https://host:port for those that speak TLS, or delete tls";
        findings.warn(place, "no server of this upstream is an https:// one: nothing is encrypted", help);
    }
    if upstream.protocol.value == UpstreamProtocol::Auto
        && servers.as_ref().is_some_and(|servers| servers.iter().any(|server| !server.tls))
    {
        let help = "write http2 where they all speak HTTP/2, or https:// for those that do";
        let what = "without TLS nothing tells whether a server speaks HTTP/2: http:// servers get HTTP/1.1";
        findings.warn(&upstream.protocol.place, what, help);
    }
    let name = &upstream.name.as_ref()?.value;
    Some(UpstreamPlan {
        id: ids.id(name),
        name: name.clone(),
        servers: servers?,
        host: upstream.host.value,
        balance: upstream.balance.value,
        connection: ConnectionPlan { protocol: upstream.protocol.value, tls: tls.unwrap_or_default() },
        resolve: upstream.resolve.value,
        timeouts: timeouts(upstream),
    })
}

/// How long it may take.
pub(super) const fn timeouts(upstream: &Upstream) -> TimeoutPlan {
    let Timeouts { connect, response, idle, .. } = &upstream.timeouts;
    TimeoutPlan { connect: connect.value, response: response.value, idle: idle.value }
}

/// `http://host` or `https://host`, a port other than the scheme's after it, and nothing else. What is said about an empty text is in `names`.
fn server(text: &Text, findings: &mut Findings) -> Option<ServerPlan> {
    if text.value.trim().is_empty() {
        return None;
    }
    let mut refuse = |what: &str, help: &str| {
        findings.problem(&text.place, format!("{} {what}", text.shown()), help);
        None
    };
    let uri = text.value.parse::<Uri>().ok();
    let Some((scheme @ ("http" | "https"), authority)) =
        uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)))
    else {
        return refuse("is not a server's URL", "write it as http://host:port or https://host:port");
    };
    if authority.as_str().contains('@') {
        return refuse("has user information in it", "delete what stands before the \"@\"");
    }
    if uri.as_ref().is_some_and(|uri| uri.path() != "/" || uri.query().is_some()) || text.value.contains('#')
    {
        return refuse(
            "has a path",
            &format!("write {scheme}://{authority}; paths are forwarded as they come"),
        );
    }
    let without_port = authority.as_str() == authority.host();
    let port_is_valid = match authority.port_u16() {
        None => without_port,
        Some(port) => port > 0,
    };
    if authority.host().is_empty() || !port_is_valid {
        return refuse("names no valid port", &format!("write it: {scheme}://{}:9000", authority.host()));
    }
    let tls = scheme == "https";
    if tls && server_name(authority.host()).is_none() {
        return refuse("has a name that no certificate can have", "write a host name or an IP address");
    }
    Some(ServerPlan { tls, authority: authority.clone() })
}

/// A host as certificates have it.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()
}

fn tls(tls: &UpstreamTls, files: &Files<'_>, findings: &mut Findings) -> UpstreamTlsPlan {
    let authorities = tls.ca.as_ref().and_then(|ca| files::authorities(ca, files, findings));
    let server_name = tls.server_name.as_ref().and_then(|text| {
        let name = server_name(&text.value);
        if name.is_none() {
            let help = "write the name that stands in the server's certificate, such as orders.internal";
            findings.problem(&text.place, format!("{} is no server's name", text.shown()), help);
        }
        name
    });
    let identity = match (&tls.certificate, &tls.private_key) {
        (Some(certificate), Some(key)) => files::identity(certificate, key, files, findings),
        (Some(alone), None) => {
            findings.problem(&alone.place, "a certificate without its key", "add private_key");
            None
        }
        (None, Some(alone)) => {
            findings.problem(&alone.place, "a key without its certificate", "add certificate");
            None
        }
        (None, None) => None,
    };
    UpstreamTlsPlan { authorities, server_name, identity }
}

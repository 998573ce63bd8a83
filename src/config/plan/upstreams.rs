//! Upstreams.

use super::{UpstreamPlan, listeners, names, proofs};
use crate::config::document::{Document, Upstream};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::names::{Register, UpstreamId};
use http::Uri;
use http::uri::Authority;
use std::time::Duration;

/// The upstreams.
pub(super) fn plan(
    document: &Document,
    ids: &mut Register<UpstreamId>,
    findings: &mut Findings,
) -> Vec<UpstreamPlan> {
    let upstreams = &document.upstreams;
    if upstreams.is_empty() && listeners::forward(document) {
        let help = "add one: \"- name: api\" and \"servers: [http://127.0.0.1:9000]\"";
        findings.problem(&upstreams.place, "there is no upstream", help);
    }
    names::check("upstream", upstreams.items.iter().map(|upstream| &upstream.name), findings);
    upstreams.items.iter().filter_map(|upstream| one(upstream, ids, findings)).collect()
}

fn one(upstream: &Upstream, ids: &mut Register<UpstreamId>, findings: &mut Findings) -> Option<UpstreamPlan> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
    proofs::between(&upstream.timeouts.connect, least, most, findings);
    proofs::between(&upstream.timeouts.response, least, most, findings);
    let servers = upstream.servers.as_ref().map(|servers| {
        names::distinct(servers, "name at least one server, such as http://127.0.0.1:9000", findings);
        servers.items.iter().filter_map(|server| authority(server, findings)).collect()
    });
    let name = &upstream.name.as_ref()?.value;
    Some(UpstreamPlan {
        id: ids.id(name),
        name: name.clone(),
        servers: servers?,
        connect_timeout: upstream.timeouts.connect.value,
        response_timeout: upstream.timeouts.response.value,
    })
}

/// `http://host`, a port other than 80 after it, and nothing else. What is said about https is in `unsupported`, about an empty text in `names`.
fn authority(server: &Spot<String>, findings: &mut Findings) -> Option<Authority> {
    if server.value.trim().is_empty() || server.value.starts_with("https://") {
        return None;
    }
    let mut refuse = |what: &str, help: &str| {
        findings.problem(&server.place, format!("{} {what}", server.shown()), help);
        None
    };
    let uri = server.value.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
    let Some(authority) = uri.as_ref().and_then(Uri::authority) else {
        return refuse("is not a server's URL", "write it as http://host:port");
    };
    if authority.as_str().contains('@') {
        return refuse("has user information in it", "delete what stands before the \"@\"");
    }
    if uri.as_ref().is_some_and(|uri| uri.path() != "/" || uri.query().is_some())
        || server.value.contains('#')
    {
        return refuse("has a path", &format!("write http://{authority}; paths are forwarded as they come"));
    }
    let without_port = authority.as_str() == authority.host();
    match authority.port_u16() {
        None if without_port && !authority.host().is_empty() => Some(authority.clone()),
        Some(1..) if !authority.host().is_empty() => Some(authority.clone()),
        _ => refuse("names no valid port", &format!("write it: http://{}:9000", authority.host())),
    }
}

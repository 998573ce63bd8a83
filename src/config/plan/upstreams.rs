//! Upstreams: what they become, and what the file may say of them.

use super::{files, listeners, names, proofs};
use crate::config::document::{Document, Eject, HealthCheck, Timeouts, Upstream, UpstreamTls};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::config::value::OrOff;
use crate::names::{Register, UpstreamId};
use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::Duration;

/// An upstream.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Which it is.
    pub id: UpstreamId,
    /// Its name: a metric label.
    pub name: String,
    /// Its servers.
    pub servers: Vec<ServerPlan>,
    /// Which `Host` they get.
    pub host: UpstreamHost,
    /// Which of them a request goes to.
    pub balance: Balance,
    /// What decides a connection besides the server.
    pub connection: ConnectionPlan,
    /// How often names are looked up again.
    pub resolve: Duration,
    /// What decides which servers get requests.
    pub health: HealthPlan,
    /// How many connections each server may have.
    pub connections: usize,
    /// How long it may take.
    pub timeouts: TimeoutPlan,
}

/// What decides which servers get requests. What is known of a server by one such plan says nothing by another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthPlan {
    /// How servers are asked; `None`: they are not.
    pub check: Option<CheckPlan>,
    /// When a server rests whose requests fail; `None`: never.
    pub eject: Option<EjectPlan>,
}

/// How servers are asked whether they are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckPlan {
    /// What is asked for: any 2xx is healthy.
    pub path: PathAndQuery,
    /// How long after an answer, or none, it is asked for again.
    pub interval: Duration,
    /// How long an answer's head may take, the connection included.
    pub timeout: Duration,
    /// After so many failures in a row a server is unhealthy.
    pub unhealthy_after: u32,
    /// After so many good answers in a row it is healthy again.
    pub healthy_after: u32,
}

/// When a server rests whose requests fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectPlan {
    /// After so many failures in a row.
    pub after: u32,
    /// How long, the first time.
    pub rest: Duration,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutPlan {
    /// To be connected.
    pub connect: Duration,
    /// To send the response's head.
    pub response: Duration,
    /// Between bytes of a response's body or of a tunnel.
    pub idle: Duration,
}

/// A server of an upstream, as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// It is spoken to over TLS.
    pub tls: bool,
    /// Its name or address, and its port where that is not the scheme's own.
    pub authority: http::uri::Authority,
}

/// Which `Host` an upstream's servers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// What the client asked for.
    Public,
    /// The server's own.
    Server,
}

/// Which server of an upstream a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    RoundRobin,
    /// The less busy of two at random.
    LeastRequests,
}

/// What is spoken to an upstream's servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, else with prior knowledge.
    Http2,
    /// Over TLS whichever of the two the server chooses, else HTTP/1.1.
    Auto,
}

/// What decides a connection to an upstream besides the server. Two that are equal may share connections; with any difference none may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionPlan {
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// How https servers are spoken to.
    pub tls: UpstreamTlsPlan,
}

/// How https servers are spoken to. The contents of the files are here, not their names: a file that changed is another setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTlsPlan {
    /// Who vouches for the servers; `None`: whom the system trusts.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// The name that is asked for and must be in the certificate; `None`: the server's own.
    pub server_name: Option<ServerName<'static>>,
    /// The gateway's own certificate.
    pub identity: Option<TlsIdentity>,
}

/// A certificate chain and its key, found to fit each other.
#[derive(Clone, Debug)]
pub struct TlsIdentity(Arc<CertifiedKey>, Arc<PrivateKeyDer<'static>>);

impl TlsIdentity {
    pub(super) fn new(pair: CertifiedKey, key: PrivateKeyDer<'static>) -> Self {
        Self(Arc::new(pair), Arc::new(key))
    }

    /// What TLS shows and signs with.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl PartialEq for TlsIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert && self.1 == other.1
    }
}

impl Eq for TlsIdentity {}

type Text = Spot<String>;

/// What timeouts may be.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(24 * 3600);

/// How often servers may be asked, and how long they may rest the first time.
const SOONEST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// What may be counted in a row.
const MOST_IN_A_ROW: u64 = 1000;
const MOST_CONNECTIONS: u64 = 1_000_000;

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
        health: HealthPlan {
            check: upstream.health.as_ref().and_then(|check| self::check(check, findings)),
            eject: eject(&upstream.eject, findings),
        },
        connections: count(&upstream.connections, MOST_CONNECTIONS, findings),
        timeouts: timeouts(upstream),
    })
}

/// How its servers are asked whether they are healthy.
fn check(check: &HealthCheck, findings: &mut Findings) -> Option<CheckPlan> {
    proofs::between(&check.interval, SOONEST, LONGEST, findings);
    proofs::between(&check.timeout, SHORTEST, LONGEST, findings);
    let unhealthy_after = count(&check.unhealthy_after, MOST_IN_A_ROW, findings);
    let healthy_after = count(&check.healthy_after, MOST_IN_A_ROW, findings);
    let text = check.path.as_ref()?;
    let path = Some(&text.value).filter(|path| path.starts_with('/') && !path.contains('#'));
    let Some(path) = path.and_then(|path| PathAndQuery::try_from(path.as_str()).ok()) else {
        findings.problem(&text.place, format!("{} is not a path", text.shown()), "write it as /healthz");
        return None;
    };
    Some(CheckPlan {
        path,
        interval: check.interval.value,
        timeout: check.timeout.value,
        unhealthy_after,
        healthy_after,
    })
}

/// When its servers rest.
fn eject(eject: &OrOff<Eject>, findings: &mut Findings) -> Option<EjectPlan> {
    let OrOff::On(eject) = eject else { return None };
    proofs::between(&eject.rest, SOONEST, LONGEST_REST, findings);
    Some(EjectPlan { after: count(&eject.after, MOST_IN_A_ROW, findings), rest: eject.rest.value })
}

/// A number that is at least one; out of range it is a problem, and some other.
fn count<N: TryFrom<u64> + From<u8>>(number: &Spot<u64>, most: u64, findings: &mut Findings) -> N {
    if number.value == 0 || number.value > most {
        let what = format!("{} is out of range", number.value);
        findings.problem(&number.place, what, format!("write 1 to {most}"));
    }
    N::try_from(number.value).unwrap_or_else(|_| N::from(1))
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

//! What runs: every name resolved, every value checked.

mod admin;
mod certificates;
mod client_certificates;
mod denied;
mod fields;
mod files;
mod headers;
mod introspection;
mod issuers;
mod listeners;
mod names;
mod origins;
mod proofs;
mod replay;
mod routes;
mod upstreams;

use super::document::{Document, Limits};
use super::problem::Findings;
use super::read::Read;
use super::reading::{Files, Reading};
use crate::authorize::Policy;
use crate::certificate::{CertificateField, ClientCertificates};
use crate::clock::UnixTime;
use crate::dpop::AcceptanceWindow;
use crate::jose::{Algorithm, Password, Secret};
use crate::names::{IssuerId, ListenerId, Names, RouteId, UpstreamId};
use crate::net::Proxies;
pub use crate::replay::{OnStart, RedisPlan, ReplayPlan};
use crate::route::{Matcher, Table};
use crate::token::{DenyList, IssuerRules};
use crate::uri::Origin;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

pub use denied::DeniedPlan;
pub use introspection::{ClientAuthentication, IntrospectionPlan};
pub use upstreams::{
    Balance, CheckPlan, ConnectionPlan, EjectPlan, HealthPlan, ServerPlan, TimeoutPlan, TlsIdentity,
    UpstreamHost, UpstreamPlan, UpstreamProtocol, UpstreamTlsPlan,
};

/// A configuration that can run.
#[derive(Debug)]
pub struct Plan {
    /// Every name that the configuration has or had, with its identity.
    pub names: Names,
    /// Where clients come in.
    pub listeners: Vec<ListenerPlan>,
    /// How the process stops.
    pub stop: StopPlan,
    /// Where the operator comes in.
    pub admin: AdminPlan,
    /// What clients put into `htu`.
    pub origins: Vec<Origin>,
    /// The issuers.
    pub issuers: Vec<IssuerPlan>,
    /// Whom the operator denies, where a file says so.
    pub denied: Option<DeniedPlan>,
    /// Which algorithms a proof may use.
    pub proof_algorithms: Vec<Algorithm>,
    /// For how many keys of proofs verification is prepared.
    pub hot_keys: usize,
    /// When a proof is acceptable by its `iat`.
    pub window: AcceptanceWindow,
    /// How long a nonce lives.
    pub nonce_lifetime: Duration,
    /// What signs nonces; the first signs, all are recognised. Empty where the file names none: one is made that nobody else has.
    pub nonce_secrets: Vec<Secret>,
    /// The replay store.
    pub replay: ReplayPlan,
    /// The upstreams.
    pub upstreams: Vec<UpstreamPlan>,
    /// The routes.
    pub routes: Vec<RoutePlan>,
    /// The routes by host, path and method.
    pub table: Arc<Table>,
    /// Through which proxy https to issuers goes: the environment's to say, not the file's.
    pub proxies: Proxies,
    /// Whether the configuration is read again by itself when its file changes.
    pub watch: bool,
    /// What this was read from.
    pub reading: Reading,
    /// The effective configuration with every default filled in and no secret, as JSON, for `/config`.
    pub effective: serde_json::Value,
}

impl Plan {
    /// The names of the fields in which fronts name the certificates of their clients.
    pub fn certificate_fields(&self) -> impl Iterator<Item = &HeaderName> {
        self.listeners.iter().filter_map(|listener| Some(&listener.certificate_field.as_ref()?.name))
    }
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// Which it is.
    pub id: ListenerId,
    /// Its name: a metric label.
    pub name: String,
    /// What it is for.
    pub mode: ListenerMode,
    /// Where it listens.
    pub address: ListenAddress,
    /// Absent: plain HTTP.
    pub tls: Option<TlsPlan>,
    /// Where those proxies say which certificate their client has shown.
    pub certificate_field: Option<CertificateField>,
    /// Whose `X-Forwarded-For` is believed for the client's address, and whose `X-Forwarded-Host` for the authority; at other doors, whose
    /// description of a request.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Where a listener's connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address that we bind.
    Own(SocketAddr),
    /// The sockets of this name that systemd hands over.
    Systemd(String),
}

/// Where the operator comes in.
#[derive(Clone, Debug)]
pub struct AdminPlan {
    /// Where it listens.
    pub address: SocketAddr,
    /// What lets in whoever does not ask from this machine; `None`: nothing does.
    pub token: Option<Password>,
    /// What `Host` may be, beside IP addresses and localhost: `host`, for any port, or `host:port`, in lower case.
    pub hosts: Vec<String>,
}

/// How the process stops.
#[derive(Clone, Copy, Debug)]
pub struct StopPlan {
    /// How long connections are still taken once it is not ready.
    pub delay: Duration,
    /// How long requests may take to end after that.
    pub timeout: Duration,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerMode {
    /// It forwards.
    Proxy,
    /// It answers forward-auth questions over HTTP.
    ForwardAuth,
    /// It answers Envoy's questions over gRPC.
    ExtAuthzGrpc,
}

/// Certificate and key, read and found to fit each other.
#[derive(Clone, Debug)]
pub struct TlsPlan {
    /// The chain, the listener's own certificate first, and its key.
    pub pair: Arc<CertifiedKey>,
    /// Which certificates clients may show.
    pub clients: ClientCertificates,
}

/// An issuer.
#[derive(Clone, Debug)]
pub struct IssuerPlan {
    /// Which it is.
    pub id: IssuerId,
    /// What its tokens must be.
    pub rules: IssuerRules,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Who vouches for its https servers; absent: whom the system trusts.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// How long its keys stay in use while they cannot be fetched again.
    pub max_stale: Duration,
    /// How it is asked about tokens, where it is.
    pub introspection: Option<IntrospectionPlan>,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file with a JWK Set.
    File(PathBuf),
    /// A URL with a JWK Set.
    Uri(Url),
    /// RFC 8414 metadata of this issuer, then OpenID's.
    Discovery(Url),
}

/// A route.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// Which it is.
    pub id: RouteId,
    /// Its name: a metric label.
    pub name: String,
    /// What it matches.
    pub matcher: Matcher,
    /// What it asks of a request.
    pub policy: Policy,
    /// Where its requests go; absent only where nothing is forwarded.
    pub upstream: Option<UpstreamId>,
    /// What the upstream sees in place of the beginning of the path.
    pub prefix: Option<PrefixPlan>,
    /// `%2F` is allowed in this route's paths.
    pub keep_encoded_slashes: bool,
    /// Which protocols a request may ask to switch to, as `Upgrade` names them, in lower case.
    pub upgrades: Vec<String>,
    /// How long the upstream may take.
    pub timeouts: TimeoutPlan,
    /// A tunnel, or an answer that is still running, is cut when its token is no longer good.
    pub ends_with_token: bool,
    /// What becomes of fields of its requests after everything else.
    pub request_fields: FieldPlan,
    /// The same of its answers, refusals too.
    pub response_fields: FieldPlan,
    /// What becomes of `Authorization`.
    pub authorization: Authorization,
    /// Which browser origins may read answers.
    pub cors: Option<CorsPlan>,
}

/// A beginning of paths and what the upstream sees instead; canonical, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixPlan {
    /// The first segments of the route's own path.
    pub strip: String,
    /// What stands in their place; empty: nothing.
    pub put: String,
}

/// Header fields that the operator removes and sets.
#[derive(Clone, Debug, Default)]
pub struct FieldPlan {
    /// Those that go.
    pub remove: Vec<HeaderName>,
    /// Those that come in place of whatever is there. The values are marked as sensitive: nothing shows them.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl FieldPlan {
    /// Removes, then sets.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Whether it changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// What becomes of `Authorization` on the way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It is removed.
    Remove,
    /// The token is handed on as Bearer.
    Bearer,
    /// It stays as it came.
    Keep,
}

/// Browser clients.
#[derive(Clone, Debug)]
pub struct CorsPlan {
    /// The allowed origins, as browsers write them.
    pub origins: Vec<String>,
}

impl Plan {
    /// All that is denied; nothing where no file says so.
    pub fn deny_list(&self) -> Arc<DenyList> {
        self.denied.as_ref().map(|denied| Arc::clone(&denied.list)).unwrap_or_default()
    }

    /// Whether this plan and another of the same configuration file differ in nothing but who is denied.
    pub fn differs_in_who_is_denied_alone(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.denied, &other.denied) else { return false };
        own.file == others.file && self.reading.differs_in_this_file_alone(&other.reading, &own.file)
    }
}

pub(super) use files::contents;

/// What a listener's certificate is judged by.
struct Surroundings<'a> {
    files: &'a Files<'a>,
    origins: &'a [Origin],
    now: rustls::pki_types::UnixTime,
}

/// Makes the plan of a document; `None` where a problem leaves nothing to plan with.
///
/// `names` are those that were known before. `now` is what certificates are judged by. `running` is the replay store, where there is one already.
pub(super) fn make(
    document: &Document,
    files: &Files<'_>,
    mut names: Names,
    now: UnixTime,
    running: Option<&ReplayPlan>,
    findings: &mut Findings,
) -> Option<Plan> {
    let origins = origins::origins(document, findings);
    let now =
        rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().try_into().ok()?));
    let around = Surroundings { files, origins: &origins, now };
    let listeners = listeners::plan(document, &around, &mut names.listeners, findings);
    let admin = admin::plan(document, files, findings);
    let stop = stop(&document.limits, findings);
    let issuers = issuers::plan(document, files, &mut names.issuers, findings);
    let denied = denied::plan(document, files, &mut names.issuers, findings);
    let proofs = proofs::plan(&document.dpop, files, findings);
    let replay = replay::plan(&document.replay, files, running, findings);
    let upstreams = upstreams::plan(document, files, &mut names.upstreams, findings);
    let (routes, table) = routes::plan(document, &origins, files, &mut names, findings);
    if findings.any() {
        return None;
    }
    Some(Plan {
        names,
        listeners,
        stop,
        admin: admin?,
        origins,
        issuers,
        denied,
        proof_algorithms: proofs.algorithms,
        hot_keys: proofs.hot_keys,
        window: proofs.window,
        nonce_lifetime: proofs.nonce_lifetime,
        nonce_secrets: proofs.nonce_secrets,
        replay,
        upstreams,
        routes,
        table: Arc::new(table?),
        proxies: Proxies::default(),
        watch: document.watch.value,
        reading: Files::below(Path::new("")).into_reading(Path::new(""), "".into()),
        effective: document.effective(),
    })
}

fn stop(limits: &Limits, findings: &mut Findings) -> StopPlan {
    let most = Duration::from_secs(24 * 3600);
    proofs::between(&limits.drain_delay, Duration::ZERO, most, findings);
    proofs::between(&limits.drain_timeout, Duration::ZERO, most, findings);
    StopPlan { delay: limits.drain_delay.value, timeout: limits.drain_timeout.value }
}

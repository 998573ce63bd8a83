//! A whole gateway in this process, with an issuer whose key the test holds, a client with a key, and an upstream that records.

use super::h2;
use super::log::Log;
use super::raw::{Answer, Raw};
use super::upstream::Recording;
use keyproof::app::{App, Rejected, Reloader};
use keyproof::clock::{Clock, UnixTime};
use keyproof::config;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use keyproof::observe::AccessLog;
use keyproof::server::Drained;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the upstream answers.
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
/// The moment at which tests happen, long after the gateway's start.
pub const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
/// The host that clients call, as `Host` and `htu` name it.
pub const HOST: &str = "api.test";

/// The gateway and everything around it; stops when dropped.
pub struct House {
    pub gateway: SocketAddr,
    /// Every listener; the first is `gateway`.
    pub listeners: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub upstream: Recording,
    pub clock: Clock,
    pub issuer: PrivateKey,
    pub client: PrivateKey,
    pub certificate: CertificateDer<'static>,
    pub log: Log,
    /// Tokens and proofs are made now, not at [`NOW`].
    present: bool,
    reloader: Reloader,
    stop: DropGuard,
    running: JoinHandle<Drained>,
    folder: tempfile::TempDir,
}

impl House {
    /// A gateway with these routes, written in YAML as in a configuration file; `upstream: legacy` is the recording one.
    pub async fn with_routes(routes: &str) -> Self {
        Self::with(routes, "").await
    }

    /// The same with more top-level settings.
    pub async fn with(routes: &str, settings: &str) -> Self {
        Self::with_issuers(routes, "", settings).await
    }

    /// The same with more issuers, whose keys need not come.
    pub async fn with_issuers(routes: &str, issuers: &str, settings: &str) -> Self {
        Self::begun_long_ago(Files { routes, issuers, settings, ..Files::NONE }).await
    }

    /// The same before an upstream that answers so.
    pub async fn before(answer: &'static str, routes: &str) -> Self {
        Self::begun_long_ago(Files { routes, answer, ..Files::NONE }).await
    }

    /// The same behind TLS, for HTTP/2 too; `certificate` is what clients need.
    pub async fn with_tls(routes: &str, settings: &str) -> Self {
        Self::begun_long_ago(Files { routes, settings, tls: true, ..Files::NONE }).await
    }

    /// The same with four more listeners: `decisions` and `grpc`, where this machine may ask as a front does, and those of `strangers`, where it may not.
    pub async fn with_doors(routes: &str, settings: &str) -> Self {
        Self::begun_long_ago(Files { routes, settings, doors: true, ..Files::NONE }).await
    }

    /// The same with more issuers.
    pub async fn with_doors_and_issuers(routes: &str, issuers: &str, settings: &str) -> Self {
        Self::begun_long_ago(Files { routes, issuers, settings, doors: true, ..Files::NONE }).await
    }

    /// The same with other origins, as a list of YAML.
    pub async fn with_origins(routes: &str, origins: &'static str) -> Self {
        Self::begun_long_ago(Files { routes, origins, doors: true, ..Files::NONE }).await
    }

    /// The same with the system's clock, beside commands that have no other.
    pub async fn present_with_origins(routes: &str, origins: &'static str) -> Self {
        let files = Files { routes, origins, doors: true, ..Files::NONE };
        let mut house = Self::begin_by(files, Clock::system()).await;
        house.present = true;
        house
    }

    /// Where fronts ask.
    pub fn decisions(&self) -> SocketAddr {
        self.listeners[1]
    }

    /// Where other fronts ask.
    pub fn strangers(&self) -> SocketAddr {
        self.listeners[2]
    }

    /// Where Envoy asks over gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.listeners[3]
    }

    /// Where another one does.
    pub fn grpc_strangers(&self) -> SocketAddr {
        self.listeners[4]
    }

    /// A gateway with the system's clock, beside servers that have no other.
    pub async fn present(routes: &str, settings: &str, tls: bool) -> Self {
        let mut house = Self::begin_by(Files { routes, settings, tls, ..Files::NONE }, Clock::system()).await;
        house.present = true;
        house
    }

    /// Long enough after the start that no proof could have been used before it.
    async fn begun_long_ago(files: Files<'_>) -> Self {
        let house = Self::begin(files, NOW.saturating_sub(Duration::from_secs(3600))).await;
        house.clock.set(NOW);
        house
    }

    /// A gateway that has only just started, at [`NOW`].
    pub async fn just_started(routes: &str, settings: &str) -> Self {
        Self::begin(Files { routes, settings, ..Files::NONE }, NOW).await
    }

    async fn begin(files: Files<'_>, start: UnixTime) -> Self {
        Self::begin_by(files, Clock::manual(start)).await
    }

    async fn begin_by(files: Files<'_>, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = PrivateKey::generate(Algorithm::Es256).unwrap();
        let upstream = Recording::start(files.answer).await;
        let key = merged(serde_json::from_str(&issuer.public_jwk()).unwrap(), json!({ "kid": "one" }));
        std::fs::write(folder.path().join("jwks.json"), format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        std::fs::write(folder.path().join("secret"), "a secret that lives longer than a process").unwrap();
        let file = folder.path().join("keyproof.yaml");
        let certificate = h2::certificate(folder.path(), HOST);
        std::fs::write(&file, files.configuration(&upstream)).unwrap();
        let (log, access_log) = Log::begin();
        let (reloader, listeners, (gateway, admin, stop, running)) =
            run_with(&file, &clock, Some(access_log)).await;
        let (client, present) = (PrivateKey::generate(Algorithm::Es256).unwrap(), false);
        Self {
            gateway,
            listeners,
            admin,
            upstream,
            clock,
            issuer,
            client,
            certificate,
            log,
            present,
            reloader,
            stop,
            running,
            folder,
        }
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("keyproof.yaml")
    }

    /// The folder of the configuration file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration file anew, with something in place of something else.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.configuration()).unwrap();
        assert!(text.contains(from), "{from} is not in\n{text}");
        std::fs::write(self.configuration(), text.replace(from, to)).unwrap();
    }

    /// Has the gateway read everything again.
    pub async fn reload(&self) -> Result<(), Arc<Rejected>> {
        self.reloader.reload().await
    }

    /// [`Self::edit`], which is taken.
    pub async fn reload_with(&self, from: &str, to: &str) {
        self.edit(from, to);
        self.reload().await.unwrap();
    }

    /// [`Self::edit`], which is rejected for this reason; then what ran before is written back.
    pub async fn refuses_to_reload_with(&self, from: &str, to: &str) -> String {
        let before = std::fs::read_to_string(self.configuration()).unwrap();
        self.edit(from, to);
        let why = self.reload().await.unwrap_err().to_string();
        std::fs::write(self.configuration(), before).unwrap();
        why
    }

    /// What `/version` says.
    pub async fn version(&self) -> Value {
        serde_json::from_str(&self.admin_page("/version").await.text()).unwrap()
    }

    /// Stops the gateway and starts another one with the same configuration, folder and clock.
    pub async fn restarted(mut self) -> Self {
        let file = self.configuration();
        drop(self.stop);
        self.running.await.unwrap();
        let (log, access_log) = Log::begin();
        (self.reloader, self.listeners, (self.gateway, self.admin, self.stop, self.running)) =
            run_with(&file, &self.clock, Some(access_log)).await;
        self.log = log;
        self
    }

    /// Stops the gateway alone: what it stood beside goes on.
    pub async fn stopped(self) -> Drained {
        drop(self.stop);
        self.running.await.unwrap()
    }

    /// A token for the client's key, with every claim of RFC 9068; `changes` replace claims, `null` removes them.
    pub fn token(&self, changes: Value) -> String {
        self.token_with(json!({}), changes)
    }

    /// The same with changes to the header too.
    pub fn token_with(&self, header: Value, changes: Value) -> String {
        let now = self.now();
        let claims = json!({
            "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop",
            "iat": now - 10, "exp": now + 300, "jti": unique(), "scope": "orders:read profile",
            "cnf": { "jkt": self.client.public().thumbprint().to_string() },
        });
        let header = merged(json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" }), header);
        self.issuer.sign(&header, &merged(claims, changes))
    }

    /// A proof by the client's key for `token`, for `GET https://api.test/orders`; `changes` replace claims, `null` removes them.
    pub fn proof(&self, token: &str, changes: Value) -> String {
        let at = json!({ "iat": self.now() });
        let changes: Value = serde_json::from_str(&replaced(at, changes)).unwrap();
        proof(&self.client, json!({}), token, changes)
    }

    fn now(&self) -> i64 {
        if self.present { self.clock.now().as_secs() } else { NOW.as_secs() }
    }

    /// Sends a request by hand, on a connection of its own.
    pub async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut connection = Raw::connect(self.gateway).await;
        connection.send(request).await;
        connection.answer().await.expect("an answer")
    }

    /// The same to another of its listeners.
    pub async fn ask(&self, listener: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
        let mut connection = Raw::connect(listener).await;
        connection.send(request).await;
        connection.answer().await.expect("an answer")
    }

    /// `GET /orders` with a good token and a good proof.
    pub async fn good(&self) -> Answer {
        let token = self.token(json!({}));
        let proof = self.proof(&token, json!({}));
        self.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await
    }

    /// The page `/metrics` of the admin address, or another.
    pub async fn admin_page(&self, path: &str) -> Answer {
        let mut connection = Raw::connect(self.admin).await;
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        connection.answer().await.expect("an answer")
    }

    /// The value of a counter: the sum of the lines that begin with `name` and have every label.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.admin_page("/metrics").await.text();
        let lines = page
            .lines()
            .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// A gateway that runs: its address, its admin address, and what ends it.
pub type Running = (SocketAddr, SocketAddr, DropGuard, JoinHandle<Drained>);

/// A gateway with this configuration file.
pub async fn run(file: &Path, clock: &Clock) -> Running {
    run_with(file, clock, None).await.2
}

async fn run_with(
    file: &Path,
    clock: &Clock,
    log: Option<AccessLog>,
) -> (Reloader, Vec<SocketAddr>, Running) {
    let (plan, _) = config::load(file).unwrap_or_else(|problems| panic!("{problems}"));
    let app = App::build(plan, clock.clone(), log).await.unwrap();
    let (listeners, admin) = (app.addresses(), app.admin_address());
    let (reloader, stop) = (app.reloader(), CancellationToken::new());
    let running = tokio::spawn(app.run(stop.clone()));
    let gateway = listeners[0];
    (reloader, listeners, (gateway, admin, stop.drop_guard(), running))
}

/// An address of this machine from which it is not its own loopback that asks; `None`, with a line on stderr, where it has none.
pub fn not_loopback() -> Option<IpAddr> {
    // Nothing is sent: the system says by which address it would be.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).ok().map(|own| own.ip());
    let own = own.filter(|own| !own.is_loopback() && !own.is_unspecified());
    if own.is_none() {
        // Past the test harness, which keeps the output of tests that pass to itself.
        std::io::stderr().write_all(b"skipped: this machine has no address but loopback\n").unwrap();
    }
    own
}

/// What the configuration file says.
struct Files<'a> {
    routes: &'a str,
    issuers: &'a str,
    settings: &'a str,
    tls: bool,
    /// Other proxies may ask.
    doors: bool,
    origins: &'a str,
    /// What the upstream answers.
    answer: &'static str,
}

/// Over HTTP and over gRPC, one listener that trusts this machine, and one that does not.
const DOORS: &str = r#"
  - { name: decisions, address: "127.0.0.1:0", mode: forward_auth, trusted_proxies: [127.0.0.1/32] }
  - { name: strangers, address: "127.0.0.1:0", mode: forward_auth, trusted_proxies: [192.0.2.1/32] }
  - { name: grpc, address: "127.0.0.1:0", mode: ext_authz_grpc, trusted_proxies: [127.0.0.1/32] }
  - { name: grpc_strangers, address: "127.0.0.1:0", mode: ext_authz_grpc, trusted_proxies: [192.0.2.1/32] }"#;

impl Files<'_> {
    const NONE: Self = Self {
        routes: "",
        issuers: "",
        settings: "",
        tls: false,
        doors: false,
        origins: r#"["https://api.test"]"#,
        answer: OK,
    };

    fn configuration(&self, upstream: &Recording) -> String {
        let Self { routes, issuers, settings, origins, .. } = self;
        let tls = if self.tls { format!(", {}", h2::TLS) } else { String::new() };
        let doors = if self.doors { DOORS } else { "" };
        format!(
            r#"
listeners:
  - {{ name: public, address: "127.0.0.1:0"{tls} }}
{doors}
admin: {{ address: "127.0.0.1:0" }}
public_origins: {origins}
issuers:
  - {{ name: main, issuer: "https://id.test", audiences: ["https://api.test"], jwks_file: jwks.json }}
{issuers}
upstreams:
  - {{ name: legacy, servers: ["http://{}"] }}
routes:
{routes}
{settings}
"#,
            upstream.address
        )
    }
}

/// A proof by any key, with changes to header and claims.
pub fn proof(key: &PrivateKey, header: Value, token: &str, changes: Value) -> String {
    let jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
    let claims = json!({
        "jti": unique(), "htm": "GET", "htu": format!("https://{HOST}/orders"), "iat": NOW.as_secs(),
        "ath": encode(&sha256(&[token.as_bytes()])),
    });
    let header = merged(json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk }), header);
    key.sign(&header, &merged(claims, changes))
}

/// A GET request of HTTP/1.1 to the gateway's public host.
pub fn get(path: &str, headers: &[(&str, &str)]) -> String {
    request("GET", path, headers)
}

/// Any request without a body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{headers}\r\n")
}

/// `base` with the members of `changes` in place of its own.
fn replaced(base: Value, changes: Value) -> String {
    let members = |value: Value| value.as_object().expect("an object").clone();
    let mut all: Map<String, Value> = members(base);
    all.extend(members(changes));
    Value::Object(all).to_string()
}

/// `base` with the members of `changes` in place of its own, and without those that are `null`.
pub fn merged(base: Value, changes: Value) -> String {
    let members = |value: Value| value.as_object().expect("an object").clone();
    let mut all: Map<String, Value> = members(base);
    all.extend(members(changes));
    all.retain(|_, value| !value.is_null());
    Value::Object(all).to_string()
}

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("id-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

//! The README's way to roll the gateway out, followed to the letter: its configuration, its steps, and an API that checks bearer tokens by
//! itself. Where the README no longer says what works, or no longer says it, this fails.

use crate::stranger::now;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::SendRequest;
use jsonwebtoken as other;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::h2;
use support::raw::Raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const HOST: &str = "api.example.com";
/// So many clients of each kind call at once, each so often.
const CLIENTS: usize = 4;
const CALLS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_the_readme_loses_no_good_request() {
    let world = Arc::new(World::begin().await);
    let (mut file, steps) = readme();
    let mut gateways = Vec::new();
    for step in &steps {
        file = step.iter().fold(file, |file, change| change.applied(&file));
        gateways.push(Gateway::starts(&world, &file));
    }
    let [observes, takes_both, enforces] = <[Gateway; 3]>::try_from(gateways).ok().expect("three steps");

    // 1. Everybody passes, and the log says who would not.
    assert!(observes.file.contains("mode: observe"), "{}", observes.file);
    observes.ready().await;
    assert_eq!(load(&world, &observes, Client::Bearer).await, [200].repeat(CLIENTS * CALLS));
    both_pass(&world, &observes).await;
    let line = observes.line("observe").await;
    assert_eq!(
        (&line["reason"], &line["client_id"]),
        (&json!("bearer_not_accepted"), &json!("bearer-client"))
    );
    let observed = "decision=\"observe\"";
    assert!(observes.metric("keyproof_decisions_total", observed).await >= 2.0 * all_calls());
    assert_eq!(observes.metric("keyproof_decisions_total", "decision=\"deny\"").await, 0.0);

    // 2. Both kinds pass, each as what it is.
    assert!(takes_both.file.contains("accept: [dpop, bearer]") && !takes_both.file.contains("observe"));
    takes_both.ready().await;
    both_pass(&world, &takes_both).await;
    assert_eq!(takes_both.metric("keyproof_decisions_total", "decision=\"deny\"").await, 0.0);
    let bearer = "binding=\"bearer\"";
    assert_eq!(takes_both.metric("keyproof_tokens_total", bearer).await, all_calls());

    // 3. Only who proves a key.
    assert!(enforces.file.contains("accept: [dpop]"), "{}", enforces.file);
    enforces.ready().await;
    let (bearer, dpop) =
        tokio::join!(load(&world, &enforces, Client::Bearer), load(&world, &enforces, Client::Dpop));
    assert_eq!((bearer, dpop), ([401].repeat(CLIENTS * CALLS), [200].repeat(CLIENTS * CALLS)));
    let line = enforces.line("deny").await;
    assert_eq!(
        (&line["reason"], &line["client_id"]),
        (&json!("bearer_not_accepted"), &json!("bearer-client"))
    );
}

/// How often the clients of one kind call.
fn all_calls() -> f64 {
    f64::from(u32::try_from(CLIENTS * CALLS).unwrap())
}

async fn both_pass(world: &Arc<World>, gateway: &Gateway) {
    let (bearer, dpop) =
        tokio::join!(load(world, gateway, Client::Bearer), load(world, gateway, Client::Dpop));
    assert_eq!((bearer, dpop), ([200].repeat(CLIENTS * CALLS), [200].repeat(CLIENTS * CALLS)));
}

/// What a step does to the configuration.
struct Change {
    /// The setting that it takes away.
    instead_of: Option<String>,
    setting: String,
}

/// The configuration of the README, and what each step of its section on rolling out says to change: what stands as `key: value` in it.
fn readme() -> (String, Vec<Vec<Change>>) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let file = text.split("\n```yaml\n").nth(1).unwrap().split("\n```").next().unwrap().to_owned();
    assert!(file.starts_with("listeners:"), "{file}");
    let section = text.split("\n## Rolling it out without breaking anyone\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let steps = (1..=3).map(|number| {
        let step =
            section.split(&format!("\n{number}. ")).nth(1).unwrap_or_else(|| panic!("no step {number}"));
        changes(step.split("\n\n").next().unwrap().split(&format!("\n{}. ", number + 1)).next().unwrap())
    });
    (file, steps.collect())
}

/// "Add `a: b`", "and `c: d`", "Replace `a: b` with `c: d`".
fn changes(step: &str) -> Vec<Change> {
    let parts: Vec<&str> = step.split('`').collect();
    let (mut changes, mut instead_of) = (Vec::new(), None);
    for pair in parts.chunks(2) {
        let [before, code] = pair else { break };
        if !code.contains(": ") {
            continue;
        }
        if before.trim_end().ends_with("Replace") {
            instead_of = Some((*code).to_owned());
        } else {
            changes.push(Change { instead_of: instead_of.take(), setting: (*code).to_owned() });
        }
    }
    assert!(!changes.is_empty(), "the step names no setting: {step}");
    changes
}

impl Change {
    /// The file with this change: in the route, which stands last, or at the top where the setting belongs there.
    fn applied(&self, file: &str) -> String {
        let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
        if let Some(old) = &self.instead_of {
            let at = lines
                .iter()
                .position(|line| line.trim() == old)
                .unwrap_or_else(|| panic!("no {old}:\n{file}"));
            lines.remove(at);
        }
        let top = self.setting.starts_with("replay: ");
        lines.push(format!("{}{}", if top { "" } else { "    " }, self.setting));
        // What belongs to the route stays beside it.
        lines.sort_by_key(|line| line.starts_with("replay: "));
        lines.join("\n")
    }
}

#[derive(Clone, Copy)]
enum Client {
    Bearer,
    Dpop,
}

/// The issuer, the API and the keys.
struct World {
    issuer: SocketAddr,
    api: SocketAddr,
    key: PrivateKey,
    client: PrivateKey,
}

impl World {
    async fn begin() -> Self {
        let key = PrivateKey::generate(Algorithm::Es256).unwrap();
        let jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
        let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = issuer.local_addr().unwrap();
        let identifier = format!("http://{address}");
        let metadata = json!({ "issuer": identifier, "jwks_uri": format!("{identifier}/jwks") }).to_string();
        let mut public = jwk.clone();
        public["kid"] = json!("one");
        let jwks = json!({ "keys": [public] }).to_string();
        serve(issuer, move |head| {
            let document = if head[0].starts_with("GET /jwks ") { &jwks } else { &metadata };
            answer("200 OK", document)
        });
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_address = api.local_addr().unwrap();
        let part = |name: &str| jwk[name].as_str().unwrap().to_owned();
        let decoding = other::DecodingKey::from_ec_components(&part("x"), &part("y")).unwrap();
        serve(api, move |head| legacy_api(head, &decoding, &identifier));
        let client = PrivateKey::generate(Algorithm::Es256).unwrap();
        Self { issuer: address, api: api_address, key, client }
    }

    fn token(&self, kind: Client) -> String {
        let (client_id, cnf) = match kind {
            Client::Bearer => ("bearer-client", Value::Null),
            Client::Dpop => ("dpop-client", json!({ "jkt": self.client.public().thumbprint().to_string() })),
        };
        let mut claims = json!({
            "iss": format!("http://{}", self.issuer), "aud": format!("https://{HOST}"), "sub": "alice",
            "client_id": client_id, "iat": now(), "exp": now() + 300, "jti": unique(), "scope": "orders:read",
        });
        if !cnf.is_null() {
            claims["cnf"] = cnf;
        }
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" });
        self.key.sign(&header.to_string(), &claims.to_string())
    }

    fn request(&self, kind: Client, token: &str) -> Request<Empty<Bytes>> {
        let url = format!("https://{HOST}/orders");
        let request = Request::get(&url);
        let request = match kind {
            Client::Bearer => request.header("authorization", format!("Bearer {token}")),
            Client::Dpop => {
                let jwk: Value = serde_json::from_str(&self.client.public_jwk()).unwrap();
                let claims = json!({
                    "jti": unique(), "htm": "GET", "htu": url, "iat": now(),
                    "ath": encode(&sha256(&[token.as_bytes()])),
                });
                let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
                let proof = self.client.sign(&header.to_string(), &claims.to_string());
                request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
            }
        };
        request.body(Empty::new()).unwrap()
    }
}

/// An API as there are many: a bearer token that the issuer signed for it, or 401. It knows nothing of DPoP.
fn legacy_api(head: &Head, key: &other::DecodingKey, issuer: &str) -> String {
    let mut rules = other::Validation::new(other::Algorithm::ES256);
    rules.set_audience(&[format!("https://{HOST}")]);
    rules.set_issuer(&[issuer]);
    let mut fields = head.iter().filter_map(|line| line.split_once(": "));
    let line = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = line.and_then(|(_, value)| value.strip_prefix("Bearer "));
    match token.map(|token| other::decode::<Value>(token, key, &rules)) {
        Some(Ok(_)) => answer("200 OK", "{}"),
        Some(Err(_)) | None => answer("401 Unauthorized", "{}"),
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Answers every request on every connection, for as long as the test lives.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own ends with its runtime")]
fn serve(server: TcpListener, answer: impl Fn(&Head) -> String + Clone + Send + Sync + 'static) {
    drop(tokio::spawn(async move {
        while let Ok((mut socket, _)) = server.accept().await {
            let answer = answer.clone();
            drop(tokio::spawn(async move {
                while let Some(head) = head(&mut socket).await {
                    if socket.write_all(answer(&head).as_bytes()).await.is_err() {
                        return;
                    }
                }
            }));
        }
    }));
}

/// The lines of a request's head.
type Head = Vec<String>;

/// The next request, which has no body; `None` at the end.
async fn head(socket: &mut TcpStream) -> Option<Head> {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(received).unwrap().split("\r\n").map(str::to_owned).collect())
}

/// The statuses that clients of one kind get, all calling at once.
async fn load(world: &Arc<World>, gateway: &Gateway, kind: Client) -> Vec<u16> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (world, connection) = (Arc::clone(world), gateway.connect().await);
        clients.spawn(calls(world, connection, kind));
    }
    clients.join_all().await.concat()
}

async fn calls(world: Arc<World>, mut connection: SendRequest<Empty<Bytes>>, kind: Client) -> Vec<u16> {
    let token = world.token(kind);
    let mut statuses = Vec::new();
    for _ in 0..CALLS {
        let answer = connection.send_request(world.request(kind, &token)).await.unwrap();
        statuses.push(answer.status().as_u16());
    }
    statuses
}

/// The program with a configuration of the README's, at addresses of this machine.
struct Gateway {
    process: Child,
    folder: tempfile::TempDir,
    certificate: rustls::pki_types::CertificateDer<'static>,
    file: String,
}

impl Gateway {
    fn starts(world: &World, file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tls")).unwrap();
        let certificate = h2::certificate(&folder.path().join("tls"), HOST);
        let placed = [
            ("0.0.0.0:8443", "127.0.0.1:0".to_owned()),
            ("https://id.example.com", format!("http://{}", world.issuer)),
            ("http://10.0.0.1:9000", format!("http://{}", world.api)),
        ];
        let mut here = placed.iter().fold(file.to_owned(), |file, (theirs, ours)| {
            assert!(file.contains(theirs), "the README no longer says {theirs}:\n{file}");
            file.replace(theirs, ours)
        });
        here.push_str("\nadmin: { address: \"127.0.0.1:0\" }\n");
        let path = folder.path().join("keyproof.yaml");
        std::fs::write(&path, &here).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_keyproof"))
            .args(["serve", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder, certificate, file: here }
    }

    async fn ready(&self) {
        let admin = self.address("admin").await;
        loop {
            let mut connection = Raw::connect(admin).await;
            connection.send("GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            if connection.answer().await.unwrap().status == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn connect(&self) -> SendRequest<Empty<Bytes>> {
        h2::connect(self.address("listening").await, HOST, self.certificate.clone()).await
    }

    /// The sum of the lines of a counter that have this label.
    async fn metric(&self, name: &str, label: &str) -> f64 {
        let mut connection = Raw::connect(self.address("admin").await).await;
        connection.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let page = connection.answer().await.unwrap().text();
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// A log line with this decision.
    async fn line(&self, decision: &str) -> Value {
        self.logged(|line| line["decision"] == decision).await
    }

    async fn address(&self, message: &str) -> SocketAddr {
        self.logged(|line| line["message"] == message).await["address"].as_str().unwrap().parse().unwrap()
    }

    async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
                let mut lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
                if let Some(line) = lines.find(&wanted) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(support::raw::PATIENCE, found).await;
        found.unwrap_or_else(|_| {
            panic!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap())
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("rollout-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

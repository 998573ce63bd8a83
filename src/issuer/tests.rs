//! Endpoints that behave, and endpoints that do not: on loopback, each on its own port.

mod discovery;
mod fetching;
mod keeping;
mod proxy;
mod rotation;

use super::{
    FetchError, Fetcher, KeyKeeper, Means, OnRefresh, Proxies, Refreshed, RootCertStore, Surroundings,
    TIMING, Timing, fetch,
};
use crate::clock::{Clock, UnixTime};
use crate::config::{IssuerPlan, KeySource};
use crate::jose::{Algorithm, PrivateKey, sha256};
use crate::net::MAX_INTERIM;
use crate::token::{ClaimNames, IssuerId, IssuerRules, Issuers, KeySet, MAX_DOCUMENT, TokenError};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

const MAIN: IssuerId = IssuerId(0);
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::Es256).unwrap());

fn jwk(kid: &str) -> Value {
    let mut jwk: Value = serde_json::from_str(&KEY.public_jwk()).unwrap();
    jwk["kid"] = json!(kid);
    jwk
}

fn jwks(kids: &[&str]) -> String {
    json!({ "keys": kids.iter().map(|kid| jwk(kid)).collect::<Vec<_>>() }).to_string()
}

/// What an endpoint does when it is asked for a path.
#[derive(Clone)]
enum Answer {
    /// Writes this and closes.
    Text(String),
    /// Never answers.
    Hang,
    /// Writes this again and again, and counts.
    Endless(String, Arc<AtomicUsize>),
    /// Answers 200 with this once there is a permit.
    Later(Arc<Semaphore>, String),
    /// Writes a head and then a space now and then, for ever.
    Drip,
}

fn ok(body: &str) -> Answer {
    status("200 OK", "", body)
}

fn status(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Text(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
}

fn text_of(answer: Answer) -> String {
    let Answer::Text(text) = answer else { unreachable!("only for texts") };
    text
}

/// A server that answers paths as told (404 where not told), and remembers what it was asked.
#[derive(Clone)]
struct Endpoint {
    base: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Self { base, answers: Arc::default(), asked: Arc::default() };
        let server = endpoint.clone();
        TaskTracker::new().spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(server.clone().serve(connection));
            }
        });
        endpoint
    }

    async fn serve(self, mut connection: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap_or(b'\n'));
            assert!(head.len() < 10_000, "no request");
        }
        let head = String::from_utf8(head).unwrap();
        // Some servers refuse who does not name itself.
        let named = concat!("user-agent: keyproof/", env!("CARGO_PKG_VERSION"), "\r\n");
        assert!(head.contains(named) && head.contains("accept: application/json"), "{head}");
        let path = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer.unwrap_or_else(|| status("404 Not Found", "", "")) {
            Answer::Text(text) => drop(connection.write_all(text.as_bytes()).await),
            Answer::Hang => std::future::pending().await,
            Answer::Later(gate, body) => {
                gate.acquire().await.unwrap().forget();
                drop(connection.write_all(text_of(ok(&body)).as_bytes()).await);
            }
            Answer::Endless(text, sent) => {
                while connection.write_all(text.as_bytes()).await.is_ok() {
                    sent.fetch_add(text.len(), Ordering::Relaxed);
                }
            }
            Answer::Drip => {
                let mut text: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
                while connection.write_all(text).await.is_ok() {
                    text = b" ";
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    async fn until_asked(&self, times: usize) {
        let asked = async {
            while self.asked().len() < times {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.base)).unwrap()
    }

    fn source(&self) -> KeySource {
        KeySource::Uri(self.url("/jwks"))
    }
}

/// A real TLS server for `localhost` that answers `{}`, and who vouches for it.
struct TlsServer {
    port: u16,
    roots: RootCertStore,
}

impl TlsServer {
    async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TaskTracker::new().spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(connection).await {
                    let mut head = [0; 1024];
                    drop(stream.read(&mut head).await);
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await);
                    drop(stream.shutdown().await);
                }
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        Self { port, roots }
    }

    fn url(&self, host: &str) -> Url {
        Url::parse(&format!("https://{host}:{}/jwks", self.port)).unwrap()
    }
}

/// A token of the issuer that the key of this name signed.
fn token(kid: Option<&str>) -> String {
    let mut header = json!({ "alg": "ES256", "typ": "at+jwt" });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let claims = json!({
        "iss": "https://id.test", "aud": "api", "sub": "a", "client_id": "c", "jti": "j",
        "iat": NOW.as_secs(), "exp": NOW.as_secs() + 60,
    });
    KEY.sign(&header.to_string(), &claims.to_string())
}

/// A running keeper of one issuer.
struct House {
    keeper: Arc<KeyKeeper>,
    issuers: Arc<Issuers>,
    clock: Clock,
    attempts: mpsc::UnboundedReceiver<bool>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Nothing happens unless somebody asks for it.
const CALM: Timing = Timing { cooldown: Duration::ZERO, retry: (HOUR, HOUR), ..TIMING };
/// A failure is followed by another attempt at once.
const EAGER: Timing = Timing { retry: (Duration::from_millis(1), Duration::from_millis(20)), ..CALM };

impl House {
    fn start(issuer: &str, source: KeySource, timing: Timing) -> Self {
        let rules = IssuerRules {
            name: "main".to_owned(),
            issuer: issuer.to_owned(),
            audiences: vec!["api".to_owned()],
            algorithms: vec![Algorithm::Es256],
            token_types: vec!["at+jwt".to_owned()],
            claims: ClaimNames::default(),
            required_claims: None,
            leeway: Duration::from_secs(10),
            introspection: None,
        };
        let issuers = Arc::new(Issuers::new(vec![rules.clone()]));
        let (sender, attempts) = mpsc::unbounded_channel();
        let on_refresh: OnRefresh = Arc::new(move |name, ok| {
            assert_eq!(name, "main");
            sender.send(ok).ok();
        });
        let (clock, tasks, stop) = (Clock::manual(NOW), TaskTracker::new(), CancellationToken::new());
        let keeper = KeyKeeper::start_with(
            &[IssuerPlan {
                id: MAIN,
                rules,
                keys: source,
                authorities: None,
                max_stale: timing.max_stale,
                introspection: None,
            }],
            Arc::clone(&issuers),
            None,
            Surroundings {
                clock: &clock,
                on_refresh: &on_refresh,
                tasks: &tasks,
                stop: &stop,
                proxies: &Proxies::default(),
            },
            &Means { fetcher: Fetcher::trusting(RootCertStore::empty(), &Proxies::default()), timing },
        );
        Self { keeper, issuers, clock, attempts, tasks, stop }
    }

    /// Starts with the endpoint's `/jwks` and waits for the first attempt.
    async fn settled(endpoint: &Endpoint, timing: Timing) -> Self {
        let house = Self::start("https://id.test", endpoint.source(), timing);
        house.keeper.settled().await;
        house
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        self.issuers.issuer(MAIN).unwrap().keys()
    }

    fn ready(&self) -> bool {
        self.keeper.missing().is_empty()
    }

    fn count(&self) -> Option<usize> {
        self.keys().map(|keys| keys.len())
    }

    /// Asks for a key that nobody has asked for.
    async fn refresh(&self) -> Refreshed {
        let kid = crate::jose::encode(&crate::jose::random::<8>());
        self.ask(&kid).await
    }

    /// Asks for the key of this name.
    async fn ask(&self, kid: &str) -> Refreshed {
        self.keeper.refresh(MAIN, &token(Some(kid))).await
    }

    /// What a gateway makes of a token with this key.
    async fn judge(&self, kid: &str) -> Result<(), TokenError> {
        match self.verify(kid) {
            Err(TokenError::UnknownKey(issuer)) => {
                let refreshed = self.ask(kid).await;
                let again = if refreshed.verify_again() { self.verify(kid).is_ok() } else { false };
                if again { Ok(()) } else { Err(refreshed.still_missing(issuer)) }
            }
            verified => verified,
        }
    }

    /// The next attempt that ends so.
    async fn until(&mut self, succeeded: bool) {
        let end = async { while self.attempts.recv().await.unwrap() != succeeded {} };
        timeout(PATIENCE, end).await.unwrap();
    }

    fn verify(&self, kid: &str) -> Result<(), TokenError> {
        let token = token(Some(kid));
        self.issuers.verify(&token, &sha256(&[token.as_bytes()]), NOW).map(|_| ())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

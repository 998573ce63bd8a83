//! Endpoints that behave, and endpoints that do not: on loopback, each on its own port.

use super::{FetchError, Fetcher, KeyKeeper, MAX_DOCUMENT, OnRefresh, TIMING, Timing, fetch};
use crate::clock::{Clock, UnixTime};
use crate::config::{IssuerPlan, KeySource};
use crate::jose::{Algorithm, PrivateKey, sha256};
use crate::token::{IssuerId, IssuerRules, Issuers, KeySet, TokenError};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
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
    /// Writes a head and then a space now and then, for ever.
    Drip,
}

fn ok(body: &str) -> Answer {
    status("200 OK", "", body)
}

fn status(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Text(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
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
        let path = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer.unwrap_or_else(|| status("404 Not Found", "", "")) {
            Answer::Text(text) => drop(connection.write_all(text.as_bytes()).await),
            Answer::Hang => std::future::pending().await,
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
            leeway: Duration::from_secs(10),
        };
        let issuers = Arc::new(Issuers::new(vec![rules.clone()]));
        let (sender, attempts) = mpsc::unbounded_channel();
        let on_refresh: OnRefresh = Arc::new(move |name, ok| {
            assert_eq!(name, "main");
            sender.send(ok).ok();
        });
        let (clock, tasks, stop) = (Clock::manual(NOW), TaskTracker::new(), CancellationToken::new());
        let keeper = KeyKeeper::start_with(
            &[IssuerPlan { rules, keys: source }],
            Arc::clone(&issuers),
            &clock,
            &on_refresh,
            &tasks,
            &stop,
            timing,
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

    fn count(&self) -> Option<usize> {
        self.keys().map(|keys| keys.len())
    }

    async fn refresh(&self) -> bool {
        self.keeper.refresh(MAIN).await
    }

    /// The next attempt that ends so.
    async fn until(&mut self, succeeded: bool) {
        let end = async { while self.attempts.recv().await.unwrap() != succeeded {} };
        timeout(PATIENCE, end).await.unwrap();
    }

    fn verify(&self, kid: &str) -> Result<(), TokenError> {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid }).to_string();
        let claims = json!({
            "iss": "https://id.test", "aud": "api", "sub": "a", "client_id": "c", "jti": "j",
            "iat": NOW.as_secs(), "exp": NOW.as_secs() + 60,
        });
        let token = KEY.sign(&header, &claims.to_string());
        self.issuers.verify(&token, &sha256(&[token.as_bytes()]), NOW).map(|_| ())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn keys_are_fetched_at_start() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::start("https://id.test", endpoint.source(), CALM);
    assert!(!house.keeper.ready());
    assert_eq!(house.verify("k1"), Err(TokenError::KeysUnavailable(MAIN)));
    house.until(true).await;
    assert!(house.keeper.ready());
    assert_eq!(house.verify("k1"), Ok(()));
    assert_eq!(endpoint.asked(), ["/jwks"]);
}

/// Fault 8. Every one of these answers leaves the keys that are there, and the next good one replaces them.
#[tokio::test]
async fn a_bad_answer_changes_nothing() {
    let good = jwks(&["k1"]);
    let private = json!({ "keys": [jwk("k1"), serde_json::from_str::<Value>(&KEY.private_jwk()).unwrap()] });
    let many: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let oversize = format!("{}{good}", " ".repeat(MAX_DOCUMENT));
    let rows = [
        ("not there", status("404 Not Found", "", &good)),
        ("in trouble", status("500 Internal Server Error", "", &good)),
        ("no content", status("204 No Content", "", "")),
        ("a redirect, even to a good set", status("302 Found", "Location: /elsewhere\r\n", &good)),
        ("a redirect for good", status("308 Permanent Redirect", "Location: /elsewhere\r\n", &good)),
        ("hangs", Answer::Hang),
        ("drips", Answer::Drip),
        ("too long", ok(&oversize)),
        ("breaks off", Answer::Text(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{good}"))),
        ("no HTTP", Answer::Text("SSH-2.0-OpenSSH_9.2\r\n".to_owned())),
        ("an endless head", status("200 OK", &format!("X: {}\r\n", "x".repeat(100_000)), &good)),
        ("101 header fields", status("200 OK", &"X: x\r\n".repeat(100), &good)),
        ("closes", Answer::Text(String::new())),
        ("garbage", ok("\u{0}\u{1}\u{2}")),
        ("a page", ok("<!doctype html><title>Sign in</title>")),
        ("half a document", ok(&good[..good.len() / 2])),
        ("an empty set", ok(r#"{"keys":[]}"#)),
        ("a symmetric key", ok(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)),
        ("a private key", ok(&private.to_string())),
        ("100 keys", ok(&jwks(&many))),
    ];
    let mut running = JoinSet::new();
    for (story, bad) in rows {
        running.spawn(async move {
            let endpoint = Endpoint::start().await;
            endpoint.answer("/jwks", ok(&jwks(&["k1"])));
            endpoint.answer("/elsewhere", ok(&jwks(&["k1"])));
            let attempt = if matches!(bad, Answer::Hang | Answer::Drip) { 1 } else { 10 };
            let mut house =
                House::settled(&endpoint, Timing { attempt: Duration::from_secs(attempt), ..CALM }).await;
            house.until(true).await;
            let before = house.keys().unwrap();
            endpoint.answer("/jwks", bad);
            assert!(!house.refresh().await, "{story}");
            house.until(false).await;
            assert!(Arc::ptr_eq(&before, &house.keys().unwrap()), "{story}");
            assert!(house.keeper.ready(), "{story}");
            endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
            house.refresh().await;
            house.until(true).await;
            assert_eq!(house.count(), Some(2), "{story}");
            assert!(!endpoint.asked().contains(&"/elsewhere".to_owned()), "{story}");
        });
    }
    while let Some(row) = running.join_next().await {
        row.unwrap();
    }
}

/// A rotation just after the start, and a herd that notices it (fault 9): one fetch, and everybody has the new key. The fetch at the
/// start does not count for the cooldown: it did, and refused honest clients for half a minute.
#[tokio::test]
async fn a_herd_of_unknown_kids_is_one_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    assert_eq!(house.verify("k2"), Err(TokenError::UnknownKey(MAIN)));
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    let mut herd = JoinSet::new();
    for _ in 0..200 {
        let keeper = Arc::clone(&house.keeper);
        herd.spawn(async move { keeper.refresh(MAIN).await });
    }
    while let Some(refreshed) = herd.join_next().await {
        assert!(refreshed.unwrap());
    }
    assert_eq!(house.verify("k2"), Ok(()));
    for _ in 0..200 {
        house.refresh().await;
    }
    assert_eq!(endpoint.asked().len(), 2, "one at the start, one for all of them");
}

/// Libraries forgot to count failures, and asked a dead endpoint again for every made-up key.
#[tokio::test]
async fn a_failed_attempt_cools_down_too() {
    let endpoint = Endpoint::start().await;
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    for _ in 0..200 {
        assert!(!house.refresh().await);
    }
    assert_eq!(endpoint.asked().len(), 2, "one at the start, one for the first of them");
}

/// A request that gives up must not take the fetch with it.
#[tokio::test]
async fn a_cancelled_wait_cancels_no_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::settled(&endpoint, CALM).await;
    house.until(true).await;
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    tokio::select! {
        biased;
        _ = house.refresh() => unreachable!("nothing is fetched at the first look"),
        () = std::future::ready(()) => {}
    }
    house.until(true).await;
    assert_eq!(house.count(), Some(2));
}

/// Fault 7: the keys outlive their endpoint by a day, and no longer.
#[tokio::test]
async fn keys_outlive_their_endpoint_for_a_day() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::settled(&endpoint, EAGER).await;
    house.until(true).await;
    endpoint.answer("/jwks", status("503 Service Unavailable", "", ""));
    house.clock.set(NOW.saturating_add(24 * HOUR));
    assert!(!house.refresh().await);
    house.until(false).await;
    assert_eq!(house.verify("k1"), Ok(()));
    house.clock.set(NOW.saturating_add(24 * HOUR + Duration::from_millis(1)));
    let withdrawn = async {
        while house.keys().is_some() {
            house.attempts.recv().await.unwrap();
        }
    };
    timeout(PATIENCE, withdrawn).await.unwrap();
    assert!(!house.keeper.ready());
    assert_eq!(house.verify("k1"), Err(TokenError::KeysUnavailable(MAIN)));
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    house.until(true).await;
    assert_eq!(house.verify("k1"), Ok(()));
}

/// A publication makes every cached token be verified again: the same document is none.
#[tokio::test]
async fn the_same_document_is_not_published_again() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, CALM).await;
    let before = house.keys().unwrap();
    assert!(house.refresh().await);
    assert!(Arc::ptr_eq(&before, &house.keys().unwrap()));
}

/// `max-age` is respected between its bounds: here it brings the next attempt about.
#[tokio::test]
async fn max_age_brings_the_next_attempt() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", status("200 OK", "Cache-Control: max-age=0\r\n", &jwks(&["k1"])));
    let max_age = (Duration::from_millis(1), HOUR);
    let mut house = House::start("https://id.test", endpoint.source(), Timing { max_age, ..CALM });
    for _ in 0..3 {
        house.until(true).await;
    }
    assert!(endpoint.asked().len() >= 3);
}

#[tokio::test]
async fn metadata_tell_where_the_keys_are() {
    let rfc8414 = "/.well-known/oauth-authorization-server/tenant";
    let openid = "/tenant/.well-known/openid-configuration";
    let page = || ok("<!doctype html>");
    let missing = || status("404 Not Found", "", "");
    enum Metadata {
        Good,
        OtherIssuer,
        Answer(Answer),
    }
    use Metadata::{Good, OtherIssuer};
    let rows = [
        ("RFC 8414", Good, Good, vec![rfc8414, "/keys"], true),
        ("not there: OpenID", Metadata::Answer(missing()), Good, vec![rfc8414, openid, "/keys"], true),
        ("a page: OpenID", Metadata::Answer(page()), Good, vec![rfc8414, openid, "/keys"], true),
        ("neither", Metadata::Answer(missing()), Metadata::Answer(page()), vec![rfc8414, openid], false),
        (
            "another issuer's are not used, and end it (RFC 8414 section 3.3)",
            OtherIssuer,
            Good,
            vec![rfc8414],
            false,
        ),
        ("OpenID's as well", Metadata::Answer(missing()), OtherIssuer, vec![rfc8414, openid], false),
    ];
    for (story, first, second, asked, found) in rows {
        let endpoint = Endpoint::start().await;
        let issuer = format!("{}/tenant", endpoint.base);
        for (path, metadata) in [(rfc8414, first), (openid, second)] {
            let of = |issuer: &str| {
                ok(&json!({ "issuer": issuer, "jwks_uri": format!("{}/keys", endpoint.base) }).to_string())
            };
            endpoint.answer(
                path,
                match metadata {
                    Good => of(&issuer),
                    OtherIssuer => of(&format!("{issuer}/")),
                    Metadata::Answer(answer) => answer,
                },
            );
        }
        endpoint.answer("/keys", ok(&jwks(&["k1"])));
        let house = House::start(&issuer, KeySource::Discovery(endpoint.url("/tenant")), CALM);
        house.keeper.settled().await;
        assert_eq!(house.keeper.ready(), found, "{story}");
        assert_eq!(endpoint.asked(), asked, "{story}");
    }
}

#[tokio::test]
async fn a_file_is_read_before_start_returns_and_again_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    fs::write(&path, jwks(&["k1"])).unwrap();
    let house = House::start("https://id.test", KeySource::File(path.clone()), CALM);
    assert!(house.keeper.ready());
    fs::write(&path, jwks(&["k1", "k2"])).unwrap();
    assert!(house.refresh().await);
    assert_eq!(house.count(), Some(2));
    for bad in [String::new(), "{".to_owned(), format!("{}{}", " ".repeat(MAX_DOCUMENT), jwks(&["k1"]))] {
        fs::write(&path, bad).unwrap();
        assert!(!house.refresh().await);
        assert_eq!(house.count(), Some(2));
    }
    fs::remove_file(&path).unwrap();
    assert!(!house.refresh().await);
    assert_eq!(house.count(), Some(2));
}

#[tokio::test]
async fn a_file_may_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let mut house = House::start("https://id.test", KeySource::File(path.clone()), EAGER);
    assert!(!house.keeper.ready());
    house.until(false).await;
    fs::write(&path, jwks(&["k1"])).unwrap();
    house.until(true).await;
    assert!(house.keeper.ready());
}

#[tokio::test]
async fn an_unknown_issuer_has_nothing_to_refresh() {
    let endpoint = Endpoint::start().await;
    let house = House::settled(&endpoint, CALM).await;
    assert!(!house.keeper.refresh(IssuerId(7)).await);
}

#[tokio::test]
async fn tasks_end_when_told_even_in_the_middle() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", Answer::Hang);
    let house = House::start("https://id.test", endpoint.source(), Timing { attempt: HOUR, ..CALM });
    house.stop.cancel();
    house.tasks.close();
    timeout(PATIENCE, house.tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn one_document_can_be_fetched_alone() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", status("200 OK", "Cache-Control: max-age=90\r\n", "{}"));
    let document = fetch(&endpoint.url("/jwks")).await.unwrap();
    assert_eq!((&document.body[..], document.max_age), (&b"{}"[..], Some(Duration::from_secs(90))));
    let missing = fetch(&endpoint.url("/nothing")).await.unwrap_err();
    assert_eq!(missing, FetchError::Status(http::StatusCode::NOT_FOUND));
    assert_eq!(fetch(&Url::parse("file:///etc/hosts").unwrap()).await.unwrap_err(), FetchError::Url);
}

/// Over TLS the server must be who the URL says, by an authority that is trusted; without any authority
/// nobody is.
#[tokio::test]
async fn tls_trusts_only_its_authorities() {
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
    let mut roots = rustls::RootCertStore::empty();
    let nobody = Fetcher::trusting(roots.clone());
    roots.add(certified.cert.der().clone()).unwrap();
    let trusting = Fetcher::trusting(roots);
    let at = |host: &str| Url::parse(&format!("https://{host}:{port}/jwks")).unwrap();
    assert_eq!(&trusting.get(&at("localhost")).await.unwrap().body[..], b"{}");
    let other_name = trusting.get(&at("127.0.0.1")).await.unwrap_err();
    let unknown = nobody.get(&at("localhost")).await.unwrap_err();
    for (error, cause) in [(other_name, "not valid for name"), (unknown, "UnknownIssuer")] {
        assert!(error.to_string().contains(cause), "{error}");
    }
}

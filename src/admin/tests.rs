//! The admin address as probes and scrapers see it: raw sockets on port 0.

use super::*;
use crate::clock::UnixTime;
use crate::config::AdminPlan;
use crate::names::Names;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Running {
    address: SocketAddr,
    facts: Arc<Facts>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

async fn start() -> Running {
    start_with(HEAD_TIMEOUT).await
}

async fn start_with(head_timeout: Duration) -> Running {
    let metrics = Metrics::new("1", &Names { routes: ["orders"].into_iter().collect(), ..Names::default() });
    let facts = Arc::new(Facts {
        metrics: Arc::new(metrics),
        readiness: Readiness::default(),
        configuration: ArcSwap::from_pointee(configuration(json!({ "admin": { "address": "127.0.0.1:0" } }))),
        marks: Arc::default(),
        clock: Clock::manual(UnixTime::from_secs(1)),
    });
    let acceptor = Acceptor::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let admin = Admin { acceptor, head_timeout };
    let address = admin.local_address().unwrap();
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(admin.run(Arc::clone(&facts), stop.clone()));
    tasks.close();
    Running { address, facts, stop, tasks }
}

fn configuration(effective: serde_json::Value) -> Configuration {
    let (file, digest) = ("keyproof.yaml".to_owned(), "ab12".to_owned());
    let plan = AdminPlan { address: "127.0.0.1:0".parse().unwrap(), token: None, hosts: vec![] };
    let (since, access) = (UnixTime::from_secs(1), Access::new(&plan));
    Configuration { file, digest, number: 3, since, access, effective, last: None }
}

const SHOWN: &str = "configuration: keyproof.yaml, SHA-256 ab12, number 3, since 1970-01-01T00:00:01.000Z\n";

impl Running {
    /// Everything that comes back for these bytes, until the connection closes.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The other side may have answered and closed before it read everything.
        let _refused = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn request(&self, line: &str) -> (String, String) {
        let answer = self.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn every_page_answers() {
    let admin = start().await;
    for (line, status, content_type, body) in [
        ("GET /livez", "200", "text/plain; charset=utf-8", "ok\n"),
        ("GET /livez?verbose", "200", "text/plain; charset=utf-8", "ok\n"),
        ("HEAD /livez", "200", "text/plain; charset=utf-8", ""),
        ("GET /readyz", "200", "text/plain; charset=utf-8", &format!("ready\n{SHOWN}")),
        ("GET /", "404", "text/plain; charset=utf-8", "not found\n"),
        ("GET /livez/", "404", "text/plain; charset=utf-8", "not found\n"),
        ("POST /livez", "405", "text/plain; charset=utf-8", "method not allowed\n"),
        ("DELETE /config", "405", "text/plain; charset=utf-8", "method not allowed\n"),
    ] {
        let (head, found) = admin.request(line).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}");
        assert!(head.contains(&format!("content-type: {content_type}")), "{line}: {head}");
        assert!(head.contains("cache-control: no-store"), "{line}: {head}");
        assert_eq!(head.contains("allow: get, head"), status == "405", "{line}: {head}");
        assert_eq!(found, body, "{line}");
    }
}

#[tokio::test]
async fn metrics_and_configuration_are_shown() {
    let admin = start().await;
    let (head, body) = admin.request("GET /metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("keyproof_build_info{version=\"1\"} 1\n"), "{body}");
    admin.facts.configuration.store(Arc::new(configuration(json!({ "reloaded": true }))));
    let (head, body) = admin.request("GET /config").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), json!({ "reloaded": true }));
}

#[tokio::test]
async fn not_ready_says_why_line_by_line() {
    let admin = start().await;
    admin.facts.readiness.waiting("replay", "waiting");
    admin.facts.readiness.waiting("issuer main", "no keys yet");
    let (head, body) = admin.request("GET /readyz").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(body, format!("issuer main: no keys yet\nreplay: waiting\n{SHOWN}"));
    assert!(admin.request("GET /livez").await.0.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_bad_request_ends_its_connection_alone() {
    let admin = start().await;
    assert!(admin.send(b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let long = format!("GET /livez HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
    let refusal = admin.send(long.as_bytes()).await;
    assert!(!refusal.contains(" 200 "), "{refusal}");
    assert!(admin.request("GET /livez").await.0.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_silent_peer_is_cut_off() {
    let admin = start_with(Duration::from_millis(20)).await;
    assert!(!admin.send(b"GET /livez HTTP/1.1\r\n").await.contains(" 200 "));
    assert_eq!(admin.send(b"").await, "");
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_at_once() {
    let admin = start().await;
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        held.push(TcpStream::connect(admin.address).await.unwrap());
    }
    assert_eq!(admin.send(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n").await, "");
    drop(held);
}

#[tokio::test]
async fn stopping_ends_the_task_and_frees_the_port() {
    let admin = start().await;
    admin.stop.cancel();
    admin.tasks.wait().await;
    let again = Acceptor::bind(admin.address).unwrap();
    let taken = Acceptor::bind(admin.address).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    drop(again);
}

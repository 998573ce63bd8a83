//! Answers that take their time: server-sent events, timeouts of routes, and streams that end with their token.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::time::Duration;
use support::gateway::{House, NOW, get};
use support::raw::Raw;
use support::upstream::{ByHand, Connection};

const ROUTES: &str = r#"  - { name: orders, match: { path: /orders }, upstream: legacy, streams_end: token_expiry, upgrades: [websocket] }
  - { name: open, match: { path: /open }, upstream: legacy, public: true, streams_end: token_expiry }
  - { name: fast, match: { path: /fast }, upstream: legacy, public: true, timeouts: { response: 100ms } }
  - { name: still, match: { path: /still }, upstream: legacy, public: true, timeouts: { idle: 200ms } }"#;
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What is promised: five seconds until a list is in force, and five more until what runs is cut. It takes less than half of that.
const PROMISED: Duration = Duration::from_secs(10);

/// A gateway before an upstream that the test plays.
async fn house(upstream: &ByHand) -> House {
    let house = House::with_routes(ROUTES).await;
    let (before, after) = (house.upstream.address.to_string(), upstream.address().to_string());
    house.reload_with(&before, &after).await;
    house
}

async fn ask(house: &House, upstream: &ByHand, text: String) -> (Raw, Connection) {
    let mut client = Raw::connect(house.gateway).await;
    client.send(text).await;
    let mut server = upstream.accept().await;
    server.request().await;
    (client, server)
}

fn orders(house: &House, headers: &[(&str, &str)]) -> String {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let authorization = format!("DPoP {token}");
    get("/orders", &[headers, &[("authorization", &*authorization), ("dpop", &*proof)]].concat())
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    let (mut client, mut server) = ask(&house, &upstream, get("/open", &[])).await;
    server.send(EVENTS).await;
    let head = String::from_utf8(client.read_until(b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        server.send(&chunk).await;
        // The next is sent only when this one is here.
        assert_eq!(client.read_exactly(chunk.len()).await.unwrap(), chunk.into_bytes());
    }
    server.send("0\r\n\r\n").await;
    assert_eq!(client.read_exactly(5).await.unwrap(), b"0\r\n\r\n");
}

#[tokio::test]
async fn a_route_has_timeouts_of_its_own() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    let (mut client, mut server) = ask(&house, &upstream, get("/fast", &[])).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 504);
    assert!(server.closes().await);
    assert_eq!(house.log.line_of(&answer).await["error"], "upstream_response_timeout");

    let (mut client, mut server) = ask(&house, &upstream, get("/still", &[])).await;
    server.send(format!("{EVENTS}1\r\na\r\n")).await;
    // The beginning arrives, and no end: the client cannot take the answer for whole.
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.ends_with("1\r\na\r\n"), "{rest}");
    assert!(server.closes().await);
    let line = house.log.line(|line| line["status"] == 200).await;
    assert!(line["error"].as_str().unwrap().starts_with("upstream_idle_timeout"), "{line}");
    let timeouts = ["upstream=\"legacy\"", "result=\"timeout\""];
    assert_eq!(house.metric("keyproof_upstream_requests_total", &timeouts).await, 2.0);
}

#[tokio::test]
async fn an_answer_ends_with_its_token() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    let (mut client, mut server) = ask(&house, &upstream, orders(&house, &[])).await;
    server.send(format!("{EVENTS}1\r\na\r\n")).await;
    let head = client.read_until(b"1\r\na\r\n").await;
    assert!(head.is_some());
    // Until exp and the issuer's leeway it runs on.
    house.clock.set(NOW.saturating_add(Duration::from_secs(309)));
    // The clock is looked at every second: once at least in this time.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.send("1\r\nb\r\n").await;
    assert_eq!(client.read_exactly(6).await.unwrap(), b"1\r\nb\r\n");
    house.clock.set(NOW.saturating_add(Duration::from_secs(310)));
    assert!(client.closes().await);
    assert!(server.closes().await);
    let line = house.log.line(|line| line["status"] == 200).await;
    assert!(line["error"].as_str().unwrap().starts_with("token_expired"), "{line}");
    // That is not the upstream's fault.
    assert_eq!(house.metric("keyproof_upstream_requests_total", &["result=\"ok\""]).await, 1.0);
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    let asks = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let (mut client, mut server) = ask(&house, &upstream, orders(&house, &asks)).await;
    server
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    house.clock.set(NOW.saturating_add(Duration::from_secs(310)));
    assert!(client.closes().await);
    assert!(server.closes().await);
    let line = house.log.line(|line| line["status"] == 101).await;
    assert!(line["error"].as_str().unwrap().starts_with("token_expired"), "{line}");
}

/// A list that is put in place meanwhile cuts what was begun before it: an answer and a tunnel, of the denied client alone, on routes that say so,
/// in either mode. Nobody asks for a reload.
#[tokio::test]
async fn what_runs_is_cut_once_its_token_is_denied() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    std::fs::write(house.folder().join("denied"), "# empty").unwrap();
    let long = r#"  - { name: long, match: { path: /long }, upstream: legacy }
  - { name: seen, match: { path: /seen }, upstream: legacy, streams_end: token_expiry, mode: observe }"#;
    house.reload_with("routes:\n", &format!("denied_file: denied\nroutes:\n{long}\n")).await;
    let asks = |path: &str, subject: &str, headers: &[(&str, &str)]| {
        let token = house.token(json!({ "sub": subject }));
        let proof = house.proof(&token, json!({ "htu": format!("https://api.test{path}") }));
        let authorization = format!("DPoP {token}");
        get(path, &[headers, &[("authorization", &*authorization), ("dpop", &*proof)]].concat())
    };
    let mut streams = Vec::new();
    let observed = {
        let token = house.token(json!({ "sub": "mallory" }));
        // A stale proof: it would have been refused.
        let proof = house.proof(&token, json!({ "iat": 1, "htu": "https://api.test/seen" }));
        get("/seen", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
    };
    for text in [
        asks("/orders", "mallory", &[]),
        asks("/orders", "alice", &[]),
        asks("/long", "mallory", &[]),
        asks("/seen", "mallory", &[]),
        observed,
    ] {
        let (mut client, mut server) = ask(&house, &upstream, text).await;
        server.send(format!("{EVENTS}1\r\na\r\n")).await;
        assert!(client.read_until(b"1\r\na\r\n").await.is_some());
        streams.push((client, server));
    }
    let switch = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let (mut tunnel, mut behind) = ask(&house, &upstream, asks("/orders", "mallory", &switch)).await;
    behind
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(tunnel.answer().await.unwrap().status, 101);

    std::fs::write(house.folder().join("denied"), "sub:main mallory").unwrap();
    let [(cut, cut_behind), (alice, alices), (long, longs), (seen, _), (observed, _)] = &mut streams[..]
    else {
        panic!("five streams")
    };
    let ends = async {
        assert!(tunnel.closes().await && behind.closes().await, "the tunnel");
        assert!(cut.closes().await && cut_behind.closes().await, "the answer");
        assert!(seen.closes().await, "the answer where refusals are overlooked");
        assert!(observed.closes().await, "the same where one was");
    };
    tokio::time::timeout(PROMISED, ends).await.expect("in time");
    for (client, server) in [(alice, alices), (long, longs)] {
        server.send("1\r\nb\r\n").await;
        assert_eq!(client.read_exactly(6).await.unwrap(), b"1\r\nb\r\n", "it runs on");
    }
    for status in [200, 101] {
        let line = house.log.line(|line| line["status"] == status && line["error"].is_string()).await;
        assert!(line["error"].as_str().unwrap().starts_with("denied: "), "{line}");
    }
    let results = ["upstream=\"legacy\"", "result=\"reset\""];
    assert_eq!(
        house.metric("keyproof_upstream_requests_total", &results).await,
        0.0,
        "not the upstream's fault"
    );
}

/// The same over HTTP/2: that stream alone is reset, and the connection goes on.
#[tokio::test]
async fn over_http2_the_stream_of_a_token_that_is_denied_is_reset() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream).await;
    std::fs::write(house.folder().join("denied"), "# empty").unwrap();
    house.reload_with("routes:\n", "denied_file: denied\nroutes:\n").await;
    let mut connection = support::h2::connect_plainly(house.gateway).await;
    let mut begin = async |subject: &str| {
        let token = house.token(json!({ "sub": subject }));
        let proof = house.proof(&token, json!({}));
        let request = Request::get("http://api.test/orders")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .body(Full::<Bytes>::default())
            .unwrap();
        let answered = connection.send_request(request);
        let server = async {
            let mut server = upstream.accept().await;
            server.request().await;
            server.send(format!("{EVENTS}1\r\na\r\n")).await;
            server
        };
        let (answer, server) = tokio::join!(answered, server);
        let mut body = answer.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        (body, server)
    };
    let (mut cut, mut behind) = begin("mallory").await;
    let (mut kept, mut server) = begin("alice").await;
    std::fs::write(house.folder().join("denied"), "sub:mallory").unwrap();
    let end = tokio::time::timeout(PROMISED, cut.frame()).await.expect("in time");
    assert!(end.expect("no clean end").is_err());
    assert!(behind.closes().await);
    server.send("1\r\nb\r\n").await;
    assert_eq!(kept.frame().await.unwrap().unwrap().into_data().unwrap(), "b", "another stream runs on");
}

const FIELDS: &str = r#"  - name: orders
    match: { path: /orders }
    upstream: legacy
    cors: { origins: ["https://app.test"] }
    headers: &fields
      request: { set: { X-Api-Key: literal, Authorization: "Basic abc" }, set_file: { X-Secret: secret }, remove: [Cookie, X-Forwarded-For] }
      response: { set: { Strict-Transport-Security: max-age=1, Content-Type: text/x }, remove: [Server, WWW-Authenticate] }
  - { name: open, match: { path: /open }, upstream: legacy, public: true, headers: *fields }"#;

#[tokio::test]
async fn a_route_sets_and_removes_fields_after_everything_else() {
    let house = House::before(
        "HTTP/1.1 200 OK\r\nServer: old\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 2\r\n\r\nok",
        FIELDS,
    )
    .await;
    let answer =
        house.send(orders(&house, &[("Cookie", "a=b"), ("X-Api-Key", "mine"), ("X-Api-Key", "too")])).await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=1"));
    assert_eq!((answer.all("server"), answer.header("content-type")), (vec![], Some("text/x")));
    let seen = house.upstream.only();
    assert_eq!(seen.header("x-api-key"), Some("literal"));
    assert_eq!(seen.header("authorization"), Some("Basic abc"));
    assert_eq!(seen.header("x-secret"), Some("a secret that lives longer than a process"));
    assert_eq!(seen.header("x-auth-subject"), Some("alice"));
    assert_eq!((seen.all("cookie"), seen.all("x-forwarded-for")), (vec![], vec![]));

    // Refusals of the route have them, and those of no route have not.
    let refused = house.send(get("/orders", &[])).await;
    assert_eq!((refused.status, refused.header("strict-transport-security")), (401, Some("max-age=1")));
    assert_eq!(refused.all("www-authenticate"), Vec::<&str>::new());
    let preflight = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "GET")];
    let preflight = house.send(support::gateway::request("OPTIONS", "/orders", &preflight)).await;
    assert_eq!((preflight.status, preflight.header("strict-transport-security")), (204, Some("max-age=1")));
    let websocket = house.send(get("/open", &[("Connection", "Upgrade"), ("Upgrade", "websocket")])).await;
    assert_eq!((websocket.status, websocket.header("strict-transport-security")), (501, Some("max-age=1")));
    let lost = house.send(get("/nowhere", &[])).await;
    assert_eq!((lost.status, lost.header("strict-transport-security")), (404, None));

    // What is secret stays secret.
    let config = house.admin_page("/config").await.text();
    assert!(config.contains("literal") && !config.contains("longer than a process"), "{config}");
    assert!(!house.log.text().contains("longer than a process"));
}

#[tokio::test]
async fn failures_of_the_upstream_have_the_routes_fields_too() {
    let house = House::with_routes(FIELDS).await;
    let server = house.upstream.address.to_string();
    house.reload_with(&server, "127.0.0.1:1").await;
    let answer = house.send(get("/open", &[])).await;
    assert_eq!((answer.status, answer.header("strict-transport-security")), (502, Some("max-age=1")));
}

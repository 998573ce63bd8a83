//! Other protocols after a 101, WebSocket above all: only where the route lists them, only after the upstream's word, and then untouched.

use serde_json::json;
use std::time::Duration;
use support::gateway::{House, get, request};
use support::raw::{Answer, Raw};
use support::upstream::{ByHand, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUTES: &str = r#"  - { name: orders, match: { path: /orders }, upstream: legacy, upgrades: [websocket, chat/2] }
  - { name: open, match: { path: /open }, upstream: legacy, public: true, upgrades: [websocket] }
  - { name: closed, match: { path: /closed }, upstream: legacy, public: true }"#;
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ASKS: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A gateway before an upstream that the test plays.
async fn house(upstream: &ByHand, routes: &str) -> House {
    let house = House::with_routes(routes).await;
    let (before, after) = (house.upstream.address.to_string(), upstream.address().to_string());
    house.reload_with(&before, &after).await;
    house
}

async fn sent(house: &House, text: String) -> Raw {
    let mut client = Raw::connect(house.gateway).await;
    client.send(text).await;
    client
}

/// A tunnel to the upstream on a public route.
async fn tunnel(house: &House, upstream: &ByHand) -> (Raw, Connection) {
    let mut client = sent(house, get("/open", &ASKS)).await;
    let mut server = upstream.accept().await;
    server.request().await;
    server.send(SWITCH).await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    (client, server)
}

async fn read(socket: &mut tokio::net::TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = tokio::time::timeout(support::raw::PATIENCE, socket.read_exact(&mut bytes)).await;
    read.expect("bytes in time").unwrap();
    bytes
}

#[tokio::test]
async fn a_handshake_is_decided_like_any_request_and_opens_a_tunnel() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    let authorization = format!("DPoP {token}");
    let mut headers = ASKS.to_vec();
    headers.extend([("Authorization", &*authorization), ("DPoP", &proof), ("X-Auth-Subject", "root")]);
    let mut client = sent(&house, get("/orders", &headers)).await;

    let mut server = upstream.accept().await;
    let seen = server.request().await;
    assert_eq!(seen.header("connection"), Some("upgrade"));
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(seen.header("x-auth-subject"), Some("alice"));
    assert_eq!((seen.all("authorization"), seen.all("dpop")), (vec![], vec![]));
    // The server may speak in the same breath as its 101.
    server.send(format!("{SWITCH}first")).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!((answer.all("content-length"), answer.all("transfer-encoding")), (vec![], vec![]));

    assert_eq!(client.read_exactly(5).await.unwrap(), b"first");
    client.send("one way").await;
    assert_eq!(read(&mut server.socket, 7).await, b"one way");
    server.send("the other").await;
    assert_eq!(client.read_exactly(9).await.unwrap(), b"the other");
    // The proof is used up: the same handshake opens nothing.
    assert_eq!(house.send(get("/orders", &headers)).await.status, 401);

    // The record is written when the tunnel ends, with all that the client was sent.
    assert_eq!(house.metric("keyproof_requests_total", &["status=\"101\""]).await, 0.0);
    client.socket.shutdown().await.unwrap();
    assert_eq!(server.socket.read(&mut [0]).await.unwrap(), 0, "the end of one side reaches the other");
    server.send("last").await;
    assert_eq!(client.read_exactly(4).await.unwrap(), b"last");
    drop(server);
    assert!(client.closes().await);
    let line = house.log.line(|line| line["status"] == 101).await;
    assert_eq!((&line["route"], &line["decision"]), (&json!("orders"), &json!("allow")), "{line}");
    assert_eq!(line["bytes"], 18, "{line}");
    assert!(line.get("error").is_none(), "{line}");
    let ok = ["upstream=\"legacy\"", "result=\"ok\""];
    assert_eq!(house.metric("keyproof_upstream_requests_total", &ok).await, 1.0);
}

#[tokio::test]
async fn without_a_token_nothing_is_switched() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    let answer = house.send(get("/orders", &ASKS)).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some());
}

async fn refused(answer: &Answer) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn websocket_is_refused_where_it_cannot_be_asked_for() {
    let house = House::with_routes(ROUTES).await;
    let old = get("/open", &ASKS).replace("HTTP/1.1", "HTTP/1.0");
    let body = request("GET", "/open", &[&ASKS[..], &[("Content-Length", "2")]].concat()) + "ab";
    let alone = get("/open", &[("Upgrade", "websocket")]);
    for text in [get("/closed", &ASKS), old, body, alone] {
        let answer = house.send(&text).await;
        assert_eq!(refused(&answer).await, (501, "not_implemented".to_owned()), "{text}");
    }
    assert_eq!(house.metric("keyproof_decisions_total", &["websocket_unsupported"]).await, 4.0);
    assert!(house.upstream.seen().is_empty());
    // Where nothing leads, that is the reason.
    assert_eq!(house.send(get("/nowhere", &ASKS)).await.status, 404);
}

#[tokio::test]
async fn other_wishes_are_ignored_where_they_are_not_listed() {
    let house = House::with_routes(ROUTES).await;
    for upgrade in ["h2c", "TLS/1.2", "chat/2"] {
        let answer = house.send(get("/open", &[("Connection", "Upgrade"), ("Upgrade", upgrade)])).await;
        assert_eq!(answer.status, 200, "{upgrade}");
    }
    for seen in house.upstream.seen() {
        assert_eq!((seen.all("upgrade"), seen.all("connection")), (vec![], vec![]));
    }
}

#[tokio::test]
async fn only_what_is_listed_is_passed_on_and_only_that_may_be_chosen() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    for (chosen, status) in [("websocket", 101), ("h2c", 502), ("", 502), ("websocket, h2c", 502)] {
        let wishes =
            [("Connection", "Upgrade"), ("Upgrade", "h2c, WebSocket"), ("HTTP2-Settings", "AAMAAABk")];
        let mut client = sent(&house, get("/open", &wishes)).await;
        let mut server = upstream.accept().await;
        let seen = server.request().await;
        assert_eq!((seen.header("upgrade"), seen.all("http2-settings")), (Some("WebSocket"), vec![]));
        let line = if chosen.is_empty() { String::new() } else { format!("Upgrade: {chosen}\r\n") };
        server.send(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{line}\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status, status, "{chosen}");
        drop(client);
        assert!(server.closes().await, "nothing follows a 101 that nobody can follow");
    }
    let malformed = ["upstream=\"legacy\"", "result=\"malformed\""];
    assert_eq!(house.metric("keyproof_upstream_requests_total", &malformed).await, 3.0);
}

#[tokio::test]
async fn an_upstream_that_does_not_switch_answers_as_always() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    let mut client = sent(&house, get("/open", &ASKS)).await;
    let mut server = upstream.accept().await;
    server.request().await;
    server.send("HTTP/1.1 403 Forbidden\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str(), answer.all("upgrade")), (403, "no", vec![]));
    // The connections go on in HTTP.
    client.send(get("/closed", &[])).await;
    server.request().await;
    server.send(support::gateway::OK).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_server_that_fails_in_a_tunnel_is_told_in_log_and_metric() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    let (mut client, server) = tunnel(&house, &upstream).await;
    // Closed with a reset.
    server.socket.set_zero_linger().unwrap();
    drop(server);
    assert!(client.closes().await);
    let line = house.log.line(|line| line["status"] == 101).await;
    assert!(line["error"].as_str().unwrap().starts_with("upstream_broken"), "{line}");
    assert_eq!(line["server"], upstream.address().to_string());
    let reset = ["upstream=\"legacy\"", "result=\"reset\""];
    assert_eq!(house.metric("keyproof_upstream_requests_total", &reset).await, 1.0);
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_one_that_moves_does_not() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    house.reload_with("name: legacy, ", "name: legacy, timeouts: { idle: 2s }, ").await;
    let (mut client, mut server) = tunnel(&house, &upstream).await;
    // Longer in all than it may be silent, with room for a machine that stands still for a second.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(750)).await;
        client.send("a").await;
        assert_eq!(read(&mut server.socket, 1).await, b"a");
    }
    assert!(client.closes().await);
    assert!(server.closes().await);
    let line = house.log.line(|line| line["status"] == 101).await;
    assert!(line["error"].as_str().unwrap().starts_with("upstream_idle_timeout"), "{line}");
}

#[tokio::test]
async fn a_tunnel_passes_as_much_as_it_is_given_however_slowly_it_is_taken() {
    const SIZE: usize = 8 << 20;
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    let (client, server) = tunnel(&house, &upstream).await;
    let block = vec![7_u8; SIZE];
    let (mut from_client, mut to_client) = client.socket.into_split();
    let (mut from_server, mut to_server) = server.socket.into_split();
    let echo = async move {
        let mut all = Vec::new();
        from_server.read_to_end(&mut all).await.unwrap();
        to_server.write_all(&all).await.unwrap();
        all.len()
    };
    let send = async move {
        to_client.write_all(&block).await.unwrap();
        to_client.shutdown().await.unwrap();
    };
    let receive = async move {
        let mut all = Vec::new();
        from_client.read_to_end(&mut all).await.unwrap();
        all.len()
    };
    let (one, (), other) = tokio::join!(echo, send, receive);
    assert_eq!((one, other), (SIZE, SIZE));
}

#[tokio::test]
async fn a_stop_waits_for_a_tunnel_and_cuts_it_off_in_the_end() {
    let upstream = ByHand::bind().await;
    let house = house(&upstream, ROUTES).await;
    house.reload_with("routes:\n", "limits: { drain_timeout: 500ms }\nroutes:\n").await;
    let (mut client, mut server) = tunnel(&house, &upstream).await;
    let rest = async {
        // It is still there.
        client.send("still").await;
        assert_eq!(read(&mut server.socket, 5).await, b"still");
        assert!(server.closes().await);
    };
    tokio::join!(house.stopped(), rest);
}

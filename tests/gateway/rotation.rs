//! Keys that an issuer has only just made, and keys that a stranger has made up.

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::gateway::{House, get};
use support::raw::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

/// An issuer's key endpoint: its answer can be changed, and it counts.
#[derive(Clone)]
struct Endpoint {
    address: String,
    state: Arc<Mutex<(String, usize)>>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let endpoint = Self { address, state: Arc::default() };
        let state = Arc::clone(&endpoint.state);
        TaskTracker::new().spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(connection.read_u8().await.unwrap_or(b'\n'));
                }
                let answer = {
                    let mut state = state.lock().unwrap();
                    state.1 += 1;
                    state.0.clone()
                };
                drop(connection.write_all(answer.as_bytes()).await);
            }
        });
        endpoint
    }

    /// Answers with the house's key under these names.
    fn publish(&self, house: &House, kids: &[&str]) {
        let key = |kid: &&str| {
            let mut key: Value = serde_json::from_str(&house.issuer.public_jwk()).unwrap();
            key["kid"] = json!(kid);
            key
        };
        let body = json!({ "keys": kids.iter().map(key).collect::<Vec<_>>() }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        self.state.lock().unwrap().0 = head + &body;
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

/// A gateway with an issuer whose keys come from an endpoint that has no answer yet.
async fn house() -> (House, Endpoint) {
    let endpoint = Endpoint::start().await;
    let issuer = format!(
        "  - {{ name: rotating, issuer: \"https://rotating.test\", audiences: [\"https://api.test\"], jwks_uri: \"http://{}/jwks\" }}",
        endpoint.address
    );
    (House::with_issuers(ROUTES, &issuer, "").await, endpoint)
}

async fn ask(house: &House, kid: &str) -> Answer {
    let token = house.token_with(json!({ "kid": kid }), json!({ "iss": "https://rotating.test" }));
    let proof = house.proof(&token, json!({}));
    house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await
}

/// `/readyz` names the issuer and what came of asking it; then its keys come.
async fn ready(house: &House, endpoint: &Endpoint) {
    let why = house.admin_page("/readyz").await;
    assert_eq!(why.status, 503);
    assert!(why.text().contains("issuers: rotating has no keys yet: "), "{}", why.text());
    endpoint.publish(house, &["k1"]);
    let arrived = async {
        while house.admin_page("/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await.unwrap();
}

#[tokio::test]
async fn a_strangers_key_does_not_make_the_next_rotation_a_refusal() {
    let (house, endpoint) = house().await;
    ready(&house, &endpoint).await;
    assert_eq!(ask(&house, "k1").await.status, 200);
    let before = endpoint.asked();

    let stranger = ask(&house, "made up").await;
    assert_eq!(stranger.status, 401);
    assert!(stranger.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(endpoint.asked(), before + 1, "fetched, and not there");

    endpoint.publish(&house, &["k1", "k2"]);
    for kid in ["k2", "made up too", "k2"] {
        let answer = ask(&house, kid).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (503, None), "{kid}");
        assert!(answer.header("retry-after").is_some(), "{kid}");
    }
    assert_eq!(ask(&house, "made up").await.status, 401, "absent at the last fetch");
    assert_eq!(ask(&house, "k1").await.status, 200);
    assert_eq!(endpoint.asked(), before + 1, "at most one fetch in 30 seconds");
    assert!(house.metric("keyproof_decisions_total", &["deny", "keys_unavailable"]).await >= 3.0);
}

#[tokio::test]
async fn a_new_key_while_the_endpoint_is_down_is_not_the_clients_fault() {
    let (house, endpoint) = house().await;
    ready(&house, &endpoint).await;
    endpoint.state.lock().unwrap().0 =
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_owned();
    for _ in 0..2 {
        let answer = ask(&house, "k2").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (503, None));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(ask(&house, "k1").await.status, 200);
}

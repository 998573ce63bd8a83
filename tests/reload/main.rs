//! What changes while the gateway runs: whole or not at all, and nobody loses a request by it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers are tests too"
)]

mod addresses;
mod admin;
mod certificates;
mod configuration;
mod denied;
mod files;
mod health;
mod hot_keys;
mod issuers;
mod keys;
mod terms;
mod tls;
mod upstreams;

use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use support::gateway::get;
use support::raw::Raw;

/// What is promised: in force within five seconds of a change. A test that waits longer has failed; none waits so long for luck.
const PROMISED: Duration = Duration::from_secs(5);

/// Waits for what must come by itself.
async fn by_itself<F: AsyncFnMut() -> bool>(mut holds: F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PROMISED, wait).await.expect("it is in force within five seconds");
}

/// `GET /orders` with this token and proof.
fn with(token: &str, proof: &str) -> String {
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
}

/// A port that is free now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What `GET` of this path is answered, if anybody listens.
async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let socket = tokio::net::TcpStream::connect(address).await.ok()?;
    let mut client = Raw::of(socket);
    client.try_send(get(path, &[])).await.ok()?;
    Some(client.answer().await?.status)
}

/// A key set with a key that nobody has.
fn other_key() -> String {
    key_as_one(&PrivateKey::generate(Algorithm::Es256).unwrap())
}

/// A key set with this key, which it calls `one`.
fn key_as_one(key: &PrivateKey) -> String {
    let mut jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
    jwk["kid"] = json!("one");
    json!({ "keys": [jwk] }).to_string()
}

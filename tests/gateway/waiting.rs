//! What is waited for, and what time it is afterwards.
//!
//! A request that waits for its issuer's keys is judged by the time after the wait. It was judged by the time of its arrival once: a token
//! that had ended meanwhile was forwarded, and a proof could pass that a shared store had already forgotten.

use keyproof::clock::Clock;
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use support::gateway::{House, NOW, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// A key endpoint of the issuer `https://slow.test`. It has an old key at first; whoever asks again gets what was published, after a while.
struct SlowKeys {
    issuers: String,
    clock: Arc<OnceLock<Clock>>,
    keys: watch::Sender<String>,
}

impl SlowKeys {
    /// An endpoint whose second answer takes this long by the gateway's clock.
    async fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let clock = Arc::new(OnceLock::<Clock>::new());
        let old = PrivateKey::generate(Algorithm::Es256).unwrap();
        let (keys, published) = watch::channel(set(&old, "old"));
        let slow = Arc::clone(&clock);
        TaskTracker::new().spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _read = socket.read(&mut head).await;
                if let Some(clock) = slow.get() {
                    clock.set(clock.now().saturating_add(takes));
                }
                let body = published.borrow().clone();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _written = socket.write_all(answer.as_bytes()).await;
            }
        });
        let issuers = format!(
            r#"  - {{ name: slow, issuer: "https://slow.test", audiences: ["https://api.test"], jwks_uri: "{url}" }}"#
        );
        Self { issuers, clock, keys }
    }

    /// From now on the endpoint has the house's key, and each answer takes its time.
    fn publish(&self, house: &House) {
        self.keys.send(set(&house.issuer, "new")).unwrap();
        self.clock.set(house.clock.clone()).unwrap();
    }
}

/// A JWK Set with this one key.
fn set(key: &PrivateKey, kid: &str) -> String {
    let mut key: Value = serde_json::from_str(&key.public_jwk()).unwrap();
    key["kid"] = json!(kid);
    json!({ "keys": [key] }).to_string()
}

#[tokio::test]
async fn time_is_read_again_after_a_wait_for_keys() {
    let cases = [
        ("nothing ends meanwhile", 20, 300, 200, "verified"),
        ("the token ends meanwhile", 20, 5, 401, "token_expired"),
        ("the proof's time ends meanwhile", 61, 300, 401, "proof_iat_stale"),
    ];
    for (case, takes, token_ends, status, reason) in cases {
        let slow = SlowKeys::start(Duration::from_secs(takes)).await;
        let routes = "  - { name: orders, match: { path: /orders }, upstream: legacy }";
        let house = House::with_issuers(routes, &slow.issuers, "").await;
        // The old key must have come, or the issuer would count as one that cannot be asked.
        while house.admin_page("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
        slow.publish(&house);
        let claims = json!({ "iss": "https://slow.test", "exp": NOW.as_secs() + token_ends });
        let token = house.token_with(json!({ "kid": "new" }), claims);
        let proof = house.proof(&token, json!({}));
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
        let answer = house.send(&request).await;
        assert_eq!(answer.status, status, "{case}: {}", answer.text());
        let label = format!("reason=\"{reason}\"");
        assert!(house.metric("keyproof_decisions_total", &[&label]).await > 0.0, "{case}: no {reason}");
        let forwarded = house.metric("keyproof_upstream_duration_seconds_count", &[]).await;
        assert_eq!(forwarded > 0.0, status == 200, "{case}");
    }
}

//! A process that is stopped for longer than a proof can be used, and goes on.

use crate::stranger::{Stranger, get, now, upstream};
use serde_json::json;
use std::time::Duration;
use support::raw::Raw;

const WINDOW: &str = "dpop: { max_age: 1s, leeway: 1s }";

/// `GET /orders` with a proof made now, with this nonce.
fn request(stranger: &Stranger, nonce: Option<&str>) -> String {
    let token = stranger.token(json!({}));
    let changes = nonce.map_or_else(|| json!({}), |nonce| json!({ "nonce": nonce }));
    let proof = stranger.proof(&token, changes);
    get("/orders", &[("Authorization", &format!("DPoP {token}")), ("DPoP", &proof)])
}

/// Follows challenges until it is through: with which nonce, and what was sent at last.
async fn follow(stranger: &Stranger, mut nonce: Option<String>) -> (Option<String>, String) {
    // One for the start; others where the window of two seconds ends while the machine is busy.
    for _ in 0..10 {
        let sent = request(stranger, nonce.as_deref());
        let answer = stranger.send(&sent).await;
        if answer.status == 200 {
            return (nonce, sent);
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
        nonce = answer.header("dpop-nonce").map(str::to_owned).or(nonce);
    }
    panic!("refused again and again");
}

/// What comes while it is stopped lies in the kernel until it goes on: the proof of a request that passed before, one that is too old by
/// then, and one that is good.
#[tokio::test]
async fn a_process_that_was_stopped_takes_no_proof_twice_and_goes_on() {
    for (settings, routes) in [
        ("", ""),
        ("replay: { journal: journal }", ""),
        ("", "    nonce: required"),
        ("replay: { journal: journal }", "    nonce: required"),
    ] {
        let upstream = upstream().await;
        let stranger = Stranger::starts(upstream.address, &format!("{WINDOW}\n{settings}"), routes).await;
        let (nonce, used) = follow(&stranger, None).await;
        let before = upstream.seen().len();
        stranger.freeze().await;
        let stopped = now();
        let (mut replay, mut late) =
            (Raw::connect(stranger.gateway).await, Raw::connect(stranger.gateway).await);
        replay.send(&used).await;
        late.send(&request(&stranger, None)).await;
        while now() < stopped + 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut again = Raw::connect(stranger.gateway).await;
        again.send(&used).await;
        stranger.thaw();
        for mut connection in [replay, late, again] {
            assert_eq!(connection.answer().await.unwrap().status, 401, "{settings} {routes}");
        }
        assert_eq!(upstream.seen().len(), before, "{settings} {routes}");
        let (_, sent) = follow(&stranger, nonce).await;
        for old in [&used, &sent] {
            assert_eq!(stranger.send(old).await.status, 401, "{settings} {routes}");
        }
        assert_eq!(upstream.seen().len(), before + 1, "{settings} {routes}");
    }
}

//! The configuration as a whole: in force, or refused with a reason, and what a reload keeps and ends.

use super::{free, other_key, status, with};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use support::gateway::{House, NOW, get};
use support::raw::Raw;

pub(super) const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }
  - { name: open, match: { path: /open }, upstream: legacy, public: true }";

#[tokio::test]
async fn a_file_with_problems_leaves_what_runs_as_it_is_and_every_problem_is_told() {
    let house = House::with_routes(ROUTES).await;
    let before = house.version().await["configuration"].clone();
    let why = house.refuses_to_reload_with("name: open,", "name: open, surprise: 1, another: 2,").await;
    assert!(why.contains("keyproof.yaml:") && why.contains("unknown key \"surprise\""), "{why}");
    assert!(why.contains("and one more problem"), "{why}");
    assert_eq!(status(house.gateway, "/open").await, Some(200));
    assert_eq!(house.good().await.status, 200);
    let version = house.version().await;
    assert_eq!(version["configuration"], before);
    assert_eq!(version["last_reload"]["result"], "rejected");
    assert_eq!(version["last_reload"]["why"], why);
    assert_eq!(house.metric("keyproof_config_reloads_total", &["rejected"]).await, 1.0);
    assert_eq!(house.metric("keyproof_config_last_reload_successful", &[]).await, 0.0);

    house.reload().await.unwrap();
    let version = house.version().await;
    assert_eq!(version["configuration"]["number"], 2);
    assert_eq!(version["configuration"]["sha256"], before["sha256"]);
    assert_eq!(version["last_reload"]["result"], "success");
    assert_eq!(house.metric("keyproof_config_last_reload_successful", &[]).await, 1.0);
}

#[tokio::test]
async fn a_used_proof_stays_used_and_a_nonce_and_the_counters_live_on() {
    let nonce = "  - { name: orders, match: { path: /orders }, upstream: legacy, nonce: required }";
    let house = House::with_routes(nonce).await;
    let token = house.token(json!({}));
    let challenge = house.send(with(&token, &house.proof(&token, json!({})))).await;
    let nonce = challenge.header("dpop-nonce").unwrap().to_owned();
    let used = with(&token, &house.proof(&token, json!({ "nonce": nonce })));
    assert_eq!(house.send(&used).await.status, 200);
    for _ in 0..3 {
        house.reload().await.unwrap();
        let again = house.send(&used).await;
        assert_eq!(again.status, 401);
        assert!(again.header("www-authenticate").unwrap().contains("was used before"), "{:?}", again.headers);
    }
    house.refuses_to_reload_with("routes:", "surprise: 1\nroutes:").await;
    assert_eq!(house.send(&used).await.status, 401);
    let fresh = with(&token, &house.proof(&token, json!({ "nonce": nonce })));
    assert_eq!(house.send(fresh).await.status, 200, "the mint's own secret is still the same");
    assert_eq!(house.metric("keyproof_requests_total", &["orders", "200"]).await, 2.0);
    assert_eq!(house.metric("keyproof_replay_entries", &[]).await, 2.0);
}

#[tokio::test]
async fn a_request_under_way_and_its_connection_go_on_and_what_begins_later_meets_what_runs_then() {
    let slow = support::upstream::ByHand::bind().await;
    let house = House::with_routes(ROUTES).await;
    let quick = format!("http://{}", house.upstream.address);
    house.reload_with(&quick, &format!("http://{}", slow.address())).await;
    let mut client = Raw::connect(house.gateway).await;
    client.send(get("/open", &[])).await;
    let mut connection = slow.accept().await;
    connection.request().await;
    house.edit(&format!("http://{}", slow.address()), &quick);
    house.reload_with("  - { name: open, match: { path: /open }, upstream: legacy, public: true }", "").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(client.answer().await.unwrap().text(), "hello");
    client.send(get("/open", &[])).await;
    assert_eq!(
        client.answer().await.unwrap().status,
        404,
        "the route is gone for what begins after the swap"
    );
    let token = house.token(json!({}));
    client.send(with(&token, &house.proof(&token, json!({})))).await;
    assert_eq!(client.answer().await.unwrap().status, 200, "and the upstream is the new one");
    assert!(connection.closes().await, "the connection to a server that is gone");
}

#[tokio::test]
async fn trust_that_was_taken_from_a_listener_ends_with_the_next_request_on_open_connections() {
    let house = House::with_routes(ROUTES).await;
    let listener = "name: public, address: \"127.0.0.1:0\" }";
    let trusting = "name: public, address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1] }";
    house.reload_with(listener, trusting).await;
    let mut client = Raw::connect(house.gateway).await;
    let request = get("/open", &[("x-forwarded-for", "192.0.2.7")]);
    client.send(&request).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(house.log.line_of(&answer).await["client"], "192.0.2.7");
    house.reload_with(trusting, listener).await;
    client.send(&request).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(house.log.line_of(&answer).await["client"], "127.0.0.1");
}

#[tokio::test]
async fn listeners_come_and_go_and_one_that_cannot_be_bound_rejects_the_reload() {
    let house = House::with_routes(ROUTES).await;
    let one = "  - { name: public, address: \"127.0.0.1:0\" }\n";
    let (second, taken) = (free(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let and =
        |name: &str, address: SocketAddr| format!("{one}  - {{ name: {name}, address: \"{address}\" }}\n");

    let why = house.refuses_to_reload_with(one, &and("second", taken.local_addr().unwrap())).await;
    assert!(why.starts_with("listener second: cannot bind 127.0.0.1:"), "{why}");
    house.reload_with(one, &and("second", second)).await;
    assert_eq!(status(second, "/open").await, Some(200));
    assert_eq!(status(house.gateway, "/open").await, Some(200), "the same port 0 as before");

    // Another name at the same address: who has connected to the first one may have sent a request already.
    let mut waiting = Raw::connect(second).await;
    waiting.send(get("/open", &[])).await;
    assert_eq!(waiting.answer().await.unwrap().status, 200);
    house.reload_with("name: second", "name: third").await;
    for _ in 0..20 {
        assert_eq!(status(second, "/open").await, Some(200));
    }
    waiting.send(get("/open", &[])).await;
    let last = waiting.answer().await.unwrap();
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close")),
        "an idle client may send one more"
    );
    super::by_itself(async || house.metric("keyproof_connections", &["second"]).await == 0.0).await;

    // One that comes back at once finds its address.
    house.reload_with(&and("third", second), one).await;
    house.reload_with(one, &and("third", second)).await;
    assert_eq!(status(second, "/open").await, Some(200));
    house.reload_with(&and("third", second), one).await;
    while status(second, "/open").await.is_some() {}
    assert_eq!(status(house.gateway, "/open").await, Some(200));
    let page = async || house.admin_page("/metrics").await.text();
    while page().await.contains("keyproof_connections{listener=\"third\"}") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_cannot_change_without_a_restart_is_a_problem_that_says_so() {
    let house = House::with(ROUTES, "replay: { store: memory }").await;
    let line = std::fs::read_to_string(house.configuration()).unwrap();
    let line = line.lines().position(|line| line.starts_with("replay:")).unwrap() + 1;
    let redis = "replay: { store: redis, redis: { url: \"redis://127.0.0.1:1/0\" } }";
    for (to, key, column) in [(redis, "store", 18), ("replay: { journal: state }", "journal", 20)] {
        let why = house.refuses_to_reload_with("replay: { store: memory }", to).await;
        let expected = format!(
            "keyproof.yaml:{line}:{column}: replay.{key}: replay.{key} cannot change without a restart; put back what runs, or restart the gateway"
        );
        assert!(why.ends_with(&expected), "{why}");
    }
}

/// What was remembered for shorter than it is acceptable now proves nothing by being unknown.
#[tokio::test]
async fn a_longer_window_or_another_nonce_policy_challenges_older_proofs_once() {
    let policy = "upstream: legacy, nonce: required }";
    for (from, to) in [
        ("dpop: { max_age: 60s }", "dpop: { max_age: 90s }"),
        ("dpop: { max_age: 60s }", "dpop: { max_age: 60s, leeway: 20s }"),
        ("dpop: { max_age: 60s }", "dpop: { max_age: 60s, nonce: { lifetime: 3m } }"),
        ("path: /orders }, upstream: legacy }", &format!("path: /orders }}, {policy}")),
    ] {
        let house = House::with(ROUTES, "dpop: { max_age: 60s }").await;
        let token = house.token(json!({}));
        let used = with(&token, &house.proof(&token, json!({})));
        assert_eq!(house.send(&used).await.status, 200);
        house.reload_with(from, to).await;
        assert_eq!(house.send(&used).await.status, 401, "{to}");
        let older = with(&token, &house.proof(&token, json!({})));
        let challenge = house.send(older).await;
        let asks = challenge.header("www-authenticate").unwrap();
        assert!(asks.contains("use_dpop_nonce"), "{to}: {asks}");
        let nonce = challenge.header("dpop-nonce").unwrap();
        let answer = house.send(with(&token, &house.proof(&token, json!({ "nonce": nonce })))).await;
        assert_eq!(answer.status, 200, "{to}");
        assert_eq!(house.admin_page("/readyz").await.status, 200, "{to}");
        house.clock.set(NOW.saturating_add(Duration::from_secs(40)));
        let later = json!({ "iat": NOW.as_secs() + 40 });
        let answer = house.send(with(&token, &house.proof(&token, later))).await;
        assert_eq!(answer.status == 200, !to.contains("required"), "{to}: from after the reload");
    }
    for (from, to) in
        [("max_age: 60s", "max_age: 50s"), ("name: orders", "name: others"), ("path: /open", "path: /opened")]
    {
        let house = House::with(ROUTES, "dpop: { max_age: 60s }").await;
        let token = house.token(json!({}));
        house.reload_with(from, to).await;
        let older = with(&token, &house.proof(&token, json!({})));
        assert_eq!(house.send(older).await.status, 200, "{to}");
    }
}

#[tokio::test]
async fn a_configuration_file_that_is_watched_is_read_again_by_itself_and_another_is_not() {
    let house = House::with(ROUTES, "watch: true").await;
    house.edit("path: /open", "path: /opened");
    super::by_itself(async || status(house.gateway, "/opened").await == Some(200)).await;
    house.edit("path: /opened", "path: opened");
    super::by_itself(async || house.version().await["last_reload"]["result"] == "rejected").await;
    assert_eq!(status(house.gateway, "/opened").await, Some(200));
    house.edit("watch: true", "watch: false");
    house.edit("path: opened", "path: /again");
    super::by_itself(async || status(house.gateway, "/again").await == Some(200)).await;

    // Now nobody looks at it any more, also where another file changes.
    house.edit("path: /again", "path: /never");
    std::fs::write(house.folder().join("jwks.json"), other_key()).unwrap();
    super::by_itself(async || house.good().await.status == 401).await;
    assert_eq!(status(house.gateway, "/never").await, Some(404));
}

/// What a stop may take, and for how long it is put off, is what the last reload said.
#[tokio::test]
async fn a_stop_goes_by_the_limits_that_are_in_force_then() {
    let slow = support::upstream::ByHand::bind().await;
    let house = House::with_routes(ROUTES).await;
    let quick = format!("http://{}", house.upstream.address);
    house.reload_with(&quick, &format!("http://{}", slow.address())).await;
    let mut client = Raw::connect(house.gateway).await;
    client.send(get("/open", &[])).await;
    slow.accept().await.request().await;
    house.reload_with("routes:", "limits: { drain_delay: 3s, drain_timeout: 20ms }\nroutes:").await;
    let (gateway, admin) = (house.gateway, house.admin);
    let stopped = async { tokio::time::timeout(Duration::from_secs(15), house.stopped()).await };
    let meanwhile = async {
        let ready = async || {
            let mut client = Raw::connect(admin).await;
            client.send("GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            client.answer().await.unwrap()
        };
        while ready().await.status != 503 {}
        assert!(ready().await.text().contains("draining"));
        assert_eq!(status(gateway, "/nowhere").await, Some(404), "it still takes connections");
    };
    let (drained, ()) = tokio::join!(stopped, meanwhile);
    assert_eq!(drained.expect("not the 30 s of before"), keyproof::server::Drained::Aborted(1));
}

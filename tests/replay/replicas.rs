//! Two gateways, one Redis: what one has seen the other refuses, whatever becomes of the server between them.

use crate::server::{Server, installed};
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use support::gateway::{HOST, House, get, proof, run};
use support::h2;
use support::raw::{Answer, Raw};

const ORDERS: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

/// A gateway whose replay store is this server, and another one beside it with the same configuration.
async fn replicas(redis: &Server, tls: bool) -> (House, SocketAddr, impl Sized + use<>) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "a secret that both replicas have, of enough length").unwrap();
    let settings = format!(
        "replay: {{ store: redis, redis: {{ url: \"{}\", timeout: 2s }} }}\ndpop: {{ leeway: 0s, nonce: {{ secret_file: {} }} }}",
        redis.url(),
        secret.path().display()
    );
    let house = House::present(ORDERS, &settings, tls).await;
    let (other, _, stop, running) = run(&house.configuration(), &house.clock).await;
    past_the_beginning().await;
    (house, other, (stop, running, secret))
}

/// A gateway whose replay store is at this URL.
pub(crate) async fn gateway(url: &str) -> House {
    let settings = format!(
        "dpop: {{ leeway: 0s }}\nreplay: {{ store: redis, redis: {{ url: \"{url}\", timeout: 2s }} }}"
    );
    let house = House::present(ORDERS, &settings, false).await;
    past_the_beginning().await;
    house
}

/// An epoch begins 5.5 s ahead by the clock of Redis, which nobody moves; from then on, and a second later where there is no leeway, no proof
/// needs a nonce.
pub(crate) async fn past_the_beginning() {
    tokio::time::sleep(Duration::from_secs(7)).await;
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came");
}

pub(crate) async fn ask(gateway: SocketAddr, request: &str) -> Answer {
    let mut connection = Raw::connect(gateway).await;
    connection.send(request).await;
    connection.answer().await.unwrap()
}

/// A request that is good once, with this nonce.
pub(crate) fn fresh(house: &House, nonce: Option<&str>) -> String {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "nonce": nonce }));
    get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
}

/// Rounds of copies of one request: few here, a thousand with `KEYPROOF_ROUNDS=1000`.
fn rounds() -> usize {
    std::env::var("KEYPROOF_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_identical_requests_exactly_one_passes() {
    let house = House::with_routes(ORDERS).await;
    copies_over_http1(&house, &[house.gateway], 0).await;
    let house = House::with_tls(ORDERS, "").await;
    copies_over_http2(&house, &[house.gateway], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_identical_requests_to_two_replicas_exactly_one_passes() {
    if !installed() {
        return;
    }
    let redis = Server::start(&[]);
    let (house, other, _others) = replicas(&redis, false).await;
    copies_over_http1(&house, &[house.gateway, other], 0).await;
    let (house, other, _others) = replicas(&redis, true).await;
    copies_over_http2(&house, &[house.gateway, other], 0).await;
}

async fn copies_over_http1(house: &House, gateways: &[SocketAddr], mut passed: usize) {
    for copies in [64, 256] {
        let mut connections = Vec::new();
        for gateway in gateways.iter().cycle().take(copies) {
            connections.push(Raw::connect(*gateway).await);
        }
        for _ in 0..rounds() {
            let request = fresh(house, None);
            let mut answers = tokio::task::JoinSet::new();
            for mut connection in connections.drain(..) {
                let request = request.clone();
                answers.spawn(async move {
                    connection.send(&request).await;
                    let status = connection.answer().await.unwrap().status;
                    (connection, status)
                });
            }
            let (kept, statuses): (Vec<_>, Vec<_>) = answers.join_all().await.into_iter().unzip();
            connections = kept;
            passed += 1;
            judge(house, &statuses, passed);
        }
    }
}

async fn copies_over_http2(house: &House, gateways: &[SocketAddr], mut passed: usize) {
    for copies in [64, 256] {
        // A connection has room for a hundred streams.
        let mut connections = Vec::new();
        for gateway in gateways.iter().cycle().take(4) {
            connections.push(h2::connect(*gateway, HOST, house.certificate.clone()).await);
        }
        for _ in 0..rounds() {
            let token = house.token(json!({}));
            let proof = house.proof(&token, json!({}));
            let mut answers = tokio::task::JoinSet::new();
            for number in 0..copies {
                let mut connection = connections[number % connections.len()].clone();
                let request = http::Request::get(format!("https://{HOST}/orders"))
                    .header("authorization", format!("DPoP {token}"))
                    .header("dpop", &proof)
                    .body(http_body_util::Empty::new())
                    .unwrap();
                answers.spawn(async move {
                    connection.ready().await.unwrap();
                    connection.send_request(request).await.unwrap().status().as_u16()
                });
            }
            passed += 1;
            judge(house, &answers.join_all().await, passed);
        }
    }
}

fn judge(house: &House, statuses: &[u16], passed: usize) {
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
    assert_eq!(house.upstream.seen().len(), passed);
}

/// Whoever captured a request finds it refused at the other replica too, after the server has lost everything; an honest client passes with one
/// challenge, and a nonce of one replica is good at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_has_lost_is_refused_by_both_until_a_nonce_proves_it_new() {
    if !installed() {
        return;
    }
    let redis = Server::start(&[]);
    let (house, other, _others) = replicas(&redis, false).await;
    let captured = fresh(&house, None);
    assert_eq!(ask(house.gateway, &captured).await.status, 200);
    assert_eq!(ask(other, &captured).await.status, 401);
    redis.ask("FLUSHALL");

    let mut nonce = None;
    for gateway in [other, house.gateway] {
        // While the loss is being noticed the answer may be that the store cannot be asked; never that the proof is fresh.
        let answer = until_it_can_be_asked(gateway, &captured).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
        nonce = answer.header("dpop-nonce").map(str::to_owned).or(nonce);
    }
    assert_eq!(house.upstream.seen().len(), 1);
    let nonce = nonce.expect("a challenge");
    for gateway in [house.gateway, other] {
        assert_eq!(
            ask(gateway, &fresh(&house, Some(&nonce))).await.status,
            200,
            "an honest client's second try"
        );
    }
    past_the_beginning().await;
    assert_eq!(ask(other, &fresh(&house, None)).await.status, 200, "later nobody is challenged");
}

pub(crate) async fn until_it_can_be_asked(gateway: SocketAddr, request: &str) -> Answer {
    for _ in 0..200 {
        let answer = ask(gateway, request).await;
        if answer.status != 503 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store was never asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_passes_and_nothing_is_the_clients_fault() {
    if !installed() {
        return;
    }
    let mut redis = Server::start(&[]);
    let (house, other, _others) = replicas(&redis, false).await;
    redis.kill();
    for gateway in [house.gateway, other] {
        let answer = ask(gateway, &fresh(&house, None)).await;
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.text());
        assert!(answer.all("www-authenticate").is_empty());
    }
    assert_eq!(house.upstream.seen().len(), 0);
    let labels = ["decision=\"deny\"", "reason=\"replay_unavailable\""];
    assert_eq!(house.metric("keyproof_decisions_total", &labels).await, 1.0);
    assert_eq!(house.admin_page("/readyz").await.status, 503);
}

/// With a shared store too one subject with many keys is told so before the others are; each replica counts for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_subject_with_many_keys_cannot_crowd_out_the_others() {
    if !installed() {
        return;
    }
    let redis = Server::start(&[]);
    let settings = format!(
        "replay: {{ store: redis, per_subject_limit: 5, redis: {{ url: \"{}\", timeout: 2s }} }}",
        redis.url()
    );
    let house = House::present(ORDERS, &settings, false).await;
    let mut nonce = ask(house.gateway, &fresh(&house, None)).await.header("dpop-nonce").map(str::to_owned);
    let mut by = async |sub: &str| {
        let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
        let token =
            house.token(json!({ "sub": sub, "cnf": { "jkt": key.public().thumbprint().to_string() } }));
        let changes = json!({ "iat": house.clock.now().as_secs(), "nonce": nonce });
        let proof = proof(&key, json!({}), &token, changes);
        let request = get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
        let answer = ask(house.gateway, &request).await;
        nonce = answer.header("dpop-nonce").map(str::to_owned).or(nonce.take());
        (answer.status, answer.header("retry-after").is_some())
    };
    for n in 0..12 {
        assert_eq!(by("mallory").await, if n < 5 { (200, false) } else { (429, true) }, "{n}");
    }
    for n in 0..5 {
        assert_eq!(by("bob").await, (200, false), "{n}");
    }
}

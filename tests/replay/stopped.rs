//! A gateway that is stopped with requests in its hands, for longer than Redis remembers them, beside one that goes on.

use crate::replicas::{ask, fresh, past_the_beginning, until, until_it_can_be_asked};
use crate::server::{Server, installed};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;
use support::gateway::{House, get};
use support::raw::Raw;

const ORDERS: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

/// The program, with the configuration of a gateway in this process.
struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    async fn beside(house: &House) -> Self {
        let log = house.folder().join("log");
        let words = std::fs::File::create(&log).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let process = Command::new(env!("CARGO_BIN_EXE_keyproof"))
            .args(["serve", "--config"])
            .arg(house.configuration())
            .stdout(words.try_clone().unwrap())
            .stderr(words)
            .spawn()
            .unwrap();
        // It ends with this, also where it never says where it listens.
        let mut gateway = Self { process, address: nowhere };
        gateway.address = until(async || {
            let log = std::fs::read_to_string(&log).unwrap();
            let line =
                log.lines().find(|line| line.contains(r#""message":"listening""#) && line.ends_with('}'))?;
            let line: Value = serde_json::from_str(line).unwrap();
            line["address"].as_str()?.parse().ok()
        })
        .await;
        gateway
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A request that says which it is, with a proof that is good once: what stands in a query no proof is about.
fn numbered(house: &House, number: usize) -> String {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({}));
    get(&format!("/orders?{number}"), &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
}

/// What it was doing when it was stopped it goes on with: its clock is later then, and the keys of the proofs that the other has taken are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_stopped_longer_than_redis_remembers_takes_nothing_twice() {
    if !installed() {
        return;
    }
    let redis = Server::start(&[]);
    let settings = format!(
        "replay: {{ store: redis, redis: {{ url: \"{}\", timeout: 2s }} }}\n\
         dpop: {{ max_age: 4s, leeway: 0s, nonce: {{ secret_file: secret }} }}",
        redis.url()
    );
    let house = House::present(ORDERS, &settings, false).await;
    let gateway = Gateway::beside(&house).await;
    past_the_beginning().await;

    let (mut waiting, mut elsewhere) = (Vec::new(), 0);
    for moment in 0..3 {
        let mut sent = Vec::new();
        for number in 0..60 {
            let connection = Raw::connect(gateway.address).await;
            sent.push((numbered(&house, moment * 100 + number), connection));
        }
        for (request, connection) in &mut sent {
            connection.send(&*request).await;
        }
        tokio::time::sleep(Duration::from_millis(4 * moment as u64)).await;
        gateway.signal(Signal::STOP);
        for (request, connection) in sent {
            elsewhere += usize::from(ask(house.gateway, &request).await.status == 200);
            waiting.push((request, connection));
        }
        if moment < 2 {
            gateway.signal(Signal::CONT);
        }
    }
    assert!(elsewhere > 0, "it was through with all of them");
    until_all_are_forgotten(&redis).await;
    gateway.signal(Signal::CONT);
    let mut here = 0;
    for (_, connection) in &mut waiting {
        // For some it took too long.
        here += usize::from(connection.answer().await.is_some_and(|answer| answer.status == 200));
    }
    println!("{here} passed at the one that was stopped, {elsewhere} at the other");
    for (request, _) in &waiting {
        assert_eq!(until_it_can_be_asked(gateway.address, request).await.status, 401);
    }
    let mut passed: Vec<_> = house.upstream.seen().into_iter().map(|seen| seen.line).collect();
    let all = passed.len();
    passed.sort_unstable();
    passed.dedup();
    assert_eq!(passed.len(), all, "somebody passed twice");
    honest_clients_pass(&house, gateway.address).await;
}

async fn until_all_are_forgotten(redis: &Server) {
    for _ in 0..600 {
        // Redis tells those that have expired from those that live only where it is asked for them.
        if redis.ask("KEYS kp:*").lines().all(|line| !line.starts_with("kp:")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("keys that never expire");
}

async fn honest_clients_pass(house: &House, gateway: SocketAddr) {
    // It connects to Redis anew: answers that lay there for so long look like a clock that has jumped.
    until(async || (ask(gateway, &fresh(house, None)).await.status != 503).then_some(())).await;
    let mut nonce = None;
    for _ in 0..3 {
        let answer = ask(gateway, &fresh(house, nonce.as_deref())).await;
        if answer.status == 200 {
            return;
        }
        nonce = answer.header("dpop-nonce").map(str::to_owned).or(nonce);
    }
    panic!("three tries were not enough");
}

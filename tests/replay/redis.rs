//! The store in Redis, against real servers that are stopped, flushed, replaced and misconfigured.

use crate::server::{Server, installed};
use keyproof::clock::{Clock, Stopwatch, UnixTime};
use keyproof::jose::Thumbprint;
use keyproof::replay::{OnStart, Outcome, RedisPlan, ReplayKey, ReplayPlan, Settings, Store};
use std::sync::Arc;
use std::time::Duration;

const CLOCK: Clock = Clock::system();
const LIFE: Duration = Duration::from_secs(60);

struct Options {
    timeout: Duration,
    accept: bool,
}

impl Default for Options {
    fn default() -> Self {
        // Machines that test are slow at times.
        Self { timeout: Duration::from_secs(2), accept: false }
    }
}

async fn open(urls: &[String], options: Options) -> Store {
    let redis =
        RedisPlan { urls: urls.to_vec(), timeout: options.timeout, accept_on_failure: options.accept };
    let plan = ReplayPlan {
        capacity: 1000,
        per_key_limit: 1000,
        on_start: OnStart::Challenge,
        journal: None,
        redis: Some(redis),
    };
    let settings = Settings { plan: &plan, retention: Duration::from_secs(70), terms: &[LIFE] };
    Store::open(&settings, &CLOCK).await.unwrap()
}

async fn connected(server: &Server) -> Store {
    let store = open(&[server.url()], Options::default()).await;
    assert!(store.is_ready());
    store
}

fn key(store: &Store, jti: &str) -> ReplayKey {
    store.key(&Thumbprint::new([7; 32]), jti)
}

/// A proof with this `jti`, made now.
async fn spend(store: &Store, jti: &str) -> Outcome {
    let now = CLOCK.now();
    store.check_and_insert(key(store, jti), now.saturating_add(LIFE), now).await
}

/// The same as the gateway does it: a proof that was first acceptable `first_use`.
async fn spend_since(store: &Store, jti: &str, first_use: UnixTime) -> Outcome {
    let now = CLOCK.now();
    store.check_and_insert_since(key(store, jti), first_use, now.saturating_add(LIFE), now).await
}

/// Tends until the store is ready again.
async fn recover(store: &Store) {
    let watch = Stopwatch::start();
    while !store.is_ready() {
        store.tend(CLOCK.now()).await;
        assert!(watch.elapsed() < Duration::from_secs(30), "it never came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn two_replicas_share_what_was_used() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    assert_eq!(key(&one, "a"), key(&two, "a"));
    assert_eq!(one.complete_since(), two.complete_since(), "the moment is Redis's, not a replica's");
    assert_eq!(spend(&one, "a").await, Outcome::Fresh);
    assert_eq!(spend(&two, "a").await, Outcome::Replayed);
    assert_eq!(spend(&two, "b").await, Outcome::Fresh);
    assert_eq!(spend(&one, "b").await, Outcome::Replayed);
    one.tend(CLOCK.now()).await;
    assert!(one.is_ready() && one.len() >= 2);
}

#[tokio::test]
async fn a_key_outlives_its_proof_by_the_difference_of_the_clocks() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let store = connected(&server).await;
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    let keys = server.ask("KEYS kp:*");
    let ttl: u64 = server
        .ask(&format!("PTTL {}", keys.lines().last().unwrap()))
        .trim_start_matches(':')
        .parse()
        .unwrap();
    assert!((65_000..=67_000).contains(&ttl), "{ttl}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_on_two_replicas_exactly_one_is_fresh() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let stores = [Arc::new(connected(&server).await), Arc::new(connected(&server).await)];
    let rounds = std::env::var("KEYPROOF_REPLAY_ROUNDS").map_or(60, |text| text.parse().unwrap());
    for copies in [64, 256] {
        for round in 0..rounds {
            let jti = format!("{copies} {round}");
            let mut tasks = tokio::task::JoinSet::new();
            for copy in 0..copies {
                let (store, jti) = (Arc::clone(&stores[copy % 2]), jti.clone());
                tasks.spawn(async move { spend(&store, &jti).await });
            }
            let outcomes = tasks.join_all().await;
            let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
            assert_eq!((count(Outcome::Fresh), count(Outcome::Replayed)), (1, copies - 1), "round {round}");
        }
    }
}

#[tokio::test]
async fn a_policy_that_evicts_is_refused() {
    if !installed() {
        return;
    }
    let server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let store = open(&[server.url()], Options::default()).await;
    assert!(!store.is_ready());
    assert_eq!(spend(&store, "a").await, Outcome::Unavailable);
    server.ask("CONFIG SET maxmemory-policy noeviction");
    recover(&store).await;
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    server.ask("CONFIG SET maxmemory-policy volatile-ttl");
    store.tend(CLOCK.now()).await;
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable, "changed while it ran");
}

#[tokio::test]
async fn full_is_full() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let store = connected(&server).await;
    server.ask("CONFIG SET maxmemory 1mb");
    assert_eq!(spend(&store, "a").await, Outcome::Full);
    server.ask("CONFIG SET maxmemory 0");
    assert_eq!(spend(&store, "a").await, Outcome::Fresh, "the refused proof was not used up");
}

#[tokio::test]
async fn a_restart_without_persistence_is_noticed() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    let before = CLOCK.now();
    assert_eq!(spend(&one, "a").await, Outcome::Fresh);
    server.kill();
    assert_eq!(spend(&one, "b").await, Outcome::Unavailable);
    server.restart();
    for store in [&one, &two] {
        assert_ne!(spend(store, "a").await, Outcome::Fresh, "before anybody looked");
        recover(store).await;
        assert!(store.complete_since() > before);
        assert_eq!(spend_since(store, "a", before).await, Outcome::Forgotten);
    }
    assert_eq!(one.complete_since(), two.complete_since());
    assert_eq!(spend_since(&one, "c", one.complete_since()).await, Outcome::Fresh);
}

#[tokio::test]
async fn a_restart_with_an_old_snapshot_is_noticed() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let store = connected(&server).await;
    server.ask("SAVE");
    let before = CLOCK.now();
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    server.restart();
    assert!(server.ask("KEYS keyproof:replay:epoch*").contains("epoch"), "the old epoch is in the snapshot");
    assert_ne!(spend(&store, "a").await, Outcome::Fresh);
    recover(&store).await;
    assert!(store.complete_since() > before);
}

#[tokio::test]
async fn a_flush_is_noticed_by_the_next_request() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    let before = CLOCK.now();
    assert_eq!(spend(&one, "a").await, Outcome::Fresh);
    server.ask("FLUSHALL");
    assert_eq!(spend(&one, "a").await, Outcome::Forgotten);
    assert_eq!(spend(&one, "b").await, Outcome::Unavailable, "until it has been looked at");
    recover(&one).await;
    // The other has not noticed: its epoch is gone, and one's is not its own.
    assert_eq!(spend(&two, "c").await, Outcome::Forgotten);
    recover(&two).await;
    assert_eq!(one.complete_since(), two.complete_since());
    assert!(one.complete_since() > before);
    assert_eq!(key(&one, "d"), key(&two, "d"));
    assert_eq!(spend_since(&two, "e", before).await, Outcome::Forgotten);
}

#[tokio::test]
async fn a_server_that_hangs_is_refused_in_time_and_comes_back() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let options = Options { timeout: Duration::from_millis(100), ..Options::default() };
    let store = open(&[server.url()], options).await;
    let since = store.complete_since();
    server.signal("STOP");
    let watch = Stopwatch::start();
    for round in 0..20 {
        assert_eq!(spend(&store, &format!("{round}")).await, Outcome::Unavailable);
    }
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    assert!(!store.is_ready(), "after many, the connection is given up");
    server.signal("CONT");
    recover(&store).await;
    // A lost answer may have used the proof up; the store does not say otherwise.
    assert_eq!(spend(&store, "new").await, Outcome::Fresh);
    assert_eq!(store.complete_since(), since, "nothing was lost");
}

#[tokio::test]
async fn accept_is_loud() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let store = open(&[server.url()], Options { accept: true, ..Options::default() }).await;
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    assert_eq!(spend(&store, "a").await, Outcome::Replayed);
    assert_eq!(store.accepted_unchecked(), 0);
    server.kill();
    for _ in 0..3 {
        assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    }
    assert_eq!(store.accepted_unchecked(), 3);
}

#[tokio::test]
async fn a_promoted_replica_begins_anew() {
    if !installed() {
        return;
    }
    let mut primary = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    replica.wait_until("INFO replication", "master_link_status:up");
    let configuration = format!(
        "sentinel monitor replay 127.0.0.1 {} 1\nsentinel down-after-milliseconds replay 500\n\
         sentinel failover-timeout replay 3000\n",
        primary.port
    );
    let sentinel = Server::run("redis-sentinel", &[], &configuration);
    sentinel.wait_until("SENTINEL replicas replay", &replica.port.to_string());
    let url = format!("redis+sentinel://127.0.0.1:{}/replay", sentinel.port);
    let store = open(&[url], Options::default()).await;
    assert!(store.is_ready());
    let since = store.complete_since();
    let before = CLOCK.now();
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    primary.kill();
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    replica.wait_until("INFO replication", "role:master");
    assert_ne!(spend(&store, "a").await, Outcome::Fresh);
    recover(&store).await;
    assert!(store.complete_since() > since);
    assert!(store.complete_since() > before);
    assert_eq!(spend_since(&store, "c", before).await, Outcome::Forgotten);
    assert_eq!(spend_since(&store, "d", store.complete_since()).await, Outcome::Fresh);
}

/// The same process, the same connection, another history: only the replication id tells.
#[tokio::test]
async fn a_primary_that_was_a_replica_meanwhile_is_noticed() {
    if !installed() {
        return;
    }
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let store = connected(&server).await;
    let before = CLOCK.now();
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    server.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port));
    server.wait_until("INFO replication", "master_link_status:up");
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    server.ask("REPLICAOF NO ONE");
    recover(&store).await;
    assert!(store.complete_since() > before);
}

fn cluster() -> Vec<Server> {
    let nodes: Vec<Server> = (0..3).map(|_| Server::start(&["--cluster-enabled", "yes"])).collect();
    for (node, range) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        node.ask(&format!("CLUSTER ADDSLOTSRANGE {range}"));
        node.ask(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port));
    }
    for node in &nodes {
        node.wait_until("CLUSTER INFO", "cluster_state:ok");
        node.wait_until("CLUSTER INFO", "cluster_known_nodes:3");
    }
    nodes
}

#[tokio::test]
async fn a_cluster_has_an_epoch_for_each_primary() {
    if !installed() {
        return;
    }
    let nodes = cluster();
    let urls: Vec<String> = nodes.iter().map(Server::url).collect();
    let (one, two) = (open(&urls, Options::default()).await, open(&urls[1..], Options::default()).await);
    assert!(one.is_ready() && two.is_ready());
    for n in 0..60 {
        assert_eq!(spend(&one, &format!("{n}")).await, Outcome::Fresh);
        assert_eq!(spend(&two, &format!("{n}")).await, Outcome::Replayed);
    }
    for node in &nodes {
        assert!(node.ask("KEYS kp:*").lines().count() > 10, "every node has a share");
    }
    let before = CLOCK.now();
    nodes[2].ask("FLUSHALL");
    let mut outcomes = Vec::new();
    for n in 0..60 {
        outcomes.push(spend(&one, &format!("{n}")).await);
    }
    assert!(!outcomes.contains(&Outcome::Fresh));
    assert!(outcomes.contains(&Outcome::Forgotten));
    recover(&one).await;
    assert!(one.complete_since() > before);
}

#[tokio::test]
async fn a_slot_that_moves_is_noticed() {
    if !installed() {
        return;
    }
    let nodes = cluster();
    let store = open(&[nodes[0].url()], Options::default()).await;
    let since = store.complete_since();
    let other = nodes[1].ask("CLUSTER MYID").lines().last().unwrap().to_owned();
    for node in &nodes {
        node.ask(&format!("CLUSTER SETSLOT 0 NODE {other}"));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.tend(CLOCK.now()).await;
    recover(&store).await;
    assert!(store.complete_since() > since, "what the other node lost before may concern this slot");
    for n in 0..60 {
        assert_eq!(spend(&store, &format!("{n}")).await, Outcome::Fresh);
    }
}

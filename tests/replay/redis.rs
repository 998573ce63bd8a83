//! The store in Redis, against real servers that are stopped, flushed, replaced and misconfigured.

use crate::log::Log;
use crate::server::{Server, installed};
use keyproof::clock::{Clock, Moment, Stopwatch, UnixTime};
use keyproof::jose::Thumbprint;
use keyproof::replay::{
    FirstUse, OnStart, Outcome, RedisPlan, RedisServers, ReplayKey, ReplayPlan, Settings, Store,
};
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CLOCK: Clock = Clock::system();
const LIFE: Duration = Duration::from_secs(60);

pub(crate) struct Options {
    timeout: Duration,
    accept: bool,
}

impl Default for Options {
    fn default() -> Self {
        // Machines that test are slow at times.
        Self { timeout: Duration::from_secs(2), accept: false }
    }
}

pub(crate) async fn open(urls: &[String], options: Options) -> Store {
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    open_at(RedisServers::parse(&urls, None).unwrap(), options).await
}

pub(crate) async fn open_at(servers: RedisServers, options: Options) -> Store {
    open_by(servers, options, &CLOCK).await
}

async fn open_by(servers: RedisServers, options: Options, clock: &Clock) -> Store {
    let plan = plan(servers, &options);
    Store::open(&under(&plan, &[LIFE]), clock).await.unwrap()
}

fn plan(servers: RedisServers, options: &Options) -> ReplayPlan {
    let redis = RedisPlan {
        servers,
        timeout: options.timeout,
        accept_on_failure: options.accept,
        assume_noeviction: false,
    };
    ReplayPlan {
        capacity: 1000,
        per_key_limit: 1000,
        per_subject_limit: 100_000_000,
        on_start: OnStart::Challenge,
        journal: None,
        redis: Some(redis),
    }
}

fn under<'a>(plan: &'a ReplayPlan, terms: &'a [Duration]) -> Settings<'a> {
    Settings { plan, retention: Duration::from_secs(70), terms }
}

async fn connected(server: &Server) -> Store {
    let store = open(&[server.url()], Options::default()).await;
    assert!(store.is_ready());
    store
}

pub(crate) fn key(store: &Store, jti: &str) -> ReplayKey {
    store.key(&Thumbprint::new([7; 32]), jti)
}

/// A proof with this `jti`, made now.
pub(crate) async fn spend(store: &Store, jti: &str) -> Outcome {
    let now = CLOCK.now();
    store.check_and_insert(key(store, jti), now.saturating_add(LIFE), now).await
}

async fn spend_at(store: &Store, jti: &str, now: Moment) -> Outcome {
    store.check_and_insert(key(store, jti), now.wall.saturating_add(LIFE), now).await
}

/// The same as the gateway does it: a proof that was first acceptable `first_use`.
pub(crate) async fn spend_since(store: &Store, jti: &str, first_use: UnixTime) -> Outcome {
    let now = CLOCK.now();
    store.check_and_insert_since(key(store, jti), first_use, now.saturating_add(LIFE), now).await
}

/// Tends until the store is ready again.
pub(crate) async fn recover(store: &Store) {
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
    assert!((65_000..=67_100).contains(&ttl), "{ttl}");
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
    let since = one.complete_since();
    assert_eq!(spend(&one, "a").await, Outcome::Fresh);
    server.kill();
    assert_eq!(spend(&one, "b").await, Outcome::Unavailable);
    server.restart();
    for store in [&one, &two] {
        assert_ne!(spend(store, "a").await, Outcome::Fresh, "before anybody looked");
        recover(store).await;
        assert!(store.complete_since() > since);
        assert_eq!(spend_since(store, "a", since).await, Outcome::Forgotten);
    }
    assert_eq!(one.complete_since(), two.complete_since());
    assert_eq!(spend_since(&one, "c", one.complete_since()).await, Outcome::Fresh);
}

/// One replica an hour ahead began the epoch, and the right ones refused everybody for an hour, also when it was gone; one half a minute behind
/// noticed a loss first, and 60 of 60 proofs passed again at the right one.
#[tokio::test]
async fn a_replica_with_a_wrong_clock_takes_nothing_and_decides_nothing() {
    if !installed() {
        return;
    }
    for seconds in [-86_400, -3600, -30, -7, 7, 30, 3600, 86_400] {
        let server = Server::start(&[]);
        let off = || UnixTime::from_millis(CLOCK.now().as_millis() + seconds * 1000);
        let servers = RedisServers::parse(&[&server.url()], None).unwrap();
        let wrong = open_by(servers, Options::default(), &Clock::manual(off())).await;
        let why = wrong.trouble().unwrap();
        assert!(why.contains("the clock of this machine is"), "{seconds}: {why}");
        assert_eq!(server.ask("KEYS keyproof:replay:epoch:*").lines().count(), 0, "it begins no epoch");
        let used = wrong.check_and_insert(key(&wrong, "a"), off().saturating_add(LIFE), off()).await;
        assert_eq!(used, Outcome::Unavailable);

        let right = connected(&server).await;
        assert!(right.complete_since().seconds_after(CLOCK.now()).abs() < 7.0, "it begins about now");
        assert_eq!(spend(&right, "a").await, Outcome::Fresh);
        let since = right.complete_since();
        server.ask("FLUSHALL");
        wrong.tend(off()).await;
        assert!(!wrong.is_ready());
        assert_eq!(spend_since(&right, "a", since).await, Outcome::Forgotten);
        recover(&right).await;
        assert_eq!(spend_since(&right, "a", since).await, Outcome::Forgotten);

        wrong.tend(CLOCK.now()).await;
        assert!(wrong.is_ready(), "its clock is right again");
        wrong.tend(off()).await;
        assert!(!wrong.is_ready(), "and wrong again while it runs");
    }
}

/// The clock of a replica is set while Redis loses its data, as at a failover, and set right again later.
#[tokio::test]
async fn a_clock_that_is_set_at_a_loss_replays_nothing() {
    if !installed() {
        return;
    }
    for seconds in [-86_400, -3600, -30, -7, 7, 30, 3600, 86_400] {
        let mut server = Server::start(&[]);
        let (one, two) = (connected(&server).await, connected(&server).await);
        let (since, until) = (one.complete_since(), CLOCK.now().saturating_add(LIFE));
        let use_at = async |store: &Store, now: Moment| {
            store.check_and_insert_since(key(store, "a"), since, until, now).await
        };
        assert_eq!(use_at(&one, CLOCK.moment()).await, Outcome::Fresh);
        server.restart();
        let off = || {
            let wall = UnixTime::from_millis(CLOCK.now().as_millis() + seconds * 1000);
            Moment { wall, ..CLOCK.moment() }
        };
        one.tend(off()).await;
        assert!(!one.is_ready(), "{seconds}");
        assert_ne!(use_at(&one, off()).await, Outcome::Fresh, "{seconds}");
        assert_ne!(
            use_at(&two, CLOCK.moment()).await,
            Outcome::Fresh,
            "{seconds}: the first to notice the loss"
        );
        recover(&two).await;
        assert_eq!(use_at(&two, CLOCK.moment()).await, Outcome::Forgotten, "{seconds}");
        assert_ne!(use_at(&one, off()).await, Outcome::Fresh, "{seconds}");
        recover(&one).await;
        for now in [CLOCK.moment(), off(), CLOCK.moment()] {
            assert_ne!(use_at(&one, now).await, Outcome::Fresh, "{seconds}");
        }
        recover(&one).await;
        let answer = FirstUse { moment: CLOCK.now(), mark: one.mark(), epoch: 0 };
        let (key, until) = (key(&one, "b"), CLOCK.now().saturating_add(LIFE));
        let used = one.check_and_insert_since(key, answer, until, CLOCK.moment()).await;
        assert_eq!(used, Outcome::Fresh, "{seconds}: a challenge can be satisfied");
        recover(&two).await;
        assert_eq!(spend(&two, "b").await, Outcome::Replayed, "{seconds}");
    }
}

/// Clocks that differ by what is borne: whatever the replica's shows that took a proof, the key lives until the proof has ended at every other.
#[tokio::test]
async fn a_key_outlives_its_proof_at_replicas_whose_clocks_drift_apart() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let store = connected(&server).await;
    for offset in [-4500, -2000, -1, 0, 1, 2000, 4500] {
        let real = CLOCK.now();
        let wall = UnixTime::from_millis(real.as_millis() + offset);
        // By the clocks of all, within 5 s of Redis's.
        let until = real.saturating_add(LIFE);
        let jti = format!("{offset}");
        let used = store.check_and_insert(key(&store, &jti), until, wall).await;
        assert_eq!(used, Outcome::Fresh, "{offset}");
        let names = server.ask("KEYS kp:*");
        let lives = names.lines().filter(|line| line.starts_with("kp:")).map(|name| {
            let ttl: i64 = server.ask(&format!("PTTL {name}")).trim_start_matches(':').parse().unwrap();
            ttl
        });
        let passed = i64::try_from(CLOCK.now().since(real).as_millis()).unwrap();
        // The difference, and what Redis's own clock may jump by meanwhile, unnoticed: 26 ms of that were missing where ours was ahead.
        assert!(lives.min().unwrap() + passed >= 66_995, "{offset}");
        server.ask(&format!(
            "DEL {}",
            names.lines().filter(|line| line.starts_with("kp:")).collect::<Vec<_>>().join(" ")
        ));
    }
}

/// What was taken under shorter terms has expired earlier: whoever comes back to the longer ones, by a reload or by a restart, relies on nothing
/// that was before.
#[tokio::test]
async fn terms_that_come_back_begin_anew() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let plan = plan(RedisServers::parse(&[&server.url()], None).unwrap(), &Options::default());
    let (long, short) = ([LIFE], [LIFE / 3]);
    let store = Store::open(&under(&plan, &long), &CLOCK).await.unwrap();
    let first = store.complete_since();
    let again = Store::open(&under(&plan, &long), &CLOCK).await.unwrap();
    assert_eq!(again.complete_since(), first, "the same terms");

    store.adapt(&under(&plan, &short));
    store.tend(CLOCK.moment()).await;
    let second = store.complete_since();
    assert!(second > first && store.is_ready());
    let other = Store::open(&under(&plan, &short), &CLOCK).await.unwrap();
    assert_eq!(other.complete_since(), second, "a replica under the same terms");
    assert_eq!(spend(&store, "under the new terms").await, Outcome::Fresh);
    assert_eq!(spend(&other, "under the new terms").await, Outcome::Replayed);

    let restarted = Store::open(&under(&plan, &long), &CLOCK).await.unwrap();
    assert!(restarted.complete_since() > second, "its epoch is there, and says nothing");
    assert_eq!(spend(&restarted, "under the new terms").await, Outcome::Replayed);
}

#[tokio::test]
async fn a_restart_with_an_old_snapshot_is_noticed() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let store = connected(&server).await;
    server.ask("SAVE");
    let since = store.complete_since();
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    server.restart();
    assert!(server.ask("KEYS keyproof:replay:epoch*").contains("epoch"), "the old epoch is in the snapshot");
    assert_ne!(spend(&store, "a").await, Outcome::Fresh);
    recover(&store).await;
    assert!(store.complete_since() > since);
}

/// The limit per key holds with a shared store too: a client over it is told so, another is served.
#[tokio::test]
async fn one_client_cannot_crowd_out_another() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let store = connected(&server).await;
    for n in 0..1000 {
        assert_eq!(spend(&store, &format!("{n}")).await, Outcome::Fresh, "{n}");
    }
    assert_eq!(spend(&store, "one more").await, Outcome::OverQuota);
    let now = CLOCK.now();
    let other = store.key(&Thumbprint::new([8; 32]), "a");
    assert_eq!(store.check_and_insert(other, now.saturating_add(LIFE), now).await, Outcome::Fresh);
}

#[tokio::test]
async fn a_flush_is_noticed_by_the_next_request() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    let since = one.complete_since();
    assert_eq!(spend(&one, "a").await, Outcome::Fresh);
    server.ask("FLUSHALL");
    assert_eq!(spend(&one, "a").await, Outcome::Forgotten);
    recover(&one).await;
    // The other has not noticed: its epoch is gone, and one's is not its own.
    assert_eq!(spend(&two, "c").await, Outcome::Forgotten);
    recover(&two).await;
    assert_eq!(one.complete_since(), two.complete_since());
    assert!(one.complete_since() > since);
    assert_eq!(key(&one, "d"), key(&two, "d"));
    assert_eq!(spend_since(&two, "e", since).await, Outcome::Forgotten);
}

/// Of two replicas one had noticed a flush. The other answered a replay, whose key the first had written after the flush, and went on as if
/// nothing had been: the client's next try could meet it while it connected anew.
#[tokio::test]
async fn a_replay_does_not_hide_a_loss() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    server.ask("FLUSHALL");
    let old = one.complete_since();
    assert_eq!(spend_since(&one, "a", old).await, Outcome::Forgotten);
    assert_eq!(spend(&two, "a").await, Outcome::Replayed, "its key is there");
    assert_eq!(two.epoch(), one.epoch(), "whoever is answered is answered by what is so now");
    assert!(two.is_ready());
    assert_eq!(spend(&two, "b").await, Outcome::Fresh);
    assert_eq!(spend(&one, "b").await, Outcome::Replayed);
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
    server.signal(Signal::STOP);
    let watch = Stopwatch::start();
    for round in 0..20 {
        assert_eq!(spend(&store, &format!("{round}")).await, Outcome::Unavailable);
    }
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    assert!(!store.is_ready(), "after many, the connection is given up");
    server.signal(Signal::CONT);
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

/// A log without a line for hours says that all is well.
#[tokio::test]
async fn accept_says_each_minute_how_many_passed() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let store = open(&[server.url()], Options { accept: true, ..Options::default() }).await;
    let (log, _guard) = Log::listen();
    server.kill();
    let begun = CLOCK.moment();
    let after = |seconds| Moment {
        wall: CLOCK.now(),
        steady: begun.steady.saturating_add(Duration::from_secs(seconds)),
    };
    for round in 0..5 {
        assert_eq!(spend_at(&store, &format!("{round}"), after(round)).await, Outcome::Fresh);
    }
    assert_eq!((log.count("from now on"), log.count("still pass")), (1, 0), "{}", log.text());
    for (seconds, lines) in [(59, 0), (60, 1), (61, 1), (119, 1), (120, 2), (200, 3), (201, 3)] {
        store.tend(after(seconds)).await;
        assert_eq!(log.count("still pass WITHOUT a replay check"), lines, "{seconds} s: {}", log.text());
    }
    assert_eq!(log.count("count=5"), 3, "{}", log.text());
    server.restart();
    recover(&store).await;
    assert_eq!(log.count("requests are checked again"), 1, "{}", log.text());
    store.tend(after(400)).await;
    assert_eq!((log.count("still pass"), log.count("from now on")), (3, 1), "{}", log.text());
}

/// A process that was stopped between the verification of a proof and the question to Redis, for longer than the key lives that another
/// replica has set: it found nothing, and the proof passed once more.
#[tokio::test]
async fn an_answer_from_after_the_proofs_end_is_no_admission() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    let now = CLOCK.now();
    let until = now.saturating_sub(Duration::from_millis(5100));
    for (store, jti) in [(&one, "a"), (&two, "a"), (&one, "b")] {
        assert_ne!(store.check_and_insert(key(store, jti), until, now).await, Outcome::Fresh);
    }
    let until = now.saturating_sub(Duration::from_secs(1));
    let borne = one.check_and_insert(key(&one, "c"), until, now).await;
    assert_eq!(borne, Outcome::Fresh, "clocks may differ so much");
    assert!(one.is_ready());
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
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    primary.kill();
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    replica.wait_until("INFO replication", "role:master");
    assert_ne!(spend(&store, "a").await, Outcome::Fresh);
    recover(&store).await;
    assert!(store.complete_since() > since);
    assert_eq!(spend_since(&store, "c", since).await, Outcome::Forgotten);
    assert_eq!(spend_since(&store, "d", store.complete_since()).await, Outcome::Fresh);
}

/// The same process and an epoch that is still there, but another history: only the replication id tells.
#[tokio::test]
async fn a_primary_that_was_a_replica_meanwhile_is_noticed() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    let store = connected(&server).await;
    let since = store.complete_since();
    let other = Server::start(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    other.wait_until("INFO replication", "master_link_status:up");
    other.wait_until("KEYS *", "epoch");
    other.ask("REPLICAOF NO ONE");
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    server.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port));
    server.wait_until("INFO replication", "master_link_status:up");
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    server.ask("REPLICAOF NO ONE");
    assert_eq!(server.ask("KEYS kp:*"), "", "a is lost");
    assert!(server.ask("KEYS *").contains("epoch"), "and the epoch is not");
    recover(&store).await;
    assert!(store.complete_since() > since);
}

pub(crate) fn cluster() -> Vec<Server> {
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
        assert!(node.ask("KEYS kp:*").lines().count() > 0, "every node has a share");
    }
    let since = one.complete_since();
    nodes[2].ask("FLUSHALL");
    let mut outcomes = Vec::new();
    for n in 0..60 {
        outcomes.push(spend_since(&one, &format!("{n}"), since).await);
    }
    assert!(!outcomes.contains(&Outcome::Fresh));
    assert!(outcomes.contains(&Outcome::Forgotten));
    recover(&one).await;
    assert!(one.complete_since() > since);
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

/// A proof that was made for one replica, with a nonce no older than what that replica's store vouched for.
struct Proof {
    jti: String,
    first_use: UnixTime,
    until: UnixTime,
    accepted: bool,
}

/// Uses and replays on two replicas, flushes and restarts, in any order: nothing is accepted twice.
#[tokio::test]
async fn whatever_happens_nothing_is_accepted_twice() {
    if !installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let stores = [connected(&server).await, connected(&server).await];
    let steps = std::env::var("KEYPROOF_REPLAY_STEPS").map_or(600, |text| text.parse().unwrap());
    let mut proofs: Vec<Proof> = Vec::new();
    let mut chance = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % 1_000_003).unwrap() % below
    };
    for step in 0..steps {
        let store = &stores[random(2)];
        match random(100) {
            0..50 => {
                let now = CLOCK.now();
                let first_use = now.max(store.complete_since());
                let until = now.saturating_add(LIFE);
                proofs.push(Proof { jti: format!("{step}"), first_use, until, accepted: false });
            }
            90..93 => drop(server.ask("FLUSHALL")),
            93..95 => server.restart(),
            95.. => store.tend(CLOCK.now()).await,
            _ => {}
        }
        // The last one, and one of any age, at either replica.
        for _ in 0..2 {
            let Some(last) = proofs.len().checked_sub(1) else { continue };
            let which = if random(2) == 0 { last } else { random(proofs.len()) };
            let (proof, store) = (&mut proofs[which], &stores[random(2)]);
            let key = key(store, &proof.jti);
            let outcome = store.check_and_insert_since(key, proof.first_use, proof.until, CLOCK.now()).await;
            assert!(outcome != Outcome::Fresh || !proof.accepted, "{} twice, step {step}", proof.jti);
            proof.accepted |= outcome == Outcome::Fresh;
        }
    }
    let accepted = proofs.iter().filter(|proof| proof.accepted).count();
    assert!(accepted > steps / 20, "and some are accepted at all: {accepted} of {}", proofs.len());
}

/// Where [`tls_child`] finds the server.
const TLS_URL: &str = "KEYPROOF_REPLAY_TEST_URL";

/// The authority's certificate comes from the system's store, which `SSL_CERT_FILE` names: a process of its
/// own has another.
#[test]
fn over_tls_a_known_authority_is_needed() {
    if !installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let ca = certificates(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (pem, key) = (file("server.pem"), file("key.pem"));
    let port = crate::server::free_port().to_string();
    let server = Server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &pem,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    let child = |authority: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "redis::tls_child"]).stdout(std::process::Stdio::null());
        child.env(TLS_URL, format!("rediss://localhost:{port}/0")).env("SSL_CERT_FILE", authority);
        child.stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    assert!(child(&ca));
    assert!(!child(&pem), "another authority");
    drop(server);
}

/// An authority in `ca.pem`, whose name is returned, and a server's certificate and key in `server.pem` and `key.pem`.
pub(crate) fn certificates(directory: &Path) -> String {
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // By another name than the server's: OpenSSL takes a certificate that was issued by its own name for a self-made one.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    let issuer = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    let server_key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
    file("server.pem", certificate.pem());
    file("key.pem", server_key.serialize_pem());
    file("ca.pem", issuer.pem())
}

/// Not a test: what the one above starts.
#[tokio::test]
#[ignore = "the child of the test above"]
async fn tls_child() {
    let Ok(url) = std::env::var(TLS_URL) else { return };
    let store = open(&[url], Options::default()).await;
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    assert_eq!(spend(&store, "a").await, Outcome::Replayed);
}

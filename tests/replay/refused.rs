//! Servers that forbid what the store needs, or refuse to write: not ready, one line in the log, and every proof refused.

use crate::log::Log;
use crate::redis::{CLOCK, Options, cluster, open, recover, spend};
use crate::replicas::{ask, fresh, gateway, until};
use crate::server::{Server, installed};
use keyproof::replay::{Outcome, Store};

/// What the README says is all that a user needs.
const RULE: &str = "~kp:* ~keyproof:replay:* +set +get +time +info +pexpire +dbsize";

const CANNOT: &str = "the replay store in Redis cannot be used";
const CONNECTED: &str = "the replay store in Redis is connected";
const AGAIN: &str = "the replay store in Redis can be used again";

/// A user with this rule and nothing else.
fn allow(server: &Server, rule: &str) {
    assert_eq!(server.ask(&format!("ACL SETUSER keyproof reset on >s3cret {rule}")), "+OK");
}

fn url(server: &Server, database: u8) -> String {
    format!("redis://keyproof:s3cret@127.0.0.1:{}/{database}", server.port)
}

#[test]
fn the_documented_rule_is_this_one() {
    for (file, line) in [
        ("README.md", format!("ACL SETUSER keyproof on >password {RULE}\n")),
        ("config/keyproof.yaml", format!("{RULE} (README)\n")),
    ] {
        let text = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(text.contains(&line), "{file}");
    }
}

#[tokio::test]
async fn exactly_the_documented_rule_suffices_and_what_is_left_out_is_named() {
    if !installed() {
        return;
    }
    let server = Server::start(&[]);
    exactly(&[&server], &[url(&server, 0)], RULE).await;
    assert_eq!(server.ask("DBSIZE"), ":0", "all of it is in database 0, and that was flushed");
    exactly(&[&server], &[url(&server, 3)], &format!("{RULE} +select")).await;
}

#[tokio::test]
async fn in_a_cluster_the_map_must_be_allowed_too() {
    if !installed() {
        return;
    }
    let nodes = cluster();
    let urls: Vec<String> = nodes.iter().map(|node| url(node, 0)).map(|url| url.replace("/0", "")).collect();
    exactly(&nodes.iter().collect::<Vec<_>>(), &urls, &format!("{RULE} +cluster|slots")).await;
}

/// With the rule the store works and tries nothing else; without any part of it, from the start or suddenly, it is not ready and says so.
async fn exactly(servers: &[&Server], urls: &[String], rule: &str) {
    let allow_all = |rule: &str| servers.iter().for_each(|server| allow(server, rule));
    allow_all(rule);
    servers.iter().for_each(|server| drop(server.ask("ACL LOG RESET")));
    let running = open(urls, Options::default()).await;
    assert!(running.is_ready(), "{:?}", running.trouble());
    assert_eq!(spend(&running, "a").await, Outcome::Fresh);
    assert_eq!(spend(&running, "a").await, Outcome::Replayed);
    running.tend(CLOCK.now()).await;
    assert!(running.is_ready());
    for server in servers {
        assert_eq!(server.ask("ACL LOG"), "", "nothing was tried that is forbidden");
    }
    for part in rule.split(' ') {
        allow_all(&rule.replace(part, ""));
        let (log, _guard) = Log::listen();
        let late = open(urls, Options::default()).await;
        names(&late, &log, part).await;
        log.clear();
        // What was selected stays selected.
        if part != "+select" {
            running.tend(CLOCK.now()).await;
            names(&running, &log, part).await;
        }
        log.clear();
        allow_all(rule);
        recover(&late).await;
        recover(&running).await;
        assert_eq!(log.count(CANNOT), 0, "{}", log.text());
        assert_eq!(log.count(CONNECTED), if part == "+select" { 1 } else { 2 }, "{}", log.text());
        assert_eq!(spend(&running, part).await, Outcome::Fresh);
        assert_eq!(spend(&late, part).await, Outcome::Replayed);
    }
    servers.iter().for_each(|server| drop(server.ask("FLUSHDB")));
}

/// Not ready; every proof is refused; and the one line says what to allow.
async fn names(store: &Store, log: &Log, part: &str) {
    for round in 0..3 {
        assert!(!store.is_ready(), "without {part}");
        let why = store.trouble().unwrap();
        assert!(why.contains(&format!("allow {part} with")) && why.contains(RULE), "{part}: {why}");
        assert_eq!(spend(store, &format!("refused {round}")).await, Outcome::Unavailable);
        store.tend(CLOCK.now()).await;
    }
    assert_eq!(log.count(CANNOT), 1, "{part}: {}", log.text());
    assert_eq!(log.count(&format!("allow {part} with")), 1);
    assert!(!log.text().contains("s3cret"));
}

/// A command that the server does not have is repeated by it with all its arguments, and one of those is a secret.
#[tokio::test]
async fn no_argument_of_a_command_comes_into_the_log() {
    if !installed() {
        return;
    }
    let (log, _guard) = Log::listen();
    let server = Server::start(&["--rename-command", "SET", "HIDDEN"]);
    let store = open(&[server.url()], Options::default()).await;
    let why = store.trouble().unwrap();
    assert!(why.contains("unknown command 'SET'") && !why.contains("keyproof:replay"), "{why}");
    assert_eq!(log.count("unknown command"), 1);
    assert!(!log.text().contains("keyproof:replay:secret"));
}

#[tokio::test]
async fn a_missing_and_a_wrong_password_are_told_apart_and_not_shown() {
    if !installed() {
        return;
    }
    let (log, _guard) = Log::listen();
    let server = Server::start_with_password("s3cret");
    for (login, said) in [
        ("", "wants a password"),
        (":wr0ng@", "refuses the user or the password"),
        ("x:wr0ng@", "refuses the user"),
    ] {
        let store = open(&[format!("redis://{login}127.0.0.1:{}/0", server.port)], Options::default()).await;
        let why = store.trouble().unwrap();
        assert!(why.contains(said), "{why}");
    }
    let store = open(&[format!("redis://:s3cret@127.0.0.1:{}", server.port)], Options::default()).await;
    assert!(store.is_ready());
    assert!(!log.text().contains("wr0ng") && !log.text().contains("s3cret"));
}

/// Nothing was lost meanwhile, so nobody is challenged afterwards.
#[tokio::test]
async fn a_server_that_refuses_writes_is_noticed_where_no_request_comes() {
    if !installed() {
        return;
    }
    let server = Server::start(&["--save", "3600 1"]);
    let store = open(&[server.url()], Options::default()).await;
    assert!(store.is_ready());
    let since = store.complete_since();
    let refuses = async |begin: &dyn Fn(), end: &str, code: &str, outcome: Outcome, over: &str| {
        let (log, _guard) = Log::listen();
        begin();
        store.tend(CLOCK.now()).await;
        for round in 0..3 {
            let why = store.trouble().unwrap_or_default();
            assert!(!store.is_ready() && why.contains(code), "{code}: {why}");
            assert_eq!(spend(&store, &format!("{code} {round}")).await, outcome);
            store.tend(CLOCK.now()).await;
        }
        assert_eq!((log.count(CANNOT), log.count(code)), (1, 1), "{}", log.text());
        server.ask(end);
        recover(&store).await;
        assert_eq!((log.count(CANNOT), log.count(over)), (1, 1), "{}", log.text());
        assert_eq!(
            spend(&store, &format!("{code} 0")).await,
            Outcome::Fresh,
            "the refused proof was not used up"
        );
        assert_eq!(store.complete_since(), since);
    };
    let set = |name: &str| drop(server.ask(&format!("CONFIG SET {name}")));
    let none = Outcome::Unavailable;
    refuses(
        &|| set("min-replicas-to-write 1"),
        "CONFIG SET min-replicas-to-write 0",
        "NOREPLICAS",
        none,
        CONNECTED,
    )
    .await;
    refuses(&|| set("maxmemory 1mb"), "CONFIG SET maxmemory 0", "OOM", Outcome::Full, AGAIN).await;
    let cannot_save = || {
        server.lose_directory();
        server.ask("BGSAVE");
        server.wait_until("INFO persistence", "rdb_last_bgsave_status:err");
    };
    refuses(&cannot_save, "CONFIG SET stop-writes-on-bgsave-error no", "MISCONF", none, CONNECTED).await;
}

/// A request is the first to see it, and the replica says what it is.
#[tokio::test]
async fn a_replica_is_named_as_one() {
    if !installed() {
        return;
    }
    let primary = Server::start(&[]);
    let server = Server::start(&[]);
    let store = open(&[server.url()], Options::default()).await;
    let (log, _guard) = Log::listen();
    server.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    assert_eq!(spend(&store, "a").await, Outcome::Unavailable);
    assert_eq!(log.count("READONLY"), 1, "{}", log.text());
    store.tend(CLOCK.now()).await;
    assert!(store.trouble().unwrap().contains("this server is a replica"));
    assert_eq!(log.count(CANNOT), 1, "{}", log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_not_ready_and_names_what_is_forbidden() {
    if !installed() {
        return;
    }
    let redis = Server::start(&[]);
    allow(&redis, RULE);
    let house = gateway(&url(&redis, 0)).await;
    assert_eq!(ask(house.gateway, &fresh(&house, None)).await.status, 200);
    assert_eq!(house.admin_page("/readyz").await.status, 200);
    assert!(!house.admin_page("/config").await.text().contains("s3cret"));
    redis.ask("ACL SETUSER keyproof -set");
    let page =
        until(async || Some(house.admin_page("/readyz").await).filter(|page| page.status == 503)).await;
    assert!(page.text().contains("allow +set with"), "{}", page.text());
    let answer = ask(house.gateway, &fresh(&house, None)).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.text());
    redis.ask("ACL SETUSER keyproof +set");
    until(async || Some(house.admin_page("/readyz").await).filter(|page| page.status == 200)).await;
    assert_eq!(
        ask(house.gateway, &fresh(&house, None)).await.status,
        200,
        "nothing was lost, nobody is challenged"
    );
}

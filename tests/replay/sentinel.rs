//! Real Sentinels: several, dead, hanging, behind the times, with passwords, over TLS.

use crate::log::Log;
use crate::redis::{CLOCK, Options, open_at, recover, spend, spend_since};
use crate::server::{Server, free_port, installed};
use keyproof::replay::{Outcome, RedisServers, Store};
use rustix::process::Signal;

/// What monitors this port as `replay`; `more` are lines of its configuration.
pub(crate) fn sentinel(port: u16, quorum: usize, more: &str, arguments: &[&str]) -> Server {
    let configuration = format!(
        "sentinel monitor replay 127.0.0.1 {port} {quorum}\nsentinel down-after-milliseconds replay 500\n\
         sentinel failover-timeout replay 3000\n{more}\n"
    );
    Server::run("redis-sentinel", arguments, &configuration)
}

async fn open(url: &str, sentinel_password: Option<&str>) -> Store {
    open_at(RedisServers::parse(&[url], sentinel_password).unwrap(), Options::default()).await
}

fn hosts(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// The primary dies, and with it the Sentinel that was asked; the first of the list never lived. The servers have a password, the
/// Sentinels have none.
#[tokio::test]
async fn several_sentinels_survive_a_dead_one_and_lead_to_the_promoted_replica() {
    if !installed() {
        return;
    }
    const PASSWORD: &str = "p@ss/word:1";
    let secure = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
    let mut primary = Server::start_with(&secure, PASSWORD);
    let port = primary.port.to_string();
    let replica = Server::start_with(&[&secure[..], &["--replicaof", "127.0.0.1", &port]].concat(), PASSWORD);
    replica.wait_until("INFO replication", "master_link_status:up");
    let login = format!("sentinel auth-pass replay {PASSWORD}");
    let mut sentinels: Vec<Server> = (0..3).map(|_| sentinel(primary.port, 2, &login, &[])).collect();
    for sentinel in &sentinels {
        sentinel.wait_until("SENTINEL CKQUORUM replay", "OK 3 usable");
        sentinel.wait_until("SENTINEL replicas replay", &replica.port.to_string());
    }
    let mut ports = vec![free_port()];
    ports.extend(sentinels.iter().map(|sentinel| sentinel.port));
    let (log, _guard) = Log::listen();
    let store = open(&format!("redis+sentinel://:p%40ss%2Fword%3A1@{}/replay/2", hosts(&ports)), None).await;
    assert!(store.is_ready(), "{:?}", store.trouble());
    let since = store.complete_since();
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    assert_eq!(spend(&store, "a").await, Outcome::Replayed);
    primary.kill();
    sentinels[0].kill();
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    replica.wait_until("INFO replication", "role:master");
    recover(&store).await;
    assert!(store.complete_since() > since);
    assert_eq!(spend_since(&store, "a", since).await, Outcome::Forgotten);
    assert_eq!(spend_since(&store, "c", store.complete_since()).await, Outcome::Fresh);
    assert_eq!(spend(&store, "c").await, Outcome::Replayed);
    assert!(!log.text().contains("p@ss"), "{}", log.text());
}

#[tokio::test]
async fn a_sentinel_may_have_a_password_of_its_own() {
    if !installed() {
        return;
    }
    let primary = Server::start_with_password("redis-s3cret");
    let port = primary.port;
    let login = "sentinel auth-pass replay redis-s3cret";
    let own = sentinel(port, 1, &format!("{login}\nrequirepass sentinel-s3cret"), &[]);
    let same = sentinel(port, 1, &format!("{login}\nrequirepass redis-s3cret"), &[]);
    let none = sentinel(port, 1, login, &[]);
    let (log, _guard) = Log::listen();
    let at = |sentinel: &Server| format!("redis+sentinel://:redis-s3cret@{}/replay", hosts(&[sentinel.port]));
    for (sentinel, password) in [
        (&own, Some("sentinel-s3cret")),
        (&same, None),
        (&same, Some("redis-s3cret")),
        (&none, None),
        (&none, Some("sentinel-s3cret")),
    ] {
        let store = open(&at(sentinel), password).await;
        assert!(store.is_ready(), "{:?}", store.trouble());
        store.tend(CLOCK.now()).await;
        assert!(store.is_ready(), "{:?}", store.trouble());
    }
    for password in [None, Some("wr0ng-s3cret")] {
        let store = open(&at(&own), password).await;
        assert!(
            store.trouble().unwrap().contains("replay.redis.sentinel_password_file"),
            "{:?}",
            store.trouble()
        );
        assert_eq!(spend(&store, "a").await, Outcome::Unavailable);
    }
    let store = open(&format!("redis+sentinel://{}/replay", hosts(&[own.port])), None).await;
    assert!(
        store.trouble().unwrap().contains("replay.redis.sentinel_password_file"),
        "{:?}",
        store.trouble()
    );
    assert!(!log.text().contains("s3cret"), "{}", log.text());
}

/// A user of a Sentinel that has the URL's name and password, and may ask nothing else.
#[tokio::test]
async fn a_sentinel_may_have_users() {
    if !installed() {
        return;
    }
    let primary = Server::start(&[]);
    primary.ask("ACL SETUSER keyproof on >s3cret ~* +@all");
    let rule = "+sentinel|get-master-addr-by-name";
    let users = |rule: &str| {
        format!("user keyproof on >s3cret resetchannels -@all {rule}\nuser default on >another +@all ~* &*")
    };
    let url =
        |sentinel: &Server| format!("redis+sentinel://keyproof:s3cret@{}/replay", hosts(&[sentinel.port]));
    let good = sentinel(primary.port, 1, &users(rule), &[]);
    let store = open(&url(&good), None).await;
    assert!(store.is_ready(), "{:?}", store.trouble());
    let poor = sentinel(primary.port, 1, &users("+ping"), &[]);
    let store = open(&url(&poor), None).await;
    assert!(store.trouble().unwrap().contains(&format!("allow {rule} with")), "{:?}", store.trouble());
}

#[tokio::test]
async fn a_sentinel_that_hangs_or_is_behind_the_times_is_not_the_last_word() {
    if !installed() {
        return;
    }
    let primary = Server::start(&[]);
    let right = sentinel(primary.port, 1, "", &[]);
    let hanging = sentinel(primary.port, 1, "", &[]);
    hanging.signal(Signal::STOP);
    let gone = sentinel(free_port(), 2, "", &[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let behind = sentinel(replica.port, 2, "", &[]);
    for ports in [[hanging.port, right.port], [gone.port, right.port], [behind.port, right.port]] {
        let store = open(&format!("redis+sentinel://{}/replay", hosts(&ports)), None).await;
        recover(&store).await;
        assert_eq!(spend(&store, &format!("{ports:?}")).await, Outcome::Fresh);
        store.tend(CLOCK.now()).await;
        assert!(store.is_ready(), "{:?}", store.trouble());
    }
    hanging.signal(Signal::CONT);
}

#[tokio::test]
async fn a_service_that_no_sentinel_knows_is_named() {
    if !installed() {
        return;
    }
    let sentinel = sentinel(free_port(), 1, "", &[]);
    let store = open(&format!("redis+sentinel://{}/orders", hosts(&[sentinel.port])), None).await;
    assert!(store.trouble().unwrap().contains("no service orders"), "{:?}", store.trouble());
    let store = open(&format!("redis+sentinel://{}/orders", hosts(&[free_port()])), None).await;
    assert!(!store.is_ready());
}

/// Where [`tls_child`] finds certificate and key.
const MATERIAL: &str = "KEYPROOF_SENTINEL_TEST_TLS";

/// The authority comes from the file that `SSL_CERT_FILE` names: a process of its own has another.
#[test]
fn over_tls_to_sentinels_and_servers_a_known_authority_is_needed() {
    if !installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let ca = crate::redis::certificates(directory.path());
    let child = |authority: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "sentinel::tls_child"]).stdout(std::process::Stdio::null());
        child.env(MATERIAL, directory.path()).env("SSL_CERT_FILE", authority);
        child.stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    assert!(child(&ca));
    assert!(!child(directory.path().join("server.pem").to_str().unwrap()), "another authority");
}

/// Not a test: what the one above starts.
#[tokio::test]
#[ignore = "the child of the test above"]
async fn tls_child() {
    let Ok(material) = std::env::var(MATERIAL) else { return };
    let file = |name: &str| format!("{material}/{name}");
    let (ca, pem, key) = (file("ca.pem"), file("server.pem"), file("key.pem"));
    let with_port = |port: &str, more: &[&str]| {
        let mut arguments = vec!["--tls-port", port, "--tls-cert-file", &pem, "--tls-key-file", &key];
        arguments.extend(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no", "--tls-replication", "yes"]);
        arguments.extend(more);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let start = |port: u16, more: &[&str]| {
        let arguments = with_port(&port.to_string(), more);
        Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (first, second) = (free_port(), free_port());
    let mut primary = start(first, &[]);
    let replica = start(second, &["--replicaof", "127.0.0.1", &first.to_string()]);
    replica.wait_until("INFO replication", "master_link_status:up");
    let port = free_port();
    let arguments = with_port(&port.to_string(), &[]);
    let watching = sentinel(first, 1, "", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    watching.wait_until("SENTINEL replicas replay", &second.to_string());
    let store = open(&format!("rediss+sentinel://{}/replay", hosts(&[free_port(), port])), None).await;
    assert!(store.is_ready(), "{:?}", store.trouble());
    assert_eq!(spend(&store, "a").await, Outcome::Fresh);
    primary.kill();
    assert_eq!(spend(&store, "b").await, Outcome::Unavailable);
    replica.wait_until("INFO replication", "role:master");
    recover(&store).await;
    assert_eq!(spend_since(&store, "b", store.complete_since()).await, Outcome::Fresh);
}

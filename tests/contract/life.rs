//! Section 1 of the contract: how the process ends.

use crate::stranger::{OK, Stranger, WAIT, now, upstream};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};

#[tokio::test]
async fn told_to_stop_it_finishes_what_it_has_begun() {
    let upstream = ByHand::bind().await;
    let stranger = Stranger::starts(upstream.address(), WAIT, "").await;
    let mut client = Raw::connect(stranger.gateway).await;
    client.send(stranger.good()).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    stranger.terminate();
    while stranger.page("/readyz").await.status != 503 {}
    assert!(tokio::net::TcpStream::connect(stranger.gateway).await.is_err(), "new connections are taken");
    connection.send("world").await;
    assert_eq!(client.answer().await.unwrap().text(), "helloworld");
    drop((client, connection));
    let (status, log) = stranger.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// Whoever chooses among gateways has to notice first.
#[tokio::test]
async fn for_drain_delay_it_is_not_ready_and_takes_everything_as_before() {
    let upstream = upstream().await;
    let settings = format!("limits: {{ drain_delay: 4s }}\n{WAIT}");
    let stranger = Stranger::starts(upstream.address, &settings, "").await;
    let mut before = Raw::connect(stranger.gateway).await;
    before.send(stranger.good()).await;
    assert_eq!(before.answer().await.unwrap().status, 200);
    stranger.terminate();
    while stranger.page("/readyz").await.status != 503 {}
    let why = stranger.page("/readyz").await.text();
    assert!(why.contains("draining: the process is stopping"), "{why}");
    let mut new = Raw::connect(stranger.gateway).await;
    for client in [&mut before, &mut new] {
        client.send(stranger.good()).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    // Afterwards it is as without a delay.
    while tokio::net::TcpStream::connect(stranger.gateway).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for client in [&mut before, &mut new] {
        client.send(stranger.good()).await;
        assert_eq!(client.answer().await.unwrap().header("connection"), Some("close"));
    }
    assert_eq!(stranger.page("/livez").await.status, 200);
    drop((before, new));
    let (status, log) = stranger.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_and_a_second_signal_cuts_off_at_once() {
    for (timeout, code, said) in [("100ms", 0, r#""connections":1"#), ("1h", 70, "stopping")] {
        let upstream = ByHand::bind().await;
        let settings = format!("limits: {{ drain_timeout: {timeout} }}\n{WAIT}");
        let stranger = Stranger::starts(upstream.address(), &settings, "").await;
        let mut client = Raw::connect(stranger.gateway).await;
        client.send(stranger.good()).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        stranger.terminate();
        if code == 70 {
            stranger.logged("stopping").await;
            stranger.terminate();
        }
        assert!(client.answer().await.is_none());
        let (status, log) = stranger.end().await;
        assert_eq!(status.code(), Some(code), "{log}");
        assert!(log.contains(said), "{log}");
    }
}

/// The seconds after a start in which proofs are treated otherwise: whoever watches sees until when, and what changes it.
#[tokio::test]
async fn a_start_says_until_when_it_vouches_for_nothing() {
    let upstream = ByHand::bind().await;
    let journal = "replay: { journal: journal }";
    let cases = [
        ("dpop: { leeway: 5s }", "use_dpop_nonce", "replay.on_start: wait", 65),
        (WAIT, "not ready until then", "replay.on_start: challenge", 1),
        (journal, "use_dpop_nonce", "replay.on_start: wait", 70),
    ];
    for (settings, what, setting, seconds) in cases {
        let begun = now();
        let stranger = Stranger::starts(upstream.address(), settings, "").await;
        let said = said_at_start(&stranger.log());
        assert!(said["message"].as_str().unwrap().contains(what), "{said}");
        assert!(said["settings"].as_str().unwrap().contains(setting), "{said}");
        assert_eq!(
            said["settings"].as_str().unwrap().contains("replay.journal"),
            settings != journal,
            "{said}"
        );
        let until = seconds_of_day(said["until"].as_str().unwrap());
        let late = (until + 86_400 - (begun + seconds) % 86_400) % 86_400;
        assert!(late < 20, "{late} seconds later than expected: {said}");
    }
}

fn said_at_start(log: &str) -> Value {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["until"].is_string()).unwrap_or_else(|| panic!("nothing is said: {log}"))
}

/// `2026-11-26T15:04:05.678Z` → the seconds since midnight.
fn seconds_of_day(moment: &str) -> u64 {
    let clock = moment.split_once('T').unwrap().1;
    let mut parts = clock.split([':', '.']).map(|part| part.trim_end_matches('Z').parse::<u64>().unwrap());
    let mut next = || parts.next().unwrap();
    next() * 3600 + next() * 60 + next()
}

#[tokio::test]
async fn a_start_that_fails_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let minimal = |address: &str, more: &str| {
        format!(
            r#"
listeners: [{{ name: public, address: "{address}" }}]
admin: {{ address: "127.0.0.1:0" }}
public_origins: ["https://api.example.com"]
upstreams: [{{ name: legacy, servers: ["http://127.0.0.1:9000"] }}]
routes: [{{ name: all, match: {{ path: / }}, upstream: legacy, public: true }}]
{more}"#
        )
    };
    let cases = [
        (minimal("127.0.0.1:0", "surprise: 1\nanother: 2"), 64, "keyproof.yaml:7:1: "),
        (minimal("127.0.0.1:0", "surprise: 1\nanother: 2"), 64, "keyproof.yaml:8:1: "),
        (minimal(&taken.local_addr().unwrap().to_string(), ""), 71, "cannot bind"),
    ];
    for (text, code, said) in cases {
        std::fs::write(folder.path().join("keyproof.yaml"), &text).unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_keyproof"))
            .args(["serve", "--config", "keyproof.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let told =
            String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(told.contains(said), "{told}");
    }
}

#[tokio::test]
async fn hang_up_has_the_configuration_read_again_and_spoils_neither_another_nor_a_stop() {
    let upstream = Recording::start(OK).await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    let version = async || serde_json::from_str::<Value>(&stranger.page("/version").await.text()).unwrap();
    assert_eq!(version().await["last_reload"], Value::Null);
    stranger.hang_up();
    stranger.hang_up();
    while version().await["last_reload"]["result"] != "success" {}
    assert_eq!(status(&stranger).await, 200);

    stranger.write_configuration(&format!("{}\nsurprise: 1\n", stranger.configuration()));
    stranger.hang_up();
    while version().await["last_reload"]["result"] != "rejected" {}
    let why = version().await["last_reload"]["why"].to_string();
    assert!(why.contains("unknown key"), "{why}");
    // The log is written a moment later, by a thread of its own.
    while !stranger.log().contains("the reload was rejected") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stranger.log().contains("keyproof.yaml:"), "every problem is told");
    assert_eq!(status(&stranger).await, 200);

    stranger.hang_up();
    stranger.terminate();
    stranger.hang_up();
    let (status, log) = stranger.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The status of a good request.
async fn status(stranger: &Stranger) -> u16 {
    let mut client = Raw::connect(stranger.gateway).await;
    client.send(stranger.good()).await;
    client.answer().await.unwrap().status
}

/// `KEYPROOF_RELOADS=1000 cargo test --test contract memory -- --nocapture` takes longer and shows how much it is.
#[tokio::test]
async fn reloads_half_of_them_bad_leave_the_memory_as_it_is() {
    let upstream = Recording::start(OK).await;
    let stranger = Stranger::starts(upstream.address, WAIT, "").await;
    #[expect(clippy::disallowed_methods, reason = "how long a test takes is for who runs it")]
    let reloads = std::env::var("KEYPROOF_RELOADS").map_or(400, |count| count.parse().unwrap());
    let page = async || stranger.page("/metrics").await.text();
    let count = async || {
        page()
            .await
            .lines()
            .filter(|line| line.starts_with("keyproof_config_reloads_total"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (good, bad) = (stranger.configuration(), "surprise: 1".to_owned());
    let mut warm = 0;
    for number in 1..=reloads {
        stranger.write_configuration(if number % 2 == 0 { &good } else { &bad });
        let before = count().await;
        stranger.hang_up();
        while count().await == before {}
        if number == reloads / 2 {
            warm = stranger.memory();
        }
    }
    let end = stranger.memory();
    println!("after half of {reloads} reloads {warm} KiB, at the end {end} KiB");
    assert!(end <= warm + warm / 50 + 256, "{warm} KiB have become {end} KiB");
    assert_eq!(status(&stranger).await, 200);
}

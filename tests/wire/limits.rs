//! Clients that are slow, silent, or too many.

use super::gateway::{Setup, eventually};
use keyproof::server::Limits;
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::io::AsyncWriteExt;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);
pub const NEVER: Limits =
    Limits { handshake: LONG, head: LONG, idle: LONG, write: LONG, linger: LONG, half_closed: LONG };

async fn start(limits: Limits) -> super::gateway::Gateway {
    let upstream = Recording::start(OK).await;
    Setup { limits, ..Setup::to(upstream.address) }.start()
}

#[tokio::test]
async fn a_client_that_says_nothing_is_left() {
    let gateway = start(Limits { head: SHORT, ..NEVER }).await;
    let mut client = Raw::connect(gateway.address).await;
    assert!(client.closes().await);
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off_however_steadily() {
    let gateway = start(Limits { head: SHORT, ..NEVER }).await;
    let mut client = Raw::connect(gateway.address).await;
    for _ in 0..2 {
        client.send(GET).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let drip = async {
        while client.try_send("a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), drip).await.expect("the end");
}

#[tokio::test]
async fn a_connection_may_idle_longer_than_a_head_may_take() {
    let gateway = start(Limits { head: SHORT, ..NEVER }).await;
    let mut client = Raw::connect(gateway.address).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        tokio::time::sleep(SHORT * 3).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_and_not_before() {
    let idle = Duration::from_millis(400);
    let gateway = start(Limits { idle, ..NEVER }).await;
    let mut client = Raw::connect(gateway.address).await;
    // Each request begins the wait anew.
    for _ in 0..4 {
        client.send(GET).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        tokio::time::sleep(idle / 2).await;
    }
    assert!(client.closes().await);
}

#[tokio::test]
async fn neither_limit_runs_while_a_request_is_answered() {
    let upstream = ByHand::bind().await;
    let limits = Limits { head: SHORT, idle: SHORT, ..NEVER };
    let gateway = Setup { limits, ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    client.send("ab").await;
    connection.exactly(2).await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
    tokio::time::sleep(SHORT * 3).await;
    connection.send("cd").await;
    assert_eq!(client.answer().await.unwrap().text(), "abcd");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_left() {
    let upstream = ByHand::bind().await;
    let gateway = Setup { limits: Limits { write: SHORT, ..NEVER }, ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let block = [b'a'; 64 << 10];
    let pour = async { while AsyncWriteExt::write_all(&mut connection.socket, &block).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), pour).await.expect("the gateway gives up");
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn a_closed_connection_lingers_no_longer_than_it_may() {
    let gateway = start(Limits { linger: SHORT, ..NEVER }).await;
    let mut client = Raw::connect(gateway.address).await;
    client.send("nonsense\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    assert!(client.closes().await);
    // The client keeps its side open; the gateway does not wait for it.
    eventually(|| (gateway.open)() == 0).await;
    drop(client);
}

#[tokio::test]
async fn loopback_has_no_limit_per_source() {
    let gateway = start(NEVER).await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(Raw::connect(gateway.address).await);
    }
    eventually(|| (gateway.open)() == 300).await;
}

/// Whoever sends a request and closes the sending side may still be waiting; hyper alone would take it for gone and cancel the request.
#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_answer() {
    let upstream = ByHand::bind().await;
    let gateway = Setup { limits: NEVER, ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    client.socket.shutdown().await.unwrap();
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(OK).await;
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_client_that_sends_no_more_is_not_waited_for_long() {
    let upstream = ByHand::bind().await;
    let limits = Limits { half_closed: SHORT, ..NEVER };
    let gateway = Setup { limits, ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    client.socket.shutdown().await.unwrap();
    let mut connection = upstream.accept().await;
    connection.request().await;
    assert!(connection.closes().await, "the request is cancelled");
    eventually(|| (gateway.open)() == 0).await;
}

//! Stopping without dropping anybody, and what one connection cannot do to another.

use super::gateway::{Setup, eventually};
use keyproof::server::Drained;
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::net::TcpStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut idle = Raw::connect(gateway.address).await;
    idle.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(OK).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut fresh = Raw::connect(gateway.address).await;
    let mut busy = Raw::connect(gateway.address).await;
    busy.send(GET).await;
    connection.request().await;

    let drain = gateway.drain.clone();
    let stopped = tokio::spawn(async move { drain.stop(Duration::from_secs(30)).await });
    assert!(idle.closes().await);
    assert!(fresh.closes().await);
    eventually(|| gateway.drain.is_stopping()).await;
    assert!(TcpStream::connect(gateway.address).await.is_err(), "still accepting");
    assert!(!stopped.is_finished());

    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!stopped.is_finished());
    connection.send("2\r\ncd\r\n0\r\n\r\n").await;
    let answer = busy.answer().await.unwrap();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("abcd", Some("close")));
    assert!(busy.closes().await);
    drop((idle, fresh, busy));
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
    assert_eq!((gateway.open)(), 0);
}

#[tokio::test]
async fn a_drain_cuts_off_what_does_not_finish() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    assert_eq!(gateway.drain.stop(Duration::from_millis(50)).await, Drained::Aborted(1));
    assert!(client.answer().await.is_none());
    assert!(connection.closes().await);
    assert_eq!((gateway.open)(), 0);
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut other = Raw::connect(gateway.address).await;
    other.send(GET).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    let mut client = Raw::connect(gateway.address).await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.is_none());
    other.send(GET).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    assert_eq!(gateway.drain.stop(Duration::from_secs(30)).await, Drained::Finished);
}

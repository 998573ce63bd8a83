//! Stopping without dropping anybody, and what one connection cannot do to another.

use super::gateway::{Gateway, Setup, eventually};
use super::http2::{Certificate, get};
use keyproof::server::Drained;
use std::io::Write;
use std::time::Duration;
use support::h2::{self, Frame};
use support::raw::Raw;
use support::upstream::{ByHand, Connection, Recording};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Longer than anything here takes; whoever is idle has half of it at most, and no more than five seconds.
const LONG: Duration = Duration::from_secs(30);

/// A gateway before an upstream that answers at once.
async fn plain() -> Gateway {
    Setup::to(Recording::start(OK).await.address).start()
}

/// The same behind TLS.
async fn secure() -> (Certificate, Gateway) {
    let certificate = Certificate::new(2030);
    let tls = Some(certificate.load());
    let gateway = Setup { tls, ..Setup::to(Recording::start(OK).await.address) }.start();
    (certificate, gateway)
}

/// A gateway with a request under way: its client, and the upstream's end, which is to answer.
async fn under_way() -> (Gateway, Raw, Connection) {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    (gateway, client, connection)
}

/// The gateway has begun to stop, and says how that ends.
async fn stopping(gateway: &Gateway) -> JoinHandle<Drained> {
    let stopped = stop(gateway, LONG);
    eventually(|| gateway.drain.is_stopping()).await;
    stopped
}

fn stop(gateway: &Gateway, limit: Duration) -> JoinHandle<Drained> {
    let drain = gateway.drain.clone();
    tokio::spawn(async move { drain.stop(limit).await })
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nobody_new() {
    let (gateway, mut busy, mut connection) = under_way().await;

    let stopped = stopping(&gateway).await;
    // It is not heard at all, or refused.
    assert!(TcpStream::connect(gateway.address).await.is_err(), "still accepting");
    assert!(!stopped.is_finished());

    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    let head = busy.read_until(b"\r\n\r\n").await.unwrap();
    assert!(String::from_utf8(head).unwrap().to_ascii_lowercase().contains("\r\nconnection: close\r\n"));
    assert!(!stopped.is_finished());
    connection.send("2\r\ncd\r\n0\r\n\r\n").await;
    assert_eq!(busy.rest().await, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
    drop(busy);
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
    assert_eq!((gateway.open)(), 0);
}

/// A client cannot know that the gateway stops before it is told, and its request may be on its way.
#[tokio::test]
async fn who_was_not_told_of_the_end_may_send_one_more_request() {
    let gateway = plain().await;
    let mut idle = Raw::connect(gateway.address).await;
    idle.send(GET).await;
    assert_eq!(idle.answer().await.unwrap().header("connection"), None);
    let mut fresh = Raw::connect(gateway.address).await;
    let mut begun = Raw::connect(gateway.address).await;
    begun.send(&GET[..20]).await;
    eventually(|| (gateway.open)() == 3).await;

    let stopped = stopping(&gateway).await;
    begun.send(&GET[20..]).await;
    for (client, what) in [(&mut begun, "begun"), (&mut fresh, "fresh"), (&mut idle, "idle")] {
        if what != "begun" {
            client.send(GET).await;
        }
        let answer = client.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{what}");
        assert!(client.closes().await, "{what}");
    }
    drop((idle, fresh, begun));
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

#[tokio::test]
async fn an_answer_that_could_not_say_it_is_not_the_last() {
    let (gateway, mut client, mut connection) = under_way().await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
    let head = client.read_until(b"ab").await.unwrap();
    assert!(!String::from_utf8(head).unwrap().contains("close"), "it was not stopping yet");

    let stopped = stopping(&gateway).await;
    connection.send("cd").await;
    assert_eq!(client.read_exactly(2).await.unwrap(), b"cd");
    client.send(GET).await;
    connection.request().await;
    connection.send(OK).await;
    assert_eq!(client.answer().await.unwrap().header("connection"), Some("close"));
    assert!(client.closes().await);
    drop(client);
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

#[tokio::test]
async fn who_has_nothing_to_say_is_not_waited_for_to_the_end() {
    let gateway = plain().await;
    let mut idle = Raw::connect(gateway.address).await;
    idle.send(GET).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut fresh = Raw::connect(gateway.address).await;
    eventually(|| (gateway.open)() == 2).await;
    let stopped = stop(&gateway, Duration::from_secs(2));
    assert!(idle.closes().await && fresh.closes().await);
    drop((idle, fresh));
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

/// The system connects a client before the gateway has accepted it, and its request is here already.
#[tokio::test]
async fn nobody_who_was_connected_is_reset() {
    let gateway = plain().await;
    // Without a wait in between, the listener's task has not run yet when the drain begins.
    let clients: Vec<std::net::TcpStream> = (0..50)
        .map(|_| {
            let mut client = std::net::TcpStream::connect(gateway.address).unwrap();
            client.write_all(GET.as_bytes()).unwrap();
            client.set_nonblocking(true).unwrap();
            client
        })
        .collect();
    assert_eq!((gateway.open)(), 0);
    let stopped = stop(&gateway, LONG);
    for client in clients {
        let mut client = Raw::of(TcpStream::from_std(client).unwrap());
        assert_eq!(client.answer().await.expect("an answer").header("connection"), Some("close"));
    }
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

#[tokio::test]
async fn a_handshake_that_has_begun_is_finished_and_its_request_answered() {
    let (certificate, gateway) = secure().await;
    let (one, two) = (Raw::connect(gateway.address).await, Raw::connect(gateway.address).await);
    eventually(|| (gateway.open)() == 2).await;
    let stopped = stopping(&gateway).await;

    let mut http1 = certificate.handshake_on(one.socket, &[b"http/1.1"]).await.unwrap();
    http1.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    http1.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8(answer).unwrap().to_ascii_lowercase().contains("\r\nconnection: close\r\n"));
    drop(http1);

    let mut http2 = certificate.http2_on(two.socket).await;
    assert_eq!(http2.send(get("/")).await.unwrap().status(), 200);
    drop(http2);
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

/// RFC 9113 section 6.8: first the news, and only after a round trip which stream was the last.
#[tokio::test]
async fn http2_is_told_in_two_steps() {
    let (certificate, gateway) = secure().await;
    let mut client = certificate.handshake(gateway.address, &[b"h2"]).await.unwrap();
    client.write_all(&[h2::HELLO, &h2::get(1, "a", "/")].concat()).await.unwrap();
    until(&mut client, Frame::DATA).await;
    let stopped = stop(&gateway, LONG);
    let first = until(&mut client, Frame::GOAWAY).await;
    assert_eq!(first.payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "no stream is refused yet");
    // What the client had sent before it could read that is answered.
    client.write_all(&h2::get(3, "a", "/")).await.unwrap();
    let ping = until(&mut client, Frame::PING).await;
    client.write_all(&ping.acknowledged()).await.unwrap();
    let mut kinds = Vec::new();
    let last = loop {
        let frame = Frame::read(&mut client).await.unwrap();
        kinds.push(frame.kind);
        if frame.kind == Frame::GOAWAY {
            break frame;
        }
    };
    assert_eq!(last.payload[..8], [0, 0, 0, 3, 0, 0, 0, 0], "stream 3 was the last");
    while !kinds.contains(&Frame::DATA) {
        kinds.push(Frame::read(&mut client).await.unwrap().kind);
    }
    Frame::read(&mut client).await.expect_err("and then it closes");
    drop(client);
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

/// A client that comes at the last moment is not sent away before it has asked.
#[tokio::test]
async fn who_has_asked_nothing_over_http2_may_ask_first() {
    let (certificate, gateway) = secure().await;
    let mut client = certificate.handshake(gateway.address, &[b"h2"]).await.unwrap();
    client.write_all(h2::HELLO).await.unwrap();
    let stopped = stopping(&gateway).await;
    // Had it been told, a whole round trip would have shown it.
    client.write_all(&h2::ping()).await.unwrap();
    let mut kinds = Vec::new();
    while kinds.last() != Some(&Frame::PING) {
        kinds.push(Frame::read(&mut client).await.unwrap().kind);
    }
    assert!(!kinds.contains(&Frame::GOAWAY), "{kinds:?}");
    client.write_all(&h2::get(1, "a", "/")).await.unwrap();
    until(&mut client, Frame::GOAWAY).await;
    let ping = until(&mut client, Frame::PING).await;
    client.write_all(&ping.acknowledged()).await.unwrap();
    until(&mut client, Frame::DATA).await;
    drop(client);
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

async fn until(socket: &mut (impl AsyncRead + Unpin), kind: u8) -> Frame {
    loop {
        let frame = Frame::read(socket).await.expect("a frame");
        if frame.kind == kind {
            return frame;
        }
    }
}

#[tokio::test]
async fn a_drain_cuts_off_what_does_not_finish() {
    let (gateway, mut client, mut connection) = under_way().await;
    assert_eq!(gateway.drain.stop(Duration::from_millis(50)).await, Drained::Aborted(1));
    assert!(client.answer().await.is_none());
    assert!(connection.closes().await);
    assert_eq!((gateway.open)(), 0);
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let gateway = plain().await;
    let mut other = Raw::connect(gateway.address).await;
    other.send(GET).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    let mut client = Raw::connect(gateway.address).await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.is_none());
    other.send(GET).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    drop(other);
    assert_eq!(gateway.drain.stop(Duration::from_secs(30)).await, Drained::Finished);
}

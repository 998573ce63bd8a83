//! Bodies: streamed, with backpressure, and never ended cleanly where they broke off.

use super::gateway::{Setup, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BIG: usize = 64 << 20;
/// What the sockets' buffers and the gateway's own may swallow between two ends, one of which does not read.
const SWALLOWED: usize = 24 << 20;

/// Writes until `BIG` bytes are out, counting.
async fn pour(mut to: impl tokio::io::AsyncWrite + Unpin, count: Arc<AtomicUsize>) {
    let block = [b'a'; 64 << 10];
    let mut left = BIG;
    while left > 0 {
        let written = to.write(&block[..left.min(block.len())]).await.expect("the gateway reads");
        left -= written;
        count.fetch_add(written, Ordering::SeqCst);
    }
}

/// Waits until a count stands still.
async fn stalls(count: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    eventually(|| {
        std::mem::replace(&mut before, count.load(Ordering::SeqCst)) == count.load(Ordering::SeqCst)
    })
    .await;
    let mut last = count.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match count.load(Ordering::SeqCst) {
            now if now == last => return now,
            now => last = now,
        }
    }
}

#[tokio::test]
async fn a_download_waits_for_a_client_that_does_not_read() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n")).await;
    let poured = Arc::new(AtomicUsize::new(0));
    let (_reads, writes) = connection.socket.into_split();
    tokio::spawn(pour(writes, Arc::clone(&poured)));

    let stalled = stalls(&poured).await;
    assert!(stalled < SWALLOWED, "{stalled} bytes with nobody reading");

    client.read_until(b"\r\n\r\n").await.unwrap();
    assert_eq!(client.discard(BIG).await, BIG);
    gateway.record.reaches(|record| &record.complete, 1).await;
    assert_eq!(gateway.record.sent.load(Ordering::SeqCst), BIG);
}

#[tokio::test]
async fn an_upload_waits_for_an_upstream_that_does_not_read() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BIG}\r\n\r\n")).await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    let poured = Arc::new(AtomicUsize::new(0));
    let (mut reads, writes) = client.socket.into_split();
    // The half comes back, so that the connection stays open.
    let pouring = tokio::spawn({
        let poured = Arc::clone(&poured);
        async move {
            let mut writes = writes;
            pour(&mut writes, poured).await;
            writes
        }
    });

    let stalled = stalls(&poured).await;
    assert!(stalled < SWALLOWED, "{stalled} bytes with nobody reading");

    let mut left = BIG;
    while left > 0 {
        left -= connection.exactly(left.min(1 << 20)).await.expect("all of it").len();
    }
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut answer = vec![0; 15];
    reads.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    drop(pouring.await.unwrap());
}

#[tokio::test]
async fn a_length_stays_a_length_and_chunks_stay_chunks() {
    for (said, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some("5")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", None),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: a\r\n\r\n",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nContent-Length: 5\r\n\r\nhello",
            Some("5"),
        ),
    ] {
        let upstream = Recording::start(said).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", length));
        // This client does not say that it reads trailers.
        for gone in ["connection", "keep-alive", "x-hop", "trailer", "x-t"] {
            assert_eq!(answer.header(gone), None, "{said}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_the_upstreams_connection() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
    drop(connection);
    assert_eq!(client.answer().await.unwrap().text(), "hello");
}

#[tokio::test]
async fn a_head_answer_has_the_length_and_no_body() {
    let upstream = Recording::start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.head_answer().await.unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    }
    gateway.record.reaches(|record| &record.complete, 2).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_ended() {
    for said in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    ] {
        let upstream = ByHand::bind().await;
        let gateway = Setup::to(upstream.address()).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.send(said).await;
        drop(connection);
        assert!(client.answer().await.is_none(), "{said}: the client took it for a whole answer");
        gateway.record.reaches(|record| &record.over, 1).await;
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        assert_eq!((count(&gateway.record.broken), count(&gateway.record.complete)), (1, 0), "{said}");
    }
}

#[tokio::test]
async fn the_client_reads_an_early_answer_even_while_it_is_sending() {
    // The gateway answers without reading the body: closing at once would reset the connection and lose the
    // answer.
    let gateway = Setup::to("127.0.0.1:1".parse().unwrap()).start();
    for _ in 0..20 {
        let mut client = Raw::connect(gateway.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n").await;
        for _ in 0..50 {
            client.send([b'a'; 10_000]).await;
        }
        assert_eq!(client.answer().await.expect("the answer").status, 502);
        assert!(client.closes().await);
    }
}

//! Kept connections that the upstream closes just as they are used: what is sent again, and what never is.

use super::gateway::Setup;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use support::raw::Raw;
use support::upstream::{ByHand, Seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";

/// A gateway, its client and its upstream, after one good exchange: the connection between them is kept.
async fn warm() -> (ByHand, super::gateway::Gateway, Raw, support::upstream::Connection) {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(OK).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    (upstream, gateway, client, connection)
}

#[tokio::test]
async fn a_safe_request_goes_out_once_more_where_no_answer_began() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let (upstream, _gateway, mut client, mut kept) = warm().await;
        client
            .send(format!("{method} /a?b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-One: 2 \r\nX-Empty:\r\n\r\n"))
            .await;
        let first = kept.request().await;
        drop(kept);
        let mut second = upstream.accept().await;
        let again = second.request().await;
        let fields = |seen: &Seen| {
            let mut fields = seen.headers.clone();
            fields.sort();
            fields
        };
        assert_eq!((&again.line, fields(&again)), (&first.line, fields(&first)));
        second.send(OK).await;
        assert_eq!(client.head_answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_safe_request_goes_out_twice_at_most() {
    let (upstream, _gateway, mut client, mut kept) = warm().await;
    client.send(GET).await;
    kept.request().await;
    drop(kept);
    let mut second = upstream.accept().await;
    second.request().await;
    drop(second);
    assert_eq!(client.answer().await.unwrap().status, 502);
    assert!(!upstream.accepts_within(std::time::Duration::from_millis(50)).await);
}

#[tokio::test]
async fn no_other_request_is_sent_again() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ] {
        let (upstream, _gateway, mut client, mut kept) = warm().await;
        client.send(request).await;
        kept.request().await;
        drop(kept);
        assert_eq!(client.answer().await.unwrap().status, 502, "{request}");
        assert!(
            !upstream.accepts_within(std::time::Duration::from_millis(30)).await,
            "{request}: sent again"
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_again_once_an_answer_began_or_on_a_new_connection() {
    for said in ["H", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nConten"] {
        let (upstream, _gateway, mut client, mut kept) = warm().await;
        client.send(GET).await;
        kept.request().await;
        kept.send(said).await;
        drop(kept);
        assert_eq!(client.answer().await.unwrap().status, 502, "{said}");
        assert!(!upstream.accepts_within(std::time::Duration::from_millis(30)).await, "{said}: sent again");
    }
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    upstream.accept().await.request().await;
    assert_eq!(client.answer().await.unwrap().status, 502);
    assert!(!upstream.accepts_within(std::time::Duration::from_millis(30)).await);
}

/// How often each target was seen.
type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// A server on a thread of its own that promises to keep its connections and closes each after its answer.
fn closes_quickly() -> (std::net::SocketAddr, Counts) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, counts) = (listener.local_addr().unwrap(), Counts::default());
    let seen = Arc::clone(&counts);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer_and_close(socket, Arc::clone(&seen)));
            }
        });
    });
    (address, counts)
}

async fn answer_and_close(mut socket: TcpStream, counts: Counts) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    *counts.lock().unwrap().entry(target).or_default() += 1;
    socket.write_all(OK.as_bytes()).await.ok();
    // The answer is out a moment before the end is: long enough for the next request.
    for _ in 0..head.len() % 7 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_closes_quickly_costs_no_get_and_gets_no_post_twice() {
    let (server, counts) = closes_quickly();
    let gateway = Setup::to(server).start();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (address, record) = (gateway.address, Arc::clone(&gateway.record));
        clients.spawn(async move {
            let (mut client, mut failed) = (Raw::connect(address).await, 0);
            for round in 0..500 {
                let padding = "a".repeat(round % 7);
                client
                    .send(format!("GET /{number}/{round} HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n\r\n"))
                    .await;
                let status = client.answer().await.unwrap().status;
                assert_eq!(
                    status,
                    200,
                    "GET {round} of client {number}: {:?}",
                    record.errors.lock().unwrap().last()
                );
                client
                    .send(format!("POST /post/{number}/{round} HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n\r\n"))
                    .await;
                failed += usize::from(client.answer().await.unwrap().status != 200);
            }
            failed
        });
    }
    let failed: usize = clients.join_all().await.into_iter().sum();
    let counts = counts.lock().unwrap();
    let twice = counts.iter().filter(|(target, count)| target.starts_with("/post") && **count > 1).count();
    assert_eq!(twice, 0);
    assert!(failed < 4000, "no POST went through");
}

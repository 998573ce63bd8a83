//! How many connections a server may have, and what becomes of the requests beyond that.

use super::gateway::{Gateway, eventually};
use super::secure::{gateway, plan};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyproof::upstream::UpstreamError;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::raw::Raw;
use support::upstream::ByHand;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
/// Long enough to see that nothing comes.
const MOMENT: Duration = Duration::from_millis(100);

fn to(servers: &[SocketAddr], more: &str) -> Gateway {
    let servers: Vec<_> = servers.iter().map(|server| format!("\"http://{server}\"")).collect();
    gateway(plan(&format!("servers: [{}], {more}", servers.join(", ")), &[]))
}

async fn asking(gateway: &Gateway, request: &str) -> Raw {
    let mut client = Raw::connect(gateway.address).await;
    client.send(request).await;
    client
}

async fn status(client: &mut Raw) -> u16 {
    client.answer().await.unwrap().status
}

fn connections(gateway: &Gateway) -> usize {
    gateway.upstream.state()().connections
}

#[tokio::test]
async fn a_request_beyond_the_limit_waits_and_goes_out_on_the_connection_that_is_free_first() {
    let upstream = ByHand::bind().await;
    let gateway = to(&[upstream.address()], "connections: 2");
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..2 {
        clients.push(asking(&gateway, POST).await);
        let mut server = upstream.accept().await;
        server.request().await;
        servers.push(server);
    }
    for _ in 0..2 {
        clients.push(asking(&gateway, POST).await);
        gateway.record.reaches(|record| &record.begun, clients.len()).await;
    }
    assert!(!upstream.accepts_within(MOMENT).await);
    assert_eq!(connections(&gateway), 2);
    // In the order in which they came.
    for client in [0, 2, 3] {
        servers[0].send(OK).await;
        assert_eq!(status(&mut clients[client]).await, 200);
        if client < 3 {
            assert_eq!(servers[0].request().await.body, b"ab");
        }
    }
    servers[1].send(OK).await;
    assert_eq!(status(&mut clients[1]).await, 200);
    assert_eq!(connections(&gateway), 2);
    drop(servers);
    eventually(|| connections(&gateway) == 0).await;
}

#[tokio::test]
async fn who_waits_too_long_gets_503_and_nothing_was_sent() {
    let upstream = ByHand::bind().await;
    let gateway = to(&[upstream.address()], "connections: 1, timeouts: { connect: 150ms }");
    let mut first = asking(&gateway, GET).await;
    let mut server = upstream.accept().await;
    server.request().await;
    let mut second = asking(&gateway, GET).await;
    assert_eq!(status(&mut second).await, 503);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::NoRoom]);
    server.send(OK).await;
    assert_eq!(status(&mut first).await, 200);
    // And there is room again.
    second.send(GET).await;
    server.request().await;
    server.send(OK).await;
    assert_eq!(status(&mut second).await, 200);
}

#[tokio::test]
async fn another_server_with_room_is_better_than_to_wait() {
    let upstreams = [ByHand::bind().await, ByHand::bind().await];
    let gateway = to(&upstreams.each_ref().map(ByHand::address), "connections: 1");
    let mut clients = Vec::new();
    // The first goes to one, the second to the other; the third waits.
    clients.push(asking(&gateway, GET).await);
    let mut one = upstreams[0].accept().await;
    one.request().await;
    clients.push(asking(&gateway, GET).await);
    let mut two = upstreams[1].accept().await;
    two.request().await;
    two.send(OK).await;
    assert_eq!(status(&mut clients[1]).await, 200);
    // Its turn would be at the first, which is busy.
    clients[1].send(GET).await;
    two.request().await;
    clients.push(asking(&gateway, GET).await);
    gateway.record.reaches(|record| &record.begun, 4).await;
    two.send(OK).await;
    assert_eq!(status(&mut clients[1]).await, 200);
    one.send(OK).await;
    assert_eq!(status(&mut clients[0]).await, 200);
    let mut waited = tokio::select! {
        _ = one.request() => one,
        _ = two.request() => two,
    };
    waited.send(OK).await;
    assert_eq!(status(&mut clients[2]).await, 200);
}

/// The place of a connection that breaks is free for who waits.
#[tokio::test]
async fn a_connection_that_ends_makes_room() {
    let upstream = ByHand::bind().await;
    let gateway = to(&[upstream.address()], "connections: 1");
    let mut first = asking(&gateway, POST).await;
    let mut server = upstream.accept().await;
    server.request().await;
    let mut second = asking(&gateway, POST).await;
    gateway.record.reaches(|record| &record.begun, 2).await;
    drop(server);
    assert_eq!(status(&mut first).await, 502);
    let mut server = upstream.accept().await;
    server.request().await;
    server.send(OK).await;
    assert_eq!(status(&mut second).await, 200);
}

/// A client that leaves while it waits takes nobody's place.
#[tokio::test]
async fn who_leaves_while_it_waits_holds_up_nobody() {
    let upstream = ByHand::bind().await;
    let gateway = to(&[upstream.address()], "connections: 1");
    let mut first = asking(&gateway, GET).await;
    let mut server = upstream.accept().await;
    server.request().await;
    let leaves = asking(&gateway, GET).await;
    gateway.record.reaches(|record| &record.begun, 2).await;
    let mut stays = asking(&gateway, POST).await;
    gateway.record.reaches(|record| &record.begun, 3).await;
    drop(leaves);
    gateway.record.reaches(|record| &record.over, 1).await;
    server.send(OK).await;
    assert_eq!(status(&mut first).await, 200);
    assert!(server.request().await.line.starts_with("POST"));
    server.send(OK).await;
    assert_eq!(status(&mut stays).await, 200);
}

/// A server of HTTP/2 that takes one stream at a time, and answers when the test says so.
async fn one_stream_at_a_time(go: Arc<Semaphore>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, accepted) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let go = Arc::clone(&go);
            let answer = move |_: Request<Incoming>| {
                let go = Arc::clone(&go);
                async move {
                    go.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            };
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(1)
                .serve_connection(TokioIo::new(socket), service_fn(answer));
            tokio::spawn(served);
        }
    });
    (address, accepted)
}

#[tokio::test]
async fn the_limit_holds_for_http2_and_who_waits_gets_the_next_stream() {
    let go = Arc::new(Semaphore::new(0));
    let (address, accepted) = one_stream_at_a_time(Arc::clone(&go)).await;
    let gateway = to(&[address], "protocol: http2, connections: 1");
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(asking(&gateway, GET).await);
    }
    gateway.record.reaches(|record| &record.begun, 3).await;
    for client in &mut clients {
        go.add_permits(1);
        assert_eq!(status(client).await, 200);
    }
    assert_eq!((accepted.load(Ordering::SeqCst), connections(&gateway)), (1, 1));

    let gateway = to(&[address], "protocol: http2, connections: 1, timeouts: { connect: 150ms }");
    let mut first = asking(&gateway, GET).await;
    gateway.record.reaches(|record| &record.begun, 1).await;
    eventually(|| accepted.load(Ordering::SeqCst) == 2).await;
    let mut second = asking(&gateway, GET).await;
    assert_eq!(status(&mut second).await, 503);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::NoRoom]);
    go.add_permits(1);
    assert_eq!(status(&mut first).await, 200);
}

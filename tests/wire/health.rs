//! Which servers get requests: by how they answered, and by what they say when they are asked.

use super::gateway::{Gateway, Setup, eventually};
use super::secure::plan;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyproof::clock::{Clock, UnixTime};
use keyproof::upstream::{UpstreamError, UpstreamState};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// hyper's server, with a status that the test sets; `/healthz` has one of its own.
#[derive(Clone)]
struct Real {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    health: Arc<AtomicU16>,
    requests: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
}

impl Real {
    async fn start(http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let real = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicU16::new(200)),
            health: Arc::new(AtomicU16::new(200)),
            requests: Arc::default(),
            checks: Arc::default(),
        };
        let server = real.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| std::future::ready(server.answer(&request)));
                let socket = TokioIo::new(socket);
                tokio::spawn(async move {
                    if http2 {
                        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(socket, service).await.ok();
                    } else {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(socket, service)
                            .await
                            .ok();
                    }
                });
            }
        });
        real
    }

    fn answer(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (count, status) = if request.uri().path() == "/healthz" {
            assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("keyproof/"));
            (&self.checks, &self.health)
        } else {
            (&self.requests, &self.status)
        };
        count.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
        Ok(response)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn start() -> Clock {
    Clock::manual(UnixTime::from_secs(1000))
}

fn later(clock: &Clock, seconds: u64) {
    clock.set(clock.now().saturating_add(Duration::from_secs(seconds)));
}

fn to(servers: &[SocketAddr], more: &str, clock: &Clock) -> Gateway {
    let servers: Vec<_> = servers.iter().map(|server| format!("\"http://{server}\"")).collect();
    let upstream = plan(&format!("servers: [{}], {more}", servers.join(", ")), &[]);
    let nowhere = Setup::to("127.0.0.1:1".parse().unwrap());
    Setup { upstream: Some(upstream), clock: clock.clone(), ..nowhere }.start()
}

async fn ask(gateway: &Gateway) -> u16 {
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    client.answer().await.unwrap().status
}

fn state(gateway: &Gateway) -> (usize, usize, usize) {
    let UpstreamState { healthy, unhealthy, ejected, .. } = gateway.upstream.state()();
    (healthy, unhealthy, ejected)
}

#[tokio::test]
async fn a_server_whose_requests_fail_rests_and_comes_back_slowly() {
    for http2 in [false, true] {
        let clock = start();
        let (ill, well) = (Real::start(http2).await, Real::start(http2).await);
        let protocol = if http2 { "protocol: http2, " } else { "" };
        let gateway =
            to(&[ill.address, well.address], &format!("{protocol}eject: {{ after: 2, for: 10s }}"), &clock);
        ill.status.store(503, Ordering::SeqCst);
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(ask(&gateway).await);
        }
        assert_eq!(answers.iter().filter(|status| **status == 503).count(), 2, "{answers:?}");
        assert_eq!((ill.requests(), state(&gateway)), (2, (1, 0, 1)));

        // One request is enough to find out that it is no better, and the next rest is twice as long.
        later(&clock, 10);
        assert_eq!(state(&gateway), (2, 0, 0));
        for _ in 0..4 {
            ask(&gateway).await;
        }
        assert_eq!((ill.requests(), state(&gateway)), (3, (1, 0, 1)));
        later(&clock, 19);
        assert_eq!(state(&gateway), (1, 0, 1));
        later(&clock, 1);
        ill.status.store(200, Ordering::SeqCst);
        for _ in 0..8 {
            assert_eq!(ask(&gateway).await, 200);
        }
        assert_eq!((ill.requests(), state(&gateway)), (7, (2, 0, 0)), "it has its share again");
    }
}

#[tokio::test]
async fn a_server_that_is_back_gets_one_request_at_once_at_first() {
    let clock = start();
    let (hand, well) = (ByHand::bind().await, Recording::start(OK).await);
    let gateway = to(&[hand.address(), well.address], "eject: { after: 1, for: 10s }", &clock);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Raw::connect(gateway.address).await);
    }
    clients[0].send(GET).await;
    hand.accept().await.request().await;
    assert_eq!(clients[0].answer().await.unwrap().status, 502, "it closed the connection");
    assert_eq!(state(&gateway), (1, 0, 1));
    later(&clock, 10);
    for client in &mut clients {
        client.send(GET).await;
    }
    let mut connection = hand.accept().await;
    connection.request().await;
    let mut answered = 0;
    for client in &mut clients {
        let answer = tokio::time::timeout(Duration::from_millis(500), client.answer()).await;
        answered += usize::from(answer.is_ok());
    }
    assert_eq!((answered, well.seen().len()), (7, 7), "all but one went to the other");
    connection.send(OK).await;
}

/// However many fail, half of them go on to be asked: nobody is left without any server at all.
#[tokio::test]
async fn never_more_than_half_of_the_servers_rest() {
    let clock = start();
    let servers = [Recording::start(BUSY).await, Recording::start(BUSY).await, Recording::start(BUSY).await];
    let gateway =
        to(&servers.each_ref().map(|server| server.address), "eject: { after: 1, for: 10s }", &clock);
    for _ in 0..12 {
        assert_eq!(ask(&gateway).await, 503);
    }
    assert_eq!(state(&gateway), (2, 0, 1));
    let alone = to(&[servers[0].address], "eject: { after: 1, for: 10s }", &clock);
    for _ in 0..3 {
        assert_eq!(ask(&alone).await, 503);
    }
    assert_eq!(state(&alone), (1, 0, 0));
}

#[tokio::test]
async fn nothing_listens_there_and_soon_nobody_asks_any_more() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let well = Recording::start(OK).await;
    let gateway = to(&[gone, well.address], "eject: { after: 3, for: 10s }", &start());
    for _ in 0..10 {
        assert_eq!(ask(&gateway).await, 200, "nothing was sent: the other has it");
    }
    assert_eq!(state(&gateway), (1, 0, 1));
    let off = to(&[gone, well.address], "eject: off", &start());
    for _ in 0..10 {
        assert_eq!(ask(&off).await, 200);
    }
    assert_eq!(state(&off), (2, 0, 0));
}

/// A server that rests is better than none: where no other can be reached it is tried.
#[tokio::test]
async fn who_rests_is_asked_before_a_request_fails() {
    let ill = Real::start(false).await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = to(&[ill.address, other.local_addr().unwrap()], "eject: { after: 1, for: 10s }", &start());
    ill.status.store(503, Ordering::SeqCst);
    assert_eq!(ask(&gateway).await, 503);
    assert_eq!(state(&gateway), (1, 0, 1));
    ill.status.store(200, Ordering::SeqCst);
    drop(other);
    assert_eq!(ask(&gateway).await, 200);
}

/// Whoever sends half a body and leaves, again and again, must not be able to take servers away from others.
#[tokio::test]
async fn what_clients_do_ejects_nobody() {
    let servers = [Recording::start(OK).await, Recording::start(OK).await];
    let gateway =
        to(&servers.each_ref().map(|server| server.address), "eject: { after: 1, for: 10s }", &start());
    for number in 1..=6 {
        let mut client = Raw::connect(gateway.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
        drop(client);
        gateway.record.reaches(|record| &record.over, number).await;
    }
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    assert_eq!(state(&gateway), (2, 0, 0));
    assert_eq!(ask(&gateway).await, 200);
}

#[tokio::test]
async fn a_server_that_says_it_is_not_healthy_gets_no_requests() {
    for http2 in [false, true] {
        let servers = [Real::start(http2).await, Real::start(http2).await];
        let protocol = if http2 { "protocol: http2, " } else { "" };
        let health = "health: { path: /healthz, interval: 100ms, unhealthy_after: 2, healthy_after: 2 }";
        let gateway = to(
            &servers.each_ref().map(|server| server.address),
            &format!("{protocol}{health}"),
            &Clock::system(),
        );
        servers[0].health.store(500, Ordering::SeqCst);
        eventually(|| state(&gateway) == (1, 1, 0)).await;
        let before = servers[0].requests();
        for _ in 0..6 {
            assert_eq!(ask(&gateway).await, 200);
        }
        assert_eq!((servers[0].requests(), servers[1].requests()), (before, 6));

        // Where none is healthy, nobody is asked.
        servers[1].health.store(404, Ordering::SeqCst);
        eventually(|| state(&gateway) == (0, 2, 0)).await;
        assert_eq!(ask(&gateway).await, 503);
        assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::Unhealthy]);
        assert_eq!((servers[0].requests(), servers[1].requests()), (before, 6));

        servers[0].health.store(204, Ordering::SeqCst);
        eventually(|| state(&gateway) == (1, 1, 0)).await;
        assert_eq!(ask(&gateway).await, 200);
        assert_eq!(servers[0].requests(), before + 1);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_or_is_gone_is_unhealthy() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let well = Real::start(false).await;
    let health = "health: { path: /healthz, interval: 100ms, timeout: 100ms, unhealthy_after: 2 }";
    let servers = [silent.local_addr().unwrap(), gone, well.address];
    let gateway = to(&servers, health, &Clock::system());
    eventually(|| state(&gateway) == (1, 2, 0)).await;
    for _ in 0..6 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!(well.requests(), 6);
}

#[tokio::test]
async fn nobody_is_asked_any_more_once_nobody_needs_to_know() {
    let server = Real::start(false).await;
    let health = "health: { path: /healthz, interval: 100ms }";
    let gateway = to(&[server.address], health, &Clock::system());
    let checks = || server.checks.load(Ordering::SeqCst);
    eventually(|| checks() >= 2).await;
    let Gateway { drain, upstream, .. } = gateway;
    drain.stop(Duration::from_secs(1)).await;
    let weak = Arc::downgrade(&upstream);
    drop(upstream);
    eventually(|| weak.strong_count() == 0).await;
    // One that had begun may still arrive.
    let last = checks();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(checks() <= last + 1, "four would have come");
}

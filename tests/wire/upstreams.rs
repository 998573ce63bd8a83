//! Upstreams that refuse, hang, break, and say what no upstream should.

use super::gateway::{Setup, eventually};
use super::secure::{gateway, plan};
use keyproof::upstream::{ConnectStage, Malformed, Pace, UpstreamError};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let gateway = Setup::to(nobody().await).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let refused = r#"{"error":"upstream_connect: the server refuses connections","error_description":""}"#;
    assert_eq!(answer.text(), refused);
    // The client's connection is none the worse.
    client.send(GET).await;
    assert_eq!(client.answer().await.unwrap().status, 502);
}

#[tokio::test]
async fn servers_take_turns_and_one_that_refuses_is_passed_over() {
    let (one, two) = (Recording::start(OK).await, Recording::start(OK).await);
    let setup = Setup { servers: vec![one.address, nobody().await, two.address], ..Setup::to(one.address) };
    let gateway = setup.start();
    let mut client = Raw::connect(gateway.address).await;
    for _ in 0..6 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab").await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 4));
    assert!(one.seen().iter().chain(&two.seen()).all(|seen| seen.body == b"ab"));
}

#[tokio::test]
async fn a_busy_server_is_spared_where_the_least_requests_decide() {
    let servers = [ByHand::bind().await, ByHand::bind().await];
    let [one, two] = [&servers[0], &servers[1]].map(ByHand::address);
    let upstream = format!("servers: [\"http://{one}\", \"http://{two}\"], balance: least_requests");
    let gateway = gateway(plan(&upstream, &[]));
    let mut first = Raw::connect(gateway.address).await;
    first.send(GET).await;
    // Whichever got it is busy from now on.
    let (mut busy, idle) = tokio::select! {
        busy = servers[0].accept() => (busy, &servers[1]),
        busy = servers[1].accept() => (busy, &servers[0]),
    };
    busy.request().await;
    let mut second = Raw::connect(gateway.address).await;
    second.send(GET).await;
    let mut other = idle.accept().await;
    for _ in 0..8 {
        other.request().await;
        other.send(OK).await;
        assert_eq!(second.answer().await.unwrap().status, 200);
        second.send(GET).await;
    }
    other.request().await;
    busy.send(OK).await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    // Now it is the less busy one.
    first.send(GET).await;
    busy.request().await;
}

#[tokio::test]
async fn an_upstream_that_hangs_is_504_and_its_connection_is_closed() {
    let upstream = ByHand::bind().await;
    let gateway =
        Setup { response_timeout: Duration::from_millis(100), ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    assert_eq!(client.answer().await.unwrap().status, 504);
    assert!(connection.closes().await);
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_504() {
    // A full backlog swallows further connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        full.push(connected.unwrap());
    }
    let gateway = Setup { connect_timeout: Duration::from_millis(100), ..Setup::to(address) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.unwrap().status, 504);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [ConnectStage::Tcp.into()]);
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    let broken = UpstreamError::Broken;
    let cases = [
        ("nothing", String::new(), broken),
        ("half a head", "HTTP/1.1 200 OK\r\nConte".into(), broken),
        ("garbage", "hello\r\n\r\n".into(), Malformed::Head.into()),
        ("HTTP/0.9", "<html>hello</html>".into(), Malformed::Head.into()),
        (
            "an upgrade nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into(),
            Malformed::Upgrade.into(),
        ),
        ("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n".into(), Malformed::Head.into()),
        ("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n".into(), Malformed::Head.into()),
        ("only 1xx, then the end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20), broken),
        (
            "a 1xx with a body",
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n".into(),
            Malformed::Head.into(),
        ),
    ];
    for (what, said, expected) in cases {
        assert_eq!(said_to_a_get(what, said.as_bytes(), true).await, (502, expected), "{what}");
    }
}

/// What a client gets, and the gateway's error, where the upstream says this and closes its side, or does not.
pub(super) async fn said_to_a_get(what: &str, said: &[u8], closes: bool) -> (u16, UpstreamError) {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    // The gateway may close before all of it is out.
    connection.socket.write_all(said).await.ok();
    if closes {
        connection.socket.shutdown().await.ok();
    }
    let status = client.answer().await.expect(what).status;
    assert!(connection.closes().await);
    assert!(!upstream.accepts_within(Duration::from_millis(30)).await, "{what}: sent again");
    let errors = gateway.record.errors.lock().unwrap();
    assert_eq!(errors.len(), 1, "{what}");
    (status, errors[0])
}

#[tokio::test]
async fn informational_answers_are_skipped() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Recording::start(answer).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        OK,
    ] {
        connection.request().await;
        connection.send(answer).await;
        assert!(matches!(client.answer().await.unwrap().status, 200 | 204));
        client.send(GET).await;
    }
    connection.request().await;
}

#[tokio::test]
async fn a_pooled_connection_that_the_upstream_closed_costs_no_request() {
    for said in ["", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"] {
        let upstream = ByHand::bind().await;
        let gateway = Setup::to(upstream.address()).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let mut first = upstream.accept().await;
        first.request().await;
        first.send(OK).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        // Closing says what some servers say to an idle connection; it must not become the answer to the next
        // request.
        first.send(said).await;
        drop(first);
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab").await;
        let mut second = upstream.accept().await;
        assert_eq!(second.request().await.body, b"ab");
        second.send(OK).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn bytes_beyond_an_answer_never_become_the_next_one() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")).await;
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut second = upstream.accept().await;
    second.request().await;
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await;
    assert_eq!(client.answer().await.unwrap().text(), "good");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    drop(client);
    assert!(connection.closes().await);
    gateway.record.reaches(|record| &record.over, 1).await;
    assert_eq!(gateway.record.complete.load(Ordering::SeqCst), 0);
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_answer_cancels_it_too() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello").await;
    client.read_until(b"hello").await.unwrap();
    drop(client);
    assert!(connection.closes().await);
    gateway.record.reaches(|record| &record.over, 1).await;
    assert_eq!(gateway.record.complete.load(Ordering::SeqCst), 0);
    assert_eq!(gateway.record.sent.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_fault() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    client.send("oops\r\n").await;
    // The upstream must not take the half for the whole.
    assert_eq!(connection.chunks().await, None);
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert!(client.closes().await);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::ClientBody]);
}

#[tokio::test]
async fn a_body_that_stops_is_the_clients_fault() {
    let upstream = ByHand::bind().await;
    let pace = Pace { idle: Duration::from_millis(100), bytes_per_second: 240 };
    let setup = Setup { pace, response_timeout: Duration::from_millis(20), ..Setup::to(upstream.address()) };
    let gateway = setup.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab").await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 400);
    assert_eq!(connection.exactly(10).await, None);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::ClientBody]);
}

#[tokio::test]
async fn a_body_that_drips_is_too_slow_however_steadily() {
    let upstream = ByHand::bind().await;
    let pace = Pace { idle: Duration::from_millis(200), bytes_per_second: 1000 };
    let gateway = Setup { pace, ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    let drip = async {
        while client.try_send("a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Every wait is far shorter than the limit for one, so the limit for all of them is what ends it.
    tokio::select! {
        () = drip => {}
        body = connection.exactly(1000) => assert_eq!(body, None),
    }
    gateway.record.reaches(|record| &record.complete, 1).await;
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::ClientBody]);
}

#[tokio::test]
async fn an_upload_that_moves_may_last_longer_than_an_answer_may_take() {
    let upstream = ByHand::bind().await;
    let gateway =
        Setup { response_timeout: Duration::from_millis(100), ..Setup::to(upstream.address()) }.start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        client.send("a").await;
    }
    assert_eq!(connection.exactly(10).await.unwrap(), b"aaaaaaaaaa");
    connection.send(OK).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

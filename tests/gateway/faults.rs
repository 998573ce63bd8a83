//! What upstreams do wrong, as one table: for each the client's answer, what the metric says, and what becomes of the connection.
//!
//! Each upstream does it once, to the first request that it gets; whatever comes after that it answers well. So the next request shows where the
//! first has left things: on the same connection, or on a new one.

use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::gateway::{House, get};
use support::h2::Frame;
use support::raw::Raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROUTES: &str = "  - { name: open, match: { path: /open }, upstream: legacy, public: true }";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// A whole answer with this status.
    Whole(u16),
    /// The beginning of one, and then the end of its connection.
    Cut,
}
use Gets::{Cut, Whole};

/// What follows the bytes.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Nothing: it waits.
    Silence,
    /// It closes its side.
    Close,
    /// It resets the connection.
    Reset,
}
use Then::{Close, Reset, Silence};

/// A fault: what it is; the bytes, and what follows; what the client gets; the metric's `result`; and on which connections all requests came, the
/// next one included.
type Row<'a> = (&'a str, Vec<u8>, Then, Gets, &'a str, &'a [usize]);

const SAME: &[usize] = &[0, 0];
const ANOTHER: &[usize] = &[0, 1];

fn http1() -> Vec<Row<'static>> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let many = |text: &str, count: usize| text.repeat(count).into_bytes();
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(300 * 1024));
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let ten = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    vec![
        ("nothing at all", bytes(OK), Silence, Whole(200), "ok", SAME),
        ("hangs before its head", vec![], Silence, Whole(504), "timeout", ANOTHER),
        ("hangs within its head", bytes("HTTP/1.1 200 OK\r\nX: "), Silence, Whole(504), "timeout", ANOTHER),
        ("closes before its head", vec![], Close, Whole(502), "reset", ANOTHER),
        ("resets before its head", vec![], Reset, Whole(502), "reset", ANOTHER),
        ("closes within its head", bytes("HTTP/1.1 200 OK\r\nX: "), Close, Whole(502), "reset", ANOTHER),
        ("garbage", bytes("\u{16}\u{3}\u{1}hello\r\n\r\n"), Silence, Whole(502), "malformed", ANOTHER),
        ("HTTP/0.9", bytes("<html>hello</html>"), Close, Whole(502), "malformed", ANOTHER),
        ("a huge head", huge.into_bytes(), Silence, Whole(502), "malformed", ANOTHER),
        (
            "too many lines",
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: a\r\n".repeat(1001)).into_bytes(),
            Silence,
            Whole(502),
            "malformed",
            ANOTHER,
        ),
        ("a storm of 1xx", many(early, 33), Silence, Whole(502), "malformed", ANOTHER),
        ("some 1xx", [many(early, 32), bytes(OK)].concat(), Silence, Whole(200), "ok", SAME),
        (
            "101 unasked",
            bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            Silence,
            Whole(502),
            "malformed",
            ANOTHER,
        ),
        (
            "two lengths",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
            Silence,
            Whole(502),
            "malformed",
            ANOTHER,
        ),
        (
            "an unknown coding",
            bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
            Close,
            Whole(502),
            "malformed",
            ANOTHER,
        ),
        ("closes half-way", bytes(ten), Close, Cut, "reset", ANOTHER),
        ("resets half-way", bytes(ten), Reset, Cut, "reset", ANOTHER),
        ("hangs half-way", bytes(ten), Silence, Cut, "timeout", ANOTHER),
        ("closes without the last chunk", bytes(chunked), Close, Cut, "reset", ANOTHER),
        ("extra bytes after the body", bytes(&format!("{OK}evil")), Silence, Whole(200), "ok", ANOTHER),
        ("another answer after it", bytes(&OK.repeat(2)), Silence, Whole(200), "ok", ANOTHER),
        (
            "closes after its answer",
            bytes("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
            Close,
            Whole(200),
            "ok",
            ANOTHER,
        ),
        (
            "a body as long as the connection",
            bytes("HTTP/1.1 200 OK\r\n\r\nok"),
            Close,
            Whole(200),
            "ok",
            ANOTHER,
        ),
    ]
}

/// A frame on the first stream, or on the connection.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS with a status (RFC 7541 section 6.2.2) and fields, as they are.
fn head(status: &str, flags: u8, fields: &[u8]) -> Vec<u8> {
    frame(Frame::HEADERS, flags | END_HEADERS, 1, &[&[0x08, 3][..], status.as_bytes(), fields].concat())
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CONTINUATION: u8 = 9;

fn http2() -> Vec<Row<'static>> {
    let body = |text: &str, flags| frame(Frame::DATA, flags, 1, text.as_bytes());
    let whole = [head("200", 0, &[]), body("ok", END_STREAM)].concat();
    let half = [head("200", 0, &[]), body("ok", 0)].concat();
    let reset = |code: u32| frame(Frame::RST_STREAM, 0, 1, &code.to_be_bytes());
    let away =
        |last: u32, code: u32| frame(Frame::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    // A field of 16,000 bytes, whose length takes three (RFC 7541 section 5.1).
    let large = [&[0, 1, b'x', 127, 0x81, 0x7c][..], &[b'a'; 16000]].concat();
    let mut huge = frame(Frame::HEADERS, END_STREAM, 1, &[0x88]);
    for _ in 0..19 {
        huge.extend(frame(CONTINUATION, 0, 1, &large));
    }
    huge.extend(frame(CONTINUATION, END_HEADERS, 1, &large));
    // `content-length: 10`, and `upgrade: x`.
    let length = [&[0x0f, 0x0d, 2][..], b"10"].concat();
    let early = head("103", 0, &[]).repeat(33);
    vec![
        ("nothing at all", whole.clone(), Silence, Whole(200), "ok", SAME),
        ("hangs before its head", vec![], Silence, Whole(504), "timeout", SAME),
        ("closes before its head", vec![], Close, Whole(502), "reset", ANOTHER),
        ("resets the connection before its head", vec![], Reset, Whole(502), "reset", ANOTHER),
        ("resets the stream before its head", reset(2), Silence, Whole(502), "reset", SAME),
        ("refuses the stream", reset(7), Silence, Whole(200), "ok", &[0, 0, 0]),
        ("goes away without it", away(0, 0), Close, Whole(200), "ok", &[0, 1, 1]),
        ("goes away with it", [away(1, 0), whole.clone()].concat(), Silence, Whole(200), "ok", ANOTHER),
        ("goes away and does not answer it", away(1, 0), Close, Whole(502), "reset", ANOTHER),
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec(), Silence, Whole(502), "malformed", ANOTHER),
        ("a head without a status", frame(Frame::HEADERS, 5, 1, &[]), Silence, Whole(502), "malformed", SAME),
        ("data before its head", body("ok", END_STREAM), Silence, Whole(502), "malformed", ANOTHER),
        ("a huge head", huge, Silence, Whole(502), "malformed", SAME),
        ("a storm of 1xx", [early, whole.clone()].concat(), Silence, Whole(502), "malformed", SAME),
        ("101", head("101", 0, &[]), Silence, Whole(502), "malformed", SAME),
        ("closes half-way", half.clone(), Close, Cut, "reset", ANOTHER),
        ("resets the connection half-way", half.clone(), Reset, Cut, "reset", ANOTHER),
        ("resets the stream half-way", [half.clone(), reset(2)].concat(), Silence, Cut, "reset", SAME),
        ("hangs half-way", half, Silence, Cut, "timeout", SAME),
        (
            "less than it said",
            [head("200", 0, &length), body("ok", END_STREAM)].concat(),
            Silence,
            Whole(502),
            "malformed",
            SAME,
        ),
        (
            "more than it said",
            [head("200", 0, &length), body("and much more", END_STREAM)].concat(),
            Silence,
            Whole(502),
            "malformed",
            SAME,
        ),
        ("extra bytes after the body", [whole, body("evil", 0)].concat(), Silence, Whole(200), "ok", SAME),
    ]
}

#[tokio::test]
async fn what_a_server_of_http_1_does_wrong() {
    for row in http1() {
        check(row, false).await;
    }
}

#[tokio::test]
async fn what_a_server_of_http2_does_wrong() {
    for row in http2() {
        check(row, true).await;
    }
}

#[tokio::test]
async fn what_nobody_does_where_nobody_listens() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for http2 in [false, true] {
        let house = house(nobody, http2).await;
        assert_eq!(asked(&house).await, Whole(502));
        assert_eq!(house.metric("keyproof_upstream_requests_total", &["result=\"refused\""]).await, 1.0);
        let line = house.log.line(|line| line["error"].is_string()).await;
        assert_eq!(line["error"], "upstream_connect: the server refuses connections");
        assert_eq!(line["server"], nobody.to_string());
    }
}

async fn check((what, bytes, then, gets, result, connections): Row<'_>, http2: bool) {
    let came = Arc::<Mutex<Vec<usize>>>::default();
    let server = upstream(bytes, then, http2, Arc::clone(&came)).await;
    let house = house(server, http2).await;
    let found = asked(&house).await;
    assert_eq!(found, gets, "{what}");
    // The record is written when the answer is over, which the client may notice first.
    let label = format!("result=\"{result}\"");
    let counted = async {
        while house.metric("keyproof_upstream_requests_total", &[&label]).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let counted = tokio::time::timeout(support::raw::PATIENCE, counted).await;
    assert!(counted.is_ok(), "{what}: {}", house.admin_page("/metrics").await.text());
    let all = house.metric("keyproof_upstream_requests_total", &[]).await;
    assert_eq!(all, 1.0, "{what}: once, and nothing else");
    let line = house.log.line(|line| line["message"] == "request").await;
    if result == "ok" {
        assert!(line["error"].is_null(), "{what}: {line}");
    } else {
        assert!(line["error"].as_str().is_some_and(|error| error.starts_with("upstream_")), "{what}: {line}");
        assert_eq!(line["server"], server.to_string(), "{what}");
    }
    assert_eq!(asked(&house).await, Whole(200), "{what}: the next request");
    assert_eq!(*came.lock().unwrap(), connections, "{what}: on which connections requests came");
    assert_eq!(house.metric("keyproof_upstream_servers", &["state=\"healthy\""]).await, 1.0, "{what}");
}

async fn house(upstream: SocketAddr, http2: bool) -> House {
    let house = House::with_routes(ROUTES).await;
    let protocol = if http2 { "http2" } else { "http1" };
    let from = format!("servers: [\"http://{}\"]", house.upstream.address);
    let to = format!(
        "servers: [\"http://{upstream}\"], protocol: {protocol}, timeouts: {{ response: 700ms, idle: 700ms }}"
    );
    house.reload_with(&from, &to).await;
    house
}

async fn asked(house: &House) -> Gets {
    let mut client = Raw::connect(house.gateway).await;
    client.send(get("/open", &[])).await;
    client.answer().await.map_or(Cut, |answer| Whole(answer.status))
}

/// A server that does this to the first request, and notes for each on which connection it came.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own ends with its runtime")]
async fn upstream(bytes: Vec<u8>, then: Then, http2: bool, came: Arc<Mutex<Vec<usize>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((socket, _)) = listener.accept().await {
            let (bytes, came) = (bytes.clone(), Arc::clone(&came));
            tokio::spawn(async move {
                // The gateway may end the connection at any time.
                if http2 {
                    serve_http2(socket, number, &bytes, then, &came).await.ok();
                } else {
                    serve_http1(socket, number, &bytes, then, &came).await.ok();
                }
            });
            number += 1;
        }
    });
    address
}

/// Notes a request; says whether it is the first.
fn is_first(came: &Mutex<Vec<usize>>, connection: usize) -> bool {
    let mut came = came.lock().unwrap();
    came.push(connection);
    came.len() == 1
}

async fn serve_http1(
    mut socket: TcpStream,
    number: usize,
    bytes: &[u8],
    then: Then,
    came: &Mutex<Vec<usize>>,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    while socket.read_buf(&mut read).await? > 0 {
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        read.clear();
        if is_first(came, number) {
            socket.write_all(bytes).await?;
            ends(&mut socket, then).await?;
        } else {
            socket.write_all(OK.as_bytes()).await?;
        }
    }
    Ok(())
}

async fn serve_http2(
    mut socket: TcpStream,
    number: usize,
    bytes: &[u8],
    then: Then,
    came: &Mutex<Vec<usize>>,
) -> std::io::Result<()> {
    socket.read_exact(&mut [0; 24]).await?;
    // SETTINGS without any, and the acknowledgement of the gateway's.
    socket.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await?;
    loop {
        let asked = Frame::read(&mut socket).await?;
        if asked.kind != Frame::HEADERS {
            continue;
        }
        if is_first(came, number) {
            socket.write_all(bytes).await?;
            ends(&mut socket, then).await?;
        } else {
            let answer = [
                frame(Frame::HEADERS, END_HEADERS, asked.stream, &[0x88]),
                frame(Frame::DATA, END_STREAM, asked.stream, b"ok"),
            ];
            socket.write_all(&answer.concat()).await?;
        }
    }
}

async fn ends(socket: &mut TcpStream, then: Then) -> std::io::Result<()> {
    match then {
        Silence => Ok(()),
        Close => socket.shutdown().await,
        Reset => {
            // What was said is with the gateway's system already, and is read before the reset is noticed.
            SockRef::from(&*socket).set_linger(Some(Duration::ZERO))?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
}

//! HTTP/2 to upstreams.

use super::gateway::{Gateway, eventually};
use super::http2::nothing;
use super::secure::{gateway, plan};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyproof::upstream::{ConnectStage, Http2Failure, Malformed, UpstreamError};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::h2::Frame;
use support::raw::{Answer, PATIENCE, Raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

/// A request as a real server of HTTP/2 saw it.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// hyper's server, which answers each request with its body and a trailer.
#[derive(Clone)]
struct Real {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Real {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let real = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&real.seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request| echo(request, Arc::clone(&seen)));
                let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(served);
            }
        });
        real
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn echo(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let line = format!("{} {} {:?}", head.method, head.uri, head.version);
    let body = body.collect().await.unwrap();
    let body = body.to_bytes();
    seen.lock().unwrap().push(Seen { line, headers: head.headers, body: body.to_vec() });
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    Ok(Response::builder().header("trailer", "x-sum").body(body).unwrap())
}

fn to(server: SocketAddr, more: &str) -> Gateway {
    gateway(plan(&format!("servers: [\"http://{server}\"], protocol: http2, {more}"), &[]))
}

async fn ask(gateway: &Gateway, request: &str) -> Option<Answer> {
    let mut client = Raw::connect(gateway.address).await;
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn a_request_in_http_1_reaches_a_server_of_http2() {
    let server = Real::start().await;
    let gateway = to(server.address, "");
    let answer =
        ask(&gateway, "POST /a?b=c HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\nhello")
            .await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let chunked = "PUT /d HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(ask(&gateway, chunked).await.unwrap().text(), "hello");
    assert_eq!(ask(&gateway, GET).await.unwrap().text(), "");
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let expected = [
        "POST http://api.example.com/a?b=c HTTP/2.0",
        "PUT http://api.example.com/d HTTP/2.0",
        "GET http://api.example.com/a?b=c HTTP/2.0",
    ];
    assert_eq!(lines, expected);
    for (number, length) in [(0, Some("5")), (1, None), (2, None)] {
        let headers = &seen[number].headers;
        assert_eq!(headers.get("content-length").map(|length| length.to_str().unwrap()), length, "{number}");
        assert_eq!((headers["te"].as_bytes(), headers.get("host")), (&b"trailers"[..], None));
        assert_eq!(headers["via"], "1.1 keyproof");
        assert!(["transfer-encoding", "connection"].iter().all(|name| !headers.contains_key(*name)));
    }
    assert_eq!(seen[1].body, b"hello");
}

#[tokio::test]
async fn requests_share_a_connection_and_trailers_pass() {
    let server = Real::start().await;
    let gateway = to(server.address, "");
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("http://api.example.com/").body(nothing()).unwrap();
        let answer = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["x-sum"], "42");
    }
    assert_eq!(server.seen().len(), 3);
}

/// A server of HTTP/2 by hand.
struct ByHand(TcpListener);

struct Connection(TcpStream);

/// SETTINGS without any.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

impl ByHand {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection, which has begun with the preface; says these settings.
    async fn accept(&self, settings: &[u8]) -> Connection {
        let accepted = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        let mut socket = accepted.expect("a connection in time").unwrap().0;
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        socket.write_all(settings).await.unwrap();
        Connection(socket)
    }
}

impl Connection {
    /// The stream of the next request.
    async fn request(&mut self) -> u32 {
        self.until(Frame::HEADERS).await.expect("a request").stream
    }

    /// The next frame of a kind; `None` where the connection ends before.
    async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame =
                tokio::time::timeout(PATIENCE, Frame::read(&mut self.0)).await.expect("a frame in time");
            match frame {
                Ok(frame) if frame.kind == kind => return Some(frame),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&[high, middle, low, kind, flags][..], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).await.ok();
    }

    /// An answer of 200 with "ok".
    async fn ok(&mut self, stream: u32) {
        self.send(Frame::HEADERS, END_HEADERS, stream, &[STATUS_200]).await;
        self.send(Frame::DATA, END_STREAM, stream, b"ok").await;
    }

    async fn reset(&mut self, stream: u32, code: u32) {
        self.send(Frame::RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    async fn go_away(&mut self, last: u32, code: u32) {
        self.send(Frame::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` of the static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// A status that is not in the static table.
fn status(code: &str) -> Vec<u8> {
    [&[0x08, 3][..], code.as_bytes()].concat()
}

/// A field that is never indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| {
        // RFC 7541 section 5.1.
        let mut rest = text.len();
        if rest < 127 {
            return vec![u8::try_from(rest).unwrap()];
        }
        let mut bytes = vec![127];
        rest -= 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes
    };
    [&[0][..], &length(name), name.as_bytes(), &length(value), value.as_bytes()].concat()
}

/// What a client gets for a GET, and the gateway's errors, where a server does this with the first request that it gets.
async fn after<F: AsyncFnOnce(&mut Connection, u32)>(act: F) -> (Option<u16>, Vec<UpstreamError>) {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "timeouts: { connect: 300ms, response: 300ms }");
    let play = async {
        let mut connection = server.accept(SETTINGS).await;
        let stream = connection.request().await;
        act(&mut connection, stream).await;
        // Whoever comes again gets an answer.
        tokio::spawn(async move {
            let mut connections = vec![connection];
            loop {
                let mut connection = server.accept(SETTINGS).await;
                while let Some(frame) = connection.until(Frame::HEADERS).await {
                    connection.ok(frame.stream).await;
                }
                connections.push(connection);
            }
        });
    };
    let (answer, ()) = tokio::join!(ask(&gateway, GET), play);
    let errors = gateway.record.errors.lock().unwrap().clone();
    (answer.map(|answer| answer.status), errors)
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let http2 = UpstreamError::Http2;
    assert_eq!(
        after(async |connection, stream| connection.reset(stream, CANCEL).await).await,
        (Some(502), vec![http2(Http2Failure::Reset(CANCEL))])
    );
    assert_eq!(after(async |_, _| ()).await, (Some(504), vec![UpstreamError::ResponseTimeout]), "it hangs");
    let closed = after(async |connection, _| connection.0.shutdown().await.unwrap()).await;
    assert_eq!(closed, (Some(502), vec![UpstreamError::Broken]), "it closes");
    let garbage = after(async |connection, _| connection.0.write_all(&[0xff; 64]).await.unwrap()).await;
    assert_eq!(garbage, (Some(502), vec![Malformed::Http2.into()]));
    let interim = after(async |connection, stream| {
        for _ in 0..1000 {
            connection.send(Frame::HEADERS, END_HEADERS, stream, &status("103")).await;
        }
    });
    assert_eq!(interim.await, (Some(502), vec![Malformed::Interim.into()]));
    let upgrade = after(async |connection, stream| {
        connection.send(Frame::HEADERS, END_HEADERS, stream, &status("101")).await;
    });
    assert_eq!(upgrade.await, (Some(502), vec![Malformed::Upgrade.into()]));
    let length = after(async |connection, stream| {
        let head = [&[STATUS_200][..], &field("content-length", "5, 6")].concat();
        connection.send(Frame::HEADERS, END_HEADERS, stream, &head).await;
        connection.send(Frame::DATA, END_STREAM, stream, b"hello").await;
    });
    let (status, errors) = length.await;
    assert_eq!((status, errors.len()), (Some(502), 1), "{errors:?}");
    let hop_by_hop = after(async |connection, stream| {
        let head = [&[STATUS_200][..], &field("transfer-encoding", "chunked")].concat();
        connection.send(Frame::HEADERS, END_HEADERS, stream, &head).await;
    });
    assert_eq!(hop_by_hop.await, (Some(502), vec![Malformed::Http2.into()]));
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let answered = after(async |connection, stream| {
        for code in ["100", "103", "102"] {
            connection.send(Frame::HEADERS, END_HEADERS, stream, &status(code)).await;
        }
        connection.ok(stream).await;
    });
    assert_eq!(answered.await, (Some(200), vec![]));
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let (status, errors) = after(async |connection, stream| {
        // HEADERS and CONTINUATION of 16 KiB each, 300 KiB together.
        let block = [vec![STATUS_200], field("x-huge", &"a".repeat(300 * 1024))].concat();
        let mut frames = block.chunks(16 * 1024).enumerate().peekable();
        while let Some((number, part)) = frames.next() {
            let flags = if frames.peek().is_none() { END_HEADERS } else { 0 };
            connection.send(if number == 0 { Frame::HEADERS } else { 9 }, flags, stream, part).await;
        }
    })
    .await;
    assert_eq!(status, Some(502), "{errors:?}");
    assert!(matches!(errors[..], [UpstreamError::Malformed(_)]), "{errors:?}");
}

#[tokio::test]
async fn what_speaks_no_http2_is_named() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], b"hello"] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = to(server.local_addr().unwrap(), "timeouts: { connect: 500ms }");
        let play = async {
            let mut socket = server.accept().await.unwrap().0;
            socket.write_all(said).await.unwrap();
            socket.shutdown().await.unwrap();
            socket.read_to_end(&mut Vec::new()).await.ok();
        };
        let (answer, ()) = tokio::join!(ask(&gateway, GET), play);
        assert_eq!(answer.unwrap().status, 502);
        let errors = gateway.record.errors.lock().unwrap().clone();
        assert!(
            matches!(errors[..], [UpstreamError::Malformed(Malformed::NotHttp2) | UpstreamError::Broken]),
            "{errors:?}"
        );
    }
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = to(silent.local_addr().unwrap(), "timeouts: { connect: 200ms }");
    assert_eq!(ask(&gateway, GET).await.unwrap().status, 504);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [ConnectStage::Http2.into()]);
}

#[tokio::test]
async fn what_the_server_did_not_take_is_sent_once_more() {
    let refused = after(async |connection, stream| {
        connection.reset(stream, REFUSED_STREAM).await;
        let stream = connection.request().await;
        connection.ok(stream).await;
    });
    assert_eq!(refused.await, (Some(200), vec![]));
    let twice = after(async |connection, stream| {
        connection.reset(stream, REFUSED_STREAM).await;
        let stream = connection.request().await;
        connection.reset(stream, REFUSED_STREAM).await;
    });
    assert_eq!(twice.await, (Some(502), vec![UpstreamError::Http2(Http2Failure::Refused)]));
    // Above the last stream of a GOAWAY: on another connection.
    let gone = after(async |connection, _| connection.go_away(0, 0).await);
    assert_eq!(gone.await, (Some(200), vec![]));
    // One that was taken is answered; the next goes elsewhere.
    let taken = after(async |connection, stream| {
        connection.go_away(stream, 0).await;
        connection.ok(stream).await;
    });
    assert_eq!(taken.await, (Some(200), vec![]));
}

#[tokio::test]
async fn a_body_that_was_begun_is_not_sent_again() {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "");
    let post = "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\nhello";
    let play = async {
        let mut connection = server.accept(SETTINGS).await;
        let stream = connection.request().await;
        connection.until(Frame::DATA).await.unwrap();
        connection.reset(stream, REFUSED_STREAM).await;
        connection
    };
    let (answer, mut connection) = tokio::join!(ask(&gateway, post), play);
    assert_eq!(answer.unwrap().status, 502);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::Http2(Http2Failure::Refused)]);
    // A body of which nothing came is whole, whoever is asked for it.
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\n").await;
    let stream = connection.request().await;
    connection.reset(stream, REFUSED_STREAM).await;
    let stream = connection.request().await;
    client.send("hello").await;
    assert_eq!(connection.until(Frame::DATA).await.unwrap().payload, b"hello");
    connection.ok(stream).await;
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn an_answer_that_is_reset_ends_visibly_and_its_connection_goes_on() {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "");
    let play = async {
        let mut connection = server.accept(SETTINGS).await;
        let stream = connection.request().await;
        connection.send(Frame::HEADERS, END_HEADERS, stream, &[STATUS_200]).await;
        connection.send(Frame::DATA, 0, stream, b"half").await;
        eventually(|| gateway.record.sent.load(Ordering::SeqCst) == 4).await;
        connection.reset(stream, CANCEL).await;
        connection
    };
    let (answer, mut connection) = tokio::join!(ask(&gateway, GET), play);
    assert!(answer.is_none(), "a half answer must not look whole");
    assert_eq!(gateway.record.broken.load(Ordering::SeqCst), 1);
    let again = async {
        let stream = connection.request().await;
        connection.ok(stream).await;
    };
    let (answer, ()) = tokio::join!(ask(&gateway, GET), again);
    assert_eq!(answer.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_only() {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "");
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = server.accept(SETTINGS).await;
    let stream = connection.request().await;
    drop(client);
    let reset = connection.until(Frame::RST_STREAM).await.unwrap();
    assert_eq!((reset.stream, reset.payload.as_slice()), (stream, &CANCEL.to_be_bytes()[..]));
}

#[tokio::test]
async fn no_connection_has_more_streams_than_its_server_takes() {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let address = gateway.address;
        clients.spawn(async move {
            let mut client = Raw::connect(address).await;
            client.send(GET).await;
            client.answer().await.unwrap().status
        });
    }
    // SETTINGS_MAX_CONCURRENT_STREAMS is 2.
    let two = [&b"\0\0\x06\x04\0\0\0\0\0"[..], &[0, 3, 0, 0, 0, 2]].concat();
    let mut connections = Vec::new();
    for streams in [2, 2, 1] {
        let mut connection = server.accept(&two).await;
        let mut open = Vec::new();
        for _ in 0..streams {
            open.push(connection.request().await);
        }
        connections.push((connection, open));
    }
    for (connection, open) in &mut connections {
        for stream in open {
            connection.ok(*stream).await;
        }
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

/// A server that is gone without a word, as behind a cable that was pulled: after 20 seconds of silence it is asked, and has 10 to answer.
#[tokio::test]
async fn a_server_that_answers_no_ping_is_given_up() {
    let server = ByHand::bind().await;
    let gateway = to(server.address(), "");
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = server.accept(SETTINGS).await;
    connection.request().await;
    let patience = Duration::from_secs(40);
    let asked = async {
        loop {
            let frame = Frame::read(&mut connection.0).await.expect("a PING");
            if frame.kind == Frame::PING && frame.flags & 1 == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(patience, asked).await.expect("it is asked");
    let head = tokio::time::timeout(patience, client.read_until(b"\r\n\r\n")).await.expect("an answer");
    assert!(head.unwrap().starts_with(b"HTTP/1.1 504 "));
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::Http2(Http2Failure::Silent)]);
    // It is not asked any more: the next request has a connection of its own.
    client.send(GET).await;
    let mut another = server.accept(SETTINGS).await;
    let stream = another.request().await;
    another.ok(stream).await;
    tokio::time::timeout(patience, client.read_until(b"ok")).await.expect("an answer").unwrap();
}

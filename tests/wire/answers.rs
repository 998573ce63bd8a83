//! Answers: framed anew, with their trailers, up to the limits of their heads, and before the request's body has ended.

use super::gateway::Setup;
use super::http2::{self, Certificate, Sent};
use super::upstreams::said_to_a_get;
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use keyproof::upstream::{Malformed, UpstreamError};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use support::raw::Raw;
use support::upstream::{ByHand, Connection, Recording};
use tokio::io::AsyncWriteExt;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, DPoP-Nonce\r\n\r\n\
                        5\r\nhello\r\n0\r\nX-Sum: 1\r\nDPoP-Nonce: evil\r\nContent-Length: 3\r\n\r\n";

/// One exchange on a connection of its own with an upstream that says this and closes: the answer's head and all that follows it.
async fn relayed(method: &str, said: &str) -> (String, Vec<u8>) {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(said).await;
    drop(connection);
    let head = client.read_until(b"\r\n\r\n").await.expect(said);
    (String::from_utf8(head).unwrap().to_ascii_lowercase(), client.rest().await)
}

#[tokio::test]
async fn an_answer_is_framed_anew() {
    let five = "5\r\nhello\r\n0\r\n\r\n";
    let chunked = five.to_owned();
    let cases = [
        ("GET", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", five, None, chunked.as_str()),
        ("GET", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", five, None, &chunked),
        ("GET", "Transfer-Encoding: Chunked\r\n", five, None, &chunked),
        ("GET", "Content-Length: 5, 5\r\n", "hello", Some("5"), "hello"),
        ("GET", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello", Some("5"), "hello"),
        ("GET", "Content-Length: 05\r\n", "hello", Some("5"), "hello"),
        ("GET", "Content-Length: 5\r\n", "hello, and more", Some("5"), "hello"),
        ("GET", "X: close-delimited\r\n", "hello", None, &chunked),
        ("HEAD", "Content-Length: 5, 5\r\n", "", Some("5"), ""),
        ("HEAD", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "", None, ""),
    ];
    for (method, fields, body, length, expected) in cases {
        for status in ["200 OK", "404 Not Found"] {
            let said = format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}");
            let (head, body) = relayed(method, &said).await;
            assert!(head.starts_with(&format!("http/1.1 {}", &status[..3])), "{said}: {head}");
            let lengths: Vec<_> =
                head.lines().filter_map(|line| line.strip_prefix("content-length: ")).collect();
            assert_eq!(lengths, length.into_iter().collect::<Vec<_>>(), "{said}");
            let coded = head.contains("transfer-encoding");
            assert_eq!(coded, method == "GET" && length.is_none(), "{said}: {head}");
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{said}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_none_whatever_it_says() {
    let certificate = Certificate::new(2030);
    for (status, fields, length) in [
        ("304 Not Modified", "Content-Length: 5, 5\r\n", Some("5")),
        ("304 Not Modified", "Content-Length: 5\r\nContent-Length: 5\r\n", Some("5")),
        ("304 Not Modified", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
        ("204 No Content", "Content-Length: 0\r\n", None),
        ("204 No Content", "Content-Length: 5\r\n", None),
        ("204 No Content", "Transfer-Encoding: chunked\r\n", None),
    ] {
        for body in ["", "hello", "5\r\nhello\r\n0\r\n\r\n"] {
            let said = format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}");
            let (head, rest) = relayed("GET", &said).await;
            // hyper leaves the length of a 304 out over HTTP/1.1, as a server may (RFC 9110 section 15.4.5).
            assert!(
                !head.contains("content-length") && !head.contains("transfer-encoding"),
                "{said}: {head}"
            );
            assert!(rest.is_empty(), "{said}: {rest:?}");
        }
        let upstream = Recording::start(format!("HTTP/1.1 {status}\r\n{fields}\r\n").leak()).await;
        let gateway = http2::setup(upstream.address, &certificate).start();
        let mut client = certificate.http2(&gateway).await;
        let answer = client.send(http2::get("/")).await.unwrap();
        let lengths: Vec<_> = answer.headers().get_all("content-length").iter().collect();
        assert_eq!(lengths, length.into_iter().collect::<Vec<_>>(), "{fields}");
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_framed_for_sure_is_502() {
    let codings = [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "chunked, gzip",
        "identity, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "xchunked",
    ];
    let lengths = [
        "5, 6",
        "5\r\nContent-Length: 6",
        "-5",
        "+5",
        "0x5",
        "5 5",
        "",
        "5,",
        "99999999999999999999999999",
        "five",
        "5\r\nContent-Length:",
    ];
    for status in ["200 OK", "404 Not Found", "204 No Content", "304 Not Modified"] {
        for coding in codings {
            let said =
                format!("HTTP/1.1 {status}\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            let found = said_to_a_get(coding, said.as_bytes(), true).await;
            assert_eq!(found, (502, Malformed::TransferCoding.into()), "{said}");
        }
        for length in lengths {
            let said = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\nhello");
            let found = said_to_a_get(length, said.as_bytes(), true).await;
            assert_eq!(found, (502, Malformed::ContentLength.into()), "{said}");
        }
        let said = format!("HTTP/1.0 {status}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        let found = said_to_a_get("HTTP/1.0", said.as_bytes(), true).await;
        assert_eq!(found, (502, Malformed::TransferCoding.into()), "{said}");
    }
}

#[tokio::test]
async fn what_cannot_be_framed_for_sure_is_502_to_head_too() {
    for field in [
        "Content-Length: 5, 6",
        "Content-Length: x",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
    ] {
        let (head, _) = relayed("HEAD", &format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n")).await;
        assert!(head.starts_with("http/1.1 502"), "{field}: {head}");
    }
}

#[tokio::test]
async fn a_connection_whose_framing_is_in_doubt_is_not_used_again() {
    for said in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let upstream = ByHand::bind().await;
        let gateway = Setup::to(upstream.address()).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.send(said).await;
        assert!(client.answer().await.unwrap().status < 300, "{said}");
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
            .await;
        let mut second = upstream.accept().await;
        assert_eq!(second.request().await.body, b"ab", "{said}");
        assert!(connection.closes().await);
    }
}

#[tokio::test]
async fn trailers_reach_a_client_that_reads_them() {
    let upstream = Recording::start(TRAILERS).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    let head = String::from_utf8(client.read_until(b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(head.contains("\r\ntrailer: x-sum\r\n"), "{head}");
    let body = client.read_until(b"\r\n\r\n").await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    // Another answer follows on the same connection, to a client that does not say so.
    client.send(GET).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.text().as_str(), answer.header("trailer")), ("hello", None));
}

#[tokio::test]
async fn trailers_reach_a_client_of_http2() {
    let certificate = Certificate::new(2030);
    // Those of gRPC are not announced, and may come without any body.
    for said in
        [TRAILERS, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nTE: x\r\n\r\n"]
    {
        let upstream = Recording::start(said).await;
        let gateway = http2::setup(upstream.address, &certificate).start();
        let mut client = certificate.http2(&gateway).await;
        let body = client.send(http2::get("/")).await.unwrap().into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap();
        assert_eq!(trailers.len(), 1, "{trailers:?}");
        assert_eq!(trailers["x-sum"], "1");
    }
}

/// A head of exactly this many bytes, with so many lines.
fn head(bytes: usize, lines: usize) -> String {
    let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_owned();
    for number in 2..lines {
        head.push_str(&format!("Set-Cookie: a{number}=b\r\n"));
    }
    let padding = bytes.saturating_sub(head.len() + "X: \r\n\r\n".len());
    head.push_str(&format!("X: {}\r\n\r\n", "a".repeat(padding)));
    head
}

#[tokio::test]
async fn a_head_may_be_big_up_to_its_limits() {
    let certificate = Certificate::new(2030);
    for (bytes, lines) in [(0, 120), (100 << 10, 3), (0, 1000), ((256 << 10) - 1, 3), (200 << 10, 1000)] {
        let said: &'static str = format!("{}ok", head(bytes, lines)).leak();
        let upstream = Recording::start(said).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        for _ in 0..2 {
            client.send(GET).await;
            let answer = client.answer().await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{bytes} bytes, {lines} lines");
            assert_eq!(answer.all("set-cookie").len(), lines - 2);
        }
        let gateway = http2::setup(upstream.address, &certificate).start();
        let mut client = certificate.http2(&gateway).await;
        // What a client of HTTP/2 takes is its own affair: hyper's takes 16 KiB.
        if bytes + lines * 50 < 16 << 10 {
            let answer = client.send(http2::get("/")).await.unwrap();
            assert_eq!(answer.headers().get_all("set-cookie").iter().count(), lines - 2);
        }
    }
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_502() {
    for (bytes, lines) in [((256 << 10) + 1, 3), (0, 1001), (1 << 20, 3), (0, 20_000)] {
        let found = said_to_a_get("a big head", format!("{}ok", head(bytes, lines)).as_bytes(), false).await;
        assert_eq!(found, (502, Malformed::HeadTooLarge.into()), "{bytes} bytes, {lines} lines");
    }
    assert!(UpstreamError::from(Malformed::HeadTooLarge).label().contains("256 KiB in 1,000 lines"));
}

#[tokio::test]
async fn thirty_two_interim_answers_are_taken_and_a_storm_is_502() {
    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let upstream = Recording::start(
        format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", INTERIM.repeat(32)).leak(),
    )
    .await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    for said in [INTERIM, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 199 x\n\n"] {
        let found = said_to_a_get("a storm", said.repeat(100_000).as_bytes(), false).await;
        assert_eq!(found, (502, Malformed::Interim.into()));
    }
}

#[tokio::test]
async fn a_body_that_is_broken_from_its_beginning_is_502() {
    for body in [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    ] {
        let said = format!("HTTP/1.1 200 OK\r\n{body}");
        assert_eq!(
            said_to_a_get(body, said.as_bytes(), false).await,
            (502, Malformed::Body.into()),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_came_before_a_break_goes_out_before_it() {
    for (length, rest) in
        [("Transfer-Encoding: chunked", "5\r\nhello\r\nzz\r\n"), ("Content-Length: 10", "hello")]
    {
        let upstream = ByHand::bind().await;
        let gateway = Setup::to(upstream.address()).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n{rest}")).await;
        drop(connection);
        let received = String::from_utf8(client.rest().await).unwrap();
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{received}");
        assert!(received.contains("hello") && !received.ends_with("0\r\n\r\n"), "{received}");
    }
}

#[tokio::test]
async fn a_head_goes_out_before_the_body_has_come() {
    for length in ["Transfer-Encoding: chunked", "Content-Length: 10", "Content-Type: text/event-stream"] {
        let upstream = ByHand::bind().await;
        let gateway = Setup::to(upstream.address()).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(GET).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n")).await;
        client.read_until(b"\r\n\r\n").await.expect("the head");
    }
}

/// Plays an upstream that answers once it has seen the head of the request, and closes with the rest of it unread: its system resets the
/// connection.
async fn refuse_early(upstream: &ByHand, answer: &str) -> Connection {
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    connection.send(answer).await;
    connection
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_while_it_is_sending() {
    const REFUSED: &str =
        "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large";
    for length in ["Content-Length: 50000000", "Transfer-Encoding: chunked"] {
        for round in 0..25 {
            let upstream = ByHand::bind().await;
            let gateway = Setup::to(upstream.address()).start();
            let mut client = Raw::connect(gateway.address).await;
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n")).await;
            let mut writes = client.writer();
            let pouring = tokio::spawn(async move {
                let block = [b"10000\r\n".as_slice(), &[b'a'; 65536], b"\r\n"].concat();
                while writes.write_all(&block).await.is_ok() {}
            });
            drop(refuse_early(&upstream, REFUSED).await);
            let answer = client.answer().await.unwrap_or_else(|| panic!("round {round}: no answer"));
            assert_eq!((answer.status, answer.text().as_str()), (413, "too large"), "round {round}");
            pouring.abort();
        }
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_of_http2_while_it_is_sending() {
    const REFUSED: &str =
        "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let certificate = Certificate::new(2030);
    for round in 0..25 {
        let upstream = ByHand::bind().await;
        let gateway = http2::setup(upstream.address(), &certificate).start();
        let mut client = certificate.http2(&gateway).await;
        let post = http2::request(Method::POST, "/").body(Endless.boxed()).unwrap();
        let (answer, ()) = tokio::join!(client.send(post), async {
            drop(refuse_early(&upstream, REFUSED).await);
        });
        let answer = answer.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(answer.status(), 401, "round {round}");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no", "round {round}");
    }
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 16384])))))
    }
}

#[tokio::test]
async fn the_connection_of_an_early_answer_is_not_used_again() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
    let mut first =
        refuse_early(&upstream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 413);
    client.send("cd").await;
    // It is not cut off either: the server may want to read what it has refused.
    assert_eq!(first.exactly(4).await.unwrap(), b"abcd");
    client.send(GET).await;
    let mut second = upstream.accept().await;
    second.request().await;
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert!(!upstream.accepts_within(Duration::from_millis(1)).await);
}

#[tokio::test]
async fn the_end_of_a_connection_of_http_1_0_is_told_in_http_1_1() {
    for fields in ["", "Connection: close\r\n", "Content-Type: text/plain\r\n"] {
        let (head, body) = relayed("GET", &format!("HTTP/1.0 200 OK\r\n{fields}\r\nhello")).await;
        assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(String::from_utf8(body).unwrap(), "5\r\nhello\r\n0\r\n\r\n");
    }
    // A connection that is reset is no end.
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    client.read_until(b"hello").await.unwrap();
    connection.socket.set_zero_linger().unwrap();
    drop(connection);
    assert!(!client.rest().await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn a_body_of_http2_that_ends_behind_the_head_is_none() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start("HTTP/1.1 204 No Content\r\n\r\n").await;
    let gateway = http2::setup(upstream.address, &certificate).start();
    let mut socket = certificate.handshake(gateway.address, &[b"h2"]).await.unwrap();
    // SETTINGS, HEADERS without END_STREAM, and DATA with nothing but END_STREAM, as Node sends a POST without a body (RFC 9113 section 4.1;
    // the fields by RFC 7541 appendix A).
    let fields = [0x83, 0x87, 0x84, 0x41, 1, b'a'];
    let frames: [&[u8]; 5] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0, 0, 6, 1, 4, 0, 0, 0, 1],
        &fields,
        &[0, 0, 0, 0, 1, 0, 0, 0, 1],
    ];
    socket.write_all(&frames.concat()).await.unwrap();
    super::gateway::eventually(|| !upstream.seen().is_empty()).await;
    let seen = upstream.only();
    assert_eq!(
        (seen.header("content-length"), seen.header("transfer-encoding")),
        (Some("0"), None),
        "{seen:?}"
    );
}

#[tokio::test]
async fn only_a_method_with_a_body_by_nature_says_that_it_has_none() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let plain = Setup::to(upstream.address).start();
    let tls = http2::setup(upstream.address, &certificate).start();
    let mut client = Raw::connect(plain.address).await;
    let mut http2 = certificate.http2(&tls).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "QUERY"] {
        for said in ["", "Content-Length: 0\r\n"] {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{said}\r\n")).await;
            assert_eq!(client.head_answer().await.unwrap().status, 200);
        }
        let request = http2::request(method.parse().unwrap(), "/");
        http2.send(request.body(http2::nothing()).unwrap()).await.unwrap();
        let expected = matches!(method, "POST" | "PUT" | "PATCH").then_some("0");
        let seen = upstream.seen();
        for seen in &seen[seen.len() - 3..] {
            assert_eq!(
                (seen.header("content-length"), seen.header("transfer-encoding")),
                (expected, None),
                "{seen:?}"
            );
        }
    }
    let body: Sent = Full::new(Bytes::from_static(b"ab")).map_err(|never| match never {}).boxed();
    http2.send(http2::request(Method::DELETE, "/").body(body).unwrap()).await.unwrap();
    assert_eq!(upstream.seen().last().unwrap().body, b"ab");
}

//! What is no HTTP/1.1, and what is but must not be forwarded as it is (RFC 9112, RFC 9110 section 7.6.1).

use super::gateway::Setup;
use support::raw::Raw;
use support::upstream::Recording;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends one request that must be refused by the HTTP layer: the status, then the end, and nothing at the
/// upstream.
async fn refused(request: impl AsRef<[u8]>) -> Option<u16> {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    // A server may answer before it has read all of it.
    client.try_send(request).await.ok();
    let answer = client.answer().await;
    if let Some(answer) = &answer {
        assert!(client.closes().await, "{answer:?}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    answer.map(|answer| answer.status)
}

#[tokio::test]
async fn hyper_refuses_what_is_no_request_and_closes() {
    let cases: &[(&str, &str)] = &[
        ("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
        ("obs-fold with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n"),
        ("a space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
        ("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n"),
        ("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n"),
        ("bare CR as the end of a line", "GET / HTTP/1.1\r\nHost: a\rX-B: c\r\n\r\n"),
        ("a name without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n"),
        ("an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no version", "GET /\r\nHost: a\r\n\r\n"),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
        ("a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "Transfer-Encoding in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked not last",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        ),
        ("no chunked at all", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ("xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab"),
        ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        ("a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab"),
        ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nab"),
        (
            "a length beyond 64 bits",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
        ),
    ];
    for (what, request) in cases {
        assert_eq!(refused(request).await, Some(400), "{what}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_refused_at_the_limit_plus_one() {
    let fields = |count: usize| {
        let fields: String = (0..count).map(|n| format!("X-{n}: a\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    let padded = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX-Pad: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Pad: {}\r\n\r\n", "a".repeat(length - frame))
    };
    assert_eq!(refused(fields(100)).await, Some(431), "101 fields");
    assert_eq!(refused(padded(32 * 1024 + 1)).await, Some(431), "32 KiB and a byte");
    assert_eq!(refused(padded(200 * 1024)).await, Some(431), "200 KiB");
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    assert_eq!(refused(target).await, Some(431), "a target of 70 kB");

    for request in [fields(99), padded(32 * 1024)] {
        let upstream = Recording::start(OK).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(&request).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_length_beside_chunked_is_read_as_chunked_and_the_connection_closes() {
    for (what, framing) in [
        ("length first", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked first", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        ("length twice", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
    ] {
        let upstream = Recording::start(OK).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n5\r\nhello\r\n0\r\n\r\n{smuggled}"))
            .await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{what}");
        assert!(client.closes().await, "{what}");
        let seen = upstream.only();
        assert_eq!(seen.body, b"hello", "{what}");
        assert_eq!(
            seen.all("content-length").len() + seen.all("transfer-encoding").len(),
            1,
            "{what}: {seen:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_chunk_is_the_clients_fault_and_closes() {
    for (what, chunks) in [
        ("no hexadecimal", "zz\r\nab\r\n0\r\n\r\n"),
        ("no end of the chunk", "2\r\nabcd\r\n0\r\n\r\n"),
        ("a negative size", "-2\r\nab\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "fffffffffffffffff\r\nab\r\n"),
        ("bare LF after the size", "2\nab\r\n0\r\n\r\n"),
    ] {
        let upstream = Recording::start(OK).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.map(|answer| answer.status), Some(400), "{what}");
        assert!(client.closes().await, "{what}");
        assert!(upstream.seen().is_empty(), "{what}");
    }
}

/// What hyper lets through, so that the page must see to it.
#[tokio::test]
async fn what_the_page_must_refuse_itself() {
    let forwarded = async |request: &'static str| {
        let upstream = Recording::start(OK).await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send(request).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{request}");
        upstream.only()
    };
    assert_eq!(forwarded("GET / HTTP/1.1\r\n\r\n").await.header("host"), Some("nobody"));
    assert_eq!(forwarded("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await.all("host").len(), 2);
    assert_eq!(forwarded("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n").await.header("host"), Some("u@a"));
    assert_eq!(forwarded("GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n").await.line, "GET /x?y HTTP/1.1");
    assert_eq!(forwarded("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.line, "OPTIONS * HTTP/1.1");
    assert_eq!(forwarded("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await.line, "GET / HTTP/1.1");
    assert_eq!(forwarded("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await.line, "TRACE / HTTP/1.1");
    assert_eq!(forwarded("GET /a\\b%2f HTTP/1.1\r\nHost: a\r\n\r\n").await.line, "GET /a\\b%2f HTTP/1.1");
}

#[tokio::test]
async fn expect_is_answered_here() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send("ab").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let seen = upstream.only();
    assert_eq!((seen.header("expect"), seen.body.as_slice()), (None, &b"ab"[..]));
}

#[tokio::test]
async fn an_upgrade_is_not_forwarded() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let seen = upstream.only();
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{seen:?}");
    }
    // The connection goes on as HTTP/1.1.
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_get_keeps_its_chunked_body() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Auth-Subject: eve\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    // Without its trailers: the recording upstream fails on any.
    assert_eq!(upstream.only().body, b"ab");
}

//! What is no HTTP is refused and counted; what differs between HTTP/2 and HTTP/1.1 is made one before it goes on (RFC 9113 section 8).

use super::gateway::{Gateway, Setup, eventually};
use super::http2::Certificate;
use support::raw::Raw;
use support::upstream::Recording;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What became of a request over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Status(u16),
    Reset(u32),
    GoAway(u32),
}

const PROTOCOL_ERROR: u32 = 1;

/// A client of HTTP/2 that sends whatever it is told, frame by frame.
struct Frames(TlsStream<TcpStream>);

type Field<'a> = (&'a str, &'a [u8]);
/// What is wrong, the fields, the body, and what becomes of it.
type Case<'a> = (&'a str, &'a [Field<'a>], Option<&'a [u8]>, Fate);

impl Frames {
    async fn connect(certificate: &Certificate, gateway: &Gateway) -> Self {
        let mut socket = certificate.handshake(gateway.address, &[b"h2"]).await.unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        Self(socket)
    }

    /// A request on stream 1: these fields after the pseudo-fields, in literals that are never indexed, and this body.
    async fn send(&mut self, method: &str, fields: &[Field<'_>], body: Option<&[u8]>) {
        let pseudo = [
            (":method", method.as_bytes()),
            (":scheme", b"https"),
            (":authority", b"localhost"),
            (":path", b"/x"),
        ];
        let mut block = Vec::new();
        for (name, value) in pseudo.iter().chain(fields) {
            block.push(0);
            for text in [name.as_bytes(), value] {
                block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
                block.extend_from_slice(text);
            }
        }
        let end = 1;
        self.frame(1, 4 | if body.is_none() { end } else { 0 }, &block).await;
        if let Some(body) = body {
            self.frame(0, end, body).await;
        }
    }

    async fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        self.0.write_all(&[&head[..], payload].concat()).await.unwrap();
    }

    async fn fate(&mut self) -> Fate {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            self.0.read_exact(&mut payload).await.unwrap();
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match (head[3], payload.first()) {
                // The status stands first, in the static table (RFC 7541 appendix A).
                (1, Some(0x88)) => return Fate::Status(200),
                (1, Some(0x8c)) => return Fate::Status(400),
                (1, _) => return Fate::Status(0),
                (3, _) => return Fate::Reset(code(0)),
                (7, _) => return Fate::GoAway(code(4)),
                _ => {}
            }
        }
    }
}

async fn gateway() -> (Recording, Certificate, Gateway) {
    let upstream = Recording::start(OK).await;
    let certificate = Certificate::new(2040);
    let gateway = Setup { tls: Some(certificate.load()), ..Setup::to(upstream.address) }.start();
    (upstream, certificate, gateway)
}

#[tokio::test]
async fn what_is_no_http2_is_refused_and_counted() {
    let cases: &[Case<'_>] = &[
        ("empty length", &[("content-length", b"")], Some(b""), Fate::Status(400)),
        (
            "empty length beside another",
            &[("content-length", b"2"), ("content-length", b"")],
            Some(b"ab"),
            Fate::Reset(PROTOCOL_ERROR),
        ),
        ("a list of lengths", &[("content-length", b"2, 2")], Some(b"ab"), Fate::Reset(PROTOCOL_ERROR)),
        (
            "two lengths",
            &[("content-length", b"2"), ("content-length", b"3")],
            Some(b"ab"),
            Fate::Reset(PROTOCOL_ERROR),
        ),
        ("a length with a sign", &[("content-length", b"+2")], Some(b"ab"), Fate::Reset(PROTOCOL_ERROR)),
        ("a length with a space", &[("content-length", b" 2")], Some(b"ab"), Fate::Reset(PROTOCOL_ERROR)),
        ("a length without a body", &[("content-length", b"2")], None, Fate::Reset(PROTOCOL_ERROR)),
        ("a space before a value", &[("x-a", b" b")], None, Fate::Status(400)),
        ("a space after a value", &[("x-a", b"b ")], None, Fate::Status(400)),
        ("a tab before a value", &[("x-a", b"\tb")], None, Fate::Status(400)),
        ("a tab after a value", &[("authorization", b"DPoP a\t")], None, Fate::Status(400)),
        ("nothing but a space", &[("x-a", b" ")], None, Fate::Status(400)),
        ("a name in capitals", &[("X-A", b"b")], None, Fate::GoAway(PROTOCOL_ERROR)),
        ("a field of the connection", &[("connection", b"close")], None, Fate::Reset(PROTOCOL_ERROR)),
        ("a transfer coding", &[("transfer-encoding", b"chunked")], None, Fate::Reset(PROTOCOL_ERROR)),
        ("te other than trailers", &[("te", b"gzip")], None, Fate::Reset(PROTOCOL_ERROR)),
    ];
    let (upstream, certificate, gateway) = gateway().await;
    for (number, (what, fields, body, fate)) in cases.iter().enumerate() {
        let mut client = Frames::connect(&certificate, &gateway).await;
        client.send("POST", fields, *body).await;
        assert_eq!(client.fate().await, *fate, "{what}");
        eventually(|| gateway.counts.malformed() > u64::try_from(number).unwrap()).await;
        assert_eq!(gateway.counts.malformed(), u64::try_from(number + 1).unwrap(), "{what} is counted once");
    }
    assert!(upstream.seen().is_empty());
}

/// More or less data than was said: the upstream may have the head already, but never a whole request.
#[tokio::test]
async fn a_length_that_the_data_do_not_have_is_a_reset() {
    for (length, body) in [(&b"3"[..], &b"ab"[..]), (b"1", b"ab")] {
        let (upstream, certificate, gateway) = gateway().await;
        let mut client = Frames::connect(&certificate, &gateway).await;
        client.send("POST", &[("content-length", length)], Some(body)).await;
        let fate = client.fate().await;
        assert!(matches!(fate, Fate::Reset(PROTOCOL_ERROR) | Fate::Status(400)), "{fate:?}");
        assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    }
}

#[tokio::test]
async fn equal_lengths_become_one_line() {
    let (upstream, certificate, gateway) = gateway().await;
    let mut client = Frames::connect(&certificate, &gateway).await;
    client.send("POST", &[("content-length", b"2"), ("content-length", b"2")], Some(b"ab")).await;
    assert_eq!(client.fate().await, Fate::Status(200));
    assert_eq!(upstream.seen()[0].header("content-length"), Some("2"));
    let mut plain = Raw::connect(Setup::to(upstream.address).start().address).await;
    plain.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab").await;
    assert_eq!(plain.answer().await.unwrap().status, 200);
    assert_eq!(upstream.seen()[1].header("content-length"), Some("2"));
    assert_eq!(gateway.counts.malformed(), 0);
}

#[tokio::test]
async fn what_hyper_refuses_over_http1_is_counted() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    for (number, request) in [
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "\x16\x03\x01\x02\0\x01",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    ]
    .iter()
    .enumerate()
    {
        let mut client = Raw::connect(gateway.address).await;
        client.try_send(request).await.ok();
        client.answer().await;
        eventually(|| gateway.counts.malformed() == u64::try_from(number + 1).unwrap()).await;
    }
    // Leaving in the middle is nobody's mistake.
    let mut client = Raw::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    drop(client);
    eventually(|| (gateway.open)() == 0).await;
    assert_eq!((gateway.counts.malformed(), gateway.counts.failed_handshakes()), (3, 0));
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted() {
    let (_, certificate, gateway) = gateway().await;
    let mut plain = TcpStream::connect(gateway.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    eventually(|| gateway.counts.failed_handshakes() == 1).await;
    // A client that trusts another certificate.
    assert!(Certificate::new(2040).handshake(gateway.address, &[b"h2"]).await.is_err());
    eventually(|| gateway.counts.failed_handshakes() == 2).await;
    drop(certificate.handshake(gateway.address, &[b"h2"]).await.unwrap());
    eventually(|| (gateway.open)() == 0).await;
    assert_eq!(gateway.counts.failed_handshakes(), 2);
}

/// hyper skips extensions, whatever they are made of.
#[tokio::test]
async fn a_control_character_in_a_chunk_extension_is_refused() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies =
        ["5;\0\r\nhello\r\n0\r\n\r\n", "5;a=\x01\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0;\x7f\r\n\r\n"];
    for (number, body) in bodies.iter().enumerate() {
        // In one piece with the head, and later than it; on a new connection, and on one that was used.
        for (later, used) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut client = Raw::connect(gateway.address).await;
            if used {
                client.send(format!("{head}5;a=b\r\nhel\0o\r\n0\r\n\r\n")).await;
                assert_eq!(client.answer().await.unwrap().status, 200);
            }
            let begun = gateway.record.begun.load(std::sync::atomic::Ordering::SeqCst);
            if later {
                client.send(head).await;
                eventually(|| gateway.record.begun.load(std::sync::atomic::Ordering::SeqCst) > begun).await;
                client.try_send(body).await.ok();
            } else {
                client.try_send(format!("{head}{body}")).await.ok();
            }
            assert_eq!(client.answer().await.unwrap().status, 400, "{number} {later} {used}");
            assert!(client.closes().await);
        }
    }
    assert!(upstream.seen().iter().all(|seen| seen.body == b"hel\0o"), "{:?}", upstream.seen());
    assert_eq!(gateway.counts.malformed(), 12);
}

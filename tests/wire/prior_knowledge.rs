//! HTTP/2 on a plain listener, with prior knowledge (RFC 9113 section 3.3).

use super::gateway::{Gateway, Setup, eventually};
use super::http2::{Sent, nothing};
use super::limits::NEVER;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use keyproof::server::Limits;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::h2::{self, Frame};
use support::raw::Raw;
use support::upstream::{ByHand, Recording};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn client(gateway: &Gateway) -> SendRequest<Sent> {
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    drop(tokio::spawn(connection));
    sender
}

fn get(path: &str) -> Request<Sent> {
    Request::get(format!("http://api.example.com{path}")).body(nothing()).unwrap()
}

async fn text(response: Response<Incoming>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn a_plain_listener_speaks_http2_to_who_begins_with_its_preface() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = client(&gateway).await;
    for path in ["/a", "/b"] {
        let response = client.send_request(get(path)).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await), (200, b"ok".to_vec()));
    }
    let seen = upstream.seen();
    assert_eq!([&seen[0].line, &seen[1].line], ["GET /a HTTP/1.1", "GET /b HTTP/1.1"]);
    assert_eq!(
        (seen[0].header("host"), seen[0].header("via")),
        (Some("api.example.com"), Some("2 keyproof"))
    );
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("http"));
    assert_eq!(gateway.counts.malformed(), 0);
}

#[tokio::test]
async fn the_preface_may_come_in_pieces_and_with_the_first_request() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let said = [h2::HELLO, &h2::get(1, "api.example.com", "/")].concat();
    // In one piece, split in its request line, in its second half, and byte by byte.
    for pieces in [&[said.len()][..], &[3], &[14], &[18], &[23], &[24], &[1; 24]] {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut rest = said.as_slice();
        for piece in pieces {
            let (now, later) = rest.split_at(*piece);
            socket.write_all(now).await.unwrap();
            // No more than a chance for the piece to be read alone.
            tokio::time::sleep(Duration::from_millis(1)).await;
            rest = later;
        }
        socket.write_all(rest).await.unwrap();
        while !Frame::read(&mut socket).await.unwrap().ends() {}
    }
    assert_eq!(upstream.seen().len(), 7);
    assert_eq!(gateway.counts.malformed(), 0);
}

#[tokio::test]
async fn what_only_begins_like_the_preface_is_http_1() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = Raw::connect(gateway.address).await;
    for method in ["P", "PRI", "PUT", "GET"] {
        for byte in format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").bytes() {
            client.send([byte]).await;
        }
        assert_eq!(client.answer().await.unwrap().status, 200, "{method}");
    }
    // After a request it is too late: that is HTTP/1.1, and no line of it.
    client.send(h2::HELLO).await;
    assert!(!client.rest().await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(gateway.counts.malformed(), 1);
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_preface_that_does_not_end_is_left_as_a_head_would_be() {
    let limits = Limits { head: Duration::from_millis(100), ..NEVER };
    let gateway = Setup { limits, ..Setup::to("127.0.0.1:1".parse().unwrap()) }.start();
    for said in [&b"P"[..], b"PRI * HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut client = Raw::connect(gateway.address).await;
        client.send(said).await;
        assert!(client.closes().await);
    }
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn the_limits_are_those_of_http2_over_tls() {
    let upstream = ByHand::bind().await;
    let gateway = Setup::to(upstream.address()).start();
    // Streams that are opened and reset at once, without end (CVE-2023-44487).
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    let reset = |stream: u32| {
        let reset = [&[0, 0, 4, Frame::RST_STREAM, 0][..], &stream.to_be_bytes(), &[0, 0, 0, 8]].concat();
        [h2::get(stream, "api.example.com", "/"), reset].concat()
    };
    let flood = (0..1_000).map(|number| reset(2 * number + 1)).collect::<Vec<_>>().concat();
    socket.write_all(&[h2::HELLO, &flood].concat()).await.unwrap();
    let goaway = loop {
        let frame = Frame::read(&mut socket).await.unwrap();
        if frame.kind == Frame::GOAWAY {
            break frame;
        }
    };
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");

    // More streams at once than there may be wait for a place.
    let mut client = client(&gateway).await;
    let before = gateway.record.begun.load(Ordering::SeqCst);
    let mut pending = tokio::task::JoinSet::new();
    for _ in 0..110 {
        pending.spawn(client.send_request(get("/")));
    }
    // The first of them are on their way before the settings are there: those beyond the limit are refused (RFC 9113 section 5.1.2).
    gateway.record.reaches(|record| &record.begun, before + 100).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(gateway.record.begun.load(Ordering::SeqCst), before + 100);
}

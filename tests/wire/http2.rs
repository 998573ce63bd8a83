//! TLS, ALPN and HTTP/2.

use super::gateway::{Gateway, Setup, eventually};
use super::limits::NEVER;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use keyproof::certificate::ClientCertificates;
use keyproof::net::pem;
use keyproof::server::{Drained, Limits, Tls};
use keyproof::upstream::UpstreamError;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use support::upstream::{ByHand, Recording};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A certificate and its files.
pub(super) struct Certificate {
    files: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(super) fn new(year: i32) -> Self {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(files.path().join("tls.key"), key.serialize_pem()).unwrap();
        Self { files, der: certificate.der().clone() }
    }

    pub(super) fn load(&self) -> Tls {
        Tls::new(self.pair()).unwrap()
    }

    /// The chain and its key, as the configuration reads them.
    fn pair(&self) -> Arc<CertifiedKey> {
        let read = |name| std::fs::read(self.files.path().join(name)).unwrap();
        let chain = pem::certificates(&read("tls.crt")).unwrap();
        let key = any_supported_type(&pem::private_key(&read("tls.key")).unwrap()).unwrap();
        Arc::new(CertifiedKey::new(chain, key))
    }

    /// A handshake that trusts this certificate alone.
    pub(super) async fn handshake(
        &self,
        address: SocketAddr,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.handshake_on(TcpStream::connect(address).await?, alpn).await
    }

    /// The same on a connection that is there.
    pub(super) async fn handshake_on(
        &self,
        socket: TcpStream,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await
    }

    pub(super) async fn http2(&self, gateway: &Gateway) -> Client {
        self.http2_on(TcpStream::connect(gateway.address).await.unwrap()).await
    }

    pub(super) async fn http2_on(&self, socket: TcpStream) -> Client {
        let socket = self.handshake_on(socket, &[b"h2"]).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(socket))
            .await
            .unwrap();
        Client { sender, connection: tokio::spawn(async move { connection.await.map_err(drop) }) }
    }
}

pub(super) type Sent = BoxBody<Bytes, std::io::Error>;

pub(super) fn nothing() -> Sent {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(super) struct Client {
    sender: SendRequest<Sent>,
    connection: tokio::task::JoinHandle<Result<(), ()>>,
}

impl Client {
    pub(super) fn send(
        &mut self,
        request: Request<Sent>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request)
    }
}

pub(super) fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://api.example.com{path}"))
}

pub(super) fn get(path: &str) -> Request<Sent> {
    request(Method::GET, path).body(nothing()).unwrap()
}

async fn text(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

pub(super) fn setup(upstream: SocketAddr, certificate: &Certificate) -> Setup {
    Setup { tls: Some(certificate.load()), ..Setup::to(upstream) }
}

#[tokio::test]
async fn alpn_decides_and_nothing_means_http_1() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let gateway = setup(upstream.address, &certificate).start();
    let cases: [(&[&[u8]], _); 3] =
        [(&[b"http/1.1"], Some(&b"http/1.1"[..])), (&[], None), (&[b"h2", b"http/1.1"], Some(b"h2"))];
    for (offered, chosen) in cases {
        let mut socket = certificate.handshake(gateway.address, offered).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), chosen);
        if chosen != Some(b"h2") {
            socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
        }
    }
    assert_eq!(upstream.seen()[0].header("x-forwarded-proto"), Some("https"));
    assert!(certificate.handshake(gateway.address, &[b"spdy/3"]).await.is_err());
}

#[tokio::test]
async fn a_request_in_http_2_reaches_an_http_1_upstream() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let gateway = setup(upstream.address, &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let body = Full::new(Bytes::from_static(b"hello")).map_err(|never| match never {}).boxed();
    let post = request(Method::POST, "/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = client.send(post).await.unwrap();
    assert_eq!((response.status().as_u16(), &text(response).await[..]), (200, &b"ok"[..]));
    let seen = upstream.only();
    assert_eq!((seen.line.as_str(), seen.body.as_slice()), ("POST /a?b=c HTTP/1.1", &b"hello"[..]));
    assert_eq!(seen.header("host"), Some("api.example.com"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header("via"), Some("2 keyproof"));
    assert_eq!(seen.header("te"), None);
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=api.example.com;proto=https"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_its_stream_only() {
    let certificate = Certificate::new(2030);
    let upstream = ByHand::bind().await;
    let gateway = setup(upstream.address(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    for said in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    ] {
        let response = client.send(get("/"));
        let play = async {
            let mut connection = upstream.accept().await;
            connection.request().await;
            connection.send(said).await;
        };
        let (response, ()) = tokio::join!(response, play);
        response.unwrap().into_body().collect().await.expect_err("a whole answer");
    }
    assert!(!client.connection.is_finished());
    assert_eq!(gateway.record.broken.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_only() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let gateway = setup(upstream.address, &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    client.send(get("/panic")).await.expect_err("an answer");
    assert_eq!(client.send(get("/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_even_where_the_gateway_made_one() {
    let certificate = Certificate::new(2030);
    let gateway = setup("127.0.0.1:1".parse().unwrap(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let head = request(Method::HEAD, "/").body(nothing()).unwrap();
    let response = client.send(head).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-length"].to_str().unwrap()),
        (502, "83")
    );
    assert!(text(response).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_request() {
    let certificate = Certificate::new(2030);
    let upstream = ByHand::bind().await;
    let gateway = setup(upstream.address(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let response = client.send(get("/"));
    let pending = tokio::spawn(response);
    let mut connection = upstream.accept().await;
    connection.request().await;
    pending.abort();
    assert!(connection.closes().await);
    gateway.record.reaches(|record| &record.over, 1).await;
    assert!(!client.connection.is_finished());
}

#[tokio::test]
async fn a_body_that_is_reset_is_the_clients_fault() {
    let certificate = Certificate::new(2030);
    let upstream = ByHand::bind().await;
    let gateway = setup(upstream.address(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let (break_off, then) = tokio::sync::oneshot::channel();
    let frames = BreaksOff { first: Some(Bytes::from_static(b"hello")), then }.boxed();
    let post = request(Method::POST, "/").body(frames).unwrap();
    let response = client.send(post);
    let play = async {
        let mut connection = upstream.accept().await;
        connection.head().await.unwrap();
        break_off.send(()).unwrap();
        assert_eq!(connection.chunks().await, None, "the half for the whole");
    };
    let (response, ()) = tokio::join!(response, play);
    response.expect_err("an answer");
    // Whichever is seen first: the reset ends the answer, or the body's error makes it a 400.
    gateway.record.reaches(|record| &record.over, 1).await;
    let errors = gateway.record.errors.lock().unwrap();
    assert!(errors.iter().all(|error| *error == UpstreamError::ClientBody), "{errors:?}");
}

/// One frame, then, when told to, an error: hyper resets the stream.
struct BreaksOff {
    first: Option<Bytes>,
    then: tokio::sync::oneshot::Receiver<()>,
}

impl http_body::Body for BreaksOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.then).poll(cx).map(|_| Some(Err(std::io::ErrorKind::Other.into()))),
        }
    }
}

#[tokio::test]
async fn a_header_list_beyond_the_limit_is_refused() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let gateway = setup(upstream.address, &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let padded =
        |length: usize| request(Method::GET, "/").header("x", "a".repeat(length)).body(nothing()).unwrap();
    assert_eq!(client.send(padded(31 * 1024)).await.unwrap().status(), 200);
    let refused = client.send(padded(33 * 1024)).await.map(|response| response.status().as_u16());
    assert!(!matches!(refused, Ok(status) if status != 431), "{refused:?}");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_has_a_hundred_streams_at_most() {
    let certificate = Certificate::new(2030);
    let upstream = ByHand::bind().await;
    let gateway = setup(upstream.address(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    // The settings are there after the first answer.
    let first = client.send(get("/"));
    let play = async {
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    };
    let (first, ()) = tokio::join!(first, play);
    drop(first.unwrap());
    let mut pending = tokio::task::JoinSet::new();
    for _ in 0..110 {
        pending.spawn(client.send(get("/")));
    }
    gateway.record.reaches(|record| &record.begun, 101).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(gateway.record.begun.load(Ordering::SeqCst), 101);
}

#[tokio::test]
async fn a_drain_finishes_open_streams() {
    let certificate = Certificate::new(2030);
    let upstream = ByHand::bind().await;
    let gateway = setup(upstream.address(), &certificate).start();
    let mut client = certificate.http2(&gateway).await;
    let mut idle = certificate.http2(&gateway).await;
    let first = tokio::spawn(idle.send(get("/")));
    let mut connection = upstream.accept().await;
    connection.request().await;
    connection.send(OK).await;
    assert_eq!(&text(first.await.unwrap().unwrap()).await[..], b"ok");
    let response = tokio::spawn(client.send(get("/")));
    connection.request().await;
    let drain = gateway.drain.clone();
    let stopped = tokio::spawn(async move { drain.stop(Duration::from_secs(20)).await });
    idle.connection.await.unwrap().unwrap();
    idle.sender.send_request(get("/")).await.expect_err("an answer");
    connection.send(OK).await;
    let response = response.await.unwrap().unwrap();
    assert_eq!(&text(response).await[..], b"ok");
    client.connection.await.unwrap().unwrap();
    assert_eq!(stopped.await.unwrap(), Drained::Finished);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let limits = Limits { idle: Duration::from_millis(100), linger: Duration::from_millis(100), ..NEVER };
    let gateway = Setup { limits, ..setup(upstream.address, &certificate) }.start();
    let mut client = certificate.http2(&gateway).await;
    assert_eq!(client.send(get("/")).await.unwrap().status(), 200);
    client.connection.await.unwrap().unwrap();
    // One that never says what it wants, too.
    let mut silent = certificate.handshake(gateway.address, &[b"h2"]).await.unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).await.ok();
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let certificate = Certificate::new(2030);
    let limits = Limits { handshake: Duration::from_millis(100), ..NEVER };
    let gateway = Setup { limits, ..setup("127.0.0.1:1".parse().unwrap(), &certificate) }.start();
    for said in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer))
            .await
            .expect("the end")
            .ok();
        assert!(!answer.starts_with(b"HTTP"));
    }
    eventually(|| (gateway.open)() == 0).await;
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_it_serves() {
    let (old, new) = (Certificate::new(2030), Certificate::new(2031));
    let tls = old.load();
    let upstream = Recording::start(OK).await;
    let gateway = Setup { tls: Some(tls.clone()), ..Setup::to(upstream.address) }.start();
    assert_eq!(tls.not_after().unwrap().as_secs(), 1_893_456_000);
    old.handshake(gateway.address, &[]).await.unwrap();

    tls.exchange(new.pair(), &ClientCertificates::NotAsked).unwrap();
    assert_eq!(tls.not_after().unwrap().as_secs(), 1_924_992_000);
    new.handshake(gateway.address, &[]).await.unwrap();
    old.handshake(gateway.address, &[]).await.expect_err("the old certificate");
}

#[tokio::test]
async fn over_tls_without_alpn_a_client_of_http2_is_told_to_use_http_1() {
    let certificate = Certificate::new(2030);
    let upstream = Recording::start(OK).await;
    let gateway = setup(upstream.address, &certificate).start();
    let mut client = certificate.handshake(gateway.address, &[]).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    // An empty SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED and the reason in words (RFC 9113 sections 3.4, 6.8 and 7).
    let (frames, reason) = said.split_at(26);
    assert_eq!(frames[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(frames[9..], [0, 0, 70, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13]);
    let words = "HTTP/2 over TLS needs ALPN: without it this is HTTP/1.1 alone.";
    assert_eq!(str::from_utf8(reason).unwrap(), words);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upgrade_to_http2_is_not_followed() {
    let upstream = Recording::start(OK).await;
    let gateway = Setup::to(upstream.address).start();
    let mut client = support::raw::Raw::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str(), answer.header("upgrade")), (200, "ok", None));
    let seen = upstream.only();
    assert!(
        ["upgrade", "connection", "http2-settings"].iter().all(|name| seen.header(name).is_none()),
        "{seen:?}"
    );
}

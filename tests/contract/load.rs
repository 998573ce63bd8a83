//! Clients at full speed, who notice every request that got no answer although nothing had told them that it would not.

use rustls::pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::h2::{self, Frame};
use support::raw::Raw;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

/// The route that they call.
pub(crate) const ROUTE: &str = "
  - name: open
    match: { path: /open }
    upstream: legacy
    public: true";
const GET: &str =
    "GET /open HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: told\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
/// How many streams a connection of HTTP/2 has at once.
const STREAMS: usize = 4;

/// How a client calls.
#[derive(Clone)]
pub(crate) enum Caller {
    /// HTTP/1.1, on one connection for as long as it is told nothing else.
    KeepAlive,
    /// HTTP/1.1, on a connection for each request.
    OneShot,
    /// HTTP/2 over TLS with one of these certificates, several streams at once.
    Http2(Vec<CertificateDer<'static>>),
}

/// Clients that run, and what they have seen.
pub(crate) struct Load {
    clients: JoinSet<()>,
    seen: Arc<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) answered: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    /// What was lost, and how.
    pub(crate) lost: Mutex<Vec<String>>,
    /// They call until then.
    over: AtomicBool,
    /// A refused connection is the end.
    until_refused: bool,
}

impl Load {
    /// So many clients of each of these kinds; `until_refused`: each ends when it is refused a connection.
    pub(crate) fn begin(gateway: SocketAddr, callers: &[(usize, Caller)], until_refused: bool) -> Self {
        let seen = Arc::new(Seen { until_refused, ..Seen::default() });
        let mut clients = JoinSet::new();
        for (count, caller) in callers {
            for _ in 0..*count {
                let (caller, seen) = (caller.clone(), Arc::clone(&seen));
                clients.spawn(async move {
                    match caller {
                        Caller::KeepAlive => http1(gateway, &seen, true).await,
                        Caller::OneShot => http1(gateway, &seen, false).await,
                        Caller::Http2(certificates) => http2(gateway, &seen, &certificates).await,
                    }
                });
            }
        }
        Self { clients, seen }
    }

    /// Waits for so many more answers.
    pub(crate) async fn goes_on(&self, answers: usize) {
        let goal = self.seen.answered.load(Ordering::Relaxed) + answers;
        let goes_on = async {
            while self.seen.answered.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(support::raw::PATIENCE, goes_on).await.expect("answers in time");
    }

    /// Ends the clients, or waits for their end.
    pub(crate) async fn end(mut self) -> Arc<Seen> {
        if !self.seen.until_refused {
            self.seen.over.store(true, Ordering::Relaxed);
        }
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.seen
    }
}

impl Seen {
    fn lost(&self, how: impl std::fmt::Display) {
        self.lost.lock().unwrap().push(how.to_string());
    }

    async fn connect(&self, gateway: SocketAddr) -> Option<TcpStream> {
        loop {
            match TcpStream::connect(gateway).await {
                Ok(socket) => return Some(socket),
                Err(_) => self.refused.fetch_add(1, Ordering::Relaxed),
            };
            if self.until_refused || self.is_over() {
                return None;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn http1(gateway: SocketAddr, seen: &Seen, keep: bool) {
    while !seen.is_over() {
        let Some(socket) = seen.connect(gateway).await else { return };
        let mut connection = Raw::of(socket);
        loop {
            if let Err(error) = connection.try_send(GET).await {
                break seen.lost(format!("sending: {error}"));
            }
            let Some(answer) = connection.answer().await else { break seen.lost("no answer") };
            assert_eq!(answer.status, 200, "{}", answer.text());
            seen.answered();
            if !keep || answer.header("connection") == Some("close") || seen.is_over() {
                break;
            }
        }
    }
}

async fn http2(gateway: SocketAddr, seen: &Seen, certificates: &[CertificateDer<'static>]) {
    while !seen.is_over() {
        let Some(socket) = seen.connect(gateway).await else { return };
        let connected = h2::secure(socket, "api.example.com", certificates).await;
        let socket = match connected {
            Ok(socket) => socket,
            Err(error) => return seen.lost(format!("in the handshake: {error}")),
        };
        let mut streams = BTreeSet::new();
        if let Err(error) = streams_on(socket, seen, &mut streams).await {
            seen.lost(format!("{streams:?}: {error}"));
        }
    }
}

/// Several streams at once until a GOAWAY says that there shall be no more; those that are there are answered to the last.
async fn streams_on(
    mut socket: TlsStream<TcpStream>,
    seen: &Seen,
    streams: &mut BTreeSet<u32>,
) -> io::Result<()> {
    let (mut next, mut told) = (1, false);
    socket.write_all(h2::HELLO).await?;
    loop {
        while !told && !seen.is_over() && streams.len() < STREAMS {
            socket.write_all(&h2::get(next, "api.example.com", "/open")).await?;
            streams.insert(next);
            next += 2;
        }
        if streams.is_empty() {
            return Ok(());
        }
        let frame = Frame::read(&mut socket).await?;
        match frame.kind {
            Frame::PING if frame.flags == 0 => socket.write_all(&frame.acknowledged()).await?,
            Frame::GOAWAY => {
                told = true;
                let last = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                if streams.last().is_some_and(|stream| *stream > last) {
                    return Err(io::Error::other(format!("GOAWAY after {last}")));
                }
            }
            Frame::RST_STREAM => return Err(io::Error::other(format!("reset: {frame:?}"))),
            _ if frame.ends() => {
                assert!(streams.remove(&frame.stream), "{frame:?}");
                seen.answered();
            }
            _ => {}
        }
    }
}

//! Upstreams that do what a test tells them.

use super::raw::PATIENCE;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came to the upstream.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a header that stands there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is repeated: {all:?}");
        all.first().copied()
    }
}

/// An upstream whose connections the test plays by hand.
pub struct ByHand {
    listener: TcpListener,
}

impl ByHand {
    pub async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection.
    pub async fn accept(&self) -> Connection {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        Connection::new(accepted.expect("a connection in time").unwrap().0)
    }

    /// Whether a connection is waiting to be accepted.
    pub async fn accepts_within(&self, limit: std::time::Duration) -> bool {
        tokio::time::timeout(limit, self.listener.accept()).await.is_ok()
    }
}

/// A connection from the gateway.
pub struct Connection {
    pub socket: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn new(socket: TcpStream) -> Self {
        Self { socket, received: Vec::new() }
    }

    /// The next request with its whole body.
    pub async fn request(&mut self) -> Seen {
        let mut seen = self.head().await.expect("a request");
        if seen.header("transfer-encoding") == Some("chunked") {
            seen.body = self.chunks().await.expect("a whole body");
        } else if let Some(length) = seen.header("content-length") {
            seen.body = self.exactly(length.parse().unwrap()).await.expect("a whole body");
        }
        seen
    }

    /// The head of the next request; `None` where the connection closes instead.
    pub async fn head(&mut self) -> Option<Seen> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next()?.to_owned();
        let headers = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Seen { line, headers, body: Vec::new() })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("the gateway reads");
    }

    /// Whether the gateway closes the connection.
    pub async fn closes(&mut self) -> bool {
        while self.more().await {}
        true
    }

    /// A chunked body; `None` where it breaks off.
    pub async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            if size == 0 {
                assert_eq!(self.exactly(2).await?, b"\r\n", "trailers");
                return Some(body);
            }
            body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
        }
    }

    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.received.len() < length {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.received.split_off(length);
        Some(std::mem::replace(&mut self.received, rest))
    }

    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.received.windows(mark.len()).position(|window| window == mark) {
                let rest = self.received.split_off(at + mark.len());
                return Some(std::mem::replace(&mut self.received, rest));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Waits, for as long as it takes, for bytes or the end.
    async fn comes(&self) -> bool {
        !self.received.is_empty() || self.socket.readable().await.is_ok()
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.received)).await;
        read.expect("bytes or the end in time").unwrap_or(0) > 0
    }
}

/// An upstream that records every request and answers each with the same bytes, on connections that it keeps.
#[derive(Clone)]
pub struct Recording {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recording {
    pub async fn start(answer: &'static str) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let all = Arc::clone(&seen);
        Self { address: serve(answer, move |seen| all.lock().unwrap().push(seen)).await, seen }
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that came.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

/// An upstream that shows every request, and answers each with the same bytes, on connections that it keeps: where it is.
pub async fn serve(answer: &'static str, show: impl Fn(Seen) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve_one(Connection::new(socket), answer, show.clone()));
        }
    });
    address
}

async fn serve_one(mut connection: Connection, answer: &'static str, show: impl Fn(Seen)) {
    // However long the next request takes to come.
    while connection.comes().await
        && let Some(mut request) = connection.head().await
    {
        if request.header("transfer-encoding") == Some("chunked") {
            let Some(body) = connection.chunks().await else { return };
            request.body = body;
        } else if let Some(length) = request.header("content-length") {
            let Some(body) = connection.exactly(length.parse().unwrap()).await else { return };
            request.body = body;
        }
        let answer = match answer.find("\r\n\r\n") {
            Some(end) if request.line.starts_with("HEAD ") => &answer[..end + 4],
            _ => answer,
        };
        show(request);
        if connection.socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

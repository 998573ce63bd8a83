//! A client that sends bytes and shows bytes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing in a test takes longer than this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is written and read by hand.
pub struct Raw {
    pub socket: TcpStream,
    received: Vec<u8>,
}

/// One answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a header that stands there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is repeated: {all:?}");
        all.first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("the server accepts");
        socket.set_nodelay(true).unwrap();
        Self::of(socket)
    }

    /// A connection that is there.
    pub fn of(socket: TcpStream) -> Self {
        Self { socket, received: Vec::new() }
    }

    /// The same connection, to be written from another task while this one reads.
    pub fn writer(&self) -> TcpStream {
        let socket = self.socket.as_fd().try_clone_to_owned().unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Sends what a server may cut off before it is complete.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref()).await
    }

    /// Reads one answer. `None`: the connection closed before its end.
    pub async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer("GET")).await.expect("an answer in time")
    }

    /// Reads the answer to a `HEAD`.
    pub async fn head_answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer("HEAD")).await.expect("an answer in time")
    }

    /// Whether the server closes the connection, with nothing more said.
    pub async fn closes(&mut self) -> bool {
        assert!(self.received.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.received));
        match tokio::time::timeout(PATIENCE, self.socket.read_u8()).await.expect("the end in time") {
            Ok(byte) => panic!("{byte:#x} instead of the end"),
            Err(_) => true,
        }
    }

    /// Everything until the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.received)
    }

    /// Reads so many bytes without keeping them, and says how many came before the end.
    pub async fn discard(&mut self, length: usize) -> usize {
        let mut read = std::mem::take(&mut self.received).len();
        let mut block = vec![0; 1 << 20];
        while read < length {
            let some = tokio::time::timeout(PATIENCE, self.socket.read(&mut block)).await;
            match some.expect("bytes or the end in time").unwrap_or(0) {
                0 => break,
                some => read += some,
            }
        }
        read
    }

    async fn read_answer(&mut self, method: &str) -> Option<Answer> {
        let head = self.read_until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next()?;
        assert!(status_line.starts_with("HTTP/1."), "{status_line}");
        let status: u16 = status_line.split(' ').nth(1)?.parse().expect("a status");
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.read_chunks().await?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.read_exactly(length.parse().expect("a length")).await?;
        } else {
            answer.body = self.rest().await;
        }
        Some(answer)
    }

    async fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(b"\r\n").await?;
            let line = std::str::from_utf8(&line).expect("a chunk size").trim_end().to_owned();
            let size = usize::from_str_radix(&line, 16).expect("a chunk size");
            if size == 0 {
                self.read_until(b"\r\n").await?;
                return Some(body);
            }
            body.extend(self.read_exactly(size).await?);
            self.read_exactly(2).await?;
        }
    }

    /// Reads up to and with the mark.
    pub async fn read_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.received.windows(mark.len()).position(|window| window == mark) {
                let rest = self.received.split_off(at + mark.len());
                return Some(std::mem::replace(&mut self.received, rest));
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    pub async fn read_exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.received.len() < length {
            if !self.read_more().await {
                return None;
            }
        }
        let rest = self.received.split_off(length);
        Some(std::mem::replace(&mut self.received, rest))
    }

    async fn read_more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.received)).await;
        // A reset is an end too.
        read.expect("bytes or the end in time").unwrap_or(0) > 0
    }
}

//! HTTP/1.1 by hand: a request is a few copies, an answer a search for its end. The generator must cost less than what it measures.

use crate::arguments::Door;
use crate::pool::Shot;
use crate::run::Run;
use crate::scenery::HOST;
use crate::tls::Dialer;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Sends requests one after another until the run is over, on a new connection whenever the server closes one.
pub(crate) async fn drive(run: Rc<Run>, dialer: Rc<Dialer>) {
    while !run.is_over() {
        let outcome = match dialer.dial().await {
            Ok(socket) => keep_alive(&run, socket).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            run.failed(&error);
        }
    }
}

/// Sends these once, whatever comes of them.
pub(crate) async fn send_all(
    run: &Run,
    dialer: &Dialer,
    shots: impl Iterator<Item = Shot<'_>>,
) -> io::Result<()> {
    let mut connection = Connection { socket: dialer.dial().await?, out: Vec::new(), received: Vec::new() };
    for shot in shots {
        connection.send(run, &shot).await?;
        connection.answer().await?;
    }
    Ok(())
}

async fn keep_alive<S: AsyncRead + AsyncWrite + Unpin>(run: &Run, socket: S) -> io::Result<()> {
    let mut connection =
        Connection { socket, out: Vec::with_capacity(2048), received: Vec::with_capacity(8192) };
    while let Some(due) = run.turn().await {
        let Some(shot) = run.shot() else { return Ok(()) };
        connection.send(run, &shot).await?;
        let answer = connection.answer().await?;
        run.answered(shot.kind, answer.status, due);
        if answer.close {
            return Ok(());
        }
    }
    Ok(())
}

struct Connection<S> {
    socket: S,
    out: Vec<u8>,
    received: Vec<u8>,
}

struct Answer {
    status: u16,
    close: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn send(&mut self, run: &Run, shot: &Shot<'_>) -> io::Result<()> {
        self.out.clear();
        let path = run.path.as_str();
        // As a front asks with `deploy/front/nginx.conf`, and as a client does.
        let asks = [
            "GET / HTTP/1.1\r\nhost: keyproof\r\nx-original-method: GET\r\nx-original-url: https://",
            HOST,
            path,
            "\r\nx-forwarded-for: 127.0.0.1\r\n",
        ];
        let own = ["GET ", path, " HTTP/1.1\r\nhost: ", HOST, "\r\n"];
        let head = if run.door == Door::ForwardAuth { &asks[..] } else { &own };
        for part in head {
            self.out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in [("authorization: ", shot.authorization), ("dpop: ", shot.proof)] {
            for part in value.into_iter().flat_map(|value| [name, value, "\r\n"]) {
                self.out.extend_from_slice(part.as_bytes());
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self.socket.write_all(&self.out).await?;
        self.socket.flush().await
    }

    /// Reads one answer, whose body must have a `Content-Length`.
    async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(end) = end_of_head(&self.received) {
                let head = Head::parse(&self.received[..end])?;
                let whole = end + head.length;
                while self.received.len() < whole {
                    self.fill().await?;
                }
                // Nothing is pipelined, so nothing can stand behind it.
                self.received.clear();
                return Ok(head.answer);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

struct Head {
    answer: Answer,
    length: usize,
}

impl Head {
    fn parse(head: &[u8]) -> io::Result<Self> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "no answer of HTTP/1.1");
        let text = str::from_utf8(head).map_err(|_| broken())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).ok_or_else(broken)?;
        let (mut length, mut close) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                close = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = if status == 204 { 0 } else { length.ok_or_else(broken)? };
        Ok(Self { answer: Answer { status, close }, length })
    }
}

fn end_of_head(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

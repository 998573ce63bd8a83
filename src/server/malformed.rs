//! What is no HTTP: what hyper and h2 let through and RFC 9113 does not, and the count of everything that was refused.

use super::connections::Connections;
use crate::names::ListenerId;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where refusals of the HTTP layer on one connection are counted and told.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    pub(super) connections: Arc<Connections>,
    pub(super) listener: ListenerId,
    pub(super) peer: SocketAddr,
}

impl Refusals {
    /// A request was refused, or the connection given up, because of what the client sent.
    pub(super) fn malformed(&self, cause: &dyn Display) {
        self.connections.refused_malformed();
        tracing::debug!(listener = self.listener.0, peer = %self.peer, %cause, "malformed request");
    }

    /// The TLS handshake failed.
    pub(super) fn handshake(&self, cause: &dyn Display) {
        self.connections.handshake_failed();
        tracing::debug!(listener = self.listener.0, peer = %self.peer, %cause, "TLS handshake failed");
    }
}

/// Checks what h2 does not: no field value has space around it (RFC 9113 section 8.2.1), and `Content-Length` is one number (RFC 9110
/// section 8.6). Written to HTTP/1.1, the first would be trimmed, and the second be two lines.
pub(super) fn check_http2(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if headers.values().any(has_space_around) {
        return Err("a field value begins or ends with a space");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    let length = number(first).ok_or("Content-Length is no number")?;
    let mut repeated = false;
    for other in lengths {
        if number(other) != Some(length) {
            return Err("two different Content-Length");
        }
        repeated = true;
    }
    if repeated {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// An HTTP/2 socket that counts the streams and connections which h2 ends because of what the client sent: it tells nobody but the client,
/// in RST_STREAM and GOAWAY.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    frames: Frames,
    refusals: Refusals,
    traffic: Traffic,
}

/// How often bytes came or went on a connection. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic(Arc<AtomicUsize>);

impl Traffic {
    pub(super) fn moved(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn moves<T>(&self, poll: &Poll<T>) {
        if poll.is_ready() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S, refusals: Refusals, traffic: Traffic) -> Self {
        Self { socket, frames: Frames::default(), refusals, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_read(cx, buf);
        this.traffic.moves(&poll);
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.traffic.moves(&poll);
        if let Poll::Ready(Ok(written)) = poll {
            let mut left = written;
            for buf in bufs {
                let sent = buf.get(..left.min(buf.len())).unwrap_or_default();
                this.frames.sent(sent, |cause| this.refusals.malformed(&cause));
                left = left.saturating_sub(sent.len());
            }
        }
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// The frames that are written, by their heads (RFC 9113 section 4.1). Payloads are skipped but for the error codes.
#[derive(Debug, Default)]
struct Frames {
    /// The head of the current frame, and the beginning of its payload where that has an error code.
    front: [u8; FRONT],
    length: usize,
    /// How much of the current frame's payload is still to come.
    skip: usize,
}

const HEAD: usize = 9;
/// A head and the payload of GOAWAY, whose error code comes second.
const FRONT: usize = HEAD + 8;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

impl Frames {
    fn sent(&mut self, bytes: &[u8], mut refused: impl FnMut(String)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip = self.skip.saturating_sub(skipped);
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            let missing = self.wanted().saturating_sub(self.length).min(rest.len());
            let (now, later) = rest.split_at(missing);
            for (slot, byte) in self.front.iter_mut().skip(self.length).zip(now) {
                *slot = *byte;
            }
            self.length = self.length.saturating_add(missing);
            rest = later;
            if self.length == self.wanted() {
                self.complete(&mut refused);
            }
        }
    }

    /// How much of a frame is looked at.
    const fn wanted(&self) -> usize {
        if self.length < HEAD { HEAD } else { self.looked_at() }
    }

    const fn looked_at(&self) -> usize {
        let [_, _, _, kind, ..] = self.front;
        match kind {
            RST_STREAM => HEAD + 4,
            GOAWAY => HEAD + 8,
            _ => HEAD,
        }
    }

    fn complete(&mut self, refused: &mut impl FnMut(String)) {
        let [high, middle, low, kind, _, _, _, _, _, one @ .., _, _, _, _] = self.front;
        let [.., two_a, two_b, two_c, two_d] = self.front;
        let payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let code = match kind {
            RST_STREAM => Some(u32::from_be_bytes(one)),
            GOAWAY => Some(u32::from_be_bytes([two_a, two_b, two_c, two_d])),
            _ => None,
        };
        if let Some(name) = code.and_then(clients_fault) {
            let what = if kind == GOAWAY { "connection ended" } else { "stream reset" };
            refused(format!("{what}: {name}"));
        }
        self.skip = payload.saturating_sub(self.looked_at() - HEAD);
        self.length = 0;
    }
}

/// The error codes that say the client broke the protocol (RFC 9113 section 7). Floods have a count of their own.
const fn clients_fault(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "PROTOCOL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        9 => "COMPRESSION_ERROR",
        _ => return None,
    })
}

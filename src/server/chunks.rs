//! Chunk extensions (RFC 9112 section 7.1.1). hyper skips them, whatever they are made of; control characters have no place in them, and
//! whoever sends some hopes that two readers disagree about where a line ends.
//!
//! hyper says when a head is complete and how its body is framed, so that no head is parsed here: only where it ends is looked for, and only
//! where the body is chunked. Where requests are sent before the last answer is over, the place is lost, and nothing is checked until the
//! next head: extensions are never forwarded, so that nothing depends on it.

use super::deadline::Busy;
use super::malformed::Refusals;
use super::preface::Preface;
use super::takeover::Takeover;
use http::Request;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A head that is longer is none that hyper takes.
const MAX_HEAD: usize = 64 * 1024;

/// A control character in a chunk extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control character in a chunk extension")]
pub(super) struct BadExtension;

/// What is known of the place in an HTTP/1.1 connection. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Reading>>);

#[derive(Debug)]
enum Reading {
    /// Between requests, or in a head: what was read of it.
    Head(Vec<u8>),
    /// In a chunked body.
    Chunked(ChunkReader),
    /// In a body that is not looked at.
    Other,
    /// After a 101: nothing that comes is HTTP any more.
    Switched(Takeover),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Watch {
    /// A head is complete; checks what has come of its body already.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Result<(), BadExtension> {
        let mut state = self.state();
        let Reading::Head(read) = std::mem::replace(&mut *state, Reading::Other) else { return Ok(()) };
        if request.headers().contains_key(http::header::TRANSFER_ENCODING)
            && let Some(body) = body_of(&read, request)
        {
            let mut place = ChunkReader::default();
            place.read(body)?;
            *state = Reading::Chunked(place);
        }
        Ok(())
    }

    /// The answer is a 101: no request follows it, and this carries the connection on.
    pub(super) fn switch(&self, takeover: Takeover) {
        *self.state() = Reading::Switched(takeover);
    }

    /// Who carries the connection on, once HTTP is over on it.
    pub(super) fn switched(&self) -> Option<Takeover> {
        match std::mem::replace(&mut *self.state(), Reading::Other) {
            Reading::Switched(takeover) => Some(takeover),
            Reading::Head(_) | Reading::Chunked(_) | Reading::Other => None,
        }
    }

    fn read(&self, bytes: &[u8], answering: bool) -> Result<(), BadExtension> {
        let mut state = self.state();
        match &mut *state {
            Reading::Chunked(place) if answering => return place.read(bytes),
            Reading::Head(read) if read.len() <= MAX_HEAD => read.extend_from_slice(bytes),
            Reading::Head(_) | Reading::Switched(_) => {}
            Reading::Chunked(_) | Reading::Other if answering => {}
            Reading::Chunked(_) | Reading::Other => *state = Reading::Head(bytes.to_vec()),
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows the head of this request in the bytes that begin with it; `None` where they begin with something else.
fn body_of<'r, B>(read: &'r [u8], request: &Request<B>) -> Option<&'r [u8]> {
    let begin = read.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let head = read.get(begin..)?;
    head.strip_prefix(request.method().as_str().as_bytes())?.strip_prefix(b" ")?;
    let mut rest = head;
    loop {
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        rest = rest.get(line.checked_add(1)?..)?;
        if let Some(body) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")) {
            return Some(body);
        }
    }
}

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkReader {
    /// In the digits of a chunk's size.
    Size(u64),
    /// After them, up to the end of the line.
    Extension { size: u64, cr: bool },
    /// So much of a chunk, its line end included, is still to come.
    Data(u64),
    /// After the last chunk: nothing more is looked at.
    Over,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl ChunkReader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), BadExtension> {
        let mut rest = bytes;
        while let Some((&byte, later)) = rest.split_first() {
            rest = later;
            *self = match *self {
                Self::Size(size) => match char::from(byte).to_digit(16) {
                    // hyper refuses a size that has no room in 64 bits.
                    Some(digit) => Self::Size(size.wrapping_mul(16).wrapping_add(digit.into())),
                    None => Self::after_size(size, false, byte)?,
                },
                Self::Extension { size, cr } => Self::after_size(size, cr, byte)?,
                Self::Data(left) => {
                    let skipped = left.saturating_sub(1).min(rest.len().try_into().unwrap_or(u64::MAX));
                    rest = rest.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
                    match left.saturating_sub(1).saturating_sub(skipped) {
                        0 => Self::Size(0),
                        left => Self::Data(left),
                    }
                }
                Self::Over => return Ok(()),
            };
        }
        Ok(())
    }

    const fn after_size(size: u64, cr: bool, byte: u8) -> Result<Self, BadExtension> {
        match byte {
            b'\n' if size == 0 => Ok(Self::Over),
            b'\n' => Ok(Self::Data(size.saturating_add(2))),
            b'\r' if !cr => Ok(Self::Extension { size, cr: true }),
            b'\t' if !cr => Ok(Self::Extension { size, cr }),
            _ if cr || byte.is_ascii_control() => Err(BadExtension),
            _ => Ok(Self::Extension { size, cr }),
        }
    }
}

/// A socket on which chunk extensions are looked at as they come.
#[derive(Debug)]
pub(super) struct Chunks<S> {
    socket: S,
    watch: Watch,
    busy: Busy,
    refusals: Refusals,
    preface: Preface,
}

impl<S> Chunks<S> {
    pub(super) fn new(socket: S, watch: Watch, busy: Busy, refusals: Refusals) -> Self {
        Self { socket, watch, busy, refusals, preface: Preface::default() }
    }

    /// The socket, if the connection began with the preface of HTTP/2.
    pub(super) fn of_http2(self) -> Option<S> {
        self.preface.is_whole().then_some(self.socket)
    }

    /// The socket alone.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Chunks<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(this.preface.poll_read(&mut this.socket, cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(this.watch.read(read, this.busy.is_set()).map_err(|bad| {
            this.refusals.malformed(&bad);
            io::Error::new(io::ErrorKind::InvalidData, bad)
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Chunks<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(body: &[u8], step: usize) -> Result<ChunkReader, BadExtension> {
        let mut place = ChunkReader::default();
        body.chunks(step).try_for_each(|bytes| place.read(bytes)).map(|()| place)
    }

    #[test]
    fn extensions_have_no_control_characters_and_data_may() {
        let good: [(&[u8], ChunkReader); 7] = [
            (b"0\r\n\r\n", ChunkReader::Over),
            (b"5\r\n\0\r\n\0\x01\r\n0\r\n\r\n", ChunkReader::Over),
            (b"5;a=\"b c\"\r\nhello\r\n00\r\n\r\n", ChunkReader::Over),
            (b"1 ;\ta\r\na\r\n", ChunkReader::Size(0)),
            (b"A\r\nhello", ChunkReader::Data(7)),
            (b"1f", ChunkReader::Size(0x1f)),
            (b"0;a\r\nTrailer: \0\r\n\r\n", ChunkReader::Over),
        ];
        let bad: [&[u8]; 5] = [b"5;\0\r\nhello", b"5;a=\x01", b"5\0\r\n", b"5;a\x7f", b"5;a\rb\r\n"];
        for step in 1..8 {
            for (body, expected) in good {
                assert_eq!(place(body, step), Ok(expected), "{body:?} by {step}");
            }
            for body in bad {
                assert_eq!(place(body, step), Err(BadExtension), "{body:?} by {step}");
            }
        }
    }

    #[test]
    fn only_what_begins_with_the_head_is_taken_for_it() {
        let request =
            Request::builder().method("POST").header("transfer-encoding", "chunked").body(()).unwrap();
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let begin = |before: &[u8], after: &[u8]| {
            let watch = Watch::default();
            watch.read(&[before, head, after].concat(), false).unwrap();
            watch.begin(&request)
        };
        assert_eq!(begin(b"", b"1;\0\r\n"), Err(BadExtension));
        assert_eq!(begin(b"\r\n", b"1;\0\r\n"), Err(BadExtension));
        assert_eq!(begin(b"", b"1\r\n\0\r\n"), Ok(()));
        // The rest of another body, which the last answer did not wait for.
        assert_eq!(begin(b"data\r\n\r\n1;\0", b"1;\0\r\n"), Ok(()));
    }
}

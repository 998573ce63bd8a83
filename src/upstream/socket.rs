//! The socket of a connection to an upstream, and what has to be known of the exchange on it that the HTTP library does not tell.

use super::interim::InterimCount;
use super::stream::Stream;
use crate::net::Gathered;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// The most that is read at a time. hyper doubles its buffer whenever a read fills it, up to the size that a head may have: with reads a
/// little smaller than 64 KiB it stays at that, however big a head may be.
const LARGEST_READ: u64 = 64 * 1024 - 1;
/// The longest request that is copied. A client's head has 32 KiB at most, and what we add is small.
const LONGEST_COPY: usize = 64 * 1024;
/// A copy's memory stays with its connection up to this size.
const KEPT_MEMORY: usize = 8 * 1024;

/// A socket that tells its [`Watch`] what passes.
///
/// Once the upstream takes no more of a request, what is left of it is thrown away instead of failing: the answer that says why may be there to
/// be read (RFC 9112 section 9.5), and where there is none, reading fails.
#[derive(Debug)]
pub(super) struct Socket {
    io: Take<Gathered<Stream>>,
    watch: Arc<Watch>,
}

/// The exchange that is now on a connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<Conversation>,
    /// The upstream takes no more: this connection is at its end.
    deaf: AtomicBool,
}

#[derive(Debug, Default)]
struct Conversation {
    /// The request as it goes out, where it may be sent again.
    copy: Vec<u8>,
    copying: bool,
    answered: bool,
    interim: InterimCount,
    too_many_interim: bool,
}

impl Socket {
    pub(super) fn new(stream: Stream, watch: Arc<Watch>) -> Self {
        Self { io: Gathered(stream).take(LARGEST_READ), watch }
    }

    /// The stream alone.
    pub(super) fn into_stream(self) -> Stream {
        self.io.into_inner().0
    }
}

impl Watch {
    /// A request begins. `copying`: it has no body, and may be sent again on another connection.
    pub(super) fn begin(&self, copying: bool) {
        let mut state = self.state();
        state.copy.clear();
        state.copy.shrink_to(KEPT_MEMORY);
        state.copying = copying;
        state.answered = false;
        state.interim = InterimCount::default();
        state.too_many_interim = false;
    }

    /// The request that was copied, if no byte of an answer to it came.
    pub(super) fn unanswered(&self) -> Option<Bytes> {
        let mut state = self.state();
        let whole = state.copying && !state.answered;
        whole.then(|| Bytes::from(std::mem::take(&mut state.copy)))
    }

    /// The connection was given up because of a storm of interim answers.
    pub(super) fn too_many_interim(&self) -> bool {
        self.state().too_many_interim
    }

    /// Nothing more can be sent on the connection.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Acquire)
    }

    fn sent(&self, buffers: &[IoSlice<'_>], mut count: usize) {
        let mut state = self.state();
        if !state.copying {
            return;
        }
        for buffer in buffers {
            let part = buffer.get(..count.min(buffer.len())).unwrap_or_default();
            state.copy.extend_from_slice(part);
            count = count.saturating_sub(part.len());
        }
        state.copying = state.copy.len() <= LONGEST_COPY;
    }

    fn received(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.answered = true;
        state.interim.read(bytes).map_err(|error| {
            state.too_many_interim = true;
            io::Error::other(error)
        })
    }

    fn state(&self) -> MutexGuard<'_, Conversation> {
        // No code that can panic runs under the lock; were it to, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.io.set_limit(LARGEST_READ);
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        Poll::Ready(this.watch.received(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let whole = || bufs.iter().map(|buffer| buffer.len()).sum();
        let count = if this.watch.is_deaf() {
            whole()
        } else {
            match ready!(Pin::new(this.io.get_mut()).poll_write_vectored(cx, bufs)) {
                Ok(count) => count,
                Err(_) => {
                    this.watch.deaf.store(true, Ordering::Release);
                    whole()
                }
            }
        };
        this.watch.sent(bufs, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.get_mut()).poll_shutdown(cx)
    }
}

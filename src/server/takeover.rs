//! What becomes of a connection after a 101 (RFC 9110 section 15.2.2): nothing on it is HTTP any more, and whoever switched it carries it on.

use super::chunks::Chunks;
use super::deadline::Deadlines;
use crate::net::Ahead;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's side of a connection that has been switched, without the deadlines that requests have.
pub struct ClientSocket(Ahead<Box<dyn Stream>>);

/// What carries bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;
type Begin = Box<dyn FnOnce(ClientSocket) -> Rest + Send>;

/// Carries a connection on after its 101: an extension of that answer. It runs in the place of the connection, so that a drain waits for it and
/// cuts it off like a request.
#[derive(Clone)]
pub struct Takeover(Arc<Mutex<Option<Begin>>>);

impl Takeover {
    /// This is done with the client's side.
    pub fn new<F>(begin: impl FnOnce(ClientSocket) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(Mutex::new(Some(Box::new(|socket| Box::pin(begin(socket)))))))
    }

    /// Done when the connection is over.
    pub(super) async fn run<S>(self, socket: Chunks<Deadlines<S>>, ahead: Bytes)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let begin = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(begin) = begin {
            let socket: Box<dyn Stream> = Box::new(socket.into_inner().into_inner());
            begin(ClientSocket(Ahead::new(ahead, socket))).await;
        }
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSocket")
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

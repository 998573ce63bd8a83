//! What carries HTTP to a server: TCP, or TLS on it.

use super::room::Slot;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connected stream, which has its place among the connections of its server for as long as it is there.
#[derive(Debug)]
pub(super) struct Stream {
    carrier: Carrier,
    _slot: Option<Slot>,
}

#[derive(Debug)]
enum Carrier {
    Plain(TcpStream),
    /// In a box: its buffers would make every plain one as large.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// TCP alone.
    pub(super) const fn plain(stream: TcpStream, slot: Option<Slot>) -> Self {
        Self { carrier: Carrier::Plain(stream), _slot: slot }
    }

    /// TLS.
    pub(super) fn tls(stream: TlsStream<TcpStream>, slot: Option<Slot>) -> Self {
        Self { carrier: Carrier::Tls(Box::new(stream)), _slot: slot }
    }

    /// What the server chose by ALPN, empty where it chose nothing; `None` where there is no TLS.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match &self.carrier {
            Carrier::Plain(_) => None,
            Carrier::Tls(stream) => Some(stream.get_ref().1.alpn_protocol().unwrap_or_default()),
        }
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match &mut $stream.get_mut().carrier {
            Carrier::Plain($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Carrier::Tls($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Plain(inner) => inner.is_write_vectored(),
            Carrier::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_shutdown(cx))
    }
}

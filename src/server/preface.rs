//! The preface of HTTP/2 (RFC 9113 section 3.4), which says on a plain connection what is spoken on it.
//!
//! hyper knows it when it is read in one piece, and takes a part of it for a bad request line. So a part is held back until the next byte
//! says what it is: no request line of HTTP/1.1 begins with all of it. The deadlines for a head go on meanwhile.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is known of a connection's first bytes.
#[derive(Debug)]
pub(super) enum Preface {
    /// So many bytes were read, and they are the preface's first.
    Held(usize),
    /// They were the whole preface.
    Whole,
    /// They were something else.
    Other,
}

impl Default for Preface {
    fn default() -> Self {
        Self::Held(0)
    }
}

impl Preface {
    /// Whether the connection began with it.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Reads, but hands over no part of the preface.
    pub(super) fn poll_read(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let begin = buf.filled().len();
        while let Self::Held(held) = *self {
            // Whoever reads has room for a head.
            let part = PREFACE.get(..held.min(buf.remaining())).unwrap_or_default();
            buf.put_slice(part);
            let poll = Pin::new(&mut *socket).poll_read(cx, buf);
            let read = buf.filled().get(begin..).unwrap_or_default();
            let is_part = read.len() < PREFACE.len() && PREFACE.starts_with(read);
            match poll {
                Poll::Pending => {
                    buf.set_filled(begin);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if is_part && read.len() > held => {
                    *self = Self::Held(read.len());
                    buf.set_filled(begin);
                }
                Poll::Ready(outcome) => {
                    *self = if read.starts_with(PREFACE) { Self::Whole } else { Self::Other };
                    return Poll::Ready(outcome);
                }
            }
        }
        Pin::new(socket).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A socket of which the beginning is looked at.
    struct Looked<S>(S, Preface);

    impl<S: AsyncRead + Unpin> AsyncRead for Looked<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.1.poll_read(&mut this.0, cx, buf)
        }
    }

    /// The reads in which this arrives when it is sent in pieces of `step` bytes.
    async fn reads(sent: &[u8], step: usize) -> Vec<Vec<u8>> {
        let (ours, mut theirs) = tokio::io::duplex(step);
        let mut ours = Looked(ours, Preface::default());
        let read = async {
            let mut reads = Vec::new();
            loop {
                let mut buffer = [0; 256];
                let length = ours.read(&mut buffer).await.unwrap();
                if length == 0 {
                    return reads;
                }
                reads.push(buffer[..length].to_vec());
            }
        };
        let write = async {
            theirs.write_all(sent).await.unwrap();
            drop(theirs);
        };
        tokio::join!(read, write).0
    }

    #[tokio::test]
    async fn the_preface_comes_in_one_piece_and_nothing_is_lost() {
        let preface = [PREFACE, b"\0\0\0\x04"].concat();
        for step in 1..30 {
            let whole = reads(&preface, step).await;
            assert!(whole[0].starts_with(PREFACE), "{whole:?} by {step}");
            assert_eq!(whole.concat(), preface, "by {step}");
            for other in
                [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nNO", b"PUT", b"P", b"PRI", b""]
            {
                assert_eq!(reads(other, step).await.concat(), other, "by {step}");
            }
        }
    }
}

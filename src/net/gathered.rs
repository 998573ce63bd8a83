//! Small writes in one piece.
//!
//! An answer is written as its head and its body, two buffers. Handing the kernel a list of buffers costs it more than a few hundred
//! bytes cost to copy, so what is small goes out as one; what is large stays where it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is copied together at most, in bytes: an answer's head and a small body.
const SMALL: usize = 1024;

/// A socket whose small vectored writes go out as one buffer.
#[derive(Debug)]
pub struct Gathered<S>(pub S);

/// Writes these buffers, copied together where they are small.
pub fn poll_write_gathered<S: AsyncWrite>(
    socket: Pin<&mut S>,
    cx: &mut Context<'_>,
    buffers: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = buffers {
        return socket.poll_write(cx, only);
    }
    let mut small = [0; SMALL];
    let mut rest = small.as_mut_slice();
    for buffer in buffers {
        let Some((place, behind)) = rest.split_at_mut_checked(buffer.len()) else {
            return socket.poll_write_vectored(cx, buffers);
        };
        place.copy_from_slice(buffer);
        rest = behind;
    }
    let length = SMALL.saturating_sub(rest.len());
    socket.poll_write(cx, small.get(..length).unwrap_or_default())
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_gathered(Pin::new(&mut self.get_mut().0), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    /// Takes at most so many bytes at a time, and notes what it was given and how.
    #[derive(Default)]
    struct Sink {
        most: usize,
        taken: Vec<u8>,
        vectored: usize,
    }

    impl AsyncWrite for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let length = buf.len().min(self.most);
            self.taken.extend_from_slice(&buf[..length]);
            Poll::Ready(Ok(length))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.vectored += 1;
            let first = bufs.iter().find(|buffer| !buffer.is_empty()).map_or(&[][..], |buffer| buffer);
            self.poll_write(cx, first)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        /// Whatever is written arrives in order and once, however little is taken at a time.
        #[test]
        fn nothing_is_lost_or_doubled(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..5),
            most in 1_usize..2000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut socket = Gathered(Sink { most, ..Sink::default() });
            let whole = pieces.concat();
            runtime.block_on(async {
                let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let mut left = slices.as_mut_slice();
                let mut written = 0;
                while written < whole.len() {
                    let count = socket.write_vectored(left).await.unwrap();
                    written += count;
                    IoSlice::advance_slices(&mut left, count);
                }
            });
            prop_assert_eq!(&socket.0.taken, &whole);
            prop_assert_eq!(socket.0.vectored > 0, pieces.len() > 1 && whole.len() > SMALL);
        }
    }
}

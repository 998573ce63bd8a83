//! The body of an answer over HTTP/2.

use super::connection::Place;
use super::upload::Upload;
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use std::task::{Context, Poll, ready};

/// The server's half of a stream. Dropped before its end, it resets the stream; the connection goes on.
#[derive(Debug)]
pub(in super::super) struct Http2Body {
    stream: RecvStream,
    /// How many bytes are still to come, where that was said. h2 sees to it that it is true.
    left: Option<u64>,
    /// The place on the connection, and what is left of the request.
    _exchange: (Upload, Place),
}

impl Http2Body {
    pub(super) const fn new(stream: RecvStream, length: Option<u64>, place: Place, upload: Upload) -> Self {
        Self { stream, left: length, _exchange: (upload, place) }
    }

    pub(in super::super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let data = data?;
            // It goes straight on to the client, who is asked before the next.
            self.stream.flow_control().release_capacity(data.len())?;
            let length = data.len().try_into().unwrap_or(u64::MAX);
            self.left = self.left.map(|left| left.saturating_sub(length));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    pub(in super::super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(in super::super) fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

//! The body of an answer, streamed: frame by frame, never collected, never boxed.

use crate::upstream::UpstreamBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What rides along with an answer until its last byte, or until the client goes away.
///
/// It is dropped when the answer is over, whichever way that came; the methods only say what happened before.
pub trait Rider: Send + Unpin + 'static {
    /// So many bytes of the body were handed to the connection.
    fn sent(&mut self, _bytes: usize) {}
    /// The body is complete. Not called where it broke off or the client left.
    fn complete(&mut self) {}
    /// The upstream's body broke off; the client's answer ends as an error too.
    fn broken(&mut self) {}
}

impl Rider for () {}

/// The body of an answer: the gateway's own, or the upstream's as it comes.
#[derive(Debug)]
pub struct ResponseBody<R> {
    source: Source,
    rider: R,
}

#[derive(Debug)]
enum Source {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody),
}

impl<R: Rider> ResponseBody<R> {
    /// No body.
    pub fn empty(mut rider: R) -> Self {
        rider.complete();
        Self { source: Source::Empty, rider }
    }

    /// A body that is there already.
    pub fn full(bytes: Bytes, rider: R) -> Self {
        if bytes.is_empty() {
            return Self::empty(rider);
        }
        Self { source: Source::Full(bytes), rider }
    }

    /// The upstream's body.
    pub fn upstream(body: UpstreamBody, mut rider: R) -> Self {
        if body.is_end_stream() {
            rider.complete();
        }
        Self { source: Source::Upstream(body), rider }
    }

    /// What rides along.
    pub fn rider(&mut self) -> &mut R {
        &mut self.rider
    }
}

impl<R: Rider> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Empty;
                this.rider.sent(bytes.len());
                this.rider.complete();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Upstream(body) => {
                let next = ready!(Pin::new(&mut *body).poll_data(cx));
                match &next {
                    Some(Ok(bytes)) => {
                        this.rider.sent(bytes.len());
                        if body.is_end_stream() {
                            this.rider.complete();
                        }
                    }
                    Some(Err(_)) => this.rider.broken(),
                    None => {
                        this.rider.complete();
                        this.source = Source::Empty;
                    }
                }
                Poll::Ready(next.map(|data| data.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(_) => false,
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len().try_into().unwrap_or(u64::MAX)),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

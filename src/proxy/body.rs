//! The body of an answer, streamed: frame by frame, never collected, never boxed.

use super::trailers::strip_trailers;
use super::until::{End, Until};
use crate::upstream::{UpstreamBody, UpstreamBodyError};
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
    /// The body was cut, for this reason; the client's answer ends as an error too.
    fn broken(&mut self, _why: &BodyError) {}
}

impl Rider for () {}

/// Why an answer's body is cut.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream's failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamBodyError),
    /// The token that it was sent for is no longer good.
    #[error("{}", .0.told())]
    Token(End),
}

/// The body of an answer: the gateway's own, or the upstream's as it comes.
#[derive(Debug)]
pub struct ResponseBody<R> {
    source: Source,
    /// Absent where it rides elsewhere.
    rider: Option<R>,
    /// Until when it may run, where that is limited.
    until: Option<Box<Until>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody),
    /// The upstream's, broken off; the connection has not been told yet.
    Broken(Option<BodyError>),
}

impl<R: Rider> ResponseBody<R> {
    /// No body.
    pub fn empty(mut rider: R) -> Self {
        rider.complete();
        Self { source: Source::Empty, rider: Some(rider), until: None }
    }

    /// The body of a 101, which has none: the rider goes on with what follows.
    pub(super) const fn of_a_switch() -> Self {
        Self { source: Source::Empty, rider: None, until: None }
    }

    /// A body that is there already.
    pub fn full(bytes: Bytes, rider: R) -> Self {
        if bytes.is_empty() {
            return Self::empty(rider);
        }
        Self { source: Source::Full(bytes), rider: Some(rider), until: None }
    }

    /// The same, cut when the time is over.
    #[must_use]
    pub(super) fn until(mut self, until: Option<Box<Until>>) -> Self {
        self.until = until;
        self
    }

    /// The upstream's body.
    pub fn upstream(body: UpstreamBody, rider: R) -> Self {
        if body.is_end_stream() {
            return Self::empty(rider);
        }
        Self { source: Source::Upstream(body), rider: Some(rider), until: None }
    }

    /// Tells the rider what is handed to the connection.
    fn tell(&mut self, next: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(rider) = &mut self.rider else { return };
        let last = match (next, &self.source) {
            (Some(Ok(frame)), source) => match frame.data_ref() {
                Some(bytes) => {
                    rider.sent(bytes.len());
                    source.is_spent()
                }
                // Trailers are the last frame there can be.
                None => true,
            },
            (Some(Err(why)), _) => return rider.broken(why),
            (None, Source::Upstream(_)) => true,
            (None, Source::Empty | Source::Full(_) | Source::Broken(_)) => false,
        };
        if last {
            rider.complete();
            self.source = Source::Empty;
        }
    }
}

impl Source {
    /// Nothing is left in it, without asking.
    fn is_spent(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Broken(_) => false,
        }
    }
}

impl<R: Rider> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = match &mut this.source {
            Source::Empty => None,
            Source::Full(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Source::Upstream(body) => {
                let next = match this.until.as_mut().map(|until| until.poll(cx)) {
                    Some(Poll::Ready(end)) => Some(Err(BodyError::Token(end))),
                    Some(Poll::Pending) | None => ready!(poll_upstream(body, cx)),
                };
                if let Some(Err(error)) = next {
                    // hyper throws away what it has not sent when a body fails: it sends what came before, if it is told to wait first.
                    this.source = Source::Broken(Some(error));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                next
            }
            Source::Broken(error) => error.take().map(Err),
        };
        this.tell(next.as_ref());
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_spent()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len().try_into().unwrap_or(u64::MAX)),
            Source::Upstream(body) => body.size_hint(),
            Source::Broken(_) => SizeHint::default(),
        }
    }
}

/// The upstream's frame, its trailers without those that are ours to say.
fn poll_upstream(
    body: &mut UpstreamBody,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let Some(next) = ready!(Pin::new(body).poll_frame(cx)) else { return Poll::Ready(None) };
    Poll::Ready(Some(match next.map(Frame::into_trailers) {
        Ok(Ok(mut trailers)) => {
            strip_trailers(&mut trailers);
            Ok(Frame::trailers(trailers))
        }
        Ok(Err(data)) => Ok(data),
        Err(error) => Err(error.into()),
    }))
}

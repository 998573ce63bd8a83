//! The body of a request, streamed: frame by frame, never collected.

use crate::clock::Stopwatch;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// How slowly a client may send a body. The clock runs only while we wait for the client, not for the
/// upstream.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest wait for one frame.
    pub idle: Duration,
    /// Besides one `idle`, all waits together may last as long as the body so far takes at this rate.
    pub bytes_per_second: u32,
}

impl Pace {
    /// 15 seconds between frames, 240 bytes a second.
    pub const DEFAULT: Self = Self { idle: Duration::from_secs(15), bytes_per_second: 240 };
}

/// Why a client's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// Badly framed, or the client left.
    #[error("the client's body broke off")]
    Broken(#[source] hyper::Error),
    /// Slower than [`Pace`] allows.
    #[error("the client's body came too slowly")]
    TooSlow,
}

/// Takes out of a request's trailers what no client may say: an identity header must not come in as one.
#[derive(Clone)]
pub struct TrailerFilter(Arc<dyn Fn(&mut HeaderMap) + Send + Sync>);

impl TrailerFilter {
    /// One that does this.
    pub fn new(strip: impl Fn(&mut HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(strip))
    }
}

impl std::fmt::Debug for TrailerFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrailerFilter")
    }
}

/// The client's body on its way to the upstream, with its trailers where they are asked for.
///
/// Most requests have none, and are moved often: one that is there is in a box.
#[derive(Debug, Default)]
pub struct RequestBody(Option<Box<Upload>>);

#[derive(Debug)]
struct Upload {
    incoming: Incoming,
    /// What came before anybody asked for it.
    ahead: Option<Result<Frame<Bytes>, hyper::Error>>,
    flow: Arc<Flow>,
    pace: Pace,
    bytes: u64,
    waited: Duration,
    wait: Option<Wait>,
    /// Where trailers pass.
    trailers: Option<TrailerFilter>,
    over: bool,
}

#[derive(Debug)]
struct Wait {
    since: Stopwatch,
    limit: Pin<Box<Sleep>>,
}

impl RequestBody {
    /// Wraps a client's body.
    pub fn new(incoming: Incoming, pace: Pace) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        let (flow, waited) = (Arc::default(), Duration::ZERO);
        let (ahead, wait, trailers, over) = (None, None, None, false);
        Self(Some(Box::new(Upload { incoming, ahead, flow, pace, bytes: 0, waited, wait, trailers, over })))
    }

    /// Lets trailers pass that this filter leaves; without one none do.
    #[must_use]
    pub fn with_trailers(mut self, filter: &TrailerFilter) -> Self {
        if let Some(upload) = &mut self.0 {
            upload.trailers = Some(filter.clone());
        }
        self
    }

    /// Finds out whether a body whose length is not told is none: over HTTP/2 its end may come in a frame of its own, right behind the head.
    /// Nothing is waited for.
    pub(super) fn look_ahead(&mut self) {
        let Some(upload) = self.0.as_mut().filter(|upload| upload.incoming.size_hint().exact().is_none())
        else {
            return;
        };
        // Whoever asks next is woken.
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut upload.incoming).poll_frame(&mut nobody) {
            Poll::Ready(Some(Ok(frame)))
                if (frame.data_ref().is_some_and(Bytes::is_empty)
                    || (frame.is_trailers() && upload.trailers.is_none()))
                    && upload.incoming.is_end_stream() =>
            {
                self.0 = None;
            }
            Poll::Ready(Some(next)) => upload.ahead = Some(next),
            Poll::Ready(None) => self.0 = None,
            Poll::Pending => {}
        }
    }

    /// How the body fares, for whoever waits for the answer. Absent where there is no body: nothing to watch.
    pub(super) fn flow(&self) -> Option<Arc<Flow>> {
        self.0.as_ref().map(|upload| Arc::clone(&upload.flow))
    }
}

impl Upload {
    fn tell(&self, state: u8) {
        self.flow.state.store(state, Ordering::Release);
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wait = self.wait.get_or_insert_with(|| {
            let earned = self.bytes.checked_div(u64::from(self.pace.bytes_per_second)).unwrap_or(u64::MAX);
            let left = self.pace.idle.saturating_add(Duration::from_secs(earned)).saturating_sub(self.waited);
            Wait { since: Stopwatch::start(), limit: Box::pin(tokio::time::sleep(left.min(self.pace.idle))) }
        });
        wait.limit.as_mut().poll(cx)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let polled = match self.ahead.take() {
            Some(next) => Poll::Ready(Some(next)),
            None => Pin::new(&mut self.incoming).poll_frame(cx),
        };
        let Poll::Ready(next) = polled else {
            self.tell(WAITING);
            ready!(self.poll_too_slow(cx));
            self.over = true;
            self.tell(FAILED);
            return Poll::Ready(Some(Err(RequestBodyError::TooSlow)));
        };
        if let Some(wait) = self.wait.take() {
            self.waited = self.waited.saturating_add(wait.since.elapsed());
        }
        match next.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                self.bytes = self.bytes.saturating_add(data.len().try_into().unwrap_or(u64::MAX));
                self.tell(MOVED);
                if self.incoming.is_end_stream() {
                    self.flow.tell_whole();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => {
                self.over = true;
                self.tell(FAILED);
                Poll::Ready(Some(Err(RequestBodyError::Broken(error))))
            }
            // Trailers are the last frame there can be.
            Some(Ok(Err(last))) => {
                self.end();
                Poll::Ready(self.trailers(last).map(|trailers| Ok(Frame::trailers(trailers))))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }
}

impl Upload {
    fn end(&mut self) {
        self.over = true;
        self.tell(MOVED);
        self.flow.tell_whole();
    }

    /// What may pass of the trailers, if anything.
    fn trailers(&self, last: Frame<Bytes>) -> Option<HeaderMap> {
        let (filter, mut trailers) = (self.trailers.as_ref()?, last.into_trailers().ok()?);
        (filter.0)(&mut trailers);
        Some(trailers).filter(|trailers| !trailers.is_empty())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.get_mut().0.as_mut().map_or(Poll::Ready(None), |upload| upload.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|upload| upload.over || (upload.ahead.is_none() && upload.incoming.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.incoming.size_hint())
    }
}

/// What the client's body last did. Tells "the client failed" from "the upstream failed", and an upload that
/// moves from an upstream that hangs.
#[derive(Debug, Default)]
pub(super) struct Flow {
    state: AtomicU8,
    whole: AtomicBool,
}

const STILL: u8 = 0;
const MOVED: u8 = 1;
const WAITING: u8 = 2;
const FAILED: u8 = 3;

impl Flow {
    /// The client broke off, broke the framing or was too slow.
    pub(super) fn failed(&self) -> bool {
        self.state.load(Ordering::Acquire) == FAILED
    }

    /// All of the body was handed to the connection.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    fn tell_whole(&self) {
        self.whole.store(true, Ordering::Release);
    }

    /// Whether the upstream has not been the one to wait for since the last time this was asked: the body
    /// moved, or the client is the slow one (which [`Pace`] limits).
    pub(super) fn excuses_upstream(&self) -> bool {
        let moved = self.state.compare_exchange(MOVED, STILL, Ordering::AcqRel, Ordering::Acquire);
        matches!(moved, Ok(_) | Err(WAITING))
    }
}

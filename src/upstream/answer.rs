//! The answer's body, and what becomes of its connection.

use super::Malformed;
use super::UpstreamError;
use super::http1::Connection;
use super::http2::Http2Body;
use super::pool::Pool;
use super::server::Underway;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The upstream's body. Its connection goes back to the pool once the body is read to its end, and is closed
/// otherwise.
#[derive(Debug)]
pub struct UpstreamBody {
    source: Source,
    ahead: Ahead,
    lease: Option<Lease>,
    underway: Option<Underway>,
    over: bool,
    wait: Wait,
}

/// Why an answer's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamBodyError {
    /// Badly framed, or the connection ended.
    #[error("the upstream's body broke off")]
    Broken(#[source] hyper::Error),
    /// The same over HTTP/2, whose error code the client gets where it speaks that, too.
    #[error("the upstream's body broke off")]
    Reset(#[source] h2::Error),
    /// No byte of it came for too long.
    #[error("the upstream's body stands still")]
    Idle,
}

impl UpstreamBodyError {
    /// What the metric says: one of a fixed set.
    pub const fn result(&self) -> &'static str {
        match self {
            Self::Broken(_) | Self::Reset(_) => "reset",
            Self::Idle => "timeout",
        }
    }

    /// What the log says: one of a fixed set of texts, which begin with a word for programs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Broken(_) | Self::Reset(_) => {
                "upstream_broken: the answer's body is badly framed or breaks off"
            }
            Self::Idle => "upstream_idle_timeout: no byte of the answer's body came",
        }
    }
}

/// How long the next byte may take. While the client takes nothing, nothing is waited for.
#[derive(Debug)]
struct Wait {
    /// `None`: nobody waits yet.
    limit: Option<Duration>,
    /// Made for the first byte that is not there yet: most bodies come whole.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

#[derive(Debug)]
enum Source {
    Http1(Incoming),
    /// In a box: it would make every other one as large.
    Http2(Box<Http2Body>),
}

/// What was read of a body before anybody asked for it.
#[derive(Debug)]
enum Ahead {
    Nothing,
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    pub(super) pool: Arc<Pool>,
    pub(super) idle: Duration,
}

impl UpstreamBody {
    /// A body whose beginning, if it is there already, is no broken one. Nothing is waited for: what comes later, comes later.
    ///
    /// # Errors
    /// It is there, and broken. The client has not been told anything yet.
    pub(super) fn begin(incoming: Incoming, lease: Option<Lease>) -> Result<Self, UpstreamError> {
        Self::of(Source::Http1(incoming), lease)
    }

    /// The same over HTTP/2.
    ///
    /// # Errors
    /// The same.
    pub(super) fn of_http2(body: Http2Body) -> Result<Self, UpstreamError> {
        Self::of(Source::Http2(Box::new(body)), None)
    }

    fn of(source: Source, lease: Option<Lease>) -> Result<Self, UpstreamError> {
        let wait = Wait { limit: None, timer: None, waiting: false };
        let mut body = Self { source, ahead: Ahead::Nothing, lease, underway: None, over: false, wait };
        // Whoever asks next is woken.
        let mut nobody = Context::from_waker(Waker::noop());
        if !body.is_end_stream()
            && let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut nobody)
        {
            body.ahead = match frame.map_err(|_| Malformed::Body)?.into_data() {
                Ok(data) => Ahead::Data(data),
                Err(frame) => {
                    frame.into_trailers().map_or(Ahead::Nothing, |fields| Ahead::Trailers(Box::new(fields)))
                }
            };
        }
        Ok(body)
    }

    /// The server counts the request as long as this lives.
    pub(super) fn counted(&mut self, underway: Underway) {
        self.underway = Some(underway);
    }

    /// The server counts the request as long as what this returns lives, instead of the body.
    pub(super) const fn take_underway(&mut self) -> Option<Underway> {
        self.underway.take()
    }

    /// Which server it comes from.
    pub fn server(&self) -> Option<SocketAddr> {
        self.underway.as_ref().map(Underway::server)
    }

    /// So long may the next byte take.
    pub(super) const fn waits_for(&mut self, limit: Duration) {
        self.wait.limit = Some(limit);
    }

    /// The connection is closed after this answer.
    pub(super) fn close(&mut self) {
        self.lease = None;
    }

    fn is_read(&self) -> bool {
        self.over
            || match &self.source {
                Source::Http1(incoming) => incoming.is_end_stream(),
                Source::Http2(body) => body.is_end_stream(),
            }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Ahead::Trailers(fields) => return Poll::Ready(Some(Ok(Frame::trailers(*fields)))),
            Ahead::Nothing if self.over => return Poll::Ready(None),
            Ahead::Nothing => {}
        }
        let this = &mut *self;
        let next = match &mut this.source {
            Source::Http1(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|next| next.map(|frame| frame.map_err(UpstreamBodyError::Broken))),
            Source::Http2(body) => {
                body.poll_frame(cx).map(|next| next.map(|frame| frame.map_err(UpstreamBodyError::Reset)))
            }
        };
        let next = if let Poll::Ready(next) = next {
            this.wait.waiting = false;
            next
        } else {
            ready!(this.wait.poll(cx));
            Some(Err(UpstreamBodyError::Idle))
        };
        // Trailers are the last frame there can be.
        self.over = !matches!(&next, Some(Ok(frame)) if frame.is_data());
        if let Some(Err(error)) = &next {
            self.close();
            if let (UpstreamBodyError::Broken(_) | UpstreamBodyError::Reset(_), Some(underway)) =
                (error, &mut self.underway)
            {
                underway.fails(Malformed::Body.into());
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.ahead, Ahead::Nothing) && self.is_read()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.source {
            Source::Http1(incoming) => incoming.size_hint(),
            Source::Http2(body) => body.size_hint(),
        };
        match (&self.ahead, rest.exact()) {
            (Ahead::Data(data), Some(rest)) => {
                SizeHint::with_exact(rest.saturating_add(data.len().try_into().unwrap_or(u64::MAX)))
            }
            (Ahead::Data(_) | Ahead::Trailers(_) | Ahead::Nothing, _) => rest,
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        let read = self.is_read();
        if let Some(lease) = self.lease.take().filter(|_| read) {
            lease.pool.give_back(lease.connection, lease.idle);
        }
    }
}

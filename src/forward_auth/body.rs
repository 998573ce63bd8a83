//! The body of an answer: a few bytes that are there already, with trailers or without; messages that come by and by; or nothing.

use crate::observe::Exchange;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of an answer. The record of the question rides along and is written when the answer is over.
#[derive(Default)]
pub struct Body {
    message: Bytes,
    trailers: Option<HeaderMap>,
    coming: Option<Coming>,
    exchange: Option<Exchange>,
}

/// What comes next, when it comes.
pub(super) type Coming = Pin<Box<dyn Future<Output = Next> + Send>>;

/// What comes.
pub(super) enum Next {
    /// A message, and what comes after it.
    Message(Bytes, Coming),
    /// The end.
    End(HeaderMap),
}

impl Body {
    pub(super) fn of(message: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { message, trailers, ..Self::default() }
    }

    pub(super) fn coming(coming: Coming) -> Self {
        Self { coming: Some(coming), ..Self::default() }
    }

    /// With the record of the question.
    pub(super) fn recorded(self, exchange: Exchange) -> Self {
        Self { exchange: Some(exchange), ..self }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(coming) = &mut this.coming {
            match ready!(coming.as_mut().poll(cx)) {
                Next::Message(message, coming) => (this.message, this.coming) = (message, Some(coming)),
                Next::End(trailers) => (this.trailers, this.coming) = (Some(trailers), None),
            }
        }
        if this.message.is_empty() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if let Some(exchange) = &mut this.exchange {
            exchange.sent(this.message.len().try_into().unwrap_or(u64::MAX));
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.message)))))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_empty() && self.trailers.is_none() && self.coming.is_none()
    }

    /// What is there, where nothing comes after it.
    fn size_hint(&self) -> SizeHint {
        let length = self.message.len().try_into().unwrap_or(u64::MAX);
        let is_all = self.trailers.is_none() && self.coming.is_none();
        if is_all { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("message", &self.message).finish_non_exhaustive()
    }
}

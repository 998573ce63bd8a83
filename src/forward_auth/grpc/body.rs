//! The body of an answer: one message and its trailers, or nothing.

use crate::observe::Exchange;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer. The record of the question rides along and is written when the answer is over.
#[derive(Debug, Default)]
pub struct Body {
    message: Bytes,
    trailers: Option<HeaderMap>,
    exchange: Option<Exchange>,
}

impl Body {
    pub(super) fn of(message: Bytes, trailers: HeaderMap) -> Self {
        Self { message, trailers: Some(trailers), exchange: None }
    }

    pub(super) fn record(&mut self, exchange: Exchange) {
        self.exchange = Some(exchange);
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.message.is_empty() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if let Some(exchange) = &mut this.exchange {
            exchange.sent(this.message.len().try_into().unwrap_or(u64::MAX));
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.message)))))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_empty() && self.trailers.is_none()
    }
}

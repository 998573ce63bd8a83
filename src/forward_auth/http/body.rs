//! The body of an answer: a few bytes that are there already.

use crate::gate::Answer;
use crate::observe::Exchange;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer. The record of the question rides along and is written when the answer is over.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    exchange: Exchange,
}

/// The answer with its body.
pub(super) fn carry(answer: Answer, exchange: Exchange) -> Response<Body> {
    let mut response = Response::new(Body { bytes: answer.body, exchange });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.bytes.is_empty() {
            return Poll::Ready(None);
        }
        this.exchange.sent(this.bytes.len().try_into().unwrap_or(u64::MAX));
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len().try_into().unwrap_or(u64::MAX))
    }
}

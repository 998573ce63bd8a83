//! The answer's body, and what becomes of its connection.

use super::RequestBody;
use super::pool::Pool;
use bytes::Bytes;
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The upstream's body. Its connection goes back to the pool once the body is read to its end, and is closed
/// otherwise.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    over: bool,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: SendRequest<RequestBody>,
    pub(super) pool: Arc<Pool>,
    pub(super) idle: Duration,
}

impl UpstreamBody {
    pub(super) const fn new(incoming: Incoming, lease: Lease) -> Self {
        Self { incoming, lease: Some(lease), over: false }
    }

    /// The next bytes; trailers are dropped.
    pub(crate) fn poll_data(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let data = match next.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            Some(Err(error)) => {
                self.lease = None;
                Some(Err(error))
            }
            // Trailers are the last frame there can be.
            Some(Ok(Err(_))) | None => None,
        };
        self.over = true;
        Poll::Ready(data)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.over || self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.is_end_stream()
        {
            lease.pool.give_back(lease.connection, lease.idle);
        }
    }
}

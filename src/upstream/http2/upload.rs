//! The body of a request on its way: by itself, whether or not the answer has begun.

use super::super::RequestBody;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A request's body that is being sent. Dropped before its end, it resets the stream.
#[derive(Debug)]
pub(super) struct Upload(State);

#[derive(Debug)]
enum State {
    Sending(JoinHandle<Sent>),
    Ended(Sent),
}

/// How sending ended.
#[derive(Debug)]
enum Sent {
    /// All of it was handed to the connection, or as much as the server took.
    Begun,
    /// The server ended the stream before anything was taken from the client.
    Untouched(RequestBody),
    /// The client failed.
    Failed,
}

/// How sending ended, for who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// Nothing is left to do.
    Over,
    /// The client failed.
    Failed,
}

impl Upload {
    /// There is none.
    pub(super) const fn none(body: RequestBody) -> Self {
        Self(State::Ended(Sent::Untouched(body)))
    }

    /// Begins to send a body. What is there already goes at once; only where something is left a task goes on with it.
    pub(super) fn begin(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        let mut sending = Box::pin(send(body, stream));
        // The task is woken for what comes later: it asks anew.
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => Self(State::Ended(sent)),
            Poll::Pending => Self(State::Sending(Handle::current().spawn(sending))),
        }
    }

    /// Ready once nothing more is sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Uploaded> {
        if let State::Sending(task) = &mut self.0 {
            // A task that panicked has said so.
            self.0 = State::Ended(ready!(Pin::new(task).poll(cx)).unwrap_or(Sent::Failed));
        }
        Poll::Ready(match &self.0 {
            State::Ended(Sent::Failed) => Uploaded::Failed,
            State::Ended(Sent::Begun | Sent::Untouched(_)) | State::Sending(_) => Uploaded::Over,
        })
    }

    /// The body, if nothing of it was taken from the client. The server must have ended the stream: that ends the sending, too.
    pub(super) async fn untouched(mut self) -> Option<RequestBody> {
        poll_fn(|cx| self.poll(cx)).await;
        match std::mem::replace(&mut self.0, State::Ended(Sent::Begun)) {
            State::Ended(Sent::Untouched(body)) => Some(body),
            State::Ended(Sent::Begun | Sent::Failed) | State::Sending(_) => None,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let State::Sending(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends a body frame by frame, each once there is room for it: what waits, waits at the client.
async fn send(mut body: RequestBody, mut stream: SendStream<Bytes>) -> Sent {
    let mut begun = false;
    loop {
        let next = match room(&mut stream).await {
            Some(()) => frame(&mut body, &mut stream).await,
            None => None,
        };
        // The server has ended the stream.
        let Some(next) = next else { return if begun { Sent::Begun } else { Sent::Untouched(body) } };
        begun = true;
        let outcome = match next.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                let is_last = body.is_end_stream();
                let sent = stream.send_data(data, is_last);
                if !is_last && sent.is_ok() {
                    continue;
                }
                sent
            }
            Some(Ok(Err(trailers))) => match trailers.into_trailers() {
                Ok(trailers) => stream.send_trailers(trailers),
                Err(_) => stream.send_data(Bytes::new(), true),
            },
            None => stream.send_data(Bytes::new(), true),
            Some(Err(_)) => {
                stream.send_reset(Reason::CANCEL);
                return Sent::Failed;
            }
        };
        // Where it fails, the stream has ended, and who waits for the answer is told why.
        outcome.ok();
        return Sent::Begun;
    }
}

/// Waits until something can be sent; `None` where the server has ended the stream.
async fn room(stream: &mut SendStream<Bytes>) -> Option<()> {
    if stream.capacity() > 0 {
        return Some(());
    }
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(_)) => return Poll::Ready(Some(())),
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// The next frame of the body; `None` where the server has ended the stream.
async fn frame(
    body: &mut RequestBody,
    stream: &mut SendStream<Bytes>,
) -> Option<Option<Result<Frame<Bytes>, super::super::RequestBodyError>>> {
    poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut *body).poll_frame(cx).map(Some)
    })
    .await
}

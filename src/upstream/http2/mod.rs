//! HTTP/2 to a server (RFC 9113): streams on few connections, of which each worker has its own.

mod body;
mod connection;
mod deadline;
mod failure;
mod pool;
mod upload;

pub use failure::Http2Failure;

pub(super) use body::Http2Body;
pub(super) use pool::Http2Pool;

use super::answer::UpstreamBody;
use super::error::ConnectFailure;
use super::framing::reframe;
use super::server::{Attempt, Manner, Server};
use super::{Malformed, RequestBody, UpstreamError, again};
use crate::net::MAX_INTERIM;
use bytes::Bytes;
use connection::Place;
use h2::RecvStream;
use h2::client::ResponseFuture;
use h2::client::SendRequest;
use http::header::{CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use upload::{Upload, Uploaded};

/// What became of a request that was to go out over HTTP/2.
#[expect(clippy::large_enum_variant, reason = "it is handed over once, and nearly always is the larger one")]
pub(super) enum Routed {
    /// An answer, or none.
    Tried(Result<Response<UpstreamBody>, Attempt>),
    /// The server speaks HTTP/1.1.
    Http1(Box<Request<RequestBody>>),
}

impl Routed {
    /// The same where there was no choice.
    pub(super) fn tried(self) -> Result<Response<UpstreamBody>, Attempt> {
        match self {
            Self::Tried(tried) => tried,
            Self::Http1(request) => Err(Attempt::Unsent(request, ConnectFailure::Other.into())),
        }
    }
}

/// Sends a request on a stream.
pub(super) async fn send(
    server: &Server,
    pool: &Http2Pool,
    mut request: Box<Request<RequestBody>>,
    manner: Manner,
) -> Routed {
    let repeatable = again::is_repeatable(&request);
    loop {
        let place = match pool.place(server, manner).await {
            Ok(Some(place)) => place,
            Ok(None) => return Routed::Http1(request),
            Err(reason) => return Routed::Tried(Err(Attempt::Unsent(request, reason))),
        };
        match exchange(place, request, server.scheme(), repeatable).await {
            // The connection ended while nobody used it: nothing was sent.
            Err(Attempt::Unsent(unsent, _)) => request = unsent,
            tried => return Routed::Tried(tried),
        }
    }
}

/// One request and its answer's head on a stream.
async fn exchange(
    place: Place,
    request: Box<Request<RequestBody>>,
    scheme: Scheme,
    repeatable: bool,
) -> Result<Response<UpstreamBody>, Attempt> {
    let (head, body) = request.into_parts();
    // What goes out cannot be taken back: what may have to be sent again is kept.
    let kept = Kept { method: head.method.clone(), uri: head.uri.clone(), headers: head.headers.clone() };
    let deadline = deadline::of(&head.headers);
    let is_whole = body.is_end_stream();
    let sent = ready(place.sender()).await.and_then(|mut sender| {
        sender.send_request(head_of(head.method, &head.uri, head.headers, scheme), is_whole)
    });
    let Ok((mut answer, stream)) = sent else {
        place.give_up();
        return Err(Attempt::Unsent(kept.with(body), ConnectFailure::Ended.into()));
    };
    let mut upload = if is_whole { Upload::none(body) } else { Upload::begin(body, stream) };
    let answered = head_of_answer(&mut answer, &mut upload);
    let answered = match deadline {
        None => answered.await,
        Some(limit) => tokio::time::timeout(limit, answered)
            .await
            .unwrap_or(Err(Unanswered::Error(Http2Failure::Deadline.into()))),
    };
    match answered {
        Ok(response) => take(response, place, upload).map_err(Attempt::Sent),
        Err(Unanswered::Error(error)) => Err(Attempt::Sent(error)),
        Err(Unanswered::Http2(error)) => {
            let told = place.cause(&error);
            let unsent =
                Http2Failure::is_unsent(&error) || (repeatable && place.was_used_before() && error.is_io());
            let untouched = if unsent { upload.untouched().await } else { None };
            match untouched {
                Some(body) => Err(Attempt::Refused(kept.with(body), told)),
                None => Err(Attempt::Sent(told)),
            }
        }
    }
}

/// h2 wants to be asked; a place is only given where it does not wait.
async fn ready(sender: SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    sender.ready().await
}

/// Why no head of an answer came.
enum Unanswered {
    Http2(h2::Error),
    Error(UpstreamError),
}

/// The head of the final answer.
async fn head_of_answer(
    answer: &mut ResponseFuture,
    upload: &mut Upload,
) -> Result<Response<RecvStream>, Unanswered> {
    let mut interim = 0;
    poll_fn(|cx| {
        while let Poll::Ready(Some(one)) = answer.poll_informational(cx) {
            let one = one.map_err(Unanswered::Http2)?;
            // RFC 9113 section 8.6: there is no such thing here.
            if one.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Unanswered::Error(Malformed::Upgrade.into())));
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Poll::Ready(Err(Unanswered::Error(Malformed::Interim.into())));
            }
        }
        if let Poll::Ready(answered) = Pin::new(&mut *answer).poll(cx) {
            return Poll::Ready(answered.map_err(Unanswered::Http2));
        }
        match upload.poll(cx) {
            Poll::Ready(Uploaded::Failed) => Poll::Ready(Err(Unanswered::Error(UpstreamError::ClientBody))),
            Poll::Ready(Uploaded::Over) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The answer as the rest of the gateway knows it.
fn take(
    response: Response<RecvStream>,
    place: Place,
    upload: Upload,
) -> Result<Response<UpstreamBody>, UpstreamError> {
    let (mut head, stream) = response.into_parts();
    reframe(&mut head.headers, head.status, Version::HTTP_11)?;
    // As for an answer of HTTP/1.1: what the client gets is its own connection's affair.
    head.version = Version::HTTP_11;
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = UpstreamBody::of_http2(Http2Body::new(stream, length, place, upload))?;
    Ok(Response::from_parts(head, body))
}

/// A request's head, in case it has to be sent again.
struct Kept {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Kept {
    fn with(self, body: RequestBody) -> Box<Request<RequestBody>> {
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// A request in origin form as HTTP/2 has it (RFC 9113 section 8.3.1): the `Host` becomes `:authority`.
fn head_of(method: Method, target: &Uri, mut headers: HeaderMap, scheme: Scheme) -> Request<()> {
    let authority = headers
        .get(HOST)
        .and_then(|host| Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes())).ok());
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = target.path_and_query().cloned();
    if let Some(authority) = authority {
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        headers.remove(HOST);
    }
    headers.remove(TRANSFER_ENCODING);
    // Trailers are taken, and handed on to whoever reads them; servers of gRPC insist on being told.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| target.clone());
    *request.headers_mut() = headers;
    request
}

//! One connection of HTTP/1.1, and a request on it.

use super::answer::{Lease, UpstreamBody};
use super::error::ConnectFailure;
use super::framing::{Framing, reframe};
use super::pool::{self, Pool};
use super::server::Attempt;
use super::socket::{Socket, Watch};
use super::stream::Stream;
use super::tls::TlsFailure;
use super::{Malformed, RequestBody, UpstreamError};
use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// The head of an answer may be this big, in bytes: `limits.response_header_size`. More is read only where it comes.
pub(super) const MAX_HEAD: usize = 256 * 1024;
/// And have so many lines. Room for them costs each answer 0.2 µs, since hyper has room for 100 without an allocation.
pub(super) const MAX_LINES: usize = 1000;

/// What drives a connection of HTTP/1.1.
pub(super) type Carry = fn(http1::Connection<TokioIo<Socket>, RequestBody>);

/// A connection to a server, driven by a task of its own.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    watch: Arc<Watch>,
}

impl Connection {
    /// Can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.watch.is_deaf()
    }

    /// Waits, not for long, until it can take a request.
    pub(super) async fn settles(mut self) -> Option<Self> {
        let ready = tokio::time::timeout(pool::SETTLE_TIME, self.sender.ready()).await;
        ready.is_ok_and(|ready| ready.is_ok()).then_some(self).filter(|connection| !connection.is_closed())
    }

    /// Will never take one again.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.watch.is_deaf()
    }

    /// What is known of the exchange on it.
    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Starts HTTP/1.1 on a stream.
    pub(super) async fn start(stream: Stream, carry: Carry) -> Result<Self, UpstreamError> {
        let watch = Arc::default();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_LINES)
            .handshake(TokioIo::new(Socket::new(stream, Arc::clone(&watch))))
            .await
            .map_err(|_| ConnectFailure::Ended)?;
        carry(connection);
        Ok(Self { sender, watch })
    }

    /// Sends a request that asks for another protocol. Only the 101 of a server that chose among what was asked for is one.
    pub(super) async fn switch(
        mut self,
        request: Request<RequestBody>,
        pool: &Arc<Pool>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        let asked = request.headers().get(UPGRADE).cloned();
        self.watch.begin(false);
        let response = match self.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(error) => return Err(Attempt::Sent(cause(error.error(), &self.watch))),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(response, pool).map_err(Attempt::Sent);
        }
        if !asked.is_some_and(|asked| chose_among(&asked, response.headers())) {
            return Err(Attempt::Sent(Malformed::Upgrade.into()));
        }
        let (head, incoming) = response.into_parts();
        let body = UpstreamBody::begin(incoming, None).map_err(Attempt::Sent)?;
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request. `copying`: it may have to be sent again.
    pub(super) async fn send(
        mut self,
        request: Box<Request<RequestBody>>,
        copying: bool,
        pool: &Arc<Pool>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        self.watch.begin(copying);
        match self.sender.try_send_request(*request).await {
            Ok(response) => self.answer(response, pool).map_err(Attempt::Sent),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Err(Attempt::Unsent(Box::new(unsent), ConnectFailure::Ended.into())),
                None => Err(Attempt::Sent(cause(error.error(), &self.watch))),
            },
        }
    }

    /// Takes an answer whose head is read; refuses what cannot be handed on.
    fn answer(
        self,
        response: Response<Incoming>,
        pool: &Arc<Pool>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut head, incoming) = response.into_parts();
        // Nobody asked for an upgrade.
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Upgrade.into());
        }
        let lease = match reframe(&mut head.headers, head.status, head.version)? {
            Framing::Last => None,
            Framing::Plain => {
                let idle = pool::idle_time(&head.headers);
                Some(Lease { connection: self, pool: Arc::clone(pool), idle })
            }
        };
        // The version is the connection's (RFC 9110 section 6.2): with the server's HTTP/1.0, hyper would leave the end of a body to be told by
        // the end of the client's connection, and one that broke off would look whole.
        head.version = Version::HTTP_11;
        let body = UpstreamBody::begin(incoming, lease)?;
        Ok(Response::from_parts(head, body))
    }
}

/// Whether a 101 names protocols (RFC 9110 section 7.8), and none that was not asked for.
fn chose_among(asked: &HeaderValue, answer: &HeaderMap) -> bool {
    let members = |line: &'_ HeaderValue| -> Vec<Vec<u8>> {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(|member| member.trim_ascii().to_ascii_lowercase())
            .collect()
    };
    let asked = members(asked);
    let mut chosen = answer.get_all(UPGRADE).iter().flat_map(members).peekable();
    chosen.peek().is_some() && chosen.all(|member| asked.contains(&member))
}

/// Why no head of an answer came.
fn cause(error: &hyper::Error, watch: &Watch) -> UpstreamError {
    if watch.too_many_interim() {
        return Malformed::Interim.into();
    }
    if error.is_parse_too_large() {
        return Malformed::HeadTooLarge.into();
    }
    if !error.is_parse() {
        // With TLS 1.3 a server says only after the handshake that it misses a certificate.
        return TlsFailure::of(error).map_or(UpstreamError::Broken, UpstreamError::Tls);
    }
    // hyper says no more of it but in words.
    let said = error.to_string();
    if said.contains("content-length") {
        Malformed::ContentLength.into()
    } else if said.contains("transfer-encoding") {
        Malformed::TransferCoding.into()
    } else {
        Malformed::Head.into()
    }
}

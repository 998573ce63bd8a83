//! One server: a request goes out on a connection that is idle, or on a new one.

use super::answer::{Lease, UpstreamBody};
use super::pool::{self, Pool};
use super::{RequestBody, UpstreamError};
use crate::net::Gathered;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// A response's head may be this big. It may have 100 fields: hyper's own limit, not set because only then are they parsed on the stack.
const MAX_HEAD: usize = 64 * 1024;

/// How an attempt failed.
pub(super) enum Attempt {
    /// Bytes of the request may be out.
    Sent,
    /// None are: the request can go elsewhere.
    Unsent(Box<Request<RequestBody>>, UpstreamError),
}

/// One server of an upstream.
#[derive(Debug)]
pub(super) struct Server {
    authority: Authority,
    host: HeaderValue,
    pool: Arc<Pool>,
}

impl Server {
    pub(super) fn new(authority: &Authority) -> Self {
        Self {
            authority: authority.clone(),
            host: HeaderValue::from_str(authority.as_str()).unwrap_or_else(|_| HeaderValue::from_static("")),
            pool: Arc::new(Pool::new()),
        }
    }

    /// Sends a request on a connection of the pool, or on a new one.
    pub(super) async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.host.clone());
        }
        // A pooled connection may turn out closed just now; hyper then hands the request back, unsent.
        while let Some(connection) = self.pool.take() {
            match self.send_on(connection, request).await {
                Err(Attempt::Unsent(unsent, _)) => request = unsent,
                outcome @ (Ok(_) | Err(Attempt::Sent)) => return outcome,
            }
        }
        match self.connect(connect_timeout).await {
            Ok(connection) => self.send_on(connection, request).await,
            Err(reason) => Err(Attempt::Unsent(request, reason)),
        }
    }

    async fn send_on(
        &self,
        mut connection: SendRequest<RequestBody>,
        request: Box<Request<RequestBody>>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        match connection.try_send_request(*request).await {
            // Nobody asked for an upgrade: `Upgrade` never leaves the gateway.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Attempt::Sent),
            Ok(response) => {
                let idle = pool::idle_time(response.headers());
                let lease = Lease { connection, pool: Arc::clone(&self.pool), idle };
                Ok(response.map(|incoming| UpstreamBody::new(incoming, lease)))
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) => Err(Attempt::Unsent(Box::new(unsent), UpstreamError::Connect)),
                None => Err(Attempt::Sent),
            },
        }
    }

    /// Resolves, connects and starts HTTP/1.1; `limit` is for all of it.
    async fn connect(&self, limit: Duration) -> Result<SendRequest<RequestBody>, UpstreamError> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let target = (host, self.authority.port_u16().unwrap_or(80));
        let connected = tokio::time::timeout(limit, TcpStream::connect(target)).await;
        let stream =
            connected.map_err(|_| UpstreamError::ConnectTimeout)?.map_err(|_| UpstreamError::Connect)?;
        // Only latency is at stake, and the connection works without.
        stream.set_nodelay(true).ok();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(Gathered(stream)))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        Pool::carry(connection);
        Ok(sender)
    }
}

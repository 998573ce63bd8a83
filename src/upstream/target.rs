//! A server as the configuration names it, and how one of its addresses is reached.

use super::UpstreamError;
use super::error::{ConnectFailure, ConnectStage};
use super::room::Slot;
use super::stream::Stream;
use super::tls::{Tls, TlsFailure};
use crate::config::{ServerPlan, UpstreamProtocol};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What every address behind a name shares.
#[derive(Debug)]
pub(super) struct Target {
    plan: ServerPlan,
    host: HeaderValue,
    tls: Option<Tls>,
    protocol: UpstreamProtocol,
}

/// A stream to a server, by what is spoken on it.
pub(super) enum Reached {
    Http1(Stream),
    Http2(Stream),
}

impl Target {
    pub(super) fn new(plan: &ServerPlan, tls: Option<Tls>, protocol: UpstreamProtocol) -> Self {
        let host = HeaderValue::from_str(plan.authority.as_str());
        let host = host.unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { plan: plan.clone(), host, tls, protocol }
    }

    pub(super) const fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// Its own `Host`.
    pub(super) fn host_field(&self) -> HeaderValue {
        self.host.clone()
    }

    /// Whether HTTP/2 may be spoken to it.
    pub(super) const fn may_speak_http2(&self) -> bool {
        match self.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => self.plan.tls,
        }
    }

    /// Its name or address, without the brackets that IPv6 has in a URL.
    pub(super) fn host(&self) -> &str {
        self.plan.authority.host().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.plan.authority.port_u16().unwrap_or(if self.plan.tls { 443 } else { 80 })
    }

    /// The scheme that a request has for it.
    pub(super) fn scheme(&self) -> Scheme {
        if self.plan.tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The URI of a path of its own.
    pub(super) fn absolute(&self, path: &PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme());
        parts.authority = Some(self.plan.authority.clone());
        parts.path_and_query = Some(path.clone());
        Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(path.clone()))
    }

    /// Connects, and shakes hands where there is TLS, which says what is spoken. `limit` is for all of it.
    pub(super) async fn reach(
        &self,
        address: SocketAddr,
        slot: Option<Slot>,
        limit: Duration,
    ) -> Result<Reached, UpstreamError> {
        let stream = self.stream(address, slot, Instant::now() + limit).await?;
        if !self.may_speak_http2() {
            return Ok(Reached::Http1(stream));
        }
        match (stream.alpn(), self.protocol) {
            (None, UpstreamProtocol::Http2) | (Some(b"h2"), _) => Ok(Reached::Http2(stream)),
            // The server knows nothing of ALPN, or not enough.
            (Some(_), UpstreamProtocol::Http2) => Err(TlsFailure::NothingInCommon.into()),
            (_, UpstreamProtocol::Http1 | UpstreamProtocol::Auto) => Ok(Reached::Http1(stream)),
        }
    }

    async fn stream(
        &self,
        address: SocketAddr,
        slot: Option<Slot>,
        deadline: Instant,
    ) -> Result<Stream, UpstreamError> {
        let connected = timeout_at(deadline, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| ConnectStage::Tcp)?.map_err(|error| ConnectFailure::of(&error))?;
        // Only latency is at stake, and the connection works without.
        stream.set_nodelay(true).ok();
        let Some(tls) = &self.tls else { return Ok(Stream::plain(stream, slot)) };
        let shaken = timeout_at(deadline, Box::pin(tls.handshake(stream))).await;
        Ok(Stream::tls(shaken.map_err(|_| ConnectStage::Tls)??, slot))
    }
}

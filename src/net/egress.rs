//! The way out to issuers: directly, or through the proxy that the environment names.

mod connect_to;
mod proxies;

pub use connect_to::ConnectTo;
pub use proxies::{Proxies, ProxyError};

use super::USER_AGENT;
use http::{HeaderMap, HeaderValue, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// Connects to where a URI says, with TLS for https.
pub type Connector = HttpsConnector<Egress>;

/// A connector for HTTP/1.1 that uses these proxies, and this TLS for servers and proxies.
pub fn connector(proxies: &Proxies, tls: ClientConfig) -> Connector {
    connector_to(proxies, tls, Vec::new())
}

/// The same, but these say where to connect instead.
pub fn connector_to(proxies: &Proxies, tls: ClientConfig, connect_to: Vec<ConnectTo>) -> Connector {
    let mut direct = HttpConnector::new();
    // TLS is spoken by what is around it.
    direct.enforce_http(false);
    let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1();
    let tunnel = proxies.https().map(|proxy| {
        let mut headers = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))]);
        headers.extend(proxy.authorization.clone().map(|value| (header::PROXY_AUTHORIZATION, value)));
        Tunnel::new(proxy.uri.clone(), to_proxy.wrap_connector(direct.clone())).with_headers(headers)
    });
    let egress = Egress { direct, tunnel, proxies: proxies.clone(), connect_to };
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(egress)
}

/// Connects over TCP, or by CONNECT (RFC 9110 section 9.3.6) through a proxy.
#[derive(Clone, Debug)]
pub struct Egress {
    direct: HttpConnector,
    tunnel: Option<Tunnel<HttpsConnector<HttpConnector>>>,
    proxies: Proxies,
    connect_to: Vec<ConnectTo>,
}

/// The proxy failed, or would not. One text, since whoever shows the innermost cause would not name the proxy.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy}: {reason}")]
struct Refused {
    proxy: Uri,
    reason: String,
}

impl Service<Uri> for Egress {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(tunnel) = &mut self.tunnel {
            ready!(tunnel.poll_ready(context))?;
        }
        Poll::Ready(Ok(ready!(self.direct.poll_ready(context))?))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let uri = ConnectTo::apply(&self.connect_to, uri);
        match (self.proxies.of(&uri), &mut self.tunnel) {
            (Some(proxy), Some(tunnel)) => {
                let (proxy, connecting) = (proxy.uri.clone(), tunnel.call(uri));
                Box::pin(async move {
                    connecting.await.map_err(|error| Refused { proxy, reason: with_causes(&error) }.into())
                })
            }
            (_, _) => {
                let connecting = self.direct.call(uri);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

//! Pooled connections to the one upstream.

use crate::Arguments;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) type Tls = (TlsConnector, ServerName<'static>);

/// As the arguments have it.
pub(crate) fn tls(arguments: &Arguments) -> io::Result<Option<Tls>> {
    let (Some(ca), Some(name)) = (&arguments.upstream_ca, &arguments.upstream_name) else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
    Ok(Some((TlsConnector::from(Arc::new(config)), name)))
}

/// The idle connections; the one used last is used next.
pub(crate) struct Pool {
    upstream: SocketAddr,
    /// How TLS is spoken to it, and the name that its certificate has.
    tls: Option<Tls>,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    pub(crate) fn new(upstream: SocketAddr, tls: Option<Tls>) -> Arc<Self> {
        Arc::new(Self { upstream, tls, idle: Mutex::default() })
    }

    pub(crate) async fn send(self: &Arc<Self>, request: Request<Incoming>) -> Option<Response<Lent>> {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = match idle {
            Some(connection) if connection.is_ready() => connection,
            Some(_) | None => self.connect().await?,
        };
        let response = connection.send_request(request).await.ok()?;
        let back = Some((connection, Arc::clone(self)));
        Some(response.map(|body| Lent { body, back }))
    }

    async fn connect(&self) -> Option<SendRequest<Incoming>> {
        let socket = TcpStream::connect(self.upstream).await.ok()?;
        socket.set_nodelay(true).ok()?;
        match &self.tls {
            None => Self::begin(socket).await,
            Some((tls, name)) => Self::begin(tls.connect(name.clone(), socket).await.ok()?).await,
        }
    }

    async fn begin(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Option<SendRequest<Incoming>> {
        let (sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// A body whose connection, where it has one for itself, goes back when it is over.
pub(crate) struct Lent {
    body: Incoming,
    back: Option<(SendRequest<Incoming>, Arc<Pool>)>,
}

impl From<Incoming> for Lent {
    fn from(body: Incoming) -> Self {
        Self { body, back: None }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some((mut connection, pool)) = self.back.take().filter(|_| self.body.is_end_stream()) else {
            return;
        };
        if connection.is_ready() {
            pool.idle.lock().unwrap().push(connection);
            return;
        }
        // Its task has not yet seen the end that we saw.
        tokio::spawn(async move {
            if connection.ready().await.is_ok() {
                pool.idle.lock().unwrap().push(connection);
            }
        });
    }
}

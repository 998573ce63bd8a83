//! Pooled connections to the one upstream.

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpStream;

/// The idle connections; the one used last is used next.
pub(crate) struct Pool {
    upstream: SocketAddr,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    pub(crate) fn new(upstream: SocketAddr) -> Arc<Self> {
        Arc::new(Self { upstream, idle: Mutex::default() })
    }

    pub(crate) async fn send(self: &Arc<Self>, request: Request<Incoming>) -> Option<Response<Lent>> {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = match idle {
            Some(connection) if connection.is_ready() => connection,
            Some(_) | None => self.connect().await?,
        };
        let response = connection.send_request(request).await.ok()?;
        Some(response.map(|body| Lent { body, connection: Some(connection), pool: Arc::clone(self) }))
    }

    async fn connect(&self) -> Option<SendRequest<Incoming>> {
        let socket = TcpStream::connect(self.upstream).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// A body whose connection goes back when it is over.
pub(crate) struct Lent {
    body: Incoming,
    connection: Option<SendRequest<Incoming>>,
    pool: Arc<Pool>,
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
        let Some(mut connection) = self.connection.take().filter(|_| self.body.is_end_stream()) else {
            return;
        };
        if connection.is_ready() {
            self.pool.idle.lock().unwrap().push(connection);
            return;
        }
        // Its task has not yet seen the end that we saw.
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move {
            if connection.ready().await.is_ok() {
                pool.idle.lock().unwrap().push(connection);
            }
        });
    }
}

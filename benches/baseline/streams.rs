//! One connection of HTTP/2 to the upstream, for as many requests at once as it takes.

use crate::pool::Lent;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

pub(crate) struct Streams {
    upstream: SocketAddr,
    connection: Mutex<Option<SendRequest<Incoming>>>,
}

impl Streams {
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        Self { upstream, connection: Mutex::default() }
    }

    pub(crate) async fn send(&self, request: Request<Incoming>) -> Option<Response<Lent>> {
        let mut sender = self.connected().await?;
        sender.ready().await.ok()?;
        Some(sender.send_request(request).await.ok()?.map(Lent::from))
    }

    async fn connected(&self) -> Option<SendRequest<Incoming>> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(sender.clone());
        }
        let socket = TcpStream::connect(self.upstream).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let (sender, driven) =
            Builder::new(TokioExecutor::new()).handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(driven);
        Some(connection.insert(sender).clone())
    }
}

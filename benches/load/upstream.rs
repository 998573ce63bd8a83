//! An upstream that costs next to nothing.

use crate::arguments::{Spoken, UpstreamArguments};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// Answers until it is killed.
pub(crate) fn run(arguments: &UpstreamArguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body: &'static str = "x".repeat(arguments.bytes).leak();
    let length = body.len();
    let answer: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}")
            .leak();
    let tls = arguments.scene.as_deref().map(tls).transpose()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.listen).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let socket = listener.accept().await?.0;
            socket.set_nodelay(true).ok();
            match (arguments.speaks, &tls) {
                (Spoken::Tls, Some(tls)) => {
                    let tls = tls.clone();
                    spawn_local(async move {
                        if let Ok(socket) = tls.accept(socket).await {
                            answer_all(socket, answer.as_bytes()).await;
                        }
                    });
                }
                (Spoken::Http2, _) => drop(spawn_local(answer_streams(socket, body.as_bytes()))),
                (Spoken::Plain | Spoken::Tls, _) => drop(spawn_local(answer_all(socket, answer.as_bytes()))),
            }
        }
    })
}

/// Requests without bodies, one after another.
async fn answer_all(mut socket: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let mut received = Vec::with_capacity(4096);
    while matches!(socket.read_buf(&mut received).await, Ok(1..)) {
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            if socket.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// The same over HTTP/2.
async fn answer_streams(socket: TcpStream, body: &'static [u8]) {
    let service = service_fn(move |_: Request<Incoming>| {
        let mut response = Response::new(Full::new(Bytes::from_static(body)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(socket), service).await.ok();
}

fn tls(scene: &Path) -> io::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(scene.join("upstream.crt")).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(scene.join("upstream.key")).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

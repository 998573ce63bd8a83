//! The floor: a minimal hyper proxy that verifies one ES256 signature for each request, and does nothing else.
//!
//! The signatures are made ahead, by as many keys as the measured load has clients. No log, no metrics, no headers edited but `Host` and
//! what belongs to the hop. What a gateway costs above this is its own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the floor has no drain to wait on, and ends where its scenery is broken"
)]

mod pool;
mod signature;
mod streams;

use bytes::Bytes;
use clap::Parser;
use http::header::{CONNECTION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pool::{Lent, Pool};
use signature::Signatures;
use socket2::{Domain, Socket, Type};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use streams::Streams;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug, Parser)]
#[command(name = "baseline", about = "A minimal proxy that verifies one signature for each request")]
struct Arguments {
    /// Where to listen; loopback.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The upstream.
    #[arg(long, default_value = "127.0.0.1:9")]
    upstream: SocketAddr,
    /// Speak HTTP/2 to it, with prior knowledge.
    #[arg(long, conflicts_with = "upstream_ca")]
    upstream_http2: bool,
    /// Speak TLS to it, to this name, which this file's authority vouches for.
    #[arg(long, requires = "upstream_name")]
    upstream_ca: Option<PathBuf>,
    /// The name in its certificate.
    #[arg(long)]
    upstream_name: Option<String>,
    /// A directory with tls.crt and tls.key: speak TLS, and HTTP/2 to those who ask for it.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// Threads, each with its own listener, runtime and upstream connections.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Only proxy.
    #[arg(long)]
    no_signature: bool,
    /// Verify that many signatures, print what one costs, and end.
    #[arg(long)]
    signatures: Option<u32>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

type Body = Either<Lent, Empty<Bytes>>;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if let Some(count) = arguments.signatures {
        println!("{:.2}", Signatures::new().microseconds(count));
        return Ok(());
    }
    if arguments.bench || std::env::args().len() > 1 {
        let listeners = (0..arguments.workers).map(|_| listen(&arguments)).collect::<io::Result<Vec<_>>>()?;
        let worker = |listener| {
            let arguments = arguments.clone();
            std::thread::spawn(move || work(&arguments, listener))
        };
        let workers: Vec<_> = listeners.into_iter().map(worker).collect();
        return workers.into_iter().try_for_each(|worker| worker.join().unwrap());
    }
    // `cargo test --benches` runs every bench without arguments.
    assert!(Signatures::new().verifies(), "a signature verifies");
    Ok(())
}

fn listen(arguments: &Arguments) -> io::Result<std::net::TcpListener> {
    if !arguments.listen.ip().is_loopback() || !arguments.upstream.ip().is_loopback() {
        return Err(io::Error::other("only loopback"));
    }
    let socket = Socket::new(Domain::for_address(arguments.listen), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&arguments.listen.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn work(arguments: &Arguments, listener: std::net::TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let tls = arguments.tls.as_deref().map(signature::tls).transpose()?.map(TlsAcceptor::from);
        let signatures = (!arguments.no_signature).then(Signatures::new);
        let pool = if arguments.upstream_http2 {
            Upstream::Http2(Streams::new(arguments.upstream))
        } else {
            Upstream::Http1(Pool::new(arguments.upstream, pool::tls(arguments)?))
        };
        let proxy = Arc::new(Proxy { pool, signatures });
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (tls, proxy) = (tls.clone(), Arc::clone(&proxy));
            tokio::spawn(async move {
                match tls {
                    None => proxy.http1(socket).await,
                    Some(tls) => match tls.accept(socket).await {
                        Ok(socket) if socket.get_ref().1.alpn_protocol() == Some(b"h2") => {
                            proxy.http2(socket).await
                        }
                        Ok(socket) => proxy.http1(socket).await,
                        Err(_) => {}
                    },
                }
            });
        }
    })
}

/// The connections to the upstream, by what is spoken on them.
enum Upstream {
    Http1(Arc<Pool>),
    Http2(Streams),
}

struct Proxy {
    pool: Upstream,
    signatures: Option<Signatures>,
}

impl Proxy {
    async fn http1(self: Arc<Self>, socket: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.serve(request).await) });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.pipeline_flush(true).serve_connection(TokioIo::new(socket), service).await.ok();
    }

    async fn http2(self: Arc<Self>, socket: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&self);
            async move { Ok::<_, Infallible>(proxy.serve(request).await) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(socket), service).await.ok();
    }

    async fn serve(&self, mut request: Request<Incoming>) -> Response<Body> {
        if self.signatures.as_ref().is_some_and(|signatures| !signatures.verifies()) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        request.headers_mut().remove(CONNECTION);
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let answered = match &self.pool {
            Upstream::Http1(pool) => {
                request.headers_mut().insert(HOST, HeaderValue::from_static("upstream"));
                *request.version_mut() = http::Version::HTTP_11;
                *request.uri_mut() = Uri::from(target);
                pool.send(request).await
            }
            Upstream::Http2(streams) => {
                request.headers_mut().remove(HOST);
                *request.version_mut() = http::Version::HTTP_2;
                let uri = Uri::builder().scheme("http").authority("upstream").path_and_query(target).build();
                *request.uri_mut() = uri.unwrap();
                streams.send(request).await
            }
        };
        match answered {
            Some(mut response) => {
                response.headers_mut().remove(CONNECTION);
                response.map(Either::Left)
            }
            None => empty(StatusCode::BAD_GATEWAY),
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

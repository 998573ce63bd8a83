//! What is spoken over TLS is what both sides say in its handshake (ALPN, RFC 7301).

use super::gateway::{Gateway, eventually};
use super::secure::{NAME, authority, gateway, issued, plan};
use http::{Request, Response, Version};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyproof::upstream::{TlsFailure, UpstreamError};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use support::raw::Raw;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const GET: &str = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// hyper's server over TLS, which offers what it is told to.
struct Server {
    address: SocketAddr,
    /// What it offers; where that changes, connections that are open end.
    offers: watch::Sender<Vec<&'static [u8]>>,
    /// For each request its version and on which connection it came.
    seen: Arc<Mutex<Vec<(Version, usize)>>>,
    authority: String,
}

impl Server {
    async fn start(offers: &[&'static [u8]]) -> Self {
        let authority = authority("internal");
        let pair = issued(&authority, NAME, |_| {});
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (offers, offered) = watch::channel(offers.to_vec());
        let server = Self {
            address: listener.local_addr().unwrap(),
            offers,
            seen: Arc::default(),
            authority: authority.pem(),
        };
        let seen = Arc::clone(&server.seen);
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::new(config(&pair, &offered.borrow())));
                let (seen, mut offered) = (Arc::clone(&seen), offered.clone());
                offered.mark_unchanged();
                let this = number;
                number += 1;
                tokio::spawn(async move {
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    let http2 = socket.get_ref().1.alpn_protocol() == Some(H2);
                    let service = service_fn(move |request: Request<Incoming>| {
                        seen.lock().unwrap().push((request.version(), this));
                        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
                    });
                    let socket = TokioIo::new(socket);
                    let served = async {
                        if http2 {
                            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            builder.serve_connection(socket, service).await.ok();
                        } else {
                            let builder = hyper::server::conn::http1::Builder::new();
                            builder.serve_connection(socket, service).await.ok();
                        }
                    };
                    tokio::select! {
                        () = served => {}
                        _ = offered.changed() => {}
                    }
                });
            }
        });
        server
    }

    fn gateway(&self, protocol: &str) -> Gateway {
        let upstream = format!(
            "servers: [\"https://{}\"], protocol: {protocol}, tls: {{ ca: ca.crt, server_name: {NAME} }}",
            self.address
        );
        gateway(plan(&upstream, &[("ca.crt", &self.authority)]))
    }

    fn seen(&self) -> Vec<(Version, usize)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn config(pair: &(String, String), offers: &[&'static [u8]]) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.1.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
    config
}

async fn ask(gateway: &Gateway) -> u16 {
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    client.answer().await.unwrap().status
}

#[tokio::test]
async fn what_is_spoken_is_what_both_offer() {
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    for (protocol, offers, version) in [
        ("auto", &[H2, HTTP1][..], Some(two)),
        ("auto", &[HTTP1, H2], Some(one)),
        ("auto", &[HTTP1], Some(one)),
        ("auto", &[], Some(one)),
        ("http2", &[H2, HTTP1], Some(two)),
        ("http2", &[HTTP1], None),
        ("http2", &[], None),
        ("http1", &[H2, HTTP1], Some(one)),
        ("http1", &[], Some(one)),
        ("http1", &[H2], None),
    ] {
        let server = Server::start(offers).await;
        let gateway = server.gateway(protocol);
        let what = format!("{protocol}, {} offers", offers.len());
        for _ in 0..3 {
            assert_eq!(ask(&gateway).await, if version.is_some() { 200 } else { 502 }, "{what}");
        }
        match version {
            Some(version) => {
                let seen = server.seen();
                let (_, connection) = seen[0];
                assert_eq!(seen, [(version, connection); 3], "{what}: one connection for all");
            }
            None => {
                let errors = gateway.record.errors.lock().unwrap().clone();
                assert_eq!(errors, [UpstreamError::Tls(TlsFailure::NothingInCommon); 3], "{what}");
                assert!(server.seen().is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_may_change_its_mind() {
    let server = Server::start(&[HTTP1]).await;
    let gateway = server.gateway("auto");
    for (offers, version) in
        [(&[HTTP1][..], Version::HTTP_11), (&[H2], Version::HTTP_2), (&[HTTP1], Version::HTTP_11)]
    {
        server.offers.send_replace(offers.to_vec());
        eventually(|| gateway.upstream.state()().connections == 0).await;
        for _ in 0..2 {
            assert_eq!(ask(&gateway).await, 200);
        }
        assert!(server.seen().iter().all(|(seen, _)| *seen == version), "{version:?}");
    }
}

//! The same rules over TLS and HTTP/2.

use crate::stranger::{Stranger, WAIT, upstream};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TLS: &str = "    tls: { certificate: tls.crt, private_key: tls.key }";

#[tokio::test]
async fn the_authority_is_one_and_a_proof_is_used_once() {
    let (folder, certificate) = certificate();
    let upstream = upstream().await;
    let stranger = Stranger::starts_in(folder, upstream.address, TLS, WAIT, "").await;
    let mut client = connect(stranger.gateway, certificate).await;
    let token = stranger.token(json!({}));
    let cases = [
        ("https://api.example.com", None, 200),
        ("https://api.example.com:443", Some("API.example.com"), 200),
        // RFC 9113 section 8.3.1: malformed, whether or not the other name is one of ours.
        ("https://api.example.com", Some("evil.example.com"), 400),
        ("https://evil.example.com", None, 421),
        ("https://evil.example.com", Some("api.example.com"), 421),
    ];
    for (origin, host, status) in cases {
        let proof = stranger.proof(&token, json!({}));
        let answer = client.send_request(request(origin, host, &token, &proof));
        assert_eq!(answer.await.unwrap().status(), status, "{origin} {host:?}");
    }

    let proof = stranger.proof(&token, json!({}));
    let copies: Vec<_> = (0..64)
        .map(|_| client.send_request(request("https://api.example.com", None, &token, &proof)))
        .collect();
    let mut passed = 0;
    for copy in copies {
        passed += usize::from(copy.await.unwrap().status() == 200);
    }
    assert_eq!((passed, upstream.seen().len()), (1, 3));
}

fn request(origin: &str, host: Option<&str>, token: &str, proof: &str) -> http::Request<Empty<Bytes>> {
    let mut request = http::Request::get(format!("{origin}/orders"))
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    request.body(Empty::new()).unwrap()
}

fn certificate() -> (tempfile::TempDir, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
    std::fs::write(folder.path().join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    (folder, made.cert.der().clone())
}

async fn connect(address: SocketAddr, certificate: CertificateDer<'static>) -> SendRequest<Empty<Bytes>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("api.example.com").unwrap();
    let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test's own connection")]
    drop(tokio::spawn(connection));
    sender
}

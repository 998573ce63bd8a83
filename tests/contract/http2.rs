//! The same rules over TLS and HTTP/2.

use crate::stranger::{Stranger, WAIT, upstream};
use bytes::Bytes;
use http_body_util::Empty;
use serde_json::json;
use support::h2;

#[tokio::test]
async fn the_authority_is_one_and_a_proof_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = h2::certificate(folder.path(), "api.example.com");
    let upstream = upstream().await;
    let stranger = Stranger::starts_in(folder, upstream.address, &format!("    {}", h2::TLS), WAIT, "").await;
    let mut client = h2::connect(stranger.gateway, "api.example.com", certificate).await;
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

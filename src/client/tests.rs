//! Exchanges with a server on loopback that writes down what it gets.

use super::*;
use crate::clock::UnixTime;
use crate::jose::{Algorithm, CompactJws, JoseHeader, encode, json, sha256};
use crate::net;
use ::http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio_util::task::TaskTracker;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

type Received = Arc<Mutex<Vec<(::http::request::Parts, Bytes)>>>;

/// Answers with `answers` in their order; every connection may bring any number of requests.
async fn server(tasks: &TaskTracker, answers: Vec<Response<&'static str>>) -> (String, Received) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let written = Arc::clone(&received);
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, written) = (Arc::clone(&answers), Arc::clone(&written));
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let (answers, written) = (Arc::clone(&answers), Arc::clone(&written));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    written.lock().unwrap().push((head, body));
                    let answer = answers.lock().unwrap().pop_front().expect("one answer a request");
                    Ok::<_, Infallible>(answer.map(Full::<Bytes>::from))
                }
            });
            connections.spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (format!("http://{address}"), received)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<&'static str> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

fn http() -> HttpClient {
    HttpClient::new(roots(false, None).unwrap(), &net::Proxies::default()).unwrap()
}

fn call(base: &str) -> Call {
    let uri = format!("{base}/orders?limit=1").parse().unwrap();
    Call { method: Method::POST, uri, headers: HeaderMap::new(), body: Bytes::from_static(b"hello") }
}

/// The claims of a proof whose signature was checked with the key in its header.
fn claims(head: &::http::request::Parts) -> serde_json::Value {
    let text = head.headers[DPOP].to_str().unwrap();
    let jws = CompactJws::split(text).unwrap();
    let header = JoseHeader::of_proof(jws.header_segment).unwrap();
    assert_eq!(header.typ.as_deref(), Some("dpop+jwt"));
    let algorithm = Algorithm::from_name(&header.alg.unwrap()).unwrap();
    jws.verify(algorithm, &header.jwk.unwrap()).unwrap();
    json::Object::parse(&jws.payload, json::Limits::SMALL).unwrap();
    serde_json::from_slice(&jws.payload).unwrap()
}

#[tokio::test]
async fn a_challenge_is_followed_once_with_a_new_proof() {
    let tasks = TaskTracker::new();
    let asks = [("www-authenticate", r#"DPoP error="use_dpop_nonce", algs="ES256""#), ("dpop-nonce", "n-1")];
    let (base, received) = server(&tasks, vec![answer(401, &asks, ""), answer(401, &asks, "")]).await;
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    let htu = proof::htu(&call(&base).uri);
    let credentials =
        Credentials { scheme: AuthScheme::Dpop, token: "tok", proof: Proof::Fresh { key: &key, htu: &htu } };
    let sent = exchange(&http(), &call(&base), &credentials, &Clock::manual(NOW)).await.unwrap();
    assert_eq!(sent.len(), 2, "one challenge is followed, a second one is an answer");

    let received = received.lock().unwrap();
    let proofs: Vec<_> = received.iter().map(|(head, _)| claims(head)).collect();
    for (proof, (head, body)) in proofs.iter().zip(received.iter()) {
        assert_eq!(proof["htm"], "POST");
        assert_eq!(proof["htu"], format!("{base}/orders"));
        assert_eq!(proof["iat"], 1_700_000_000);
        assert_eq!(proof["ath"], encode(&sha256(&[b"tok"])));
        assert_eq!(head.headers[AUTHORIZATION], "DPoP tok");
        assert_eq!(head.uri.path_and_query().unwrap(), "/orders?limit=1");
        assert_eq!(&body[..], b"hello");
    }
    assert_eq!(proofs[0].get("nonce"), None);
    assert_eq!(proofs[1]["nonce"], "n-1");
    assert_ne!(proofs[0]["jti"], proofs[1]["jti"]);
}

#[tokio::test]
async fn a_given_proof_is_never_signed_again_and_a_repeat_is_the_same_request() {
    let tasks = TaskTracker::new();
    let asks = [("www-authenticate", r#"DPoP error="use_dpop_nonce""#), ("dpop-nonce", "n-1")];
    let (base, received) = server(&tasks, vec![answer(401, &asks, ""), answer(200, &[], "fine")]).await;
    let credentials =
        Credentials { scheme: AuthScheme::Bearer, token: "tok", proof: Proof::Given("p.r.oof") };
    let sent = exchange(&http(), &call(&base), &credentials, &Clock::manual(NOW)).await.unwrap();
    assert_eq!(sent.len(), 1);
    let again = repeat(&http(), &call(&base), &sent[0]).await.unwrap();
    assert_eq!((again.answer.status, &again.answer.body[..]), (StatusCode::OK, &b"fine"[..]));
    let received = received.lock().unwrap();
    assert_eq!(received[0].0.headers, received[1].0.headers);
    assert_eq!(received[1].0.headers[AUTHORIZATION], "Bearer tok");
    assert_eq!(received[1].0.headers[DPOP], "p.r.oof");
    assert_eq!(received[1].0.headers["user-agent"], concat!("keyproof/", env!("CARGO_PKG_VERSION")));
    assert_eq!(received[1].0.headers["accept"], "*/*");
}

#[tokio::test]
async fn a_token_request_carries_a_proof_and_follows_one_nonce() {
    let tasks = TaskTracker::new();
    let asks = answer(400, &[("dpop-nonce", "n-2")], r#"{"error":"use_dpop_nonce"}"#);
    let gives = answer(200, &[], r#"{"access_token":"at","token_type":"DPoP","expires_in":60}"#);
    let (base, received) = server(&tasks, vec![asks, gives]).await;
    let endpoint = token::TokenEndpoint {
        uri: format!("{base}/token?tenant=1").parse().unwrap(),
        secret_in_body: false,
    };
    let who = token::ClientCredentials {
        client_id: "me".to_owned(),
        client_secret: Some("s".to_owned()),
        scope: None,
        resources: Vec::new(),
    };
    let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    let token = token::fetch(&http(), &endpoint, &who, Some(&key), &Clock::manual(NOW)).await.unwrap();
    assert_eq!((token.access_token.as_str(), token.expires_in, token.challenged), ("at", Some(60), true));
    let received = received.lock().unwrap();
    assert!(received.iter().all(|(head, _)| head.headers.contains_key("user-agent")));
    assert_eq!(received[1].0.headers["accept"], "application/json");
    let proof = claims(&received[1].0);
    assert_eq!(proof["htu"], format!("{base}/token"));
    assert_eq!((&proof["nonce"], proof.get("ath")), (&"n-2".into(), None));
    assert_eq!(received[1].0.headers[AUTHORIZATION], "Basic bWU6cw==");
}

#[tokio::test]
async fn a_refusal_by_the_token_endpoint_says_why() {
    let tasks = TaskTracker::new();
    let refuses = answer(401, &[], r#"{"error":"invalid_client","error_description":"who are you"}"#);
    let (base, _) = server(&tasks, vec![refuses]).await;
    let endpoint = token::TokenEndpoint { uri: base.parse().unwrap(), secret_in_body: false };
    let who = token::ClientCredentials {
        client_id: "me".to_owned(),
        client_secret: None,
        scope: None,
        resources: Vec::new(),
    };
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    let error = token::fetch(&http(), &endpoint, &who, Some(&key), &Clock::manual(NOW)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token endpoint answered 401 Unauthorized: invalid_client (who are you)"
    );
}

#[tokio::test]
async fn openid_metadata_is_taken_where_there_is_none_of_rfc_8414() {
    let tasks = TaskTracker::new();
    // The server's own address is not known before it listens: its metadata names another issuer, which
    // must be refused.
    let other = answer(200, &[], r#"{"issuer":"http://other","token_endpoint":"http://other/token"}"#);
    let (base, received) = server(&tasks, vec![answer(404, &[], ""), other]).await;
    let error = token::discover(&http(), &base).await.unwrap_err().to_string();
    assert!(error.contains("another issuer: http://other"), "{error}");
    let received = received.lock().unwrap();
    let paths: Vec<_> = received.iter().map(|(head, _)| head.uri.path()).collect();
    assert_eq!(paths, ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]);
}

//! A resource server as the documentation of huskarl-resource-server would have it, behind a proxy that ends TLS.
//!
//! Argument: JSON { issuer, audience, now, jwk }. Prints JSON { address }, then answers until standard input ends.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use huskarl_resource_server::core::http::{HttpClient, HttpResponse, Idempotency};
use huskarl_resource_server::core::jwt::JtiUniquenessChecker;
use huskarl_resource_server::core::platform::MaybeSendBoxFuture;
use huskarl_resource_server::core::time::Clock;
use huskarl_resource_server::core::{EndpointUrl, Error};
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The test's own moment: both servers judge by the same clock.
#[derive(Debug)]
struct At(jiff::Timestamp);

impl Clock for At {
    fn now(&self) -> jiff::Timestamp {
        self.0
    }
}

/// Which proofs were used.
#[derive(Debug, Default)]
struct Used(Mutex<HashSet<String>>);

impl JtiUniquenessChecker for Used {
    fn check_and_mark_seen(&self, jti: &str) -> MaybeSendBoxFuture<'_, Result<bool, Error>> {
        let seen = !self.0.lock().unwrap().insert(jti.to_owned());
        Box::pin(async move { Ok(seen) })
    }
}

/// The issuer's keys, without a server to ask.
struct Keys(Bytes);

impl HttpClient for Keys {
    fn execute(
        &self,
        _request: Request<Bytes>,
        _idempotency: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/jwk-set+json"));
        let answer = HttpResponse { status: StatusCode::OK, headers, body: self.0.clone() };
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::main]
async fn main() {
    let argument = std::env::args().nth(1).expect("an argument");
    let argument: Value = serde_json::from_str(&argument).expect("JSON");
    let text = |name: &str| argument[name].as_str().expect("a text").to_owned();
    let keys = serde_json::json!({ "keys": [argument["jwk"]] }).to_string();
    let now = argument["now"].as_i64().expect("a time");
    let jwks_uri: EndpointUrl = "https://id.test/jwks".parse().expect("a URL");
    let validator: Rfc9068Validator = Rfc9068Validator::builder()
        .issuer(text("issuer"))
        .audience(text("audience"))
        .allowed_signing_algorithms(vec!["ES256".to_owned()])
        .allowed_dpop_signing_algorithms(["ES256", "EdDSA", "PS256"].map(str::to_owned).to_vec())
        .max_dpop_proof_age(Duration::from_secs(60))
        .clock_leeway(Duration::from_secs(10))
        .clock(At(jiff::Timestamp::from_second(now).expect("a time")))
        .require_dpop(true)
        .dpop_jti_checker(Used::default())
        .jwks_uri(jwks_uri)
        .jwks_source(Keys(keys.into()))
        .build()
        .await
        .expect("a validator");
    let validator = Arc::new(validator);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", serde_json::json!({ "address": listener.local_addr().expect("an address").to_string() }));
    std::thread::spawn(|| {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
    while let Ok((socket, _)) = listener.accept().await {
        let validator = Arc::clone(&validator);
        tokio::spawn(async move { serve(socket, &validator).await });
    }
}

/// One request, and its answer.
async fn serve(mut socket: TcpStream, validator: &Rfc9068Validator) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = Method::try_from(first.next().unwrap_or_default()).expect("a method");
    let target = first.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::try_from(name).expect("a name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let uri = Uri::try_from(format!("https://{host}{target}")).expect("a URI");
    let result = validator.validate_request(&headers, &method, &uri, None).await;
    let answer = match result.rejection(&validator.validator_metadata(None), None) {
        Some(rejection) => rejection.apply(http::Response::builder()).body(()),
        // Nobody has shown a token, which is left to the application.
        None if matches!(result.outcome, Ok(None)) => http::Response::builder().status(401).body(()),
        None => http::Response::builder().body(()),
    };
    let answer = answer.expect("an answer");
    let mut text = format!("HTTP/1.1 {} .\r\ncontent-length: 0\r\n", answer.status().as_u16());
    for (name, value) in answer.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    text += "connection: close\r\n\r\n";
    drop(socket.write_all(text.as_bytes()).await);
}

//! What a front is told where a request may not pass: the refusal of the proxy door, so that it can be passed on.

use super::front::{FRONTS, Front, Request};
use serde_json::json;
use support::gateway::{House, request};
use support::reasons::{Case, DOWN, ROUTES, all};

const MIXED: &str = r#"
  - { name: mixed, match: { path: /orders }, upstream: legacy, accept: [dpop, bearer], scopes: ["orders:write"] }
  - { name: write, match: { path: /write, methods: [POST] }, upstream: legacy }"#;

/// nginx keeps only the first line.
#[tokio::test]
async fn both_challenges_stand_in_one_line() {
    let house = House::with_doors(MIXED, "").await;
    let algs = "algs=\"ES256 EdDSA PS256\"";
    for front in FRONTS {
        let answer = front.ask(&house, &Request::get("/orders", &[])).await;
        assert_eq!(answer.status, 401);
        let expected = format!("DPoP realm=\"keyproof\", {algs}, Bearer realm=\"keyproof\"");
        assert_eq!(answer.header("www-authenticate"), Some(&*expected), "{front:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.text().starts_with(r#"{"error":"unauthorized","#), "{}", answer.text());

        let token = house.token(json!({}));
        let proof = house.proof(&token, json!({}));
        let headers = [("authorization", &*format!("DPoP {token}")), ("dpop", &proof)];
        let answer = front.ask(&house, &Request::get("/orders", &headers)).await;
        assert_eq!(answer.status, 403);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"insufficient_scope\"")
                && challenge.contains("scope=\"orders:write\"")
        );
        assert!(challenge.ends_with(", Bearer realm=\"keyproof\""), "{challenge}");
    }
}

/// Every reason that a request can give: the same status, body and challenge as at the proxy listener, for each kind of front.
#[tokio::test]
async fn a_refusal_is_that_of_the_proxy_listener() {
    let house = House::with_doors_and_issuers(ROUTES, DOWN, "").await;
    let mut compared = 0;
    for (denial, case) in all() {
        let Case::Sent(make) = case else { continue };
        let at_proxy = make(&house);
        let Some(asked) = parsed(&at_proxy) else { continue };
        let expected = house.send(&at_proxy).await;
        for front in FRONTS {
            // A proof is good once, also at all doors together.
            let again = make(&house);
            let asked = if again == at_proxy {
                asked.clone()
            } else {
                parsed(&again).expect("the same kind of request")
            };
            let answer = front.ask(&house, &asked.request()).await;
            assert_eq!(
                (answer.status, answer.text()),
                (expected.status, expected.text()),
                "{front:?} {denial:?}"
            );
            let challenges = expected.all("www-authenticate").join(", ");
            assert_eq!(
                answer.header("www-authenticate").unwrap_or_default(),
                challenges,
                "{front:?} {denial:?}"
            );
            for name in ["retry-after", "allow"] {
                assert_eq!(answer.header(name), expected.header(name), "{front:?} {denial:?}");
            }
            assert_eq!(answer.header("dpop-nonce").is_some(), expected.header("dpop-nonce").is_some());
        }
        compared += 1;
    }
    assert!(compared > 50, "only {compared} reasons were compared");
    assert!(house.upstream.seen().is_empty());
}

#[derive(Clone)]
struct Asked {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    fn request(&self) -> Request<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Request { method: &self.method, target: &self.target, headers }
    }
}

/// A request for our host in parts; `None` for one that no front could describe: framing, authority, or a body that is broken.
fn parsed(text: &str) -> Option<Asked> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut line = lines.next()?.split(' ');
    let (method, target) = (line.next()?.to_owned(), line.next()?.to_owned());
    let mut headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let hosts = headers
        .iter()
        .filter(|(name, value)| name.eq_ignore_ascii_case("host") && value == "api.test")
        .count();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    // WebSocket and gRPC are the front's to forward.
    let forwarded =
        headers.iter().any(|(_, value)| value == "websocket" || value.starts_with("application/grpc"));
    (hosts == 1 && body.is_empty() && target.starts_with('/') && !forwarded).then_some(Asked {
        method,
        target,
        headers,
    })
}

#[tokio::test]
async fn another_method_than_the_described_one_does_not_count() {
    let house = House::with_doors(MIXED, "").await;
    let token = house.token(json!({}));
    let authorization = format!("DPoP {token}");
    for front in FRONTS {
        let proof = house.proof(&token, json!({ "htu": "https://api.test/write", "htm": "POST" }));
        let headers = vec![
            ("authorization", authorization.as_str()),
            ("dpop", &proof),
            ("x-http-method-override", "GET"),
        ];
        let get =
            front.ask(&house, &Request { method: "GET", target: "/write", headers: headers.clone() }).await;
        assert_eq!((get.status, get.header("allow")), (405, Some("POST")), "{front:?}");
        let post = front.ask(&house, &Request { method: "POST", target: "/write", headers }).await;
        assert_eq!(post.status, 200, "{front:?}");
    }
}

/// The log line and the metrics speak of the request that was asked about.
#[tokio::test]
async fn the_record_is_of_the_described_request() {
    let house = House::with_doors(MIXED, "").await;
    for front in FRONTS {
        let asked = Request {
            method: "POST",
            target: "/write/a%2D?b=c",
            headers: vec![("x-forwarded-for", "192.0.2.7")],
        };
        let answer = front.ask(&house, &asked).await;
        let line = house.log.line_of(&answer).await;
        for (field, value) in [
            ("method", "POST"),
            ("path", "/write/a-"),
            ("route", "write"),
            ("decision", "deny"),
            ("reason", "no_credentials"),
            ("client", "192.0.2.7"),
            ("listener", if front == Front::Grpc { "grpc" } else { "decisions" }),
        ] {
            assert_eq!(line[field], value, "{front:?} {line}");
        }
        assert_eq!(line["status"], 401);
    }
    assert_eq!(house.metric("keyproof_decisions_total", &["route=\"write\"", "no_credentials"]).await, 4.0);
    assert_eq!(house.metric("keyproof_requests_total", &["route=\"write\"", "status=\"401\""]).await, 4.0);
    assert_eq!(
        house.send(request("POST", "/write", &[])).await.status,
        401,
        "the proxy listener goes on beside it"
    );
}

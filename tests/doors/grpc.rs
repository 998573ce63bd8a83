//! The listener for Envoy over gRPC: what stands in its messages, and what happens to calls that are none. What it decides is in the other files,
//! where it is one of the fronts.

use keyproof::server::Drained;
use serde_json::json;
use support::gateway::{HOST, House};
use support::grpc::{CHECK, Channel, HEALTH, Http, Message, WATCH, check_request};
use support::upstream::ByHand;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, cors: { origins: ["https://app.test"] } }
  - name: email
    match: { path: /email }
    upstream: legacy
    identity: { headers: { X-User-Email: email, X-Auth-Subject: sub }, authorization: bearer }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }
  - { name: observed, match: { path: /observed }, upstream: legacy, mode: observe }
  - { name: public, match: { path: / }, upstream: legacy, public: true }"#;

/// `HeaderAppendAction`.
const OVERWRITE: u64 = 2;

async fn world() -> (House, Channel) {
    let house = House::with_doors(ROUTES, "").await;
    let channel = Channel::connect(house.grpc()).await;
    (house, channel)
}

/// A good request for this path, with these headers besides.
fn good(house: &House, path: &str, headers: &[(&str, &str)]) -> Http {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "htu": format!("https://{HOST}{path}") }));
    let authorization = format!("DPoP {token}");
    Http::new(
        "GET",
        path,
        HOST,
        &[&[("authorization", authorization.as_str()), ("dpop", &proof)], headers].concat(),
    )
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Envoy sets first and removes afterwards: what is set must not stand among what is removed.
#[tokio::test]
async fn a_header_is_set_or_removed_and_never_both() {
    let (house, envoy) = world().await;
    let spoofed = [
        ("x-auth-subject", "root"),
        ("x_auth_subject", "root"),
        ("x.auth.key", "root"),
        ("x-user-email", "root"),
        ("x-other", "kept"),
    ];
    for raw in [false, true] {
        let request = good(&house, "/orders", &spoofed);
        let decision = envoy.decision(&if raw { request.raw() } else { request }).await;
        assert!(decision.denied.is_none() && decision.code == 0, "{decision:?}");
        let set: Vec<_> = decision
            .set
            .iter()
            .map(|(name, value, action)| (name.as_str(), value.as_str(), *action))
            .collect();
        let jkt = house.client.public().thumbprint().to_string();
        assert_eq!(
            set,
            [
                ("x-auth-client", "shop", OVERWRITE),
                ("x-auth-issuer", "https://id.test", OVERWRITE),
                ("x-auth-key", &jkt, OVERWRITE),
                ("x-auth-scope", "orders:read profile", OVERWRITE),
                ("x-auth-subject", "alice", OVERWRITE),
            ]
        );
        let gone = ["authorization", "dpop", "x-user-email", "x.auth.key", "x_auth_subject"];
        assert_eq!(sorted(&decision.remove), gone);
        assert!(decision.show.iter().all(|(name, ..)| name == "vary"), "{decision:?}");
    }
    // The Bearer token is set, so it is not removed.
    let decision = envoy.decision(&good(&house, "/email", &[])).await;
    let authorization =
        decision.set.iter().find(|(name, ..)| name == "authorization").expect("a Bearer token");
    assert!(authorization.1.starts_with("Bearer ey") && authorization.2 == OVERWRITE);
    let gone = ["dpop", "x-auth-client", "x-auth-issuer", "x-auth-key", "x-auth-scope", "x-user-email"];
    assert_eq!(sorted(&decision.remove), gone);
    // Nobody's request goes without any of them, and a route that observes leaves token and proof to the API.
    for (path, gone_too) in [("/public", &["authorization", "dpop"][..]), ("/observed", &[])] {
        let decision = envoy.decision(&Http::new("GET", path, HOST, &spoofed)).await;
        assert!(decision.set.is_empty() && decision.denied.is_none(), "{path}: {decision:?}");
        let mut gone =
            [gone_too, &["x-auth-client", "x-auth-issuer", "x-auth-key", "x-auth-scope", "x-auth-subject"]]
                .concat();
        gone.extend(["x-user-email", "x.auth.key", "x_auth_subject"]);
        assert_eq!(sorted(&decision.remove), gone, "{path}");
    }
    assert!(house.upstream.seen().is_empty(), "Envoy forwards, not the gateway");
}

#[tokio::test]
async fn what_the_client_gets_beside_the_answer() {
    let (house, envoy) = world().await;
    let challenged = envoy.decision(&good(&house, "/nonce", &[])).await.denied.expect("a challenge");
    let nonce = challenged.header("dpop-nonce").expect("a nonce").to_owned();
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "htu": "https://api.test/nonce", "nonce": nonce }));
    let headers = [("authorization", &*format!("DPoP {token}")), ("dpop", &proof)];
    let decision = envoy.decision(&Http::new("GET", "/nonce", HOST, &headers)).await;
    assert!(
        decision.show.iter().any(|(name, _, action)| name == "dpop-nonce" && *action == OVERWRITE),
        "{decision:?}"
    );

    let decision = envoy.decision(&good(&house, "/orders", &[("origin", "https://app.test")])).await;
    let shown = |name: &str| {
        decision
            .show
            .iter()
            .find(|(other, ..)| other == name)
            .map(|(_, value, action)| (value.as_str(), *action))
    };
    assert_eq!(shown("access-control-allow-origin"), Some(("https://app.test", OVERWRITE)));
    assert!(shown("access-control-expose-headers").is_some());
    assert_eq!(shown("vary"), Some(("Origin", 0)), "beside the API's own");
}

/// The code of `CheckResponse.status` is what Envoy goes by: anything but 0 is a refusal.
#[tokio::test]
async fn a_refusal_is_the_clients_answer() {
    let (_house, envoy) = world().await;
    let preflight = [("origin", "https://app.test"), ("access-control-request-method", "PUT")];
    let cases: [(Http, u16, u64); 6] = [
        (Http::new("GET", "/orders", HOST, &[]), 401, 16),
        (Http::new("OPTIONS", "/orders", HOST, &preflight), 204, 7),
        (Http::new("TRACE", "/orders", HOST, &[]), 405, 12),
        (Http::new("GET", "/orders", "evil.test", &[]), 421, 13),
        (Http::new("GET", "/a//b", HOST, &[]), 400, 3),
        (Http::new("GET", "*", HOST, &[]), 400, 3),
    ];
    for (http, status, code) in cases {
        let decision = envoy.decision(&http).await;
        let answer = decision.denied.expect("a refusal");
        assert_eq!((answer.status, decision.code), (status, code), "{http:?}");
        assert!(answer.header("x-request-id").is_some(), "{http:?}");
        if status != 204 {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{http:?}");
            assert!(answer.text().contains("error_description"), "{http:?}");
        }
    }
    for (settings, status, code) in
        [("replay: { per_key_limit: 1 }", 429, 8), ("replay: { capacity: 1 }", 503, 14)]
    {
        let house = House::with_doors(ROUTES, settings).await;
        let envoy = Channel::connect(house.grpc()).await;
        assert!(envoy.decision(&good(&house, "/orders", &[])).await.denied.is_none());
        let decision = envoy.decision(&good(&house, "/orders", &[])).await;
        let answer = decision.denied.expect("a refusal");
        assert_eq!((answer.status, decision.code), (status, code));
        assert!(answer.header("retry-after").is_some());
    }
}

/// Two lines that Envoy has made one of, and two that it has left two.
#[tokio::test]
async fn two_proofs_are_none_however_they_come() {
    let (house, envoy) = world().await;
    let token = house.token(json!({}));
    let (one, other) = (house.proof(&token, json!({})), house.proof(&token, json!({})));
    let authorization = format!("DPoP {token}");
    let twice = Http::new(
        "GET",
        "/orders",
        HOST,
        &[("authorization", &authorization), ("dpop", &one), ("dpop", &other)],
    );
    for http in [twice.clone(), twice.raw()] {
        let answer = envoy.decision(&http).await.denied.expect("a refusal");
        assert_eq!(answer.status, 401, "{http:?}");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_dpop_proof"));
        assert_eq!(house.log.line_of(&answer).await["reason"], "proof_several");
    }
}

/// 400, the reason, and in the log the field that it is about. What each can be is in `src/forward_auth/grpc/describe/tests.rs`.
#[tokio::test]
async fn a_bad_description_is_refused_and_the_log_names_the_field() {
    let (house, envoy) = world().await;
    let http = || Http::new("GET", "/public", HOST, &[("a", "b")]).message();
    let raw = Message::default().message(1, Message::default().bytes(1, "a").bytes(3, "b"));
    let field = |name: &str, value: &str| Message::default().bytes(1, name).bytes(2, value);
    let cases = [
        (Message::default(), "description_missing", "attributes.request.http"),
        (check_request(Message::default().bytes(2, "GET").bytes(5, HOST), ""), "description_missing", "path"),
        (check_request(http().message(13, raw), ""), "description_contradictory", "header_map"),
        (
            check_request(http().message(3, Message::default().bytes(1, ":path").bytes(2, "/orders")), ""),
            "description_repeated",
            ":path",
        ),
        (check_request(http().bytes(4, "/orders"), ""), "description_contradictory", ":path"),
        (check_request(http().bytes(5, "evil.test"), ""), "description_contradictory", ":authority"),
        (Message(b"\x0a\x7f".to_vec()), "description_malformed", "message"),
        (Message::default().bytes(99, vec![0; 5 << 20]), "description_malformed", "message"),
        // More than a map of headers has room for.
        (
            check_request((0..40_000).fold(http(), |http, _| http.message(3, field("a", "b"))), ""),
            "description_malformed",
            "headers",
        ),
    ];
    for (message, reason, field) in cases {
        let decision = envoy.call(CHECK, &message).await.decision();
        let answer = decision.denied.expect("a refusal");
        assert_eq!((answer.status, decision.code), (400, 3), "{reason} {field}");
        let line = house.log.line_of(&answer).await;
        assert_eq!((&line["reason"], &line["header"]), (&json!(reason), &json!(field)), "{line}");
    }
    // A body that the front sends along says nothing.
    let with_body = http().bytes(11, "a body").bytes(12, vec![0xff; 1 << 20]);
    assert!(envoy.call(CHECK, &check_request(with_body, "")).await.decision().denied.is_none());
}

#[tokio::test]
async fn only_a_trusted_peer_may_ask() {
    let (house, _) = world().await;
    let stranger = Channel::connect(house.grpc_strangers()).await;
    for http in [Http::new("GET", "/public", HOST, &[]), good(&house, "/orders", &[])] {
        let decision = stranger.decision(&http).await;
        let answer = decision.denied.expect("a refusal");
        assert_eq!((answer.status, decision.code), (403, 7));
        assert_eq!(house.log.line_of(&answer).await["reason"], "description_untrusted");
    }
    // But whether we are well is no secret.
    assert_eq!(stranger.call(HEALTH, &Message::default()).await.message, Some(vec![8, 1]));
}

/// The client is whom the front has its connection with, or whom that one speaks for where it is trusted itself.
#[tokio::test]
async fn the_log_names_the_client_and_the_request() {
    let (house, envoy) = world().await;
    for (source, client) in [("192.0.2.7", "192.0.2.7"), ("127.0.0.1", "192.0.2.9"), ("@pipe", "192.0.2.9")] {
        let id = format!("of-{source}");
        let forwarded = [("x-forwarded-for", "198.51.100.1, 192.0.2.9"), ("x-request-id", &*id)];
        let http = Http::new("POST", "/orders/a?b=c", HOST, &forwarded).message();
        let answer =
            envoy.call(CHECK, &check_request(http, source)).await.decision().denied.expect("a refusal");
        assert_eq!(answer.header("x-request-id"), Some(&*id));
        let line = house.log.line_of(&answer).await;
        for (field, value) in [
            ("client", client),
            ("listener", "grpc"),
            ("method", "POST"),
            ("path", "/orders/a"),
            ("route", "orders"),
            ("reason", "no_credentials"),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
    }
}

/// What is no call is answered as the specification of gRPC over HTTP/2 says, and counted as a request that was refused.
#[tokio::test]
async fn what_is_no_call_is_refused() {
    let (house, envoy) = world().await;
    let message = check_request(Http::new("GET", "/public", HOST, &[]).message(), "").0;
    let framed = |flag: u8, length: usize| {
        [&[flag][..], &u32::try_from(length).unwrap().to_be_bytes(), &message].concat()
    };
    let fine = || framed(0, message.len());
    let length = message.len();
    let methods = [
        "/envoy.service.auth.v2.Authorization/Check",
        "/envoy.service.auth.v3.Authorization/check",
        "/",
        "/public",
    ];
    for method in methods {
        let reply = envoy.send(method, fine(), &[]).await;
        assert_eq!((reply.status, reply.code()), (200, Some(12)), "{method}");
    }
    for (body, headers, code) in [
        (framed(1, length), &[][..], 13),
        (framed(1, length), &[("grpc-encoding", "gzip")], 12),
        (framed(0, length), &[("grpc-encoding", "gzip")], 0),
        (framed(2, length), &[], 13),
        (framed(0, length + 1), &[], 13),
        (framed(0, length - 1), &[], 13),
        ([fine(), fine()].concat(), &[], 13),
        (Vec::new(), &[], 13),
        (fine(), &[("grpc-timeout", "5S")], 0),
        (fine(), &[("grpc-timeout", "0n")], 4),
    ] {
        let reply = envoy.send(CHECK, body, headers).await;
        assert_eq!((reply.status, reply.code()), (200, Some(code)), "{headers:?} {reply:?}");
        let says_what_it_reads = reply.headers.get("grpc-accept-encoding").is_some();
        assert_eq!(says_what_it_reads, code == 12);
        assert_eq!(reply.headers["content-type"], "application/grpc");
    }
    for (headers, status) in [
        (&[("content-type", "application/json")], 415),
        (&[("content-type", "application/grpc-web")], 415),
        (&[("content-type", "application/grpc+json")], 415),
        (&[(":method", "PUT")], 405),
    ] {
        let reply = envoy.send(CHECK, fine(), headers).await;
        assert_eq!((reply.status, reply.code(), reply.message), (status, None, None), "{headers:?}");
    }
    // HTTP/1.1 has no trailers that would say how a call ended.
    for content_type in ["application/grpc", "text/plain"] {
        let question = format!(
            "POST {CHECK} HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\ncontent-length: 0\r\n\r\n"
        );
        let expected = if content_type == "text/plain" { 415 } else { 505 };
        assert_eq!(house.ask(house.grpc(), question).await.status, expected);
    }
    assert!(house.metric("keyproof_decisions_total", &["description_malformed"]).await > 10.0);
}

#[tokio::test]
async fn health_is_that_of_readyz() {
    let (house, envoy) = world().await;
    for service in ["", "envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"] {
        let reply = envoy.call(HEALTH, &Message::default().bytes(1, service)).await;
        assert_eq!((reply.code(), reply.message), (Some(0), Some(vec![8, 1])), "{service}");
    }
    assert_eq!(envoy.call(HEALTH, &Message::default().bytes(1, "other")).await.code(), Some(5));
    // Whoever may ask that has no business with long messages.
    let long = Message::default().bytes(1, vec![b'a'; 2048]);
    assert_eq!(envoy.call(HEALTH, &long).await.code(), Some(8));
    assert_eq!(house.metric("keyproof_requests_total", &["200"]).await, 0.0, "no request");

    let down = "  - { name: down, issuer: \"https://down.test\", audiences: [a], jwks_uri: \"http://127.0.0.1:1/\" }";
    let house = House::with_doors_and_issuers(ROUTES, down, "").await;
    assert_eq!(house.admin_page("/readyz").await.status, 503);
    let envoy = Channel::connect(house.grpc()).await;
    assert_eq!(
        envoy.call(HEALTH, &Message::default()).await.message,
        Some(vec![8, 2]),
        "no keys of one issuer"
    );
}

const SERVING: [u8; 2] = [8, 1];
const NOT_SERVING: [u8; 2] = [8, 2];

/// Who watches is told at once, of each change, and of the end: to wait for one who watches would keep a stop from ending.
#[tokio::test]
async fn health_is_watched_to_the_end() {
    let (house, envoy) = world().await;
    let service = |name: &str| Message::default().bytes(1, name);
    let mut all = Vec::new();
    for name in ["", "envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"] {
        let mut watching = envoy.follow(WATCH, &service(name), &[]).await;
        assert_eq!(watching.next().await, Ok(SERVING.to_vec()), "{name}");
        all.push(watching);
    }
    let mut unknown = envoy.follow(WATCH, &service("else"), &[]).await;
    assert_eq!(unknown.next().await, Ok(vec![8, 3]));
    let mut impatient = envoy.follow(WATCH, &service(""), &[("grpc-timeout", "50m")]).await;
    assert_eq!((impatient.next().await, impatient.next().await), (Ok(SERVING.to_vec()), Err(4)));
    let mut long = envoy.follow(WATCH, &service(&"a".repeat(2000)), &[]).await;
    assert_eq!(long.next().await, Err(8));

    // The listener goes, and the others stay.
    let gone = "  - { name: grpc, address: \"127.0.0.1:0\", mode: ext_authz_grpc, trusted_proxies: [127.0.0.1/32] }\n";
    house.reload_with(gone, "").await;
    for mut watching in all {
        assert_eq!((watching.next().await, watching.next().await), (Ok(NOT_SERVING.to_vec()), Err(14)));
    }
    assert_eq!(unknown.next().await, Err(14));
    assert_eq!(house.metric("keyproof_requests_total", &["200"]).await, 0.0, "no request");
}

/// The keys of one issuer come late; later the process stops, which it says before it does.
#[tokio::test]
async fn who_watches_health_is_told_of_each_change() {
    let source = ByHand::bind().await;
    let late = format!(
        "  - {{ name: late, issuer: \"https://late.test\", audiences: [a], jwks_uri: \"http://{}/jwks\" }}",
        source.address()
    );
    let house = House::with_doors_and_issuers(ROUTES, &late, "limits: { drain_delay: 4s }").await;
    let mut connection = source.accept().await;
    connection.request().await;
    let envoy = Channel::connect(house.grpc()).await;
    let mut watching = envoy.follow(WATCH, &Message::default(), &[]).await;
    assert_eq!(watching.next().await, Ok(NOT_SERVING.to_vec()));
    let keys = std::fs::read_to_string(house.folder().join("jwks.json")).unwrap();
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{keys}", keys.len())).await;
    assert_eq!(watching.next().await, Ok(SERVING.to_vec()));

    let grpc = house.grpc();
    let told = async {
        assert_eq!(watching.next().await, Ok(NOT_SERVING.to_vec()));
        let still_there = Channel::connect(grpc).await;
        assert_eq!(still_there.call(HEALTH, &Message::default()).await.message, Some(NOT_SERVING.to_vec()));
        assert_eq!(watching.next().await, Err(14));
    };
    let (drained, ()) = tokio::join!(house.stopped(), told);
    assert_eq!(drained, Drained::Finished, "nobody was cut off");
}

/// The same over TLS, by ALPN.
#[tokio::test]
async fn it_speaks_tls_too() {
    let (house, _) = world().await;
    house
        .reload_with("{ name: grpc,", "{ name: grpc, tls: { certificate: tls.crt, private_key: tls.key },")
        .await;
    let envoy = Channel::connect_securely(house.grpc(), HOST, house.certificate.clone()).await;
    assert!(envoy.decision(&good(&house, "/orders", &[])).await.denied.is_none());
    assert_eq!(envoy.call(HEALTH, &Message::default()).await.message, Some(vec![8, 1]));
}

/// Whoever was trusted keeps no word in a connection that stays open.
#[tokio::test]
async fn trust_that_is_taken_ends_with_the_next_call() {
    let (house, envoy) = world().await;
    assert!(envoy.decision(&good(&house, "/orders", &[])).await.denied.is_none());
    let trusting = |network| format!("mode: ext_authz_grpc, trusted_proxies: [{network}]");
    house.reload_with(&trusting("127.0.0.1/32"), &trusting("192.0.2.2/32")).await;
    assert_eq!(envoy.decision(&good(&house, "/orders", &[])).await.denied.unwrap().status, 403);
}

//! What a client may show in the handshake, and what a session keeps of it.

use crate::client::Client;
use crate::identity::{Authority, Identity};
use http_body_util::Empty;
use hyper::Request;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use support::gateway::{HOST, House, get};
use support::h2;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }";

const CLIENT_CA: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_ca: clients.crt }";
const ANY: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_certificates: any }";

/// A gateway whose listener says this, and whose `client_ca` is this authority.
pub(crate) async fn house(authority: &Authority, tls: &str, routes: &str) -> House {
    let house = House::with_tls(routes, "").await;
    std::fs::write(house.folder().join("clients.crt"), authority.pem()).unwrap();
    house.reload_with(h2::TLS, tls).await;
    house
}

/// A request with a token that this certificate binds.
pub(crate) fn with_token_of(house: &House, identity: &Identity) -> String {
    let token = house.token(json!({ "cnf": identity.cnf() }));
    get("/orders", &[("authorization", &format!("Bearer {token}"))])
}

#[tokio::test]
async fn a_certificate_is_taken_from_whoever_has_its_key_and_for_whom_somebody_vouches_where_that_is_asked() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let ours = authority.client();
    let shown = [
        ("ours", Some(ours.clone())),
        ("of another authority", Some(other.client())),
        ("self-signed", Some(Identity::self_signed())),
        ("a server's", Some(authority.server())),
        ("somebody's, without the key", Some(ours.stolen())),
        ("none", None),
    ];
    for (tls, refused) in [
        (
            CLIENT_CA,
            &["of another authority", "self-signed", "a server's", "somebody's, without the key"][..],
        ),
        (ANY, &["somebody's, without the key"]),
    ] {
        let house = house(&authority, tls, ROUTES).await;
        for version in [&TLS12, &TLS13] {
            for (what, identity) in &shown {
                let client = Client::of(&house.certificate, version, identity.as_ref());
                let bound_to = identity.as_ref().unwrap_or(&ours);
                let answered = client.ask(house.gateway, &with_token_of(&house, bound_to)).await;
                let case = format!("{tls}, {:?}, {what}", version.version);
                match answered {
                    Err(_) => assert!(refused.contains(what), "{case}: the handshake failed"),
                    Ok(answer) => {
                        assert!(!refused.contains(what), "{case}: {}", answer.status);
                        let status = if identity.is_some() { 200 } else { 401 };
                        assert_eq!(answer.status, status, "{case}: {}", answer.text());
                    }
                }
            }
        }
        let failed = house.metric("keyproof_tls_handshake_failures_total", &["listener=\"public\""]).await;
        assert_eq!(failed.to_string(), (refused.len() * 2).to_string(), "{tls}");
    }
}

/// It would be kept with the connection and in every ticket.
#[tokio::test]
async fn a_chain_that_nobody_vouches_for_is_short() {
    let house = house(&Authority::new("ours"), ANY, ROUTES).await;
    let alice = Identity::self_signed();
    for (others, passes) in [(2, true), (60, false)] {
        let client = Client::new(&house.certificate, Some(&alice.with_others(others)));
        let answered = client.ask(house.gateway, &with_token_of(&house, &alice)).await;
        assert_eq!(answered.is_ok_and(|answer| answer.status == 200), passes, "{others}");
    }
}

/// More authorities than the message has room for names: clients are told none of them.
#[tokio::test]
async fn there_may_be_as_many_authorities_as_the_file_has_room_for() {
    let ours = Authority::new("ours");
    let house = house(&ours, CLIENT_CA, ROUTES).await;
    let many = Authority::many(800);
    std::fs::write(house.folder().join("clients.crt"), many + &ours.pem()).unwrap();
    house.reload().await.unwrap();
    let client = ours.client();
    for version in [&TLS12, &TLS13] {
        for (identity, status) in [(Some(&client), 200), (None, 401)] {
            let connection = Client::of(&house.certificate, version, identity);
            let answer = connection.ask(house.gateway, &with_token_of(&house, &client)).await.unwrap();
            assert_eq!(answer.status, status, "{:?}", version.version);
        }
    }
}

#[tokio::test]
async fn a_stolen_token_is_refused_and_the_log_says_why() {
    let house = house(&Authority::new("ours"), ANY, ROUTES).await;
    let (alice, mallory) = (Identity::self_signed(), Identity::self_signed());
    let request = with_token_of(&house, &alice);
    let ask = async |identity: Option<&Identity>| {
        Client::new(&house.certificate, identity).ask(house.gateway, &request).await.unwrap()
    };
    let passed = ask(Some(&alice)).await;
    assert_eq!(passed.status, 200);
    let line = house.log.line_of(&passed).await;
    assert_eq!((&line["binding"], &line["x5t"]), (&json!("mtls"), &json!(alice.thumbprint())));
    assert!(line.get("jkt").is_none());

    for (identity, reason, name, found) in [
        (None, "certificate_missing", "certificate", "none was shown".to_owned()),
        (Some(&mallory), "certificate_mismatch", "certificate_x5t", mallory.thumbprint()),
    ] {
        let refused = ask(identity).await;
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer realm=\"keyproof\", error=\"invalid_token\""), "{challenge}");
        let line = house.log.line_of(&refused).await;
        assert_eq!((&line["reason"], &line[name]), (&json!(reason), &json!(found)), "{line}");
        assert_eq!(line["x5t"], alice.thumbprint(), "what was expected");
        assert!(!refused.text().contains(&alice.thumbprint()) && !refused.text().contains("none was shown,"));
    }
    assert_eq!(house.metric("keyproof_tokens_total", &["binding=\"mtls\""]).await, 3.0);
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_session_that_is_resumed_has_the_certificate_that_it_began_with() {
    for tls in [CLIENT_CA, ANY] {
        let authority = Authority::new("ours");
        let house = house(&authority, tls, ROUTES).await;
        let ours = authority.client();
        let request = with_token_of(&house, &ours);
        for version in [&TLS12, &TLS13] {
            let client = Client::of(&house.certificate, version, Some(&ours));
            let mut kinds = Vec::new();
            for _ in 0..3 {
                let mut connection = client.connect(house.gateway).await.unwrap();
                assert_eq!(connection.ask(&request).await.unwrap().status, 200, "{:?}", version.version);
                kinds.push(connection.is_resumed());
            }
            assert_eq!(kinds, [false, true, true], "{:?}", version.version);
        }
    }
}

#[tokio::test]
async fn every_stream_of_a_connection_has_its_certificate() {
    let house = house(&Authority::new("ours"), ANY, ROUTES).await;
    let ours = Identity::self_signed();
    let token = format!("Bearer {}", house.token(json!({ "cnf": ours.cnf() })));
    for (identity, status) in [(Some(&ours), 200), (None, 401)] {
        let mut sender = Client::new(&house.certificate, identity).http2(house.gateway).await;
        for _ in 0..3 {
            let request = Request::get(format!("https://{HOST}/orders")).header("authorization", &token);
            let answered = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
            assert_eq!(answered.status(), status);
        }
    }
}

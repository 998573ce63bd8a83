//! Certificates at the doors for other proxies.

use crate::client::Client;
use crate::fronts::{escaped, rfc9440};
use crate::identity::Identity;
use serde_json::json;
use support::gateway::{HOST, House, get};
use support::grpc::{CHECK, Channel, Http, check_request, check_request_from};
use support::h2;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }";
const DECISIONS: &str = "mode: forward_auth, trusted_proxies: [127.0.0.1/32]";

fn described<'h>(token: &'h str, more: &[(&'h str, &'h str)]) -> String {
    let headers = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-uri", "/orders"),
        ("authorization", token),
    ];
    get("/", &[&headers, more].concat())
}

#[tokio::test]
async fn a_front_that_asks_over_http_names_it_in_the_listeners_header() {
    let house = House::with_doors(ROUTES, "").await;
    let (alice, mallory) = (Identity::self_signed(), Identity::self_signed());
    let token = format!("Bearer {}", house.token(json!({ "cnf": alice.cnf() })));
    let (field, forged) = (escaped(&alice.der), escaped(&mallory.der));
    let named = described(&token, &[("x-ssl-client-cert", &field)]);
    assert_eq!(house.ask(house.decisions(), &named).await.status, 401, "nobody said that it is believed");
    let header = "client_certificate: { header: X-SSL-Client-Cert, format: pem_urlencoded }";
    house.reload_with(DECISIONS, &format!("{DECISIONS}, {header}")).await;
    let passed = house.ask(house.decisions(), &named).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert!(passed.all("x-ssl-client-cert").is_empty(), "the front's own field is the front's own");
    let checked = get("/check/orders", &[("authorization", &token), ("x-ssl-client-cert", &field)]);
    assert_eq!(house.ask(house.decisions(), &checked).await.status, 200);
    for (more, reason) in [
        (vec![], "certificate_missing"),
        (vec![("x-ssl-client-cert", forged.as_str())], "certificate_mismatch"),
        (vec![("x-ssl-client-cert", &field), ("x-ssl-client-cert", &field)], "certificate_missing"),
        (vec![("x_ssl_client_cert", &field)], "certificate_missing"),
    ] {
        let refused = house.ask(house.decisions(), described(&token, &more)).await;
        assert_eq!(house.log.line_of(&refused).await["reason"], reason, "{more:?}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer realm="));
    }
    // What only resembles it may be a client's.
    let resembling = [("x-ssl-client-cert", field.as_str()), ("x_ssl_client_cert", &forged)];
    let passed = house.ask(house.decisions(), described(&token, &resembling)).await;
    assert_eq!((passed.status, passed.header("x_ssl_client_cert")), (200, Some("")));
    assert_eq!(house.ask(house.strangers(), &named).await.status, 403);
}

/// The certificate in the handshake is the front's own there.
#[tokio::test]
async fn what_a_front_shows_itself_is_not_its_clients() {
    let house = House::with_tls(ROUTES, "").await;
    let front = Identity::self_signed();
    let decisions = format!("mode: forward_auth, trusted_proxies: [127.0.0.1/32], {}", h2::TLS);
    house.reload_with(h2::TLS, &decisions.replace("tls.key }", "tls.key, client_certificates: any }")).await;
    let token = format!("Bearer {}", house.token(json!({ "cnf": front.cnf() })));
    let address = house.gateway;
    let client = Client::new(&house.certificate, Some(&front));
    let refused = client.ask(address, &described(&token, &[])).await.unwrap();
    let line = house.log.line_of(&refused).await;
    assert_eq!(
        (&line["reason"], &line["certificate"]),
        (&json!("certificate_missing"), &json!("none is asked for here"))
    );
}

#[tokio::test]
async fn envoy_sends_it_in_the_question() {
    let house = House::with_doors(ROUTES, "").await;
    let (alice, mallory) = (Identity::self_signed(), Identity::self_signed());
    let token = format!("Bearer {}", house.token(json!({ "cnf": alice.cnf() })));
    let envoy = Channel::connect(house.grpc()).await;
    let forged = rfc9440(&alice.der);
    // A client's own field says nothing.
    let http = || {
        Http::new("GET", "/orders", HOST, &[("authorization", &token), ("client-cert", &forged)]).message()
    };
    for (question, reason) in [
        (check_request(http(), "192.0.2.7"), "certificate_missing"),
        (check_request_from(http(), "192.0.2.7", &escaped(&alice.der)), "verified"),
        (check_request_from(http(), "192.0.2.7", &escaped(&mallory.der)), "certificate_mismatch"),
        (check_request_from(http(), "192.0.2.7", ""), "certificate_missing"),
        (check_request_from(http(), "192.0.2.7", "nonsense"), "certificate_missing"),
        (check_request_from(http(), "192.0.2.7", &forged), "certificate_missing"),
    ] {
        let decision = envoy.call(CHECK, &question).await.decision();
        let Some(refused) = decision.denied else {
            assert_eq!(reason, "verified");
            continue;
        };
        assert_eq!(house.log.line_of(&refused).await["reason"], reason);
    }
    let stranger = Channel::connect(house.grpc_strangers()).await;
    let question = check_request_from(http(), "192.0.2.7", &escaped(&alice.der));
    assert_eq!(stranger.call(CHECK, &question).await.decision().denied.unwrap().status, 403);
}

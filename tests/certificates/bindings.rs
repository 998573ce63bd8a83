//! Which token needs what: its scheme, what the route accepts, and the certificate.

use crate::client::Client;
use crate::handshake::house;
use crate::identity::{Authority, Identity};
use serde_json::{Value, json};
use support::gateway::{House, get};

const ANY: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_certificates: any }";

const ROUTES: &str = r#"
  - { name: dpop, match: { path: /dpop }, upstream: legacy, accept: [dpop] }
  - { name: mtls, match: { path: /mtls }, upstream: legacy, accept: [mtls] }
  - { name: bearer, match: { path: /bearer }, upstream: legacy, accept: [bearer] }
  - { name: all, match: { path: /all }, upstream: legacy, accept: [dpop, mtls, bearer], identity: { headers: { X-Certificate: "cnf.x5t#S256" } } }
  - { name: observed, match: { path: /observed }, upstream: legacy, accept: [mtls], mode: observe, identity: { headers: { X-Certificate: "cnf.x5t#S256" } } }"#;

/// The reason for which a request is refused, or `verified`.
async fn reason(house: &House, client: &Client, path: &str, scheme: &str, token: &str) -> String {
    let authorization = format!("{scheme} {token}");
    let proof = house.proof(token, json!({ "htu": format!("https://api.test{path}") }));
    let mut headers = vec![("authorization", authorization.as_str())];
    if scheme == "DPoP" {
        headers.push(("dpop", &proof));
    }
    let answer = client.ask(house.gateway, &get(path, &headers)).await.unwrap();
    let line = house.log.line_of(&answer).await;
    let reason = line["reason"].as_str().unwrap().to_owned();
    assert_eq!(answer.status, if reason == "verified" { 200 } else { 401 }, "{line}");
    reason
}

/// What binds the token, how it is sent; what must be in `accept`, or why it never is taken; why not where that is missing; whether the
/// certificate counts.
type Row = (Value, &'static str, Result<&'static str, &'static str>, &'static str, bool);

#[tokio::test]
async fn each_token_needs_its_scheme_its_place_in_accept_and_every_one_of_its_bindings() {
    let house = house(&Authority::new("nobody"), ANY, ROUTES).await;
    let (right, other) = (Identity::self_signed(), Identity::self_signed());
    let jkt = house.client.public().thumbprint().to_string();
    let (key, certificate) = (json!({ "jkt": jkt }), right.cnf());
    let both = json!({ "jkt": jkt, "x5t#S256": right.thumbprint() });
    let clients = [
        ("right", Client::new(&house.certificate, Some(&right))),
        ("other", Client::new(&house.certificate, Some(&other))),
        ("none", Client::new(&house.certificate, None)),
    ];
    let table: [Row; 8] = [
        (Value::Null, "Bearer", Ok("bearer"), "bearer_not_accepted", false),
        (Value::Null, "DPoP", Err("token_unbound"), "", false),
        (certificate.clone(), "Bearer", Ok("mtls"), "mtls_not_accepted", true),
        (certificate, "DPoP", Err("token_unbound"), "", false),
        (key.clone(), "Bearer", Err("downgrade"), "", false),
        (key, "DPoP", Ok("dpop"), "dpop_not_accepted", false),
        (both.clone(), "Bearer", Err("downgrade"), "", false),
        (both, "DPoP", Ok("dpop"), "dpop_not_accepted", true),
    ];
    for (cnf, scheme, needs, otherwise, certificate_counts) in &table {
        for route in ["dpop", "mtls", "bearer", "all"] {
            for (shown, client) in &clients {
                let expected = match needs {
                    Err(never) => never,
                    Ok(needed) if route != "all" && route != *needed => otherwise,
                    Ok(_) if *certificate_counts && *shown == "other" => "certificate_mismatch",
                    Ok(_) if *certificate_counts && *shown == "none" => "certificate_missing",
                    Ok(_) => "verified",
                };
                let token = house.token(json!({ "cnf": cnf }));
                let found = reason(&house, client, &format!("/{route}"), scheme, &token).await;
                assert_eq!(found, *expected, "{cnf} as {scheme} on {route}, certificate: {shown}");
            }
        }
    }
}

/// The proof comes first: who holds neither key nor certificate learns nothing of the certificate.
#[tokio::test]
async fn of_two_bindings_the_proof_is_looked_at_first_and_is_used_up_by_nobody_who_lacks_the_certificate() {
    let house = house(&Authority::new("nobody"), ANY, ROUTES).await;
    let right = Identity::self_signed();
    let jkt = house.client.public().thumbprint().to_string();
    let token = house.token(json!({ "cnf": { "jkt": jkt, "x5t#S256": right.thumbprint() } }));
    let authorization = format!("DPoP {token}");
    let ask = async |identity: Option<&Identity>, proof: &str| {
        let request = get("/dpop", &[("authorization", &authorization), ("dpop", proof)]);
        let client = Client::new(&house.certificate, identity);
        let answer = client.ask(house.gateway, &request).await.unwrap();
        house.log.line_of(&answer).await["reason"].as_str().unwrap().to_owned()
    };
    let late = house.proof(&token, json!({ "htu": "https://api.test/dpop", "iat": 1_600_000_000 }));
    assert_eq!(ask(None, &late).await, "proof_iat_stale");
    let good = house.proof(&token, json!({ "htu": "https://api.test/dpop" }));
    assert_eq!(ask(None, &good).await, "certificate_missing");
    assert_eq!(ask(Some(&right), &good).await, "verified", "a refused request uses nothing up");
    assert_eq!(ask(Some(&right), &good).await, "replayed");
}

/// `denied_file`: whatever else the token is bound to, and although the right certificate is shown.
#[tokio::test]
async fn a_certificate_is_denied_with_every_token_that_is_bound_to_it() {
    let house = house(&Authority::new("nobody"), ANY, ROUTES).await;
    let (denied, other) = (Identity::self_signed(), Identity::self_signed());
    std::fs::write(house.folder().join("denied"), format!("x5t:{}\n", denied.thumbprint())).unwrap();
    house.reload_with("routes:\n", "denied_file: denied\nroutes:\n").await;
    let jkt = house.client.public().thumbprint().to_string();
    for (identity, expected) in [(&denied, "denied"), (&other, "verified")] {
        let client = Client::new(&house.certificate, Some(identity));
        let bound = house.token(json!({ "cnf": identity.cnf() }));
        assert_eq!(reason(&house, &client, "/mtls", "Bearer", &bound).await, expected);
        let both = house.token(json!({ "cnf": { "jkt": jkt, "x5t#S256": identity.thumbprint() } }));
        assert_eq!(reason(&house, &client, "/dpop", "DPoP", &both).await, expected);
    }
    // Where the route overlooks what is wrong with the certificate, too.
    let bound = house.token(json!({ "cnf": denied.cnf() }));
    let nobody = Client::new(&house.certificate, None);
    assert_eq!(reason(&house, &nobody, "/observed", "Bearer", &bound).await, "denied");
}

#[tokio::test]
async fn the_upstream_may_be_told_the_thumbprint_and_is_told_nothing_where_it_was_not_proved() {
    let house = house(&Authority::new("nobody"), ANY, ROUTES).await;
    let right = Identity::self_signed();
    let token = format!("Bearer {}", house.token(json!({ "cnf": right.cnf() })));
    let headers = [("authorization", token.as_str()), ("x-certificate", "forged")];
    let client = Client::new(&house.certificate, Some(&right));
    assert_eq!(client.ask(house.gateway, &get("/all", &headers)).await.unwrap().status, 200);
    assert_eq!(client.ask(house.gateway, &get("/observed", &headers)).await.unwrap().status, 200);
    let nobody = Client::new(&house.certificate, None);
    let answer = nobody.ask(house.gateway, &get("/observed", &headers)).await.unwrap();
    assert_eq!(answer.status, 200, "it only observes");
    let line = house.log.line_of(&answer).await;
    assert_eq!((&line["decision"], &line["reason"]), (&json!("observe"), &json!("certificate_missing")));
    let seen = house.upstream.seen();
    let told: Vec<_> = seen.iter().map(|seen| seen.header("x-certificate")).collect();
    let thumbprint = right.thumbprint();
    assert_eq!(told, [Some(thumbprint.as_str()), Some(&thumbprint), None]);
}

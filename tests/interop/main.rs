//! The real binary between parts that nobody here wrote: oidc-provider gives out the tokens, and three
//! clients of npm use them.
//!
//! And another resource server that says what it thinks of the same requests (`second_opinion`).
//!
//! Every client's traffic runs through a wire that records it. What was recorded is then sent again, as it
//! was and without what a thief would not have. Needs node 20 or later; the packages come by `npm ci` from
//! the lock file beside this one.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![expect(clippy::indexing_slicing, reason = "a test that reads too far has failed")]

mod node;
mod second_opinion;
mod wire;
mod world;

use serde_json::Value;
use wire::Response;
use world::{Needs, RESOURCE, World};

/// What one client did, as its script printed it.
struct Journey {
    token: String,
    challenged: Value,
    /// What the upstream saw: the echo that came back to the client.
    seen: Value,
}

#[test]
fn oauth4webapi_gets_through_and_its_traffic_is_worthless() {
    let Some(world) = World::start(&Needs::default()) else { return };
    for algorithm in ["ES256", "Ed25519"] {
        let journey = travel(&world, "oauth4webapi.mjs", "/orders/7?limit=1", algorithm);
        the_upstream_saw_who_asks(&journey.seen, "/orders/7?limit=1");
        its_traffic_is_worthless(&world, &journey);
    }
}

#[test]
fn openid_client_gets_through_and_its_traffic_is_worthless() {
    let Some(world) = World::start(&Needs::default()) else { return };
    let journey = travel(&world, "openid-client.mjs", "/orders/a%20b", "ES256");
    the_upstream_saw_who_asks(&journey.seen, "/orders/a%20b");
    its_traffic_is_worthless(&world, &journey);
}

#[test]
fn dpop_with_plain_fetch_gets_through_and_its_traffic_is_worthless() {
    let Some(world) = World::start(&Needs::default()) else { return };
    let journey = travel(&world, "dpop.mjs", "/orders", "ES256");
    the_upstream_saw_who_asks(&journey.seen, "/orders");
    its_traffic_is_worthless(&world, &journey);
}

#[test]
fn every_client_follows_a_nonce_that_both_servers_require() {
    let Some(world) = World::start(&Needs { nonce: true, ..Needs::default() }) else { return };
    for script in ["oauth4webapi.mjs", "openid-client.mjs", "dpop.mjs"] {
        let journey = travel(&world, script, "/strict", "ES256");
        the_upstream_saw_who_asks(&journey.seen, "/strict");
        if script == "oauth4webapi.mjs" {
            assert_eq!(journey.challenged, serde_json::json!({ "token": true, "api": true }));
        }
        its_traffic_is_worthless(&world, &journey);
    }
}

#[test]
fn keyproof_request_gets_its_token_from_a_server_that_is_not_ours() {
    for nonce in [false, true] {
        let Some(world) = World::start(&Needs { nonce, ..Needs::default() }) else { return };
        for client in ["basic", "post"] {
            let answered = world.request(&[
                "GET",
                &world.url("/strict"),
                "-v",
                "--issuer",
                &world.issuer,
                "--resource",
                RESOURCE,
                "--scope",
                "orders:read",
                "--client-id",
                client,
                "--client-secret",
                &format!("{client}-secret"),
            ]);
            assert_eq!(answered.code, 0, "{}{}", answered.out, answered.err);
            let seen: Value = serde_json::from_str(&answered.out).unwrap();
            assert_eq!(seen["headers"]["x-auth-client"], client);
            assert!(answered.err.contains("use_dpop_nonce: signing again"), "{}", answered.err);
            assert_eq!(answered.err.contains("after one use_dpop_nonce"), nonce, "{}", answered.err);
        }
    }
}

/// What nobody can read but its issuer: it passes as a JWT does, is as worthless to a thief, and stops working when it is revoked.
#[test]
fn an_opaque_token_gets_through_until_it_is_revoked() {
    let Some(world) = World::start(&Needs::default()) else { return };
    let argument = serde_json::json!({
        "issuer": world.issuer, "clientId": "basic", "resource": format!("{RESOURCE}/opaque"), "scope": "orders:read",
        "url": world.url("/orders/7"), "method": "GET", "alg": "ES256",
    });
    let printed: Value = serde_json::from_str(&world.node.run("opaque.mjs", &argument)).unwrap();
    let log = world.log();
    assert_eq!(printed["statuses"], serde_json::json!([200, 200]), "{printed}\n{log}");
    assert_eq!(printed["revoked"], 401, "{printed}\n{log}");
    let token = printed["token"].as_str().unwrap();
    assert!(!token.contains('.') && !log.contains(token), "an opaque token, which no log shows: {token}");
    let seen: Value = serde_json::from_str(printed["body"].as_str().unwrap()).unwrap();
    // This server names no subject where a client asks for itself.
    let told = ["x-auth-client", "x-auth-scope", "x-auth-issuer"]
        .map(|name| seen["headers"][name].as_str().unwrap());
    assert_eq!(told, ["basic", "orders:read", world.issuer.as_str()]);
    let stolen = world.request(&["GET", &world.url("/orders/7"), "-i", "--token", token]);
    assert!(stolen.out.starts_with("HTTP/1.1 401"), "{}", stolen.out);
}

/// RFC 8705: the token passes with the certificate that it was issued to, and with no other.
#[test]
fn a_token_that_is_bound_to_a_certificate_is_worthless_without_it() {
    let Some(world) = World::start(&Needs { certificates: true, ..Needs::default() }) else { return };
    let (own, other) = (world.client("own"), world.client("other"));
    let travel = |resource: &str| -> Value {
        let argument = serde_json::json!({
            "issuer": world.issuer, "clientId": "mtls", "resource": resource, "scope": "orders:read",
            "url": world.url("/bound"), "ca": std::fs::read_to_string(world.file("tls.crt")).unwrap(),
            "clients": { "own": own, "other": other },
        });
        serde_json::from_str(&world.node.run("mtls.mjs", &argument)).unwrap()
    };
    // Nobody can read it but its issuer, which says what it is bound to.
    let opaque = travel(&format!("{RESOURCE}/opaque"));
    assert!(!opaque["token"].as_str().unwrap().contains('.'), "{opaque}");
    assert_eq!(
        (&opaque["status"], &opaque["other"]),
        (&200.into(), &401.into()),
        "{opaque}\n{}",
        world.log()
    );

    let printed = travel(RESOURCE);
    let log = world.log();
    assert_eq!(
        (&printed["status"], &printed["other"], &printed["none"]),
        (&200.into(), &401.into(), &401.into()),
        "{printed}\n{log}"
    );
    assert!(printed["tokenType"].as_str().unwrap().eq_ignore_ascii_case("Bearer"));
    let seen: Value = serde_json::from_str(printed["body"].as_str().unwrap()).unwrap();
    assert_eq!(seen["headers"]["x-auth-client"], "mtls");
    world.logs("certificate_mismatch");
    world.logs("certificate_missing");

    // The same with our own client, which presents such a token as Bearer by itself.
    let [cacert, cert, key] =
        ["tls.crt", "own.crt", "own.key"].map(|name| world.file(name).display().to_string());
    let url = world.url("/bound");
    let with = |more: &[&str]| world.request(&[&["GET", &url, "--cacert", &cacert][..], more].concat());
    let issued = [
        "--issuer",
        &world.issuer,
        "--client-id",
        "mtls",
        "--client-secret",
        "mtls-secret",
        "--resource",
        RESOURCE,
        "--scope",
        "orders:read",
        "--bearer",
    ];
    let answered = with(&[&["--cert", &cert, "--cert-key", &key][..], &issued].concat());
    assert_eq!(answered.code, 0, "{}{}", answered.out, answered.err);
    let token = printed["token"].as_str().unwrap();
    let answered = with(&["--cert", &cert, "--cert-key", &key, "--token", token]);
    assert_eq!(answered.code, 0, "{}{}", answered.out, answered.err);
    let stolen = with(&["--token", token, "-i"]);
    assert!(
        stolen.code == 1 && stolen.out.contains("401") && stolen.out.contains("invalid_token"),
        "{}",
        stolen.out
    );
}

/// Runs a client script from discovery to the API's answer, which must be a success.
fn travel(world: &World, script: &str, path: &str, algorithm: &str) -> Journey {
    let argument = serde_json::json!({
        "issuer": world.issuer, "clientId": "basic", "resource": RESOURCE, "scope": "orders:read",
        "url": world.url(path), "method": "GET", "alg": algorithm,
    });
    let printed: Value = serde_json::from_str(&world.node.run(script, &argument)).unwrap();
    assert_eq!(printed["status"], 200, "{script}: {printed}\n{}", world.log());
    assert!(printed["tokenType"].as_str().unwrap().eq_ignore_ascii_case("DPoP"));
    Journey {
        token: printed["token"].as_str().unwrap().to_owned(),
        challenged: printed["challenged"].clone(),
        seen: serde_json::from_str(printed["body"].as_str().unwrap()).unwrap(),
    }
}

fn the_upstream_saw_who_asks(seen: &Value, path: &str) {
    let headers = &seen["headers"];
    assert_eq!((&seen["method"], &seen["path"]), (&"GET".into(), &path.into()));
    assert_eq!(headers["x-auth-subject"], "basic", "the client's own copies are gone: {headers}");
    assert_eq!(headers["x-auth-client"], "basic");
    assert_eq!(headers["x-auth-scope"], "orders:read");
    assert_eq!(headers["x-auth-key"].as_str().map(str::len), Some(43));
    for gone in ["dpop", "authorization", "x_auth_subject"] {
        assert!(headers.get(gone).is_none(), "{gone} reached the upstream: {headers}");
    }
}

/// The request as recorded, then the token in every way a thief could try it: refused, and the upstream
/// hears of none.
fn its_traffic_is_worthless(world: &World, journey: &Journey) {
    let before = world.upstream_requests();
    let recorded = world.last_recorded_request();
    assert!(recorded.contains(&journey.token), "the wire recorded another request:\n{recorded}");

    let replayed = world.send(&recorded);
    refused(&replayed, "invalid_dpop_proof");
    assert!(
        !replayed.head.to_ascii_lowercase().contains("dpop-nonce"),
        "a replay gets no nonce to try again with"
    );
    refused(&world.send(&without_line(&recorded, "dpop")), "invalid_dpop_proof");
    let bearer = recorded.replace(&format!("DPoP {}", journey.token), &format!("Bearer {}", journey.token));
    assert_ne!(bearer, recorded);
    refused(&world.send(&bearer), "invalid_token");
    refused(&world.send(&without_line(&bearer, "dpop")), "invalid_token");

    let path = recorded.split(' ').nth(1).unwrap();
    let url = world.url(path);
    let stolen = world.request(&["GET", &url, "-i", "--token", &journey.token]);
    assert_eq!(stolen.code, 1, "{}{}", stolen.out, stolen.err);
    assert!(stolen.out.starts_with("HTTP/1.1 401"), "{}", stolen.out);
    assert!(stolen.out.contains("error=\"invalid_token\""), "another key: {}", stolen.out);

    assert_eq!(world.upstream_requests(), before, "a refused request reached the upstream");
}

fn refused(response: &Response, error: &str) {
    assert!(response.head.starts_with("HTTP/1.1 401 "), "{}", response.head);
    let challenge = format!("error=\"{error}\"");
    assert!(response.head.contains(&challenge), "expected {challenge}:\n{}", response.head);
}

/// `request` without the header lines of this name.
fn without_line(request: &str, name: &str) -> String {
    let prefix = format!("{name}:");
    request.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with(&prefix)).collect()
}

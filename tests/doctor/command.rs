//! The command, before a gateway without a front: what is wrong with the gateway itself, with TLS, with the clocks, with a token.

use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;
use support::gateway::{House, not_loopback};

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders, methods: [GET] }, upstream: legacy }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer], cors: { origins: ["https://app.test"] } }"#;
const ORIGINS: &str = r#"["http://api.test"]"#;

/// How it ends and what it says.
async fn doctor(house: &House, to: SocketAddr, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyproof"));
    command.arg("doctor").args(arguments).env_clear();
    if !arguments.contains(&"--admin") {
        command.args(["--admin", &format!("http://{}", house.admin)]);
    }
    command.args(["--connect-to", &format!("::{}:{}", to.ip(), to.port())]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn it_says_what_is_wrong_with_the_gateway_itself() {
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    for (arguments, exit, says) in [
        (&["http://api.test/orders"][..], 0, "\nhtu can match.\n"),
        (&["http://API.test:80/orders?a=%2F#f"], 0, "\nhtu can match.\n"),
        (&["http://api.test/mixed", "-H", "Origin: https://app.test"], 0, "\nhtu can match.\n"),
        (
            &["http://api.test/mixed", "-H", "Origin: https://else.test"],
            0,
            "https://else.test is none of the route's cors.origins",
        ),
        (&["http://api.test/nowhere"], 0, "no route leads here (no_route)"),
        (
            &["http://api.test/orders", "--method", "POST"],
            0,
            "the method is not allowed here (method_not_allowed)",
        ),
        (&["http://api.test/orders//7"], 1, "(path_empty_segment)"),
        (&["http://else.test/orders"], 1, "keyproof: public_origins: [\"http://else.test\"]"),
    ] {
        let (found, said) = doctor(&house, house.gateway, arguments).await;
        assert!(found == exit && said.contains(says), "{arguments:?}: {found}\n{said}");
    }
    assert!(house.upstream.seen().is_empty());
}

#[tokio::test]
async fn it_says_why_it_cannot_ask() {
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = "http://api.test/orders";
    let (exit, said) = doctor(&house, nobody, &[url]).await;
    assert!(exit == 2 && said.contains("the front gives no answer"), "{exit}\n{said}");
    let (exit, said) = doctor(&house, house.gateway, &[url, "--admin", &format!("http://{nobody}")]).await;
    assert!(exit == 2 && said.contains("is that its admin address"), "{exit}\n{said}");
    // What answers there is no gateway, and another gateway than the one that is asked.
    let (exit, said) = doctor(&house, house.admin, &[url]).await;
    assert!(exit == 2 && said.contains("421 came from the front"), "{exit}\n{said}");
    let other = House::present_with_origins(ROUTES, ORIGINS).await;
    let (exit, said) = doctor(&house, other.gateway, &[url]).await;
    assert!(exit == 2 && said.contains("or another gateway was asked"), "{exit}\n{said}");
    for bad in [
        &["/orders"][..],
        &["ftp://api.test"],
        &[url, "-H", "DPoP: x"],
        &[url, "--token", "t"],
        &[url, "--admin", "api.test"],
    ] {
        let (exit, said) = doctor(&house, house.gateway, bad).await;
        assert_eq!(exit, 64, "{bad:?}: {said}");
    }
    for _ in 0..16 {
        let mark = format!("{:032x}", rand());
        let post = format!("POST /doctor HTTP/1.1\r\nhost: localhost\r\ncontent-length: 32\r\n\r\n{mark}");
        house.ask(house.admin, post).await;
    }
    let (exit, said) = doctor(&house, house.gateway, &[url]).await;
    assert!(exit == 2 && said.contains("16 marks are on their way"), "{exit}\n{said}");
}

/// A number that does not come again.
fn rand() -> u128 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test]
async fn from_another_machine_it_needs_the_token() {
    let Some(own) = not_loopback() else { return };
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let token = house.folder().join("admin");
    std::fs::write(&token, "a-token-that-is-as-long-as-tokens-have-to-be\n").unwrap();
    let everywhere = format!("admin: {{ address: \"0.0.0.0:{port}\", token_file: admin }}");
    house.reload_with("admin: { address: \"127.0.0.1:0\" }", &everywhere).await;
    let (admin, token) = (format!("http://{own}:{port}"), token.to_str().unwrap());
    let secret = house.folder().join("secret");
    for (token_file, exit, says) in [
        (Some(token), 0, "htu can match."),
        (None, 2, "or with --token-file"),
        (Some("none"), 64, "--token-file: none: "),
        (secret.to_str(), 64, "it holds no token"),
    ] {
        let mut arguments = vec!["http://api.test/orders", "--admin", &admin];
        arguments.extend(token_file.into_iter().flat_map(|file| ["--token-file", file]));
        let (found, said) = doctor(&house, house.gateway, &arguments).await;
        assert!(found == exit && said.contains(says), "{arguments:?}: {found}\n{said}");
    }
}

#[tokio::test]
async fn a_front_that_may_not_ask_is_told_apart() {
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    let (exit, said) = doctor(&house, house.strangers(), &["http://api.test/orders"]).await;
    assert!(
        exit == 1 && said.contains("trusted_proxies: [127.0.0.1/32]    # of the listener strangers"),
        "{exit}\n{said}"
    );
    let (exit, said) = doctor(&house, house.decisions(), &["http://api.test/orders"]).await;
    assert!(exit == 1 && said.contains("the description of the request is incomplete"), "{exit}\n{said}");
    // Every front's line is shown where nothing says which one it is.
    for front in ["nginx", "Caddy", "Traefik", "HAProxy", "Envoy"] {
        assert!(said.contains(&format!("   {front}, ")), "{said}");
    }
}

#[tokio::test]
async fn trouble_with_tls_is_named() {
    let house = House::with_tls(ROUTES, "").await;
    let ca = house.folder().join("tls.crt");
    let ca = ca.to_str().unwrap();
    let url = "https://api.test/orders";
    for (arguments, exit, says) in [
        (&[url, "--cacert", ca][..], 0, "htu can match."),
        (&[url, "-k"], 0, "htu can match."),
        (&[url], 2, "nobody here vouches for the front's certificate"),
        (&["https://else.test/orders", "--cacert", ca], 2, "the front's certificate is for other names"),
        (&["http://api.test/orders"], 2, "the front gives no answer"),
    ] {
        let (found, said) = doctor(&house, house.gateway, arguments).await;
        assert!(found == exit && said.contains(says), "{arguments:?}: {found}\n{said}");
    }
    let mut old = rcgen::CertificateParams::new(vec!["api.test".to_owned()]).unwrap();
    old.not_before = rcgen::date_time_ymd(2000, 1, 1);
    old.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(ca, old.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(house.folder().join("tls.key"), key.serialize_pem()).unwrap();
    house.reload().await.unwrap();
    let (found, said) = doctor(&house, house.gateway, &[url, "--cacert", ca]).await;
    assert!(found == 2 && said.contains("the front's certificate has expired"), "{found}\n{said}");
}

#[tokio::test]
async fn a_difference_of_clocks_is_told() {
    // The gateway's clock stands where the tests have it, years ago.
    let house = House::with_routes(ROUTES).await;
    let (exit, said) = doctor(&house, house.gateway, &["http://api.test/orders"]).await;
    assert_eq!(exit, 1, "the scheme is wrong, too:\n{said}");
    assert!(said.contains("s behind the one here: proofs that are made here are refused"), "{said}");
    assert!(said.contains("keyproof: public_origins: [\"http://api.test\"]"), "{said}");
}

#[tokio::test]
async fn a_token_is_checked_where_one_is_given() {
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    let key = house.folder().join("client.jwk");
    std::fs::write(&key, house.client.private_jwk()).unwrap();
    for (changes, exit, says) in [
        (json!({}), 0, "htu can match."),
        (json!({ "aud": "https://else.test" }), 1, "(token_audience)"),
        (json!({ "exp": 1 }), 1, "(token_expired)"),
        (json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }), 1, "(key_mismatch)"),
    ] {
        let token = house.token(changes);
        let arguments = ["http://api.test/orders", "--token", &token, "--key", key.to_str().unwrap()];
        let (found, said) = doctor(&house, house.gateway, &arguments).await;
        assert!(found == exit && said.contains(says), "{found}\n{said}");
        assert!(!said.contains(&token), "{said}");
    }
}

//! `keyproof request` and `keyproof explain` with a client certificate.

use crate::identity::Identity;
use serde_json::json;
use std::process::{Command, Output};
use support::gateway::{HOST, House};
use support::h2;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }
  - { name: both, match: { path: /both }, upstream: legacy }"#;

async fn keyproof(house: &House, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyproof"));
    command.args(arguments).env_clear().current_dir(house.folder());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn house() -> (House, Identity) {
    let house = House::present(ROUTES, "", true).await;
    let any = h2::TLS.replace("tls.key }", "tls.key, client_certificates: any }");
    house.reload_with(h2::TLS, &any).await;
    let me = Identity::self_signed();
    for (name, identity) in [("me", &me), ("other", &Identity::self_signed())] {
        let (certificate, key) = identity.pem();
        std::fs::write(house.folder().join(format!("{name}.crt")), &certificate).unwrap();
        std::fs::write(house.folder().join(format!("{name}.key")), &key).unwrap();
        std::fs::write(house.folder().join(format!("{name}.pem")), certificate + &key).unwrap();
    }
    (house, me)
}

#[tokio::test]
async fn request_shows_it_and_sends_a_token_that_it_binds_as_bearer() {
    let (house, me) = house().await;
    let token = house.token(json!({ "cnf": me.cnf() }));
    let (url, to) = (format!("https://{HOST}/orders"), format!("::127.0.0.1:{}", house.gateway.port()));
    let way = ["request", "GET", &url, "--connect-to", &to, "--cacert", "tls.crt", "-i", "--token", &token];
    for (own, code, status) in [
        (&["--cert", "me.crt", "--cert-key", "me.key"][..], 0, "200"),
        (&["--cert", "me.pem"], 0, "200"),
        (&["--cert", "other.pem"], 1, "401"),
        (&[], 1, "401"),
    ] {
        let output = keyproof(&house, &[&way[..], own].concat()).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{own:?}: {said}");
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{own:?}: {said}");
    }
    for (own, code) in [
        (&["--cert", "me.crt"][..], 64),
        (&["--cert", "me.key"], 64),
        (&["--cert", "me.crt", "--cert-key", "me.crt"], 64),
        (&["--cert", "me.crt", "--cert-key", "other.key"], 1),
    ] {
        let output = keyproof(&house, &[&way[..], own].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{own:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(house.upstream.seen().len(), 2);
}

#[tokio::test]
async fn explain_says_which_certificate_a_token_needs() {
    let (house, me) = house().await;
    let token = house.token(json!({ "cnf": me.cnf() }));
    let url = format!("https://{HOST}/orders");
    let way = ["explain", "--config", "keyproof.yaml", "--method", "GET", "--url", &url, "--token", &token];
    for (own, code, says) in [
        (&["--cert", "me.crt"][..], 0, "every check that can be made here passes"),
        (&["--cert", "other.crt"], 1, "(certificate_mismatch)"),
        (&[], 1, "(certificate_missing)"),
    ] {
        let output = keyproof(&house, &[&way[..], own].concat()).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{own:?}: {said}");
        assert!(
            said.contains(says) && said.contains(&format!("the certificate {}", me.thumbprint())),
            "{own:?}: {said}"
        );
        assert!(said.contains("route orders: accept mtls;"), "{said}");
    }
}

//! Issuers and their keys.

use super::configuration::ROUTES;
use super::{by_itself, free, key_as_one, other_key, with};
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::json;
use support::gateway::{HOST, House, NOW, get};
use support::upstream::ByHand;

#[tokio::test]
async fn an_issuer_whose_identifier_or_key_source_changed_starts_without_keys() {
    let house = House::with_routes(ROUTES).await;
    let token = house.token(json!({}));
    let ask = async || house.send(with(&token, &house.proof(&token, json!({})))).await.status;
    assert_eq!(ask().await, 200);
    // Nobody answers there: the keys of before must not be taken for its.
    let nobody = format!("jwks_uri: \"http://{}/jwks\"", free());
    let why = house.refuses_to_reload_with("jwks_file: jwks.json", &nobody).await;
    assert!(why.starts_with("issuers: main has no keys yet: "), "{why}");
    assert_eq!(house.metric("keyproof_config_reloads_total", &["rejected"]).await, 1.0);
    assert_eq!(ask().await, 200);

    // A rule that changed: the token was verified under another.
    house.reload_with("audiences: [\"https://api.test\"]", "audiences: [\"https://other.test\"]").await;
    assert_eq!(ask().await, 401);
    house.reload_with("audiences: [\"https://other.test\"]", "audiences: [\"https://api.test\"]").await;
    assert_eq!(ask().await, 200);

    // Another source, with another key: what the old one signed is worth nothing.
    std::fs::write(house.folder().join("other.json"), other_key()).unwrap();
    house.reload_with("jwks_file: jwks.json", "jwks_file: other.json").await;
    assert_eq!(ask().await, 401);
}

/// Its name alone brings nothing back.
#[tokio::test]
async fn an_issuer_that_was_removed_comes_back_with_the_keys_of_its_new_source_alone() {
    let house = House::with_routes(ROUTES).await;
    let token = house.token(json!({}));
    let ask = async || house.send(with(&token, &house.proof(&token, json!({})))).await.status;
    assert_eq!(ask().await, 200);
    std::fs::write(house.folder().join("other.json"), other_key()).unwrap();
    let (main, gone) =
        ("name: main, issuer: \"https://id.test\"", "name: else, issuer: \"https://else.test\"");
    house.reload_with(main, gone).await;
    assert_eq!(ask().await, 401, "nobody of that name");
    house.edit("jwks_file: jwks.json", "jwks_file: other.json");
    house.reload_with(gone, main).await;
    assert_eq!(ask().await, 401, "the keys are others");
    house.reload_with("jwks_file: other.json", "jwks_file: jwks.json").await;
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_by_themselves() {
    let house = House::with_routes(ROUTES).await;
    assert_eq!(house.good().await.status, 200);
    std::fs::write(house.folder().join("jwks.json"), other_key()).unwrap();
    by_itself(async || house.good().await.status == 401).await;
}

/// What runs serves until then, and who asks meanwhile gets an answer about what is in the file when his turn comes.
#[tokio::test]
async fn a_reload_waits_for_keys_and_another_for_it() {
    let house = House::with_routes(ROUTES).await;
    let source = ByHand::bind().await;
    let new = PrivateKey::generate(Algorithm::Es256).unwrap();
    house.edit("jwks_file: jwks.json", &format!("jwks_uri: \"http://{}/jwks\"", source.address()));
    let (first, ()) = tokio::join!(house.reload(), async {
        let mut connection = source.accept().await;
        connection.request().await;
        assert_eq!(house.good().await.status, 200, "by the keys of before");
        house.edit("path: /open", "path: /later");
        let second = house.reload();
        let answer = async {
            let body = key_as_one(&new);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.send(head + &body).await;
        };
        let (second, ()) = tokio::join!(second, answer);
        second.unwrap();
    });
    first.unwrap();
    assert_eq!(super::status(house.gateway, "/later").await, Some(200));
    assert_eq!(house.good().await.status, 401);
    let claims = json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop", "iat": NOW.as_secs(),
        "exp": NOW.as_secs() + 300, "jti": "new", "cnf": { "jkt": house.client.public().thumbprint().to_string() },
    });
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" });
    let token = new.sign(&header.to_string(), &claims.to_string());
    assert_eq!(house.send(with(&token, &house.proof(&token, json!({})))).await.status, 200);
}

/// What a slow endpoint of keys holds up is what was written with it, and nothing else: it used to hold up every file until its time was over.
#[tokio::test]
async fn a_certificate_is_renewed_while_a_reload_waits_for_keys() {
    let house = House::with_tls(ROUTES, "").await;
    let source = ByHand::bind().await;
    let before = house.certificate.clone();
    house.edit("jwks_file: jwks.json", &format!("jwks_uri: \"http://{}/jwks\"", source.address()));
    house.edit("path: /open", "path: /later");
    let reload = house.reload();
    let meanwhile = async {
        let mut connection = source.accept().await;
        connection.request().await;
        let after = support::h2::certificate(house.folder(), HOST);
        let client = super::tls::Client::trusting([&before, &after]);
        by_itself(async || client.connect(house.gateway).await.unwrap().certificate() == after).await;
        let mut client = client.connect(house.gateway).await.unwrap();
        assert_eq!(client.ask(&get("/open", &[])).await, 200, "the rest is not in force");
        let body = other_key();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.send(head + &body).await;
        (client, after)
    };
    let (outcome, (mut client, after)) = tokio::join!(reload, meanwhile);
    outcome.unwrap();
    assert_eq!(client.ask(&get("/later", &[])).await, 200);
    let again = super::tls::Client::trusting([&before, &after]).connect(house.gateway).await.unwrap();
    assert_eq!(again.certificate(), after, "what waited has the new one too");
}

/// A file that was mended does not wait for what was wrong with it.
#[tokio::test]
async fn what_is_written_next_takes_the_place_of_what_waits() {
    let house = House::with_routes(ROUTES).await;
    let source = ByHand::bind().await;
    let uri = format!("jwks_uri: \"http://{}/jwks\"", source.address());
    house.edit("jwks_file: jwks.json", &uri);
    let first = house.reload();
    let meanwhile = async {
        source.accept().await.request().await;
        house.edit("path: /open", "path: open");
        let why = house.reload().await.unwrap_err().to_string();
        assert!(why.contains("not a canonical path"), "the next is no good, and said so at once: {why}");
        house.edit("path: open", "path: /later");
        house.edit(&uri, "jwks_file: jwks.json");
        house.reload().await.unwrap();
        assert_eq!(super::status(house.gateway, "/later").await, Some(200));
        assert_eq!(house.good().await.status, 200, "the keys that ran have not gone");
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    first.expect("whoever asked first learns what came of the last");
    assert_eq!(house.metric("keyproof_config_reloads_total", &["success"]).await, 1.0);
    assert_eq!(house.metric("keyproof_config_reloads_total", &["rejected"]).await, 1.0);
}

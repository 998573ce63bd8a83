//! Files that go, come, are no files, or are swapped by way of a directory.

use super::{by_itself, free, status, with};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use support::gateway::{HOST, House};

const ROUTES: &str = super::configuration::ROUTES;

/// Puts something else in the place of a file.
type Ruin = fn(&Path);

const RUINS: [(&str, Ruin); 4] = [
    ("gone", |_| {}),
    ("a directory", |file| std::fs::create_dir(file).unwrap()),
    ("a socket", |file| drop(UnixListener::bind(file).unwrap())),
    ("a link that leads nowhere", |file| symlink("nowhere", file).unwrap()),
];

#[tokio::test]
async fn a_file_that_is_gone_or_none_rejects_a_reload_and_is_named_and_what_runs_runs_on() {
    let house = House::with(ROUTES, "dpop: { nonce: { secret_file: secret } }").await;
    for file in ["keyproof.yaml", "jwks.json", "secret"] {
        let (path, away) = (house.folder().join(file), house.folder().join("away"));
        for (what, ruin) in RUINS {
            std::fs::rename(&path, &away).unwrap();
            ruin(&path);
            let why = house.reload().await.expect_err(what).to_string();
            assert!(why.contains(file), "{file} is {what}: {why}");
            assert_eq!(house.good().await.status, 200, "{file} is {what}");
            if path.is_dir() {
                std::fs::remove_dir(&path).unwrap();
            } else {
                std::fs::remove_file(&path).ok();
            }
            std::fs::rename(&away, &path).unwrap();
            house.reload().await.unwrap_or_else(|why| panic!("{file} is back: {why}"));
        }
    }
}

/// Nobody asks for a reload here.
#[tokio::test]
async fn a_file_that_is_gone_for_a_while_costs_nothing_and_is_noticed_when_it_is_back() {
    let house = House::with(ROUTES, "watch: true").await;
    let keys = house.folder().join("jwks.json");
    std::fs::rename(&keys, house.folder().join("away")).unwrap();
    by_itself(async || house.version().await["last_reload"]["result"] == "rejected").await;
    let why = house.version().await["last_reload"]["why"].to_string();
    assert!(why.contains("jwks.json"), "{why}");
    assert_eq!(house.good().await.status, 200, "the last good keys stay");
    std::fs::write(&keys, super::other_key()).unwrap();
    by_itself(async || house.good().await.status == 401).await;

    let file = house.configuration();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    by_itself(async || house.version().await["last_reload"]["why"].to_string().contains("keyproof.yaml"))
        .await;
    std::fs::write(&file, text.replace("path: /open", "path: /back")).unwrap();
    by_itself(async || status(house.gateway, "/back").await == Some(200)).await;
    assert_eq!(house.version().await["last_reload"]["result"], "success");
}

/// Kubernetes mounts a directory of symbolic links, into another one that it swaps for a new one as a whole.
#[tokio::test]
async fn a_directory_that_kubernetes_swaps_is_noticed() {
    let house = House::with_tls(ROUTES, "watch: true").await;
    let folder = house.folder();
    let files = ["keyproof.yaml", "tls.crt", "tls.key", "jwks.json"];
    let version = |name: &str| folder.join(name);
    std::fs::create_dir(version("..1")).unwrap();
    for file in files {
        std::fs::rename(folder.join(file), version("..1").join(file)).unwrap();
    }
    symlink("..1", folder.join("..data")).unwrap();
    for file in files {
        symlink(format!("..data/{file}"), folder.join(file)).unwrap();
    }
    std::fs::create_dir(version("..2")).unwrap();
    let after = support::h2::certificate(&version("..2"), HOST);
    std::fs::copy(version("..1").join("jwks.json"), version("..2").join("jwks.json")).unwrap();
    let text = std::fs::read_to_string(house.configuration()).unwrap();
    std::fs::write(version("..2").join("keyproof.yaml"), text.replace("path: /open", "path: /swapped"))
        .unwrap();
    symlink("..2", folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    let client = super::tls::Client::trusting([&house.certificate, &after]);
    by_itself(async || {
        let mut connection = client.connect(house.gateway).await.unwrap();
        connection.certificate() == after
            && connection.ask(&support::gateway::get("/swapped", &[])).await == 200
    })
    .await;
}

/// The first secret signs, and the second is still known: who has a nonce of before is not challenged again.
#[tokio::test]
async fn a_nonce_secret_is_rotated_and_its_nonces_are_good_while_it_is_known() {
    let required = "  - { name: orders, match: { path: /orders }, upstream: legacy, nonce: required }";
    let house = House::with(required, "dpop: { nonce: { secret_file: secret } }").await;
    let token = house.token(json!({}));
    let ask =
        async |nonce: &str| house.send(with(&token, &house.proof(&token, json!({ "nonce": nonce })))).await;
    let nonce = ask("none").await.header("dpop-nonce").unwrap().to_owned();
    assert_eq!(ask(&nonce).await.status, 200);
    let secret = |text: &str| std::fs::write(house.folder().join("secret"), text).unwrap();
    let before = std::fs::read_to_string(house.folder().join("secret")).unwrap();
    let reloads = async || house.metric("keyproof_config_reloads_total", &["success"]).await;

    secret(&format!("another secret, as long as it has to be\n{before}\n"));
    by_itself(async || reloads().await == 1.0).await;
    assert_eq!(ask(&nonce).await.status, 200, "of the secret that is the second now");
    let new = ask("none").await.header("dpop-nonce").unwrap().to_owned();

    secret("another secret, as long as it has to be\n");
    by_itself(async || reloads().await == 2.0).await;
    let challenge = ask(&nonce).await;
    assert!(challenge.header("www-authenticate").unwrap().contains("use_dpop_nonce"));
    assert_eq!(ask(&new).await.status, 200);
    secret("short");
    by_itself(async || house.version().await["last_reload"]["result"] == "rejected").await;
    assert_eq!(ask(&new).await.status, 200);
}

/// A listener's name and address stay, and what it speaks does not.
#[tokio::test]
async fn a_listener_begins_to_speak_tls_and_ends_it() {
    let house = House::with_routes(ROUTES).await;
    let address = free();
    let plain = format!("name: public, address: \"{address}\" }}");
    house.reload_with("name: public, address: \"127.0.0.1:0\" }", &plain).await;
    assert_eq!(status(address, "/open").await, Some(200));
    let secure = format!("name: public, address: \"{address}\", {} }}", support::h2::TLS);
    house.reload_with(&plain, &secure).await;
    let client = super::tls::Client::trusting([&house.certificate]);
    let mut connection = client.connect(address).await.unwrap();
    assert_eq!(connection.ask(&support::gateway::get("/open", &[])).await, 200);
    house.reload_with(&secure, &plain).await;
    assert_eq!(status(address, "/open").await, Some(200));
    assert_eq!(
        connection.ask(&support::gateway::get("/open", &[])).await,
        200,
        "one more of who could not know"
    );
}

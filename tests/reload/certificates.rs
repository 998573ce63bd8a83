//! Certificates that are replaced on the disk.

use super::by_itself;
use super::tls::Client;
use support::gateway::{House, get};
use support::h2;

const PUBLIC: &str = "  - { name: all, match: { path: / }, upstream: legacy, public: true }";
#[tokio::test]
async fn a_certificate_that_is_swapped_on_disk_is_shown_to_new_connections_and_an_old_one_goes_on() {
    let house = House::with_tls(PUBLIC, "").await;
    let before = house.certificate.clone();
    let mut old = Client::trusting([&before]).connect(house.gateway).await.unwrap();
    assert_eq!(old.ask(&get("/", &[])).await, 200);

    let after = h2::certificate(house.folder(), support::gateway::HOST);
    let client = Client::trusting([&before, &after]);
    by_itself(async || client.connect(house.gateway).await.unwrap().certificate() == after).await;
    assert_eq!(client.connect(house.gateway).await.unwrap().ask(&get("/", &[])).await, 200);
    assert_eq!(old.ask(&get("/", &[])).await, 200, "the connection from before");
    assert_eq!(house.metric("keyproof_config_reloads_total", &["success"]).await, 1.0);
}

/// What is wrong with the configuration keeps no certificate from being renewed, however often somebody asks for it.
#[tokio::test]
async fn a_certificate_is_renewed_by_itself_although_each_reload_is_rejected() {
    let house = House::with_tls(PUBLIC, "").await;
    let before = house.certificate.clone();
    let after = h2::certificate(house.folder(), support::gateway::HOST);
    house.edit("routes:", "surprise: 1\nroutes:");
    let client = Client::trusting([&before, &after]);
    by_itself(async || {
        house.reload().await.unwrap_err();
        client.connect(house.gateway).await.unwrap().certificate() == after
    })
    .await;
}

/// Whoever holds a ticket from before would go on under a certificate that was taken away.
#[tokio::test]
async fn a_session_of_a_certificate_that_was_replaced_is_not_resumed() {
    let house = House::with_tls(PUBLIC, "").await;
    let before = house.certificate.clone();
    let after = h2::certificate(house.folder(), support::gateway::HOST);
    let pair = ["tls.crt", "tls.key"].map(|name| (name, std::fs::read(house.folder().join(name)).unwrap()));
    let client = Client::trusting([&before, &after]);
    let connect = async || {
        let mut connection = client.connect(house.gateway).await.unwrap();
        // Tickets come with the first answer.
        assert_eq!(connection.ask(&get("/", &[])).await, 200);
        connection
    };
    house.reload().await.unwrap();
    connect().await;
    assert!(connect().await.is_resumed());
    house.reload().await.unwrap();
    assert!(connect().await.is_resumed(), "nothing has changed");

    h2::certificate(house.folder(), support::gateway::HOST);
    house.reload().await.unwrap();
    assert!(
        client.connect(house.gateway).await.is_err(),
        "a full handshake, with a certificate that nobody knows"
    );
    for (name, contents) in pair {
        std::fs::write(house.folder().join(name), contents).unwrap();
    }
    house.reload().await.unwrap();
    let again = connect().await;
    assert!(!again.is_resumed());
    assert_eq!(again.certificate(), after);
}

#[tokio::test]
async fn a_half_written_pair_is_rejected_and_the_old_one_stays_until_it_is_whole() {
    let house = House::with_tls(PUBLIC, "").await;
    let before = house.certificate.clone();
    let key = std::fs::read(house.folder().join("tls.key")).unwrap();
    let after = h2::certificate(house.folder(), support::gateway::HOST);
    let new_key = std::fs::read(house.folder().join("tls.key")).unwrap();
    std::fs::write(house.folder().join("tls.key"), key).unwrap();
    let client = Client::trusting([&before, &after]);
    let rejected = async || house.metric("keyproof_config_reloads_total", &["rejected"]).await > 0.0;
    by_itself(rejected).await;
    assert_eq!(client.connect(house.gateway).await.unwrap().certificate(), before);
    assert_eq!(house.metric("keyproof_config_last_reload_successful", &[]).await, 0.0);
    let why = house.version().await["last_reload"]["why"].to_string();
    assert!(
        why.contains("listeners[0].tls.private_key: the private key does not belong to the certificate"),
        "{why}"
    );
    assert!(house.admin_page("/readyz").await.text().contains("the last reload was rejected"));

    std::fs::write(house.folder().join("tls.key"), new_key).unwrap();
    by_itself(async || client.connect(house.gateway).await.unwrap().certificate() == after).await;
    assert_eq!(house.metric("keyproof_config_last_reload_successful", &[]).await, 1.0);
    assert_eq!(house.version().await["last_reload"]["result"], "success");
}

//! Trust in certificates that a reload gives, and takes away.

use crate::client::Client;
use crate::handshake::{house, with_token_of};
use crate::identity::{Authority, Identity};
use serde_json::json;
use std::time::Duration;
use support::gateway::{House, get};
use support::raw::{PATIENCE, Raw};

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }";
const CLIENT_CA: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_ca: clients.crt }";
const ANY: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_certificates: any }";
const NONE: &str = "tls: { certificate: tls.crt, private_key: tls.key }";

#[tokio::test]
async fn trust_in_an_authority_ends_with_the_next_request_on_open_connections_too() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let house = house(&before, CLIENT_CA, ROUTES).await;
    let client = before.client();
    let request = with_token_of(&house, &client);
    let mut connection = Client::new(&house.certificate, Some(&client)).connect(house.gateway).await.unwrap();
    assert_eq!(connection.ask(&request).await.unwrap().status, 200);

    let write = |text: String| std::fs::write(house.folder().join("clients.crt"), text).unwrap();
    write(after.pem());
    house.reload().await.unwrap();
    let refused = connection.ask(&request).await.unwrap();
    let line = house.log.line_of(&refused).await;
    assert_eq!((refused.status, &line["reason"]), (401, &json!("certificate_missing")));
    assert_eq!(line["certificate"], "no authority that is trusted now vouches for it");

    // Where the new list has it too, nobody has to connect again.
    write(before.pem() + &after.pem());
    house.reload().await.unwrap();
    assert_eq!(connection.ask(&request).await.unwrap().status, 200);
    house.reload_with(CLIENT_CA, ANY).await;
    assert_eq!(connection.ask(&request).await.unwrap().status, 200);
    house.reload_with(ANY, NONE).await;
    assert_eq!(connection.ask(&request).await.unwrap().status, 401);
    house.reload_with(NONE, CLIENT_CA).await;
    assert_eq!(connection.ask(&request).await.unwrap().status, 200, "it is what the handshake proved");
}

#[tokio::test]
async fn an_authority_that_is_swapped_on_disk_is_in_force_by_itself() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let house = house(&before, CLIENT_CA, ROUTES).await;
    let client = after.client();
    let request = with_token_of(&house, &client);
    let connect = async || Client::new(&house.certificate, Some(&client)).ask(house.gateway, &request).await;
    assert!(connect().await.is_err(), "nobody vouches for it yet");
    // A half-written file changes nothing.
    std::fs::write(house.folder().join("clients.crt"), &after.pem()[..200]).unwrap();
    let rejected = async || house.metric("keyproof_config_reloads_total", &["rejected"]).await > 0.0;
    by_itself(rejected).await;
    std::fs::write(house.folder().join("clients.crt"), after.pem()).unwrap();
    by_itself(async || connect().await.is_ok_and(|answer| answer.status == 200)).await;
}

#[tokio::test]
async fn no_ticket_outlives_the_authority_that_vouched_for_it() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let house = house(&before, CLIENT_CA, ROUTES).await;
    let identity = before.client();
    let request = with_token_of(&house, &identity);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::of(&house.certificate, version, Some(&identity));
        let ask = async || {
            let mut connection = client.connect(house.gateway).await?;
            let answer = connection.ask(&request).await?;
            Ok::<_, std::io::Error>((connection.is_resumed(), answer.status))
        };
        ask().await.unwrap();
        assert_eq!(ask().await.unwrap(), (true, 200));
        house.reload().await.unwrap();
        assert_eq!(ask().await.unwrap(), (true, 200), "nothing has changed");
        for authority in [&after, &before] {
            std::fs::write(house.folder().join("clients.crt"), authority.pem()).unwrap();
            house.reload().await.unwrap();
            match ask().await {
                Ok(found) => assert_eq!((std::ptr::eq(authority, &before), found), (true, (false, 200))),
                Err(_) => assert!(std::ptr::eq(authority, &after)),
            }
        }
    }
}

#[tokio::test]
async fn a_front_that_is_trusted_no_more_names_no_certificate_with_its_next_request() {
    let house = House::with_routes(ROUTES).await;
    let public = "name: public, address: \"127.0.0.1:0\"";
    let trusting = |network: &str| {
        format!("{public}, trusted_proxies: [{network}], client_certificate: {{ header: Client-Cert }}")
    };
    house.reload_with(public, &trusting("127.0.0.1/32")).await;
    let identity = Identity::self_signed();
    let token = format!("Bearer {}", house.token(json!({ "cnf": identity.cnf() })));
    let field = crate::fronts::rfc9440(&identity.der);
    let request = get("/orders", &[("authorization", &token), ("client-cert", &field)]);
    let mut connection = Raw::connect(house.gateway).await;
    let mut ask = async || {
        connection.send(&request).await;
        connection.answer().await.unwrap().status
    };
    assert_eq!(ask().await, 200);
    house.reload_with(&trusting("127.0.0.1/32"), &trusting("192.0.2.1/32")).await;
    assert_eq!(ask().await, 401);
    house.reload_with(&trusting("192.0.2.1/32"), &trusting("127.0.0.1/32")).await;
    assert_eq!(ask().await, 200);
    house.reload_with(", client_certificate: { header: Client-Cert }", "").await;
    assert_eq!(ask().await, 401, "nobody is asked for one any more");
}

/// Waits until this is so; it has to be, in time.
async fn by_itself(is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("in time");
}

//! The admin address: where it is, and for whom.

use super::configuration::ROUTES;
use super::{by_itself, free};
use std::net::SocketAddr;
use support::gateway::{House, not_loopback};
use support::raw::Raw;

const HERE: &str = "admin: { address: \"127.0.0.1:0\" }";
const TOKEN: &str = "a-token-that-is-as-long-as-tokens-have-to-be";

/// The status of `GET` with these fields.
async fn ask(at: SocketAddr, path: &str, fields: &[(&str, &str)]) -> u16 {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut client = Raw::connect(at).await;
    client.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).await;
    client.answer().await.unwrap().status
}

#[tokio::test]
async fn the_admin_address_moves() {
    let house = House::with_routes(ROUTES).await;
    let to = free();
    house.reload_with(HERE, &format!("admin: {{ address: \"{to}\" }}")).await;
    assert_eq!(ask(to, "/livez", &[("host", "localhost")]).await, 200);
    while tokio::net::TcpStream::connect(house.admin).await.is_ok() {}
}

#[tokio::test]
async fn a_name_is_taken_from_the_next_reload_on_and_for_as_long_as_it_is_listed() {
    let house = House::with_routes(ROUTES).await;
    let called = async |host| {
        let all = ["/config", "/metrics", "/version", "/nowhere", "/livez", "/readyz"];
        let mut found = Vec::new();
        for path in all {
            found.push(ask(house.admin, path, &[("host", host)]).await);
        }
        found
    };
    let (no, yes) = ([421, 421, 421, 421, 200, 200], [200, 200, 200, 404, 200, 200]);
    assert_eq!((called("localhost").await, called("gateway.internal").await), (yes.into(), no.into()));
    let named = "admin: { address: \"127.0.0.1:0\", hosts: [Gateway.Internal] }";
    house.reload_with(HERE, named).await;
    assert_eq!((called("localhost").await, called("gateway.internal:1").await), (yes.into(), yes.into()));
    assert_eq!(called("rebound.test").await, no);
    house.reload_with(named, HERE).await;
    assert_eq!(called("gateway.internal").await, no);
}

#[tokio::test]
async fn a_token_lets_in_from_other_machines_and_is_read_again_by_itself() {
    let Some(own) = not_loopback() else { return };
    let house = House::with_routes(ROUTES).await;
    let at = SocketAddr::new(own, free().port());
    let write = |text: &str| std::fs::write(house.folder().join("admin"), text).unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let ask = async |token: &str| {
        let fields = [("host", "10.0.0.1"), ("authorization", token)];
        (
            ask(at, "/config", &fields).await,
            ask(at, "/doctor", &fields).await,
            ask(at, "/version", &fields).await,
        )
    };
    let (no, yes) = ((404, 404, 200), (200, 404, 200));
    let everywhere = format!("admin: {{ address: \"0.0.0.0:{}\" }}", at.port());
    house.reload_with(HERE, &everywhere).await;
    assert_eq!(ask(&bearer(TOKEN)).await, no, "there is no token");

    write(&format!("{TOKEN}\n"));
    let with_token = everywhere.replace(" }", ", token_file: admin }");
    house.reload_with(&everywhere, &with_token).await;
    assert_eq!((ask(&bearer(TOKEN)).await, ask("").await, ask(&bearer("else")).await), (yes, no, no));
    let near = SocketAddr::from(([127, 0, 0, 1], at.port()));
    assert_eq!(super::admin::ask(near, "/config", &[("host", "localhost")]).await, 200);

    // Nobody asks for a reload.
    let other = TOKEN.replace("token", "other");
    write(&other);
    by_itself(async || ask(&bearer(&other)).await == yes).await;
    assert_eq!(ask(&bearer(TOKEN)).await, no, "the one of before");
    // Half of it: what runs runs on.
    write("");
    by_itself(async || ask(&bearer(&other)).await == yes && rejected(near).await).await;
    house.reload_with(&with_token, &everywhere).await;
    assert_eq!(ask(&bearer(&other)).await, no, "it is taken away");
}

async fn rejected(at: SocketAddr) -> bool {
    let mut client = Raw::connect(at).await;
    client.send("GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    client.answer().await.unwrap().text().contains("holds no token that can be sent as Bearer")
}

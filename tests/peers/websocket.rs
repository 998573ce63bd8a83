//! WebSocket between real peers: Python's `websockets` and npm's `ws`, each on either side.

use super::{found, output, start};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use support::gateway::House;

const PYTHON: &str = "target/websockets/bin/python";
const ROUTES: &str = "
  - { name: chat, match: { path: /chat }, upstream: legacy, upgrades: [websocket], identity: { headers: { X-Auth-Subject: sub } } }";

/// A program and the script that it runs.
type Peer = (&'static str, &'static str);

/// Those that are there.
fn peers() -> Vec<Peer> {
    let node = found(&["node"]).filter(|_| {
        let ws = "tests/interop/node_modules/ws/package.json";
        Path::new(ws).exists() || found(&[ws]).is_some()
    });
    let python = found(&[PYTHON]);
    let with = |program: Option<&'static str>, script| program.map(|program| (program, script));
    [with(python, "tests/peers/websocket.py"), with(node, "tests/peers/websocket.mjs")]
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test]
async fn websockets_and_ws_talk_through_it_in_every_pair() {
    let peers = peers();
    for server in &peers {
        let (_server, address) = start(Command::new(server.0).args([server.1, "server"]));
        let house = House::with_routes(ROUTES).await;
        let from = format!("http://{}", house.upstream.address);
        house.reload_with(&from, &format!("http://{address}")).await;
        for client in &peers {
            let said = talk(client, &house).await;
            let expected = json!({
                "greeting": "alice", "subprotocol": "chat.v2", "text": "hello", "bytes": true, "pong": true, "close": 4001,
            });
            assert_eq!(said, expected, "{client:?} with {server:?}");
        }
    }
}

async fn talk((program, script): &Peer, house: &House) -> Value {
    let token = house.token(json!({}));
    let proof = house.proof(&token, json!({ "htu": "https://api.test/chat" }));
    let given = json!({ "headers": { "Authorization": format!("DPoP {token}"), "DPoP": proof } });
    let mut command = Command::new(program);
    let (host, port) = (house.gateway.ip().to_string(), house.gateway.port().to_string());
    let output = output(command.args([script, "client", &host, &port]), given.to_string()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

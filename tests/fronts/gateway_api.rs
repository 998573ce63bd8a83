//! The manifest for clusters with the Gateway API: no cluster runs here, but its schema is known. `tests/fronts/manifest` compares it with the
//! API's own types.

use serde_json::{Value, json};
use std::path::Path;

const NO_CLUSTER: &str = include_str!("external_auth.schema.json");

fn manifest() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/front/gateway-api.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn is_valid(route: &Value) -> bool {
    jsonschema::validator_for(&serde_json::from_str(NO_CLUSTER).unwrap()).unwrap().is_valid(route)
}

#[test]
fn the_manifest_is_what_its_schema_takes() {
    let [route, service] = &manifest()[..] else { panic!("a route and a service") };
    assert!(is_valid(route), "{route:#}");
    let asks = &route["spec"]["rules"][0]["filters"][0]["externalAuth"];
    // Every header is sent: keyproof must see them all.
    assert_eq!(asks["grpc"], json!({}));
    assert_eq!(asks["backendRef"]["name"], service["metadata"]["name"]);
    let port = &service["spec"]["ports"][0];
    assert_eq!(
        (&port["port"], &port["appProtocol"]),
        (&asks["backendRef"]["port"], &json!("kubernetes.io/h2c"))
    );
    // The schema can say no.
    for (pointer, wrong) in [
        ("/spec/rules/0/filters/0/externalAuth/protocol", json!("HTTP")),
        ("/spec/rules/0/filters/0/externalAuth/grpc", json!({ "allowedHeader": [] })),
        ("/spec/rules/0/filters/0/externalAuth/backendRef", json!({ "name": "keyproof-decisions" })),
        ("/spec/rules/0/filters/0/type", json!("ExtAuth")),
    ] {
        let mut route = route.clone();
        *route.pointer_mut(pointer).unwrap() = wrong;
        assert!(!is_valid(&route), "{pointer}");
    }
}

//! `deploy/front/gateway-api.yaml` by the types that are made from the Gateway API's own CRDs (experimental channel).

use gateway_api::apis::experimental::httproutes::HttpRoute;
use serde_json::{Value, json};

const MANIFEST: &str = include_str!("../../../../deploy/front/gateway-api.yaml");

/// The route, read as the API has it and written again: what it does not know is gone.
fn known(route: &Value) -> Result<Value, serde_json::Error> {
    let route: HttpRoute = serde_json::from_value(route.clone())?;
    serde_json::to_value(route)
}

#[test]
fn the_api_knows_all_of_the_route() {
    let text = MANIFEST.split("\n---\n").next().unwrap();
    let route: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(known(&route).unwrap(), route);
    for (pointer, wrong) in [
        ("/spec/rules/0/filters/0/type", json!("ExtAuth")),
        ("/spec/rules/0/filters/0/externalAuth/protocol", json!("gRPC")),
        ("/spec/rules/0/filters/0/externalAuth/grpc", json!({ "allowedHeader": [] })),
        ("/spec/rules/0/filters/0/externalAuth/backendRef", json!({ "port": 4181 })),
        ("/spec/rules/0/filters/0/externalAuth/backendRef/port", json!("grpc")),
    ] {
        let mut other = route.clone();
        *other.pointer_mut(pointer).unwrap() = wrong;
        assert!(known(&other).map_or(true, |known| known != other), "{pointer}");
    }
}

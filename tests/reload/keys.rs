//! Every key of the configuration, changed by a reload: in force, or refused with a reason. A key without a row fails here.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::gateway::{House, get};

/// What shows that a key is in force, or why it is not.
enum Shows {
    /// The status of a good request to `/orders`, before and after.
    Good(u16, u16),
    /// The same with these changes to the token's claims.
    Token(Value, u16, u16),
    /// The same with these changes to the token's header.
    TokenHeader(Value, u16, u16),
    /// The same with these changes to the proof's claims.
    Proof(Value, u16, u16),
    /// The status of `GET` without credentials for this path.
    Open(&'static str, u16, u16),
    /// The upstream sees this header of a good request, after and not before.
    Upstream(&'static str, &'static str),
    /// The upstream sees this path of a good request.
    Path(&'static str),
    /// `/metrics` has this, after and not before.
    Metric(&'static str),
    /// The answer to a good request has this header, after and not before.
    Answer(&'static str),
    /// `/config` says this at this place: a request would show it only by waiting.
    Effective(&'static str, Value),
    /// A test of its own shows it.
    Elsewhere,
    /// It is rejected for this reason.
    Refused(&'static str),
}
use Shows::{
    Answer, Effective, Elsewhere, Good, Metric, Open, Path, Proof, Refused, Token, TokenHeader, Upstream,
};

const ORDERS: &str = "upstream: legacy, accept: [dpop] }";
const KEYS: &str = "jwks_file: jwks.json }";
const PUBLIC: &str = "name: public, address: \"127.0.0.1:0\" }";
const SERVERS: &str = "name: legacy, ";

/// Key, what is replaced, by what, and what shows it.
#[expect(clippy::too_many_lines, reason = "a table has as many lines as rows")]
fn rows() -> Vec<(&'static str, &'static str, &'static str, Shows)> {
    let dpop = "dpop: { max_age: 60s }";
    let replay = "replay: { store: memory }";
    // Nobody answers there, so that a token which is asked about is refused.
    let introspection = "jwks_file: jwks.json, introspection: { endpoint: \"http://127.0.0.1:1/i\", client_id: me, client_secret_file: secret, for: all } }";
    let redis = "replay: { store: redis, redis: { url: \"redis://127.0.0.1:1/0\", sentinel_password_file: secret, timeout: 20ms, on_failure: accept, assume_noeviction: true } }";
    let restart = "cannot change without a restart";
    vec![
        ("watch", "routes:\n", "watch: true\nroutes:\n", Elsewhere),
        (
            "listeners[].name",
            "name: public",
            "name: other",
            Metric("keyproof_connections{listener=\"other\"}"),
        ),
        ("listeners[].address", PUBLIC, PUBLIC, Elsewhere),
        ("listeners[].tls.certificate", PUBLIC, PUBLIC, Elsewhere),
        ("listeners[].tls.private_key", PUBLIC, PUBLIC, Elsewhere),
        (
            "listeners[].tls.client_ca",
            PUBLIC,
            "name: public, address: \"127.0.0.1:0\", tls: { certificate: tls.crt, private_key: tls.key, client_ca: none.crt } }",
            Refused("cannot read \"none.crt\""),
        ),
        ("listeners[].tls.client_certificates", PUBLIC, PUBLIC, Elsewhere),
        (
            "listeners[].client_certificate.header",
            PUBLIC,
            "name: public, address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1], client_certificate: { header: Host } }",
            Refused("\"Host\" has a meaning of its own and cannot carry a certificate"),
        ),
        (
            "listeners[].client_certificate.format",
            PUBLIC,
            "name: public, address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1], client_certificate: { format: xfcc } }",
            Refused("only the format rfc9440 has a header of its own"),
        ),
        (
            "listeners[].mode",
            PUBLIC,
            "name: public, address: \"127.0.0.1:0\", mode: forward_auth, trusted_proxies: [127.0.0.1] }",
            Open("/open", 200, 400),
        ),
        ("listeners[].trusted_proxies", PUBLIC, PUBLIC, Elsewhere),
        ("limits.drain_timeout", PUBLIC, PUBLIC, Elsewhere),
        ("limits.drain_delay", PUBLIC, PUBLIC, Elsewhere),
        ("admin.address", PUBLIC, PUBLIC, Elsewhere),
        ("admin.token_file", PUBLIC, PUBLIC, Elsewhere),
        ("admin.hosts", PUBLIC, PUBLIC, Elsewhere),
        ("public_origins", "[\"https://api.test\", ", "[", Good(200, 421)),
        (
            "issuers[].name",
            "name: main",
            "name: other",
            Metric("keyproof_jwks_age_seconds{issuer=\"other\"}"),
        ),
        (
            "issuers[].issuer",
            "issuer: \"https://id.test\"",
            "issuer: \"https://new.test\"",
            Token(json!({ "iss": "https://new.test" }), 401, 200),
        ),
        (
            "issuers[].audiences",
            "[\"https://api.test\"], jwks",
            "[\"https://new.test\"], jwks",
            Token(json!({ "aud": "https://new.test" }), 401, 200),
        ),
        (
            "issuers[].jwks_uri",
            KEYS,
            "jwks_uri: \"http://127.0.0.1:1/jwks\" }",
            Refused("main has no keys yet"),
        ),
        ("issuers[].jwks_file", KEYS, "jwks_file: none.json }", Refused("cannot read \"none.json\"")),
        (
            "issuers[].insecure_http",
            KEYS,
            "jwks_uri: \"http://id.invalid/jwks\", insecure_http: true }",
            Refused("main has no keys yet"),
        ),
        ("issuers[].algorithms", KEYS, "jwks_file: jwks.json, algorithms: [EdDSA] }", Good(200, 401)),
        (
            "issuers[].token_types",
            KEYS,
            "jwks_file: jwks.json, token_types: [JWT] }",
            TokenHeader(json!({ "typ": "JWT" }), 401, 200),
        ),
        (
            "issuers[].claims.client_id",
            KEYS,
            "jwks_file: jwks.json, claims: { client_id: [cid] } }",
            Token(json!({ "client_id": null, "cid": "shop" }), 401, 200),
        ),
        (
            "issuers[].claims.scope",
            KEYS,
            "jwks_file: jwks.json, claims: { scope: [scp] } }",
            Upstream("x-auth-scope", "from scp"),
        ),
        (
            "issuers[].required_claims",
            KEYS,
            "jwks_file: jwks.json, required_claims: [sub] }",
            Token(json!({ "client_id": null }), 401, 200),
        ),
        (
            "issuers[].leeway",
            KEYS,
            "jwks_file: jwks.json, leeway: 60s }",
            Token(json!({ "exp": support::gateway::NOW.as_secs() - 30 }), 401, 200),
        ),
        ("issuers[].ca", KEYS, "jwks_file: jwks.json, ca: none.crt }", Refused("cannot read \"none.crt\"")),
        (
            "issuers[].max_stale",
            KEYS,
            "jwks_file: jwks.json, max_stale: 1h }",
            Effective("/issuers/0/max_stale", json!("1h")),
        ),
        ("issuers[].introspection.endpoint", KEYS, introspection, Good(200, 503)),
        ("issuers[].introspection.client_id", KEYS, introspection, Good(200, 503)),
        ("issuers[].introspection.client_secret_file", KEYS, introspection, Good(200, 503)),
        ("issuers[].introspection.for", KEYS, introspection, Good(200, 503)),
        ("issuers[].introspection.auth", KEYS, KEYS, Elsewhere),
        ("issuers[].introspection.private_key_file", KEYS, KEYS, Elsewhere),
        (
            "issuers[].introspection.certificate",
            KEYS,
            "jwks_file: jwks.json, introspection: { endpoint: \"http://127.0.0.1:1/i\", client_id: me, auth: tls_client_auth, certificate: none.crt, private_key: tls.key } }",
            Refused("cannot read \"none.crt\""),
        ),
        (
            "issuers[].introspection.private_key",
            KEYS,
            "jwks_file: jwks.json, introspection: { endpoint: \"http://127.0.0.1:1/i\", client_id: me, auth: tls_client_auth, certificate: tls.crt, private_key: none.key } }",
            Refused("cannot read \"none.key\""),
        ),
        ("issuers[].introspection.cache", KEYS, KEYS, Elsewhere),
        ("issuers[].introspection.timeout", KEYS, KEYS, Elsewhere),
        ("issuers[].introspection.concurrency", KEYS, KEYS, Elsewhere),
        ("issuers[].introspection.signed", KEYS, KEYS, Elsewhere),
        ("denied_file", "routes:\n", "denied_file: denied\nroutes:\n", Good(200, 401)),
        (
            "dpop.hot_keys",
            dpop,
            "dpop: { max_age: 60s, hot_keys: 7 }",
            Metric("keyproof_hot_keys_capacity 7\n"),
        ),
        ("dpop.algorithms", dpop, "dpop: { algorithms: [EdDSA] }", Good(200, 401)),
        (
            "dpop.max_age",
            dpop,
            "dpop: { max_age: 20s }",
            Proof(json!({ "iat": support::gateway::NOW.as_secs() - 30 }), 200, 401),
        ),
        (
            "dpop.leeway",
            dpop,
            "dpop: { max_age: 60s, leeway: 0s }",
            Proof(json!({ "iat": support::gateway::NOW.as_secs() + 5 }), 200, 401),
        ),
        ("dpop.nonce.lifetime", dpop, dpop, Elsewhere),
        ("dpop.nonce.secret_file", dpop, dpop, Elsewhere),
        ("replay.store", replay, redis, Refused(restart)),
        ("replay.capacity", replay, "replay: { capacity: 1 }", Metric("keyproof_replay_capacity 1\n")),
        ("replay.per_key_limit", replay, "replay: { per_key_limit: 1 }", Good(200, 429)),
        ("replay.per_subject_limit", replay, "replay: { per_subject_limit: 1 }", Good(200, 429)),
        ("replay.journal", replay, "replay: { journal: state }", Refused(restart)),
        ("replay.on_start", replay, replay, Elsewhere),
        ("replay.redis.url", replay, redis, Refused(restart)),
        ("replay.redis.sentinel_password_file", replay, redis, Refused(restart)),
        ("replay.redis.timeout", replay, redis, Refused(restart)),
        ("replay.redis.on_failure", replay, redis, Refused(restart)),
        ("replay.redis.assume_noeviction", replay, redis, Refused(restart)),
        ("upstreams[].name", "name: legacy, ", "name: other, ", Refused("no upstream is named \"legacy\"")),
        ("upstreams[].host", SERVERS, "name: legacy, host: server, ", Upstream("host", "127.0.0.1:")),
        // The upstream speaks HTTP/1.1 alone.
        ("upstreams[].protocol", SERVERS, "name: legacy, protocol: http2, ", Good(200, 502)),
        ("upstreams[].balance", SERVERS, SERVERS, Elsewhere),
        ("upstreams[].resolve", SERVERS, SERVERS, Elsewhere),
        (
            "upstreams[].connections",
            SERVERS,
            "name: legacy, connections: 7, ",
            Effective("/upstreams/0/connections", json!(7)),
        ),
        (
            "upstreams[].eject",
            SERVERS,
            "name: legacy, eject: off, ",
            Effective("/upstreams/0/eject", json!("off")),
        ),
        (
            "upstreams[].health.path",
            SERVERS,
            "name: legacy, health: { path: /healthz }, ",
            Effective("/upstreams/0/health/path", json!("/healthz")),
        ),
        (
            "upstreams[].health.interval",
            SERVERS,
            "name: legacy, health: { path: /, interval: 7s }, ",
            Effective("/upstreams/0/health/interval", json!("7s")),
        ),
        (
            "upstreams[].health.timeout",
            SERVERS,
            "name: legacy, health: { path: /, timeout: 1s }, ",
            Effective("/upstreams/0/health/timeout", json!("1s")),
        ),
        (
            "upstreams[].health.unhealthy_after",
            SERVERS,
            "name: legacy, health: { path: /, unhealthy_after: 7 }, ",
            Effective("/upstreams/0/health/unhealthy_after", json!(7)),
        ),
        (
            "upstreams[].health.healthy_after",
            SERVERS,
            "name: legacy, health: { path: /, healthy_after: 7 }, ",
            Effective("/upstreams/0/health/healthy_after", json!(7)),
        ),
        (
            "upstreams[].tls.ca",
            SERVERS,
            "name: legacy, tls: { ca: none.crt }, ",
            Refused("cannot read \"none.crt\""),
        ),
        (
            "upstreams[].tls.certificate",
            SERVERS,
            "name: legacy, tls: { certificate: none.crt, private_key: tls.key }, ",
            Refused("cannot read \"none.crt\""),
        ),
        (
            "upstreams[].tls.private_key",
            SERVERS,
            "name: legacy, tls: { certificate: tls.crt, private_key: none.key }, ",
            Refused("cannot read \"none.key\""),
        ),
        ("upstreams[].tls.server_name", SERVERS, SERVERS, Elsewhere),
        (
            "upstreams[].servers",
            "servers: [\"http",
            "servers: [\"http://127.0.0.1:1\"] }\n  - { name: unused, servers: [\"http",
            Good(200, 502),
        ),
        ("upstreams[].timeouts.connect", SERVERS, SERVERS, Elsewhere),
        ("upstreams[].timeouts.response", SERVERS, SERVERS, Elsewhere),
        ("upstreams[].timeouts.idle", SERVERS, SERVERS, Elsewhere),
        (
            "routes[].upgrades",
            ORDERS,
            "upstream: legacy, upgrades: [websocket] }",
            Effective("/routes/0/upgrades", json!(["websocket"])),
        ),
        (
            "routes[].streams_end",
            ORDERS,
            "upstream: legacy, streams_end: token_expiry }",
            Effective("/routes/0/streams_end", json!("token_expiry")),
        ),
        ("routes[].timeouts.connect", ORDERS, ORDERS, Elsewhere),
        ("routes[].timeouts.response", ORDERS, ORDERS, Elsewhere),
        ("routes[].timeouts.idle", ORDERS, ORDERS, Elsewhere),
        (
            "routes[].headers.request.set",
            ORDERS,
            "upstream: legacy, headers: { request: { set: { X-Set: here } } } }",
            Upstream("x-set", "here"),
        ),
        (
            "routes[].headers.request.set_file",
            ORDERS,
            "upstream: legacy, headers: { request: { set_file: { X-Set: secret } } } }",
            Upstream("x-set", "a secret"),
        ),
        (
            "routes[].headers.request.remove",
            ORDERS,
            "upstream: legacy, headers: { request: { remove: [none at all] } } }",
            Refused("\"none at all\" is not a header name"),
        ),
        (
            "routes[].headers.response.set",
            ORDERS,
            "upstream: legacy, headers: { response: { set: { X-Set: here } } } }",
            Answer("x-set"),
        ),
        (
            "routes[].headers.response.set_file",
            ORDERS,
            "upstream: legacy, headers: { response: { set_file: { X-Set: secret } } } }",
            Answer("x-set"),
        ),
        (
            "routes[].headers.response.remove",
            ORDERS,
            "upstream: legacy, headers: { response: { remove: [Content-Length] } } }",
            Refused("frames the message"),
        ),
        (
            "routes[].name",
            "name: orders",
            "name: renamed",
            Metric("keyproof_request_duration_seconds_count{route=\"renamed\"}"),
        ),
        ("routes[].match.hosts", "path: /orders }", "path: /orders, hosts: [other.test] }", Good(200, 404)),
        ("routes[].match.path", "path: /orders", "path: /else", Good(200, 404)),
        ("routes[].match.methods", "path: /orders }", "path: /orders, methods: [POST] }", Good(200, 405)),
        (
            "routes[].upstream",
            "{ name: open, match: { path: /open }, upstream: legacy",
            "{ name: open, match: { path: /open }, upstream: nowhere",
            Refused("no upstream is named \"nowhere\""),
        ),
        ("routes[].accept", ORDERS, "upstream: legacy, accept: [bearer] }", Good(200, 401)),
        ("routes[].public", ORDERS, "upstream: legacy, public: true }", Open("/orders", 401, 200)),
        ("routes[].mode", ORDERS, "upstream: legacy, mode: observe }", Open("/orders", 401, 200)),
        ("routes[].nonce", ORDERS, "upstream: legacy, nonce: required }", Good(200, 401)),
        (
            "routes[].issuers",
            ORDERS,
            "upstream: legacy, issuers: [nobody] }",
            Refused("no issuer is named \"nobody\""),
        ),
        ("routes[].scopes", ORDERS, "upstream: legacy, scopes: [admin] }", Good(200, 403)),
        ("routes[].replace_prefix", ORDERS, "upstream: legacy, replace_prefix: /v1 }", Path("/v1")),
        ("routes[].strip_prefix", ORDERS, "upstream: legacy, strip_prefix: /orders }", Path("/")),
        (
            "routes[].encoded_slashes",
            "path: /open }, upstream: legacy",
            "path: /open }, upstream: legacy, encoded_slashes: keep",
            Open("/open/a%2Fb", 400, 200),
        ),
        (
            "routes[].identity.headers",
            ORDERS,
            "upstream: legacy, identity: { headers: { X-Who: sub } } }",
            Upstream("x-who", "alice"),
        ),
        (
            "routes[].identity.authorization",
            ORDERS,
            "upstream: legacy, identity: { authorization: keep } }",
            Upstream("authorization", "DPoP "),
        ),
        (
            "routes[].cors.origins",
            ORDERS,
            "upstream: legacy, cors: { origins: [\"https://app.test\"] } }",
            Answer("vary"),
        ),
    ]
}

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [dpop] }
  - { name: open, match: { path: /open }, upstream: legacy, public: true }";

#[tokio::test]
async fn every_key_that_is_changed_is_in_force_or_refused_with_a_reason() {
    let rows = rows();
    let described: BTreeSet<String> = rows.iter().map(|(key, ..)| (*key).to_owned()).collect();
    let schema: Value = serde_json::from_str(&keyproof::config::schema()).unwrap();
    let mut known = BTreeSet::new();
    keys(&schema, "", &mut known);
    assert_eq!(
        known.difference(&described).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "give each a row above"
    );
    assert_eq!(
        described.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "there is no such key"
    );
    for (key, from, to, shows) in rows {
        if !matches!(shows, Elsewhere) {
            check(key, from, to, shows).await;
        }
    }
}

/// Every key that has no keys below it.
fn keys(schema: &Value, path: &str, known: &mut BTreeSet<String>) {
    let below = |schema: &Value| schema["properties"].as_object().filter(|all| !all.is_empty()).cloned();
    let (schema, path) = match below(&schema["items"]) {
        Some(_) => (&schema["items"], format!("{path}[]")),
        None => (schema, path.to_owned()),
    };
    match below(schema) {
        Some(all) => {
            for (name, schema) in &all {
                keys(schema, format!("{path}.{name}").trim_start_matches('.'), known);
            }
        }
        None => drop(known.insert(path)),
    }
}

/// A gateway whose configuration has what the rows replace, and two origins.
async fn house() -> House {
    let house = House::with(ROUTES, "dpop: { max_age: 60s }\nreplay: { store: memory }").await;
    std::fs::write(house.folder().join("denied"), "sub:alice").unwrap();
    let origins = "public_origins: [\"https://api.test\", \"https://other.test\"] # ";
    house.reload_with("public_origins: [", origins).await;
    house
}

async fn check(key: &str, from: &str, to: &str, shows: Shows) {
    let house = house().await;
    let edit = || {
        house.edit(from, to);
        house.reload()
    };
    let ask = async |header: Value, token: Value, proof: Value| {
        let token = house.token_with(header, token);
        let proof = house.proof(&token, proof);
        house.send(get("/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])).await
    };
    match shows {
        Good(before, after) => {
            assert_eq!(house.good().await.status, before, "{key} before");
            edit().await.unwrap();
            assert_eq!(house.good().await.status, after, "{key} after");
        }
        Token(changes, before, after) => {
            assert_eq!(ask(json!({}), changes.clone(), json!({})).await.status, before, "{key} before");
            edit().await.unwrap();
            assert_eq!(ask(json!({}), changes, json!({})).await.status, after, "{key} after");
        }
        TokenHeader(changes, before, after) => {
            assert_eq!(ask(changes.clone(), json!({}), json!({})).await.status, before, "{key} before");
            edit().await.unwrap();
            assert_eq!(ask(changes, json!({}), json!({})).await.status, after, "{key} after");
        }
        Proof(changes, before, after) => {
            assert_eq!(ask(json!({}), json!({}), changes.clone()).await.status, before, "{key} before");
            edit().await.unwrap();
            assert_eq!(ask(json!({}), json!({}), changes).await.status, after, "{key} after");
        }
        Open(path, before, after) => {
            assert_eq!(house.send(get(path, &[])).await.status, before, "{key} before");
            edit().await.unwrap();
            assert_eq!(house.send(get(path, &[])).await.status, after, "{key} after");
        }
        Upstream(name, value) => {
            let seen = || house.upstream.seen().last().and_then(|seen| seen.header(name).map(str::to_owned));
            ask(json!({}), json!({ "scp": "from scp" }), json!({})).await;
            assert!(!seen().is_some_and(|seen| seen.starts_with(value)), "{key} before");
            edit().await.unwrap();
            ask(json!({}), json!({ "scp": "from scp" }), json!({})).await;
            assert!(seen().is_some_and(|seen| seen.starts_with(value)), "{key} after: {:?}", seen());
        }
        Path(path) => {
            edit().await.unwrap();
            house.good().await;
            let line = house.upstream.seen().last().unwrap().line.clone();
            assert!(line.starts_with(&format!("GET {path} ")), "{key}: {line}");
        }
        Metric(line) => {
            let page = async || house.admin_page("/metrics").await.text();
            house.good().await;
            assert!(!page().await.contains(line), "{key} before");
            edit().await.unwrap();
            assert!(page().await.contains(line), "{key} after: {}", page().await);
        }
        Answer(name) => {
            assert_eq!(house.good().await.header(name), None, "{key} before");
            edit().await.unwrap();
            assert!(house.good().await.header(name).is_some(), "{key} after");
        }
        Effective(place, value) => {
            edit().await.unwrap();
            let shown: Value = serde_json::from_str(&house.admin_page("/config").await.text()).unwrap();
            assert_eq!(shown.pointer(place), Some(&value), "{key}: {shown}");
        }
        Refused(reason) => {
            let before = house.admin_page("/config").await.text();
            let why = edit().await.expect_err(key).to_string();
            assert!(why.contains(reason), "{key}: {why}");
            assert_eq!(house.admin_page("/config").await.text(), before, "{key}");
            assert_eq!(house.good().await.status, 200, "{key}");
        }
        Elsewhere => {}
    }
}

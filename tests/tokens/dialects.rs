//! Tokens as real issuers make them, by their public documentation: which entry takes them, and what the log says to who has not found it yet.
//!
//! The entries are those of `docs/issuers.md`. The values are invented; what is there and what it is called is not.

use serde_json::{Map, Value, json};
use std::path::Path;
use support::gateway::{House, NOW, get, merged};
use support::raw::Answer;

const ROUTES: &str = r#"
  - name: orders
    match: { path: /orders }
    upstream: legacy
    accept: [dpop, bearer]
    identity: { headers: { X-Client: client_id, X-Scope: scope, X-Subject: sub } }"#;

/// An issuer: its heading on the page, and what it makes.
struct Dialect {
    heading: &'static str,
    header: Value,
    /// Without `iss`, `iat` and `exp`, which stand in each.
    claims: Value,
    /// What its key set has beside the key that signs, and what that key has beside its numbers.
    others: Vec<Value>,
    key: Value,
    /// The token is bound to the client's key.
    binds: bool,
    /// What comes of the token with one key of the entry after the other, in the order of the page: the reason and what stands in its line, or the
    /// client that was found.
    ladder: &'static [&'static str],
    /// The scope that is found at last.
    scope: &'static str,
}

#[expect(clippy::too_many_lines, reason = "a table has as many lines as rows")]
fn dialects() -> Vec<Dialect> {
    let tenant = "8a3c1f5e-0b7d-4c2a-9e64-1d2f3a4b5c6d";
    let certificate = json!(["MIIC/zCCAeegAwIBAgIJAP7w"]);
    let p521 = json!({ "kty": "EC", "crv": "P-521", "kid": "ec521", "use": "sig", "x": "AA", "y": "AA" });
    let encrypts = json!({
        "kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "kid": "enc", "n": "0Q", "e": "AQAB", "x5c": certificate,
        "x5t": "qA", "x5t#S256": "qA",
    });
    vec![
        Dialect {
            heading: "Okta",
            header: json!({ "kid": "K1", "alg": "RS256" }),
            claims: json!({
                "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://default", "cid": "0oa5kecjfwuF4HQ4w0h7",
                "uid": "00u5kecjfwuF4HQ4w0h7", "scp": ["openid", "orders:read"], "auth_time": NOW.as_secs() - 60, "sub": "alice@example.com",
            }),
            others: vec![],
            key: json!({ "alg": "RS256", "kid": "K1", "use": "sig" }),
            binds: true,
            ladder: &[
                "token_type typ=none",
                "token_algorithm alg=RS256",
                "client -",
                "client 0oa5kecjfwuF4HQ4w0h7",
                "client 0oa5kecjfwuF4HQ4w0h7",
            ],
            scope: "openid orders:read",
        },
        Dialect {
            heading: "Entra ID, version 2",
            header: json!({ "typ": "JWT", "alg": "RS256", "kid": "K1" }),
            claims: json!({
                "aud": "6f1e2d3c-4b5a-4978-8675-645342312010", "nbf": NOW.as_secs() - 10, "aio": "ATQAy/8", "azp": "9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
                "azpacr": "1", "name": "Alice", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "alice@example.com",
                "rh": "0.AXwA", "scp": "Orders.Read Orders.Write", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenant,
                "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
            }),
            others: vec![],
            key: json!({ "use": "sig", "kid": "K1", "x5t": "K1", "x5c": certificate, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0" }),
            binds: false,
            ladder: &[
                "token_type typ=JWT",
                "token_algorithm alg=RS256",
                "client -",
                "client 9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
                "client 9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
            ],
            scope: "Orders.Read Orders.Write",
        },
        Dialect {
            heading: "Entra ID, version 1",
            header: json!({ "typ": "JWT", "alg": "RS256", "x5t": "K1", "kid": "K1" }),
            claims: json!({
                "aud": "api://orders", "nbf": NOW.as_secs() - 10, "aio": "E2ZgYHi", "appid": "9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f", "appidacr": "1",
                "idp": format!("https://sts.windows.net/{tenant}/"), "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "0.AXwA",
                "roles": ["Orders.Read.All"], "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "tid": tenant, "uti": "fqiBqXLPj0", "ver": "1.0",
            }),
            others: vec![],
            key: json!({ "use": "sig", "kid": "K1", "x5t": "K1", "x5c": certificate }),
            binds: false,
            ladder: &[
                "token_type typ=JWT",
                "token_algorithm alg=RS256",
                "client -",
                "client 9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
                "client 9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
            ],
            scope: "Orders.Read.All",
        },
        Dialect {
            heading: "Auth0",
            header: json!({ "alg": "RS256", "typ": "JWT", "kid": "K1" }),
            claims: json!({
                "sub": "auth0|507f1f77bcf86cd799439011", "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
                "azp": "my_client_id", "scope": "openid profile orders:read",
            }),
            others: vec![
                json!({ "alg": "RS256", "kty": "RSA", "use": "sig", "kid": "next", "n": "0Q", "e": "AQAB", "x5c": certificate, "x5t": "bmV4dA" }),
            ],
            key: json!({ "alg": "RS256", "kid": "K1", "use": "sig", "x5c": certificate, "x5t": "K1" }),
            binds: true,
            ladder: &[
                "token_type typ=JWT",
                "token_algorithm alg=RS256",
                "client -",
                "client my_client_id",
                "client my_client_id",
            ],
            scope: "openid profile orders:read",
        },
        Dialect {
            heading: "Auth0",
            header: json!({ "alg": "RS256", "typ": "at+jwt", "kid": "K1" }),
            claims: json!({
                "sub": "auth0|507f1f77bcf86cd799439011", "aud": "https://api.example.com", "jti": "PHtdRVN4UF", "client_id": "my_client_id",
                "scope": "orders:read",
            }),
            others: vec![],
            key: json!({ "alg": "RS256", "kid": "K1", "use": "sig" }),
            binds: true,
            ladder: &[
                "token_algorithm alg=RS256",
                "token_algorithm alg=RS256",
                "client my_client_id",
                "client my_client_id",
                "client my_client_id",
            ],
            scope: "orders:read",
        },
        Dialect {
            heading: "Keycloak",
            header: json!({ "alg": "RS256", "typ": "JWT", "kid": "K1" }),
            claims: json!({
                "jti": "onrtac:f0a5dd4a-8a3d-4f1e", "aud": ["orders", "account"], "sub": "8f1e7c52-3c1a-4a5d-9d55-6e0ff2c1b0aa", "typ": "DPoP", "azp": "shop",
                "sid": "d0c9", "acr": "1", "allowed-origins": ["https://app.example.com"], "realm_access": { "roles": ["offline_access"] },
                "resource_access": { "account": { "roles": ["view-profile"] } }, "scope": "openid profile email", "email_verified": false,
                "preferred_username": "alice",
            }),
            others: vec![encrypts.clone()],
            key: json!({ "alg": "RS256", "kid": "K1", "use": "sig", "x5c": certificate, "x5t": "qA", "x5t#S256": "qA" }),
            binds: true,
            ladder: &[
                "token_type typ=JWT",
                "token_algorithm alg=RS256",
                "client -",
                "client shop",
                "client shop",
            ],
            scope: "openid profile email",
        },
        Dialect {
            heading: "PingFederate",
            header: json!({ "alg": "RS256", "kid": "K1", "pi.atm": "1" }),
            claims: json!({ "scope": ["openid", "orders:read"], "client_id": "shop", "aud": "https://api.example.com", "Username": "alice" }),
            others: vec![
                p521,
                json!({ "kty": "EC", "crv": "P-256", "kid": "ec256", "use": "sig", "x": "AA", "y": "AA" }),
            ],
            key: json!({ "kid": "K1", "use": "sig" }),
            binds: true,
            ladder: &["token_type typ=none", "token_algorithm alg=RS256", "client shop", "client shop"],
            scope: "openid orders:read",
        },
        Dialect {
            heading: "Curity",
            header: json!({ "kid": "K1", "x5t": "QX8yB8l8", "alg": "RS256" }),
            claims: json!({
                "jti": "P$86e19f94-1c9a-4b4f", "delegationId": "b1f5c2a3", "nbf": NOW.as_secs() - 10, "scope": "openid orders:read", "sub": "alice",
                "aud": "https://api.example.com", "purpose": "access_token",
            }),
            others: vec![],
            key: json!({ "kid": "K1", "use": "sig", "alg": "RS256", "x5t": "QX8yB8l8" }),
            binds: true,
            ladder: &["token_type typ=none", "token_algorithm alg=RS256", "client -", "client -"],
            scope: "openid orders:read",
        },
        Dialect {
            heading: "Duende IdentityServer",
            header: json!({ "alg": "RS256", "kid": "K1", "typ": "at+jwt" }),
            claims: json!({
                "nbf": NOW.as_secs() - 10, "aud": "orders", "scope": ["openid", "orders.read"], "amr": ["pwd"], "client_id": "shop", "sub": "88421113",
                "auth_time": NOW.as_secs() - 60, "idp": "local", "sid": "E1", "jti": "F5B2",
            }),
            others: vec![],
            key: json!({ "use": "sig", "kid": "K1", "alg": "RS256", "key_ops": null, "x5c": null, "x5t": null, "x5u": null, "crv": null, "d": null, "k": null }),
            binds: true,
            ladder: &["token_algorithm alg=RS256", "client shop", "client shop"],
            scope: "openid orders.read",
        },
        Dialect {
            heading: "Duende IdentityServer",
            header: json!({ "alg": "RS256", "kid": "K1", "typ": "at+jwt" }),
            claims: json!({ "nbf": NOW.as_secs() - 10, "aud": "orders", "scope": ["orders.read"], "client_id": "machine", "jti": "F5B3" }),
            others: vec![],
            key: json!({ "use": "sig", "kid": "K1" }),
            binds: true,
            ladder: &["token_algorithm alg=RS256", "token_claim_missing claim=sub", "client machine"],
            scope: "orders.read",
        },
        Dialect {
            heading: "Amazon Cognito",
            header: json!({ "kid": "K1", "alg": "RS256" }),
            claims: json!({
                "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["buyers"], "version": 2, "client_id": "1example23456789", "token_use": "access",
                "origin_jti": "aaaa", "event_id": "bbbb", "scope": "orders/read openid", "auth_time": NOW.as_secs() - 60, "jti": "cccc", "username": "alice",
                "aud": "https://api.example.com",
            }),
            others: vec![
                json!({ "alg": "RS256", "e": "AQAB", "kid": "id", "kty": "RSA", "n": "0Q", "use": "sig" }),
            ],
            key: json!({ "alg": "RS256", "kid": "K1", "use": "sig" }),
            binds: false,
            ladder: &[
                "token_type typ=none",
                "token_algorithm alg=RS256",
                "client 1example23456789",
                "client 1example23456789",
            ],
            scope: "orders/read openid",
        },
    ]
}

/// What RSA keys look like, and what signs with one: ring makes none.
struct Signer {
    jwk: Value,
    key: jsonwebtoken::EncodingKey,
}

impl Signer {
    fn new() -> Self {
        let pem = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/jose/sign/testdata/rsa.pem"),
        )
        .unwrap();
        let jwk = keyproof::jose::PrivateKey::read(&pem).unwrap().public_jwk();
        Self {
            jwk: serde_json::from_str(&jwk).unwrap(),
            key: jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let encoded = |text: &str| keyproof::jose::encode(text.as_bytes());
        let signed = format!("{}.{}", encoded(&header.to_string()), encoded(claims));
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, jsonwebtoken::Algorithm::RS256).unwrap();
        format!("{signed}.{signature}")
    }
}

/// A gateway that has this issuer beside its own, with its keys in a file.
struct World {
    house: House,
    signer: Signer,
    /// The entry as the page has it.
    entry: Map<String, Value>,
    /// What the file has for it.
    written: String,
}

impl World {
    /// With the entry below this heading, of which so far only what every entry needs is in force.
    async fn of(heading: &str) -> Self {
        let entry = entry(heading);
        let written = written(&entry, 0);
        let house = House::with_issuers(ROUTES, &format!("  - {written}\n"), "").await;
        Self { house, signer: Signer::new(), entry, written }
    }

    /// Has this key set, beside the key that signs, be the issuer's.
    fn publish(&self, others: &[Value], key: &Value) {
        let key: Value = serde_json::from_str(&merged(self.signer.jwk.clone(), key.clone())).unwrap();
        let keys: Vec<_> = others.iter().cloned().chain([key]).collect();
        std::fs::write(self.house.folder().join("jwks.json"), json!({ "keys": keys }).to_string()).unwrap();
    }

    /// Has so many of the keys be in force that the page has beyond what every entry needs.
    async fn climb(&mut self, steps: usize) {
        let written = written(&self.entry, steps);
        self.house.edit(&self.written, &written);
        self.written = written;
        self.house.reload().await.unwrap();
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let now = NOW.as_secs();
        let every = json!({ "iss": self.entry["issuer"], "iat": now - 10, "exp": now + 300 });
        self.signer.sign(header, &merged(every, claims.clone()))
    }

    /// A request with this token, and a proof where it is bound.
    async fn ask(&self, token: &str, is_bound: bool) -> Answer {
        let proof = self.house.proof(token, json!({}));
        let bound = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
        let bearer = [("authorization", format!("Bearer {token}"))];
        let headers = if is_bound { &bound[..] } else { &bearer[..] };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.house.send(get("/orders", &headers)).await
    }

    fn bound(&self, claims: &Value) -> Value {
        let mut claims = claims.clone();
        claims["cnf"] = json!({ "jkt": self.house.client.public().thumbprint().to_string() });
        claims
    }

    /// The reason and the part of the line that says why; or the client that was found.
    async fn told(&self, answer: &Answer) -> String {
        let line = self.house.log.line_of(answer).await;
        if answer.status == 200 {
            let seen = self.house.upstream.seen().pop().unwrap();
            return format!("client {}", seen.header("x-client").unwrap_or("-"));
        }
        let found = ["claim", "typ", "alg", "aud", "iss"].iter().find(|name| line[**name].is_string());
        let found =
            found.map(|name| format!(" {name}={}", line[*name].as_str().unwrap())).unwrap_or_default();
        format!("{}{found}", line["reason"].as_str().unwrap())
    }
}

/// What every entry needs.
const BASE: [&str; 3] = ["name", "issuer", "audiences"];

/// The entry below a heading of the page.
fn entry(heading: &str) -> Map<String, Value> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/issuers.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let block = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let document: Value = serde_saphyr::from_str(block).unwrap();
    document["issuers"][0].as_object().unwrap().clone()
}

/// The keys that the page has beyond what every entry needs, in its order.
fn steps(entry: &Map<String, Value>) -> Vec<&str> {
    let order = ["token_types", "algorithms", "claims", "required_claims"];
    order.into_iter().filter(|key| entry.contains_key(*key)).collect()
}

/// The entry with so many of these keys; its keys are in a file.
fn written(entry: &Map<String, Value>, count: usize) -> String {
    let known = BASE.into_iter().chain(steps(entry).into_iter().take(count));
    let mut written: Map<_, _> = known.map(|key| (key.to_owned(), entry[key].clone())).collect();
    written.insert("jwks_file".to_owned(), json!("jwks.json"));
    Value::Object(written).to_string()
}

#[tokio::test]
async fn the_entry_of_each_issuer_takes_its_tokens_and_the_log_leads_there_step_by_step() {
    let mut headings = Vec::new();
    for dialect in dialects() {
        let Dialect { heading, header, claims, others, key, binds, ladder, scope } = dialect;
        let mut world = World::of(heading).await;
        world.publish(&others, &key);
        let claims = if binds { world.bound(&claims) } else { claims };
        let count = steps(&world.entry).len();
        let mut told = Vec::new();
        for step in 0..=count {
            world.climb(step).await;
            // Another token each time, as if one followed the other.
            let token = world.token(&header, &claims);
            told.push(world.told(&world.ask(&token, binds).await).await);
        }
        assert_eq!(told, ladder, "{heading}: with one after the other of {:?}", steps(&world.entry));
        let seen = world.house.upstream.seen().pop().unwrap();
        assert_eq!(seen.header("x-scope"), Some(scope), "{heading}");
        assert_eq!(seen.header("x-subject"), claims["sub"].as_str(), "{heading}");
        // Whoever has stolen it has nothing, where it is bound.
        let stolen = world.ask(&world.token(&header, &claims), false).await;
        assert_eq!(stolen.status, if binds { 401 } else { 200 }, "{heading}");
        headings.push(heading);
    }
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/issuers.md")).unwrap();
    let shown =
        page.lines().filter_map(|line| line.strip_prefix("## ")).filter(|heading| *heading != "Google");
    headings.dedup();
    assert_eq!(shown.collect::<Vec<_>>(), headings, "each section of the page has a token here");
}

/// What goes wrong with each of them although the entry is right.
#[expect(clippy::too_many_lines, reason = "a table has as many lines as rows")]
#[tokio::test]
async fn what_else_their_clients_send_is_refused_and_named() {
    let now = NOW.as_secs();
    let dialects = dialects();
    let of = |heading: &str| dialects.iter().find(|dialect| dialect.heading == heading).unwrap();
    let changed = |base: &Value, changes: Value| -> Value {
        serde_json::from_str(&merged(base.clone(), changes)).unwrap()
    };
    for (heading, what, header, claims, expected) in [
        (
            "Okta",
            "of the org server",
            json!({}),
            json!({ "iss": "https://example.okta.com" }),
            "token_issuer iss=https://example.okta.com",
        ),
        (
            "Okta",
            "of a client without a user",
            json!({}),
            json!({ "sub": "0oa5kecjfwuF4HQ4w0h7", "uid": null }),
            "client 0oa5kecjfwuF4HQ4w0h7",
        ),
        (
            "Entra ID, version 2",
            "for Microsoft Graph",
            json!({ "nonce": "x" }),
            json!({ "aud": "00000003-0000-0000-c000-000000000000" }),
            "token_audience aud=00000003-0000-0000-c000-000000000000",
        ),
        (
            "Entra ID, version 2",
            "of version 1",
            json!({}),
            json!({ "iss": "https://sts.windows.net/8a3c1f5e-0b7d-4c2a-9e64-1d2f3a4b5c6d/" }),
            "token_issuer iss=https://sts.windows.net/8a3c1f5e-0b7d-4c2a-9e64-1d2f3a4b5c6d/",
        ),
        (
            "Entra ID, version 2",
            "of another tenant",
            json!({}),
            json!({ "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" }),
            "token_issuer iss=https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        ),
        (
            "Entra ID, version 2",
            "without a user",
            json!({}),
            json!({ "scp": null, "roles": ["Orders.Read.All"], "azpacr": "1" }),
            "client 9f8e7d6c-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
        ),
        (
            "Entra ID, version 1",
            "of an issuer without its slash",
            json!({}),
            json!({ "iss": "https://sts.windows.net/8a3c1f5e-0b7d-4c2a-9e64-1d2f3a4b5c6d" }),
            "token_issuer iss=https://sts.windows.net/8a3c1f5e-0b7d-4c2a-9e64-1d2f3a4b5c6d",
        ),
        (
            "Auth0",
            "for the user's profile",
            json!({}),
            json!({ "aud": "https://example.eu.auth0.com/userinfo" }),
            "token_audience aud=https://example.eu.auth0.com/userinfo",
        ),
        (
            "Auth0",
            "an ID token",
            json!({}),
            json!({ "aud": "https://api.example.com", "at_hash": "x", "nonce": "y", "azp": null, "scope": null }),
            "token_claim_missing claim=client_id",
        ),
        (
            "Keycloak",
            "without an audience mapper",
            json!({}),
            json!({ "aud": "account" }),
            "token_audience aud=account",
        ),
        (
            "Keycloak",
            "without any audience",
            json!({}),
            json!({ "aud": null }),
            "token_claim_missing claim=aud",
        ),
        ("Keycloak", "an ID token", json!({}), json!({ "typ": "ID" }), "token_type claim=typ"),
        ("Keycloak", "a refresh token", json!({}), json!({ "typ": "Refresh" }), "token_type claim=typ"),
        ("Keycloak", "a bearer token", json!({}), json!({ "typ": "Bearer" }), "client shop"),
        (
            "Keycloak",
            "without the scope basic",
            json!({}),
            json!({ "sub": null }),
            "token_claim_missing claim=sub",
        ),
        ("Keycloak", "a type of RFC 9068", json!({ "typ": "at+jwt" }), json!({}), "token_type typ=at+jwt"),
        ("PingFederate", "for nobody", json!({}), json!({ "aud": null }), "token_claim_missing claim=aud"),
        ("Curity", "for the client alone", json!({}), json!({ "aud": "shop" }), "token_audience aud=shop"),
        (
            "Duende IdentityServer",
            "of a scope without a resource",
            json!({}),
            json!({ "aud": null }),
            "token_claim_missing claim=aud",
        ),
        (
            "Duende IdentityServer",
            "an ID token",
            json!({ "typ": "JWT" }),
            json!({ "at_hash": "x" }),
            "token_type claim=at_hash",
        ),
        (
            "Amazon Cognito",
            "as they come",
            json!({}),
            json!({ "aud": null }),
            "token_claim_missing claim=aud",
        ),
        (
            "Amazon Cognito",
            "an ID token",
            json!({}),
            json!({ "token_use": "id" }),
            "token_type claim=token_use",
        ),
        ("Amazon Cognito", "without kid", json!({ "kid": null }), json!({}), "client 1example23456789"),
        (
            "Amazon Cognito",
            "of an unknown key",
            json!({ "kid": "K2" }),
            json!({}),
            "token_unknown_key alg=RS256",
        ),
        ("Amazon Cognito", "without alg", json!({ "alg": null }), json!({}), "token_algorithm alg=none"),
        (
            "Amazon Cognito",
            "of the other key's name",
            json!({ "kid": "id" }),
            json!({}),
            "token_unknown_key alg=RS256",
        ),
        (
            "Amazon Cognito",
            "expired",
            json!({}),
            json!({ "exp": now - 11 }),
            "token_expired iss=https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aBcDeFgHi",
        ),
    ] {
        let dialect = of(heading);
        let mut world = World::of(heading).await;
        world.publish(&dialect.others, &dialect.key);
        world.climb(steps(&world.entry).len()).await;
        let base = if dialect.binds { world.bound(&dialect.claims) } else { dialect.claims.clone() };
        let token = world.token(&changed(&dialect.header, header), &changed(&base, claims));
        let told = world.told(&world.ask(&token, dialect.binds).await).await;
        assert_eq!(told, expected, "{heading}: {what}");
    }
}

/// They are shown to no endpoint either: none of these issuers has `introspection` here.
#[tokio::test]
async fn tokens_that_are_no_jwts_are_refused_as_such() {
    let world = World::of("Okta").await;
    for (what, token) in [
        ("Google", "ya29.a0AfH6SMBx-3nF4e7gqXz0Yk1".to_owned()),
        ("Curity", "_0XBPWQQ_a2f1c0c7-6f3a-4a0e-9d0e-6c8c1e2b7f60".to_owned()),
        ("PingFederate", "0tY6qEXMrWk2dXJ1mJ5kYQ8bC3aZ".to_owned()),
        (
            "Auth0 without an audience",
            format!(
                "{}..aXY.bXY.cXY",
                keyproof::jose::encode(
                    br#"{"alg":"dir","enc":"A256GCM","iss":"https://example.eu.auth0.com/"}"#
                )
            ),
        ),
    ] {
        let answer = world.ask(&token, true).await;
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(world.house.log.line_of(&answer).await["reason"], "token_malformed", "{what}");
    }
}

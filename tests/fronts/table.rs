//! What every front does, case by case.

use super::front::Front;
use super::kinds::Kind;
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::{Value, json};
use support::gateway::{House, NOW, get, proof, request};
use support::raw::Answer;
use support::upstream::Seen;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, cors: { origins: ["https://app.test"] } }
  - { name: nonce, match: { path: /nonce }, upstream: legacy, nonce: required }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer] }
  - { name: bearer, match: { path: /bearer }, upstream: legacy, identity: { authorization: bearer } }
  - { name: write, match: { path: /write, methods: [POST] }, upstream: legacy, scopes: ["orders:write"] }
  - { name: slashes, match: { path: /slashes }, upstream: legacy, encoded_slashes: keep }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }"#;

/// The whole table for one kind of front.
pub(crate) async fn holds(kind: &'static Kind) {
    let house = House::with_doors(ROUTES, "").await;
    let Some(front) = Front::start(kind, &house).await else { return };
    let world = World { house, front };
    world.good_requests_pass().await;
    world.what_a_thief_would_send_is_refused().await;
    world.a_client_follows_a_nonce().await;
    world.refusals_reach_the_client_as_they_are().await;
    world.nobody_says_who_they_are().await;
    world.nobody_says_what_they_ask_for().await;
    world.preflights_never_reach_the_api().await;
    world.paths_are_the_clients_own().await;
    world.methods_and_bodies_go_on_as_they_came().await;
    if !kind.limits.no_http2_without_tls {
        world.it_is_the_same_over_http2().await;
    }
    drop(world);
    when_the_gateway_cannot_say_yes(kind).await;
}

/// A front whose own part is broken, but for `/public`, lets nobody through elsewhere.
pub(crate) async fn nobody_passes(kind: &'static Kind) {
    let house = House::with_doors(ROUTES, "").await;
    let Some(front) = Front::start(kind, &house).await else { return };
    let world = World { house, front };
    for request in [get("/orders", &[]), world.signed("GET", "/orders", &[])] {
        let (answer, seen) = world.send(request).await;
        assert_eq!((answer.status, seen.len()), (503, 0), "{}: {answer:?}", kind.name);
    }
}

/// Two proofs are none, and the rest of the good and the bad stays what it is.
pub(crate) async fn proofs_are_refused(kind: &'static Kind) {
    let house = House::with_doors(ROUTES, "").await;
    let Some(front) = Front::start(kind, &house).await else { return };
    let world = World { house, front };
    world.good_requests_pass().await;
    world.what_a_thief_would_send_is_refused().await;
    world.nobody_says_who_they_are().await;
}

struct World {
    house: House,
    front: Front,
}

impl World {
    /// A request with a good token and a good proof for it, and more headers.
    fn signed(&self, method: &str, target: &str, more: &[(&str, &str)]) -> String {
        self.signed_with(method, target, &json!({}), more)
    }

    fn signed_with(&self, method: &str, target: &str, changes: &Value, more: &[(&str, &str)]) -> String {
        let token = self.house.token(json!({}));
        let path = target.split('?').next().unwrap();
        let mut claims = json!({ "htm": method, "htu": format!("https://api.test{path}") });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let proof = self.house.proof(&token, claims);
        let authorization = format!("DPoP {token}");
        request(method, target, &[&[("authorization", &*authorization), ("dpop", &*proof)], more].concat())
    }

    /// The answer, and what the API saw of the request.
    async fn send(&self, request: impl AsRef<[u8]>) -> (Answer, Vec<Seen>) {
        let before = self.house.upstream.seen().len();
        let answer = self.front.send(request).await;
        (answer, self.house.upstream.seen().split_off(before))
    }

    async fn passes(&self, request: impl AsRef<[u8]>) -> (Answer, Seen) {
        let (answer, mut seen) = self.send(&request).await;
        let place = self.place(&request);
        assert_eq!(
            answer.status,
            200,
            "{place}: {}\n{}\n{}",
            answer.text(),
            self.house.log.text(),
            self.front.said()
        );
        assert_eq!(seen.len(), 1, "{place}");
        (answer, seen.remove(0))
    }

    async fn is_refused(&self, request: impl AsRef<[u8]>, status: u16, error: &str) -> Answer {
        let (answer, seen) = self.send(&request).await;
        let place = self.place(&request);
        assert_eq!(answer.status, status, "{place}: {}\n{}", answer.text(), self.front.said());
        assert!(seen.is_empty(), "{place}: the API saw it");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(
            challenge.contains(error) || answer.text().contains(error),
            "{place}: {challenge} {}",
            answer.text()
        );
        answer
    }

    fn place(&self, request: &impl AsRef<[u8]>) -> String {
        let text = String::from_utf8_lossy(request.as_ref());
        format!("{}: {}", self.front.kind.name, text.split("\r\n").next().unwrap())
    }

    async fn good_requests_pass(&self) {
        let (_, seen) = self.passes(self.signed("GET", "/orders?a=1", &[])).await;
        assert_eq!(seen.line, "GET /orders?a=1 HTTP/1.1");
        for (name, value) in [
            ("x-auth-subject", Some("alice")),
            ("x-auth-client", Some("shop")),
            ("x-auth-issuer", Some("https://id.test")),
            ("x-auth-scope", Some("orders:read profile")),
            ("host", Some("api.test")),
        ] {
            assert_eq!(seen.header(name), value, "{}: {name}", self.front.kind.name);
        }
        for gone in ["authorization", "dpop"] {
            assert_eq!(seen.header(gone).unwrap_or_default(), "", "{}: {gone}", self.front.kind.name);
        }
        let (_, seen) = self.passes(self.signed("GET", "/bearer", &[])).await;
        let authorization = seen.header("authorization").unwrap_or_default();
        assert!(authorization.starts_with("Bearer ey"), "{}: {authorization}", self.front.kind.name);
        self.passes(get("/public", &[])).await;
    }

    async fn what_a_thief_would_send_is_refused(&self) {
        let once = self.signed("GET", "/orders", &[]);
        self.passes(&once).await;
        self.is_refused(&once, 401, "invalid_dpop_proof").await;

        let token = self.house.token(json!({}));
        let (authorization, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
        self.is_refused(get("/orders", &[]), 401, "DPoP realm").await;
        self.is_refused(get("/orders", &[("authorization", &authorization)]), 401, "invalid_dpop_proof")
            .await;
        self.is_refused(get("/orders", &[("authorization", &bearer)]), 401, "invalid_token").await;
        let thief = PrivateKey::generate(Algorithm::Es256).unwrap();
        let proof = proof(&thief, json!({}), &token, json!({ "iat": NOW.as_secs() }));
        self.is_refused(
            get("/orders", &[("authorization", &authorization), ("dpop", &proof)]),
            401,
            "invalid_token",
        )
        .await;
        for wrong in [
            json!({ "htu": "https://api.test/mixed" }),
            json!({ "htu": "https://evil.test/orders" }),
            json!({ "htm": "POST" }),
        ] {
            self.is_refused(self.signed_with("GET", "/orders", &wrong, &[]), 401, "invalid_dpop_proof").await;
        }
        // Two lines, or one that a front has made of two.
        let (one, other) = (self.house.proof(&token, json!({})), self.house.proof(&token, json!({})));
        let twice = get("/orders", &[("authorization", &authorization), ("dpop", &one), ("dpop", &other)]);
        self.is_refused(twice, 401, "invalid_dpop_proof").await;
    }

    async fn a_client_follows_a_nonce(&self) {
        let challenged = self.is_refused(self.signed("GET", "/nonce", &[]), 401, "use_dpop_nonce").await;
        let nonce = challenged.header("dpop-nonce").expect("a nonce").to_owned();
        let again = self.signed_with("GET", "/nonce", &json!({ "nonce": nonce }), &[]);
        let (answer, _) = self.passes(again).await;
        assert_eq!(answer.header("dpop-nonce").is_none(), self.front.kind.limits.no_nonce_on_success);
    }

    async fn refusals_reach_the_client_as_they_are(&self) {
        let both = self.is_refused(get("/mixed", &[]), 401, "DPoP realm").await;
        assert_eq!(both.all("www-authenticate").len(), 1);
        assert!(both.header("www-authenticate").unwrap().contains("Bearer realm"), "{both:?}");
        let scope = self
            .is_refused(self.signed("POST", "/write", &[("content-length", "0")]), 403, "insufficient_scope")
            .await;
        assert!(scope.header("www-authenticate").unwrap().contains("scope=\"orders:write\""), "{scope:?}");
        let method = self.is_refused(get("/write", &[]), 405, "method_not_allowed").await;
        assert_eq!(method.header("allow"), Some("POST"));
        self.is_refused(get("/nowhere", &[]), 404, "not_found").await;
        self.is_refused(get("/orders%2Fa", &[]), 400, "invalid_request").await;
        for refusal in [&both, &scope, &method] {
            assert!(refusal.header("x-request-id").is_some(), "{}: {refusal:?}", self.front.kind.name);
            assert_eq!(refusal.text().contains("error_description"), !self.front.kind.limits.no_body);
        }
        let script = get("/orders", &[("origin", "https://app.test")]);
        let answer = self.is_refused(script, 401, "DPoP realm").await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
        assert!(answer.header("access-control-expose-headers").unwrap().contains("DPoP-Nonce"), "{answer:?}");
    }

    async fn nobody_says_who_they_are(&self) {
        let spoofed = [
            ("X-Auth-Subject", "root"),
            ("x-AUTH-scope", "root"),
            ("X_Auth_Subject", "root"),
            ("X.Auth.Subject", "root"),
            ("X-Auth_Key", "root"),
            ("X-Auth-Client", "root"),
        ];
        let public = get("/public", &spoofed);
        for (request, subject) in [(public, ""), (self.signed("GET", "/orders", &spoofed), "alice")] {
            let (_, seen) = self.passes(request).await;
            let roots: Vec<_> = seen.headers.iter().filter(|(_, value)| value == "root").collect();
            assert!(roots.is_empty(), "{}: {roots:?}", self.front.kind.name);
            assert_eq!(
                seen.header("x-auth-subject").unwrap_or_default(),
                subject,
                "{}",
                self.front.kind.name
            );
        }
        // What `Connection` names is removed on the way, ours too: then nobody gets through as somebody else, but as nobody.
        let (answer, seen) =
            self.send(self.signed("GET", "/orders", &[("connection", "close, X-Auth-Subject")])).await;
        for seen in seen {
            assert_eq!(seen.header("x-auth-subject"), Some("alice"), "{} {answer:?}", self.front.kind.name);
        }
    }

    async fn nobody_says_what_they_ask_for(&self) {
        let spoofed = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/public"),
            ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Proto", "http"),
            ("X-Original-URL", "https://api.test/public"),
            ("X-Original-Method", "GET"),
            ("X-Forwarded-Port", "1"),
            ("Forwarded", "host=evil.test;proto=http"),
        ];
        self.is_refused(get("/orders", &spoofed), 401, "DPoP realm").await;
        self.passes(self.signed("GET", "/orders", &spoofed)).await;
        for one in spoofed {
            self.is_refused(get("/orders", &[one]), 401, "DPoP realm").await;
        }
        // The way to the gateway is no way for clients.
        for inside in ["/_keyproof", "/check/public", "/check"] {
            let (answer, seen) = self.send(get(inside, &spoofed)).await;
            assert!(
                answer.status == 404 && seen.is_empty(),
                "{}: {inside}: {answer:?}",
                self.front.kind.name
            );
        }
    }

    async fn preflights_never_reach_the_api(&self) {
        let preflight = |origin| {
            let asked = [
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "dpop"),
            ];
            request("OPTIONS", "/orders?a=1", &asked)
        };
        let (answer, seen) = self.send(preflight("https://app.test")).await;
        assert_eq!((answer.status, seen.len()), (204, 0), "{}: {answer:?}", self.front.kind.name);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
        assert!(answer.header("access-control-allow-headers").unwrap().contains("DPoP"));
        self.is_refused(preflight("https://evil.test"), 401, "DPoP realm").await;
    }

    async fn paths_are_the_clients_own(&self) {
        for target in ["/slashes/a%2Fb?c=%2F", "/orders/a%20b", "/orders/%C3%A9"] {
            let (_, seen) = self.passes(self.signed("GET", target, &[])).await;
            assert_eq!(seen.line, format!("GET {target} HTTP/1.1"), "{}", self.front.kind.name);
        }
        for target in [
            "/public/../orders",
            "/public/%2e%2e/orders",
            "//orders",
            "/public//../orders",
            "/public/..;/orders",
        ] {
            let (answer, seen) = self.send(get(target, &[])).await;
            // Refused as it is, or as what the front has made of it.
            assert!(
                matches!(answer.status, 400 | 401 | 404) && seen.is_empty(),
                "{}: {target}: {answer:?}",
                self.front.kind.name
            );
        }
    }

    async fn methods_and_bodies_go_on_as_they_came(&self) {
        let (answer, seen) = self.passes(self.signed("HEAD", "/orders", &[])).await;
        assert!(seen.line.starts_with("HEAD ") && answer.body.is_empty());
        let body = vec![b'a'; 10 << 20];
        let head = self.signed("POST", "/orders", &[("content-length", &body.len().to_string())]);
        let (_, seen) = self.passes([head.as_bytes(), &body].concat()).await;
        assert_eq!((seen.body.len(), seen.header("x-auth-subject")), (body.len(), Some("alice")));
        let head = self.signed("POST", "/orders", &[("transfer-encoding", "chunked")]);
        let (_, seen) = self.passes(format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
        assert_eq!(seen.body, b"hello", "{}", self.front.kind.name);
        // A method that the API would take for another one.
        let (_, seen) =
            self.passes(self.signed("GET", "/orders", &[("x-http-method-override", "DELETE")])).await;
        assert_eq!(seen.header("x-http-method-override").unwrap_or_default(), "", "{}", self.front.kind.name);
    }
}

impl World {
    async fn it_is_the_same_over_http2(&self) {
        let client = support::h2::connect_plainly(self.front.address).await;
        for (credentials, status) in [(true, 200), (false, 401)] {
            let token = self.house.token(json!({}));
            let proof = self.house.proof(&token, json!({ "htm": "POST" }));
            let mut request =
                hyper::Request::post("https://api.test/orders").header("x_auth_subject", "root");
            if credentials {
                request = request.header("authorization", format!("DPoP {token}")).header("dpop", proof);
            }
            let before = self.house.upstream.seen().len();
            let request = request.body(http_body_util::Full::new("a body".into())).unwrap();
            let answer = client.clone().send_request(request).await.unwrap();
            assert_eq!(answer.status(), status, "{}", self.front.kind.name);
            let seen = self.house.upstream.seen().split_off(before);
            assert_eq!(seen.len(), usize::from(credentials), "{}", self.front.kind.name);
            for seen in seen {
                assert_eq!(
                    (seen.body.as_slice(), seen.header("x-auth-subject")),
                    (&b"a body"[..], Some("alice"))
                );
                assert!(
                    !seen.headers.iter().any(|(_, value)| value == "root"),
                    "{}: {seen:?}",
                    self.front.kind.name
                );
            }
        }
    }
}

/// 429 and 503 reach the client, and where the gateway is gone nobody passes.
async fn when_the_gateway_cannot_say_yes(kind: &'static Kind) {
    for (settings, status) in [("replay: { per_key_limit: 1 }", 429), ("replay: { capacity: 1 }", 503)] {
        let house = House::with_doors(ROUTES, settings).await;
        let front = Front::start(kind, &house).await.expect("it was there");
        let world = World { house, front };
        world.passes(world.signed("GET", "/orders", &[])).await;
        let (answer, seen) = world.send(world.signed("GET", "/orders", &[])).await;
        assert_eq!((answer.status, seen.len()), (status, 0), "{}", kind.name);
        assert!(answer.header("retry-after").is_some(), "{}: {answer:?}", kind.name);
        if status == 503 {
            let World { house, front } = world;
            let upstream = house.upstream.clone();
            house.stopped().await;
            let before = upstream.seen().len();
            let answer = front.send(get("/public", &[])).await;
            assert!(answer.status >= 500 || answer.status == 403, "{}: {answer:?}", kind.name);
            assert_eq!(upstream.seen().len(), before, "{}", kind.name);
        }
    }
}

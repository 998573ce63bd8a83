//! The mark: registered at the admin address, used once, and told to nobody else.

use serde_json::{Value, json};
use support::gateway::{House, get, request};
use support::raw::Answer;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders, methods: [GET] }, upstream: legacy }
  - { name: mixed, match: { path: /mixed }, upstream: legacy, accept: [dpop, bearer], cors: { origins: ["https://app.test"] } }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }
  - { name: observed, match: { path: /observed }, upstream: legacy, mode: observe }"#;
const MARK: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn what_came_is_told_to_who_knows_the_mark_and_the_request_goes_no_further() {
    let house = House::with_doors(ROUTES, "").await;
    register(&house, MARK).await;
    let sent = get(
        "/orders/7?a=1",
        &[
            ("x-keyproof-doctor", MARK),
            ("authorization", "DPoP secret.token"),
            ("dpop", "one.secret.proof"),
            ("dpop", "another.secret.proof"),
            ("cookie", "secret=1"),
        ],
    );
    let answer = house.send(&sent).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("DPoP ") && challenge.contains("use_dpop_nonce"), "{challenge}");
    let nonce = answer.header("dpop-nonce").expect("a nonce");
    assert!(house.upstream.seen().is_empty());
    assert!(house.metric("keyproof_decisions_total", &["deny", "\"doctor\""]).await > 0.0);

    let page = ask(&house, MARK).await;
    assert!(!page.text().contains("secret"), "{}", page.text());
    let told: Value = serde_json::from_str(&page.text()).unwrap();
    assert_eq!(told["times"], 1);
    let seen = &told["seen"];
    for (pointer, expected) in [
        ("/arrival/mode", json!("proxy")),
        ("/arrival/listener", json!("public")),
        ("/arrival/peer", json!("127.0.0.1")),
        ("/arrival/trusted", json!(false)),
        ("/arrival/tls", json!(false)),
        ("/arrival/protocol", json!("HTTP/1.1")),
        ("/place/method", json!("GET")),
        ("/place/scheme", json!("http")),
        ("/place/authority", json!("api.test")),
        ("/place/path", json!("/orders/7")),
        ("/place/query", json!("a=1")),
        ("/htu", json!("https://api.test/orders/7")),
        ("/route", json!("orders")),
        ("/fault", Value::Null),
        ("/origins", json!(["https://api.test"])),
        ("/window", json!({ "max_age": 60, "leeway": 10 })),
        ("/at", json!(1_700_000_000.0)),
        ("/answered/status", json!(401)),
    ] {
        assert_eq!(seen.pointer(pointer), Some(&expected), "{pointer}");
    }
    let lengths = |name: &str| {
        let fields = seen["headers"].as_array().unwrap();
        let field = fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}"));
        field["lines"].as_array().unwrap().iter().map(|line| line["length"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(lengths("dpop"), [16, 20]);
    assert_eq!(lengths("authorization"), [17]);
    assert_eq!(lengths("cookie"), [8]);
    assert!(seen["answered"]["headers"].as_array().unwrap().contains(&json!(["dpop-nonce", nonce])));

    assert_eq!(ask(&house, MARK).await.status, 404, "told once");
}

#[tokio::test]
async fn a_mark_that_is_not_registered_means_nothing_and_one_is_used_once() {
    let house = House::with_routes(ROUTES).await;
    let marked = get("/public", &[("x-keyproof-doctor", MARK)]);
    assert_eq!(house.send(&marked).await.status, 200);
    register(&house, MARK).await;
    let wrong = get("/public", &[("x-keyproof-doctor", &MARK.replace('0', "1"))]);
    assert_eq!(house.send(&wrong).await.status, 200);
    assert_eq!(
        house.send(get("/public", &[("x-keyproof-doctor", MARK), ("x-keyproof-doctor", MARK)])).await.status,
        200
    );
    assert_eq!(house.send(&marked).await.status, 401);
    assert_eq!(house.send(&marked).await.status, 200);
    let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
    assert_eq!(told["times"], 2, "a front that asks twice is noticed");
}

#[tokio::test]
async fn whatever_it_asks_for_it_shows_how_a_challenge_gets_back() {
    let house = House::with_doors(ROUTES, "").await;
    for (sent, challenges, reason) in [
        (get("/observed", &[]), 1, None),
        (get("/public", &[]), 1, None),
        (get("/mixed", &[("origin", "https://app.test")]), 2, None),
        (get("/nowhere", &[]), 1, Some("no_route")),
        (request("POST", "/orders", &[("content-length", "0")]), 1, Some("method_not_allowed")),
        (get("/orders//a", &[]), 1, Some("path_empty_segment")),
        (get("/orders", &[]).replace("api.test", "inside:9000"), 1, Some("authority_unknown")),
    ] {
        register(&house, MARK).await;
        let answer =
            house.send(sent.replace("\r\n\r\n", &format!("\r\nx-keyproof-doctor: {MARK}\r\n\r\n"))).await;
        assert_eq!(answer.status, 401, "{sent}");
        assert_eq!(answer.all("www-authenticate").len(), challenges, "{sent}");
        assert!(answer.header("dpop-nonce").is_some(), "{sent}");
        if sent.contains("origin") {
            assert!(answer.header("access-control-expose-headers").unwrap().contains("DPoP-Nonce"));
        }
        let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
        assert_eq!(told["seen"]["fault"]["reason"].as_str(), reason, "{sent}");
    }
    assert!(house.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_front_that_asks_is_told_by_what_it_describes() {
    let house = House::with_doors(ROUTES, "").await;
    let described = [
        ("x-keyproof-doctor", MARK),
        ("x-original-method", "GET"),
        ("x-original-url", "http://api.test/orders"),
    ];
    register(&house, MARK).await;
    let answer = house.ask(house.decisions(), get("/", &described)).await;
    assert_eq!((answer.status, answer.header("dpop-nonce").is_some()), (401, true));
    let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
    let seen = &told["seen"];
    assert_eq!(seen["arrival"]["mode"], "forward_auth");
    assert_eq!(seen["place"]["path"], "/orders");
    assert_eq!(seen["place"]["scheme"], "http");
    assert_eq!(seen["htu"], "https://api.test/orders");

    register(&house, MARK).await;
    let answer = house.ask(house.decisions(), get("/", &described[..2])).await;
    assert_eq!((answer.status, answer.header("dpop-nonce").is_some()), (401, true));
    let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
    let fault = &told["seen"]["fault"];
    assert_eq!(
        (&fault["reason"], &fault["fields"]),
        (&json!("description_missing"), &json!("x-original-url"))
    );

    // Who may not ask gets the answer that it always gets, and it is told why.
    register(&house, MARK).await;
    let answer = house.ask(house.strangers(), get("/", &described)).await;
    assert_eq!((answer.status, answer.header("dpop-nonce")), (403, None));
    let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
    assert_eq!(told["seen"]["fault"]["reason"], "description_untrusted");
    assert_eq!(told["seen"]["arrival"]["trusted"], false);
}

#[tokio::test]
async fn a_token_is_checked_but_nothing_is_used_up() {
    let house = House::with_routes(ROUTES).await;
    for (audience, reason) in [("https://api.test", "verified"), ("https://elsewhere.test", "token_audience")]
    {
        let token = house.token(json!({ "aud": audience }));
        let proof = house.proof(&token, json!({}));
        let (authorization, two) = (format!("DPoP {token}"), house.proof(&token, json!({})));
        let credentials = [("authorization", &*authorization), ("dpop", &*proof)];
        register(&house, MARK).await;
        let more = [("x-keyproof-doctor", MARK), ("dpop", &*two)];
        assert_eq!(house.send(get("/orders", &[&credentials[..], &more].concat())).await.status, 401);
        let told: Value = serde_json::from_str(&ask(&house, MARK).await.text()).unwrap();
        assert_eq!(told["seen"]["verdict"]["reason"], reason);
        let passes = house.send(get("/orders", &credentials)).await;
        assert_eq!(passes.status == 200, reason == "verified", "the proof is still good");
    }
}

#[tokio::test]
async fn sixteen_at_a_time_and_only_by_name_of_an_address() {
    let house = House::with_routes(ROUTES).await;
    for number in 0..16 {
        register(&house, &format!("{number:032x}")).await;
    }
    assert_eq!(post(&house, MARK, "").await.status, 429);
    assert_eq!(post(&house, "too short", "").await.status, 400);
    assert_eq!(post(&house, &"a".repeat(100_000), "").await.status, 400);
    assert_eq!(post(&house, &format!("{:032x}", 0), "").await.status, 409);
    assert_eq!(post(&house, MARK, "origin: https://evil.test\r\n").await.status, 403);
    let led = format!("POST /doctor HTTP/1.1\r\nhost: evil.test\r\ncontent-length: 32\r\n\r\n{MARK}");
    assert_eq!(house.ask(house.admin, led).await.status, 421);
    let other = house.ask(house.admin, "DELETE /doctor HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, POST")));
    assert_eq!(house.admin_page("/doctor").await.status, 404, "without a mark");
}

async fn register(house: &House, mark: &str) {
    assert_eq!(post(house, mark, "").await.status, 201, "{mark}");
}

async fn post(house: &House, mark: &str, more: &str) -> Answer {
    let length = mark.len();
    let sent = format!(
        "POST /doctor HTTP/1.1\r\nhost: localhost:9901\r\n{more}content-length: {length}\r\n\r\n{mark}"
    );
    house.ask(house.admin, sent).await
}

async fn ask(house: &House, mark: &str) -> Answer {
    house
        .ask(
            house.admin,
            format!("GET /doctor HTTP/1.1\r\nhost: 127.0.0.1:9901\r\nx-keyproof-doctor: {mark}\r\n\r\n"),
        )
        .await
}

//! Good and bad answers.

use super::*;

/// Fault 8. Every one of these answers leaves the keys that are there, and the next good one replaces them.
#[tokio::test]
async fn a_bad_answer_changes_nothing() {
    let good = jwks(&["k1"]);
    let private = json!({ "keys": [serde_json::from_str::<Value>(&KEY.private_jwk()).unwrap()] });
    let many: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let oversize = format!("{}{good}", " ".repeat(MAX_DOCUMENT));
    let rows = [
        ("not there", status("404 Not Found", "", &good)),
        ("in trouble", status("500 Internal Server Error", "", &good)),
        ("no content", status("204 No Content", "", "")),
        ("a redirect, even to a good set", status("302 Found", "Location: /elsewhere\r\n", &good)),
        ("a redirect for good", status("308 Permanent Redirect", "Location: /elsewhere\r\n", &good)),
        ("hangs", Answer::Hang),
        ("drips", Answer::Drip),
        ("too long", ok(&oversize)),
        ("breaks off", Answer::Text(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{good}"))),
        ("no HTTP", Answer::Text("SSH-2.0-OpenSSH_9.2\r\n".to_owned())),
        ("an endless head", status("200 OK", &format!("X: {}\r\n", "x".repeat(100_000)), &good)),
        ("101 header fields", status("200 OK", &"X: x\r\n".repeat(100), &good)),
        ("closes", Answer::Text(String::new())),
        ("garbage", ok("\u{0}\u{1}\u{2}")),
        ("a page", ok("<!doctype html><title>Sign in</title>")),
        ("half a document", ok(&good[..good.len() / 2])),
        ("an empty set", ok(r#"{"keys":[]}"#)),
        ("a symmetric key", ok(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)),
        ("nothing but a private key", ok(&private.to_string())),
        ("100 keys", ok(&jwks(&many))),
    ];
    let mut running = JoinSet::new();
    for (story, bad) in rows {
        running.spawn(async move {
            let endpoint = Endpoint::start().await;
            endpoint.answer("/jwks", ok(&jwks(&["k1"])));
            endpoint.answer("/elsewhere", ok(&jwks(&["k1"])));
            let attempt = if matches!(bad, Answer::Hang | Answer::Drip) { 1 } else { 10 };
            let mut house =
                House::settled(&endpoint, Timing { attempt: Duration::from_secs(attempt), ..CALM }).await;
            house.until(true).await;
            let before = house.keys().unwrap();
            endpoint.answer("/jwks", bad);
            assert_eq!(house.refresh().await, Refreshed::Unavailable, "{story}");
            house.until(false).await;
            assert!(Arc::ptr_eq(&before, &house.keys().unwrap()), "{story}");
            assert!(house.ready(), "{story}");
            endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
            assert_eq!(house.refresh().await, Refreshed::Fetched, "{story}");
            house.until(true).await;
            assert_eq!(house.count(), Some(2), "{story}");
            assert!(!endpoint.asked().contains(&"/elsewhere".to_owned()), "{story}");
        });
    }
    while let Some(row) = running.join_next().await {
        row.unwrap();
    }
}

#[tokio::test]
async fn one_document_can_be_fetched_alone() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", status("200 OK", "Cache-Control: max-age=90\r\n", "{}"));
    let document = fetch(&endpoint.url("/jwks"), &Proxies::default()).await.unwrap();
    assert_eq!((&document.body[..], document.max_age), (&b"{}"[..], Some(Duration::from_secs(90))));
    let missing = fetch(&endpoint.url("/nothing"), &Proxies::default()).await.unwrap_err();
    assert_eq!(missing, FetchError::Status(http::StatusCode::NOT_FOUND));
    assert_eq!(
        fetch(&Url::parse("file:///etc/hosts").unwrap(), &Proxies::default()).await.unwrap_err(),
        FetchError::Url
    );
}

/// Over TLS the server must be who the URL says, by an authority that is trusted; without any authority
/// nobody is.
#[tokio::test]
async fn tls_trusts_only_its_authorities() {
    let server = TlsServer::start().await;
    let nobody = Fetcher::trusting(RootCertStore::empty(), &Proxies::default());
    let trusting = Fetcher::trusting(server.roots.clone(), &Proxies::default());
    let at = |host: &str| server.url(host);
    assert_eq!(&trusting.get(&at("localhost")).await.unwrap().body[..], b"{}");
    let other_name = trusting.get(&at("127.0.0.1")).await.unwrap_err();
    let unknown = nobody.get(&at("localhost")).await.unwrap_err();
    for (error, cause) in [(other_name, "not valid for name"), (unknown, "UnknownIssuer")] {
        assert!(error.to_string().contains(cause), "{error}");
    }
}

/// Nothing else came, and it was read for as long as an attempt lasts: 398 MB.
#[tokio::test]
async fn a_storm_of_interim_answers_is_given_up() {
    let fetcher = Fetcher::trusting(RootCertStore::empty(), &Proxies::default());
    let storm = |count| format!("{}{}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count), text_of(ok("{}")));
    let endpoint = Endpoint::start().await;
    endpoint.answer("/some", Answer::Text(storm(MAX_INTERIM)));
    assert_eq!(&fetcher.get(&endpoint.url("/some")).await.unwrap().body[..], b"{}");
    endpoint.answer("/many", Answer::Text(storm(MAX_INTERIM + 1)));
    assert_eq!(fetcher.get(&endpoint.url("/many")).await.unwrap_err(), FetchError::Interim);
    for head in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 \r\nA: b\r\n\r\n", "HTTP/1.1 199 x\r\n\r\n"] {
        let sent = Arc::new(AtomicUsize::new(0));
        endpoint.answer("/endless", Answer::Endless(head.repeat(1000), Arc::clone(&sent)));
        let error = timeout(PATIENCE, fetcher.get(&endpoint.url("/endless"))).await.unwrap().unwrap_err();
        assert_eq!(error, FetchError::Interim, "{head}");
        assert!(sent.load(Ordering::Relaxed) < 32 * 1024 * 1024, "{} bytes", sent.load(Ordering::Relaxed));
    }
}

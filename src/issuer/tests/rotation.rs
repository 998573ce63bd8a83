//! Keys that are not in the set: asked for by honest clients after a rotation, and by strangers.

use super::*;

/// A rotation just after the start, and a herd that notices it (fault 9): one fetch, and everybody has the new key. The fetch at the
/// start does not count for the cooldown: it did, and refused honest clients for half a minute.
#[tokio::test]
async fn a_herd_of_unknown_kids_is_one_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    assert_eq!(house.verify("k2"), Err(TokenError::UnknownKey(MAIN)));
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    let mut herd = JoinSet::new();
    for _ in 0..200 {
        let keeper = Arc::clone(&house.keeper);
        herd.spawn(async move { keeper.refresh(MAIN, &token(Some("k2"))).await });
    }
    while let Some(refreshed) = herd.join_next().await {
        assert_eq!(refreshed.unwrap(), Refreshed::Fetched);
    }
    assert_eq!(house.verify("k2"), Ok(()));
    for _ in 0..200 {
        assert!(matches!(house.refresh().await, Refreshed::Overtaken | Refreshed::Unavailable));
    }
    assert_eq!(endpoint.asked().len(), 2, "one at the start, one for all of them");
}

/// An odd key beside the new one: the whole set was refused, and the new key never arrived.
#[tokio::test]
async fn an_odd_key_keeps_no_new_one_away() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, CALM).await;
    let leaked: Value = serde_json::from_str(&KEY.private_jwk()).unwrap();
    let odd = json!([1, { "kty": "EC", "kid": 7 }, leaked, { "kty": "oct", "k": "AA" }]).to_string();
    let twice = r#"{"kty":"EC","kty":"EC"}"#;
    let document = format!(r#"{{"keys":[{},{twice},{}]}}"#, &odd[1..odd.len() - 1], jwk("k2"));
    endpoint.answer("/jwks", ok(&document));
    assert_eq!(house.refresh().await, Refreshed::Fetched);
    assert_eq!(house.verify("k2"), Ok(()));
}

/// Libraries forgot to count failures, and asked a dead endpoint again for every made-up key.
#[tokio::test]
async fn a_failed_attempt_cools_down_too() {
    let endpoint = Endpoint::start().await;
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    for _ in 0..200 {
        assert_eq!(house.refresh().await, Refreshed::Unavailable);
    }
    assert_eq!(endpoint.asked().len(), 2, "one at the start, one for the first of them");
}

/// A request that gives up must not take the fetch with it.
#[tokio::test]
async fn a_cancelled_wait_cancels_no_fetch() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::settled(&endpoint, CALM).await;
    house.until(true).await;
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    tokio::select! {
        biased;
        _ = house.refresh() => unreachable!("nothing is fetched at the first look"),
        () = std::future::ready(()) => {}
    }
    house.until(true).await;
    assert_eq!(house.count(), Some(2));
}

#[tokio::test]
async fn an_unknown_issuer_has_nothing_to_refresh() {
    let endpoint = Endpoint::start().await;
    let house = House::settled(&endpoint, CALM).await;
    assert_eq!(house.keeper.refresh(IssuerId(7), &token(None)).await, Refreshed::Absent);
}

/// A stranger's made-up key must not turn the next rotation into refusals: it did, for half a minute.
#[tokio::test]
async fn a_fresh_key_during_the_cooldown_is_not_the_clients_fault() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    assert_eq!(house.judge("stranger").await, Err(TokenError::UnknownKey(MAIN)), "fetched, and not there");
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    assert_eq!(house.judge("k2").await, Err(TokenError::KeysUnavailable(MAIN)));
    assert_eq!(house.judge("stranger").await, Err(TokenError::UnknownKey(MAIN)), "still known to be absent");
    for stranger in 0..100 {
        let kid = format!("stranger {stranger}");
        assert_eq!(house.judge(&kid).await, Err(TokenError::KeysUnavailable(MAIN)));
    }
    assert_eq!(house.judge("k1").await, Ok(()));
    assert_eq!(endpoint.asked().len(), 2, "one at the start, one for all strangers");
}

/// Nobody has to come again for it: the keys are there once the cooldown is over.
#[tokio::test]
async fn what_was_asked_for_during_the_cooldown_is_fetched_after_it() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let timing = Timing { cooldown: Duration::from_millis(300), ..CALM };
    let mut house = House::settled(&endpoint, timing).await;
    house.until(true).await;
    assert_eq!(house.judge("stranger").await, Err(TokenError::UnknownKey(MAIN)));
    house.until(true).await;
    endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
    let first = house.judge("k2").await;
    assert!(matches!(first, Ok(()) | Err(TokenError::KeysUnavailable(MAIN))), "{first:?}");
    house.until(true).await;
    assert_eq!(house.verify("k2"), Ok(()));
}

/// While the endpoint is down nobody can say that a key does not exist, except one that was missing before.
#[tokio::test]
async fn a_fresh_key_while_the_endpoint_is_down_is_not_the_clients_fault() {
    for (story, down) in [
        ("in trouble", status("503 Service Unavailable", "", "")),
        ("closes", Answer::Text(String::new())),
        ("hangs", Answer::Hang),
        ("a page", ok("<!doctype html>")),
    ] {
        let endpoint = Endpoint::start().await;
        endpoint.answer("/jwks", ok(&jwks(&["k1"])));
        let attempt = Duration::from_millis(if matches!(down, Answer::Hang) { 300 } else { 10_000 });
        let house = House::settled(&endpoint, Timing { attempt, ..CALM }).await;
        assert_eq!(house.judge("old").await, Err(TokenError::UnknownKey(MAIN)), "{story}");
        endpoint.answer("/jwks", down);
        for _ in 0..2 {
            assert_eq!(house.judge("k2").await, Err(TokenError::KeysUnavailable(MAIN)), "{story}");
            assert_eq!(house.judge("old").await, Err(TokenError::UnknownKey(MAIN)), "{story}");
            assert_eq!(house.judge("k1").await, Ok(()), "{story}");
        }
        endpoint.answer("/jwks", ok(&jwks(&["k1", "k2"])));
        assert_eq!(house.judge("k2").await, Ok(()), "{story}");
        assert_eq!(house.judge("k3").await, Err(TokenError::UnknownKey(MAIN)), "{story}");
    }
}

/// A fetch that began before the key was asked for proves nothing about it.
#[tokio::test]
async fn a_fetch_that_began_earlier_proves_nothing() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, CALM).await;
    let gate = Arc::new(Semaphore::new(0));
    endpoint.answer("/jwks", Answer::Later(Arc::clone(&gate), jwks(&["k1"])));
    let keeper = Arc::clone(&house.keeper);
    let mut herd = JoinSet::new();
    herd.spawn(async move { keeper.refresh(MAIN, &token(Some("first"))).await });
    endpoint.until_asked(2).await;
    let second = house.ask("second");
    tokio::pin!(second);
    tokio::select! {
        biased;
        _ = &mut second => unreachable!("the endpoint has not answered"),
        () = std::future::ready(()) => gate.add_permits(100),
    }
    assert_eq!(second.await, Refreshed::Overtaken);
    assert_eq!(herd.join_next().await.unwrap().unwrap(), Refreshed::Fetched);
    endpoint.until_asked(3).await;
}

/// A token without `kid` may be signed by a key that is not there yet (RFC 7515 section 4.1.4): each asks for its own.
#[tokio::test]
async fn tokens_without_kid_are_judged_alike() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, Timing { cooldown: HOUR, ..CALM }).await;
    let ask = |token: String| {
        let keeper = Arc::clone(&house.keeper);
        async move { keeper.refresh(MAIN, &token).await }
    };
    let (one, other) = (token(None), token(None));
    assert_ne!(one, other, "ECDSA signatures differ");
    assert_eq!(ask(one.clone()).await, Refreshed::Fetched);
    let refreshed = ask(other).await;
    assert_eq!(refreshed.still_missing(MAIN), TokenError::KeysUnavailable(MAIN));
    assert_eq!(ask(one).await.still_missing(MAIN), TokenError::UnknownKey(MAIN));
}

/// Nobody else knows better than a file what is in it.
#[tokio::test]
async fn a_file_has_the_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    fs::write(&path, jwks(&["k1"])).unwrap();
    let house =
        House::start("https://id.test", KeySource::File(path.clone()), Timing { cooldown: HOUR, ..CALM });
    for kid in ["k2", "k3"] {
        assert_eq!(house.judge(kid).await, Err(TokenError::UnknownKey(MAIN)));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(house.judge("k4").await, Err(TokenError::UnknownKey(MAIN)));
}

//! Keys are fetched, kept and given up.

use super::*;

#[tokio::test]
async fn keys_are_fetched_at_start() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::start("https://id.test", endpoint.source(), CALM);
    assert!(!house.ready());
    assert_eq!(house.verify("k1"), Err(TokenError::KeysUnavailable(MAIN)));
    house.until(true).await;
    assert!(house.ready());
    assert_eq!(house.verify("k1"), Ok(()));
    assert_eq!(endpoint.asked(), ["/jwks"]);
}

/// Fault 7: the keys outlive their endpoint by a day, and no longer.
#[tokio::test]
async fn keys_outlive_their_endpoint_for_a_day() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let mut house = House::settled(&endpoint, EAGER).await;
    house.until(true).await;
    endpoint.answer("/jwks", status("503 Service Unavailable", "", ""));
    house.clock.set(NOW.saturating_add(24 * HOUR));
    assert_eq!(house.refresh().await, Refreshed::Unavailable);
    house.until(false).await;
    assert_eq!(house.verify("k1"), Ok(()));
    house.clock.set(NOW.saturating_add(24 * HOUR + Duration::from_millis(1)));
    let withdrawn = async {
        while house.keys().is_some() {
            house.attempts.recv().await.unwrap();
        }
    };
    timeout(PATIENCE, withdrawn).await.unwrap();
    assert!(!house.ready());
    assert_eq!(house.verify("k1"), Err(TokenError::KeysUnavailable(MAIN)));
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    house.until(true).await;
    assert_eq!(house.verify("k1"), Ok(()));
}

/// A publication makes every cached token be verified again: the same document is none.
#[tokio::test]
async fn the_same_document_is_not_published_again() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok(&jwks(&["k1"])));
    let house = House::settled(&endpoint, CALM).await;
    let before = house.keys().unwrap();
    assert_eq!(house.refresh().await, Refreshed::Fetched);
    assert!(Arc::ptr_eq(&before, &house.keys().unwrap()));
}

/// `max-age` is respected between its bounds: here it brings the next attempt about.
#[tokio::test]
async fn max_age_brings_the_next_attempt() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", status("200 OK", "Cache-Control: max-age=0\r\n", &jwks(&["k1"])));
    let max_age = (Duration::from_millis(1), HOUR);
    let mut house = House::start("https://id.test", endpoint.source(), Timing { max_age, ..CALM });
    for _ in 0..3 {
        house.until(true).await;
    }
    assert!(endpoint.asked().len() >= 3);
}

#[tokio::test]
async fn a_file_is_read_before_start_returns_and_again_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    fs::write(&path, jwks(&["k1"])).unwrap();
    let house = House::start("https://id.test", KeySource::File(path.clone()), CALM);
    assert!(house.ready());
    fs::write(&path, jwks(&["k1", "k2"])).unwrap();
    assert_eq!(house.refresh().await, Refreshed::Fetched);
    assert_eq!(house.count(), Some(2));
    for bad in [String::new(), "{".to_owned(), format!("{}{}", " ".repeat(MAX_DOCUMENT), jwks(&["k1"]))] {
        fs::write(&path, bad).unwrap();
        assert_eq!(house.refresh().await, Refreshed::Absent);
        assert_eq!(house.count(), Some(2));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(house.refresh().await, Refreshed::Absent);
    assert_eq!(house.count(), Some(2));
}

#[tokio::test]
async fn a_file_may_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let mut house = House::start("https://id.test", KeySource::File(path.clone()), EAGER);
    assert!(!house.ready());
    house.until(false).await;
    fs::write(&path, jwks(&["k1"])).unwrap();
    house.until(true).await;
    assert!(house.ready());
}

#[tokio::test]
async fn tasks_end_when_told_even_in_the_middle() {
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", Answer::Hang);
    let house = House::start("https://id.test", endpoint.source(), Timing { attempt: HOUR, ..CALM });
    house.stop.cancel();
    house.tasks.close();
    timeout(PATIENCE, house.tasks.wait()).await.unwrap();
}

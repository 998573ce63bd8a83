//! What the client gets for each of them.

use keyproof::denial::Kind;
use serde_json::{Value, json};
use support::gateway::House;
use support::reasons::{Case, DOWN, ROUTES, all, every_reason_has_a_case, good};

#[tokio::test]
async fn every_refusal_is_what_its_row_says() {
    for (denial, case) in all() {
        every_reason_has_a_case(denial);
        let (house, request) = match case {
            Case::Elsewhere => continue,
            Case::Sent(request) => {
                let house = House::with_issuers(ROUTES, DOWN, "").await;
                let request = request(&house);
                (house, request)
            }
            Case::Started(settings, request) => {
                let house = House::just_started(ROUTES, settings).await;
                let request = request(&house);
                (house, request)
            }
            Case::AfterAGoodOne(settings, request) => {
                let house = House::with(ROUTES, settings).await;
                assert_eq!(house.send(good(&house, "the same")).await.status, 200, "{denial:?}");
                let request = request(&house);
                (house, request)
            }
        };
        let upstream_before = house.upstream.seen().len();
        let answer = house.send(request).await;
        let kind = denial.row().kind;
        assert_eq!(answer.status, kind.status().as_u16(), "{denial:?}: {}", answer.text());
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(
            body,
            json!({ "error": kind.error(), "error_description": denial.to_string() }),
            "{denial:?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("x-request-id").is_some());
        assert_eq!(answer.header("retry-after").is_some(), kind.retry_after().is_some(), "{denial:?}");
        assert_eq!(answer.header("dpop-nonce").is_some(), kind.error() == "use_dpop_nonce", "{denial:?}");
        assert_eq!(!answer.all("www-authenticate").is_empty(), is_about_authentication(kind), "{denial:?}");
        assert_eq!(house.upstream.seen().len(), upstream_before, "{denial:?} reached the upstream");
        let label = format!("reason=\"{}\"", denial.label());
        assert_eq!(
            house.metric("keyproof_decisions_total", &["decision=\"deny\"", &label]).await,
            1.0,
            "{denial:?}"
        );
        assert_eq!(house.metric("keyproof_decisions_total", &["decision=\"deny\""]).await, 1.0, "{denial:?}");
    }
}

#[test]
fn labels_are_distinct_and_texts_fit_into_a_challenge() {
    let mut labels: Vec<_> = all().iter().map(|(denial, _)| denial.label()).collect();
    let count = labels.len();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), count);
    for (denial, _) in all() {
        let text = denial.to_string();
        assert!(text.bytes().all(|byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')), "{text}");
    }
}

/// What carries challenges.
fn is_about_authentication(kind: Kind) -> bool {
    matches!(kind.status().as_u16(), 401 | 403) || kind == Kind::InvalidRequest
}

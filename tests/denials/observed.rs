//! The same requests where the routes only observe: whatever the reason, what can be forwarded is.

use keyproof::denial::Denial;
use support::gateway::House;
use support::reasons::{Case, DOWN, ROUTES, all, good};

#[tokio::test]
async fn observing_refuses_nothing_that_can_be_forwarded() {
    let routes = ROUTES.replace("upstream: legacy", "upstream: legacy, mode: observe");
    for (denial, case) in all() {
        let (house, request) = match case {
            // Redis is not there in `tests/gateway/observe.rs`.
            Case::Elsewhere => continue,
            Case::Sent(request) => {
                let house = House::with_issuers(&routes, DOWN, "").await;
                let request = request(&house);
                (house, request)
            }
            Case::Started(settings, request) => {
                let house = House::just_started(&routes, settings).await;
                let request = request(&house);
                (house, request)
            }
            Case::AfterAGoodOne(settings, request) => {
                let house = House::with(&routes, settings).await;
                assert_eq!(house.send(good(&house, "the same")).await.status, 200, "{denial:?}");
                let request = request(&house);
                (house, request)
            }
        };
        let before = house.upstream.seen().len();
        let answer = house.send(request).await;
        let reason = format!("reason=\"{}\"", denial.label());
        let decided = async |decision: &str| {
            let decision = format!("decision=\"{decision}\"");
            house.metric("keyproof_decisions_total", &[&decision, &reason]).await
        };
        if cannot_be_forwarded(denial) {
            assert_eq!((answer.status, decided("deny").await), (denial.status().as_u16(), 1.0), "{denial:?}");
            assert_eq!(house.upstream.seen().len(), before, "{denial:?} reached the upstream");
            continue;
        }
        assert_eq!((answer.status, decided("observe").await), (200, 1.0), "{denial:?}");
        assert!(answer.all("www-authenticate").is_empty() && answer.header("retry-after").is_none());
        let seen = &house.upstream.seen()[before];
        assert!(!seen.headers.iter().any(|(name, _)| name.starts_with("x-auth-")), "{denial:?}: {seen:?}");
    }
}

/// What has no single meaning, or leads nowhere.
const fn cannot_be_forwarded(denial: Denial) -> bool {
    match denial {
        Denial::Description(_)
        | Denial::Authority(_)
        | Denial::Path(_)
        | Denial::TargetTooLong
        | Denial::NoRoute
        | Denial::MethodNotAllowed
        | Denial::Unsupported(_)
        | Denial::Body
        | Denial::Marked => true,
        Denial::Credentials(_)
        | Denial::Token(_)
        | Denial::Binding(_)
        | Denial::ProofCount(_)
        | Denial::Proof(_)
        | Denial::InsufficientScope
        | Denial::Replay(_) => false,
    }
}

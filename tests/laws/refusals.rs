//! Refusals: what they say can be read, and they leave no trace.

use crate::challenge::{Challenge, parse};
use crate::world::{CLIENT, NOW, THIEF, ask, headers, policy, proof, token, usual};
use http::HeaderMap;
use keyproof::authorize::{Accept, Challenges, Policy};
use keyproof::denial::{Denial, Kind};
use keyproof::dpop::NoncePolicy;
use keyproof::headers::AuthScheme;
use keyproof::jose::Algorithm;
use proptest::prelude::*;
use serde_json::json;
use support::gateway::House;
use support::reasons::{Case, DOWN, ROUTES, all};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every reason there is, on every kind of route, whatever the client tried.
    #[test]
    fn every_challenge_can_be_read_to_the_letter(
        accept in prop::sample::select(vec![(true, false, false), (false, false, true), (true, false, true), (false, true, false), (true, true, false)]),
        // RFC 6749 section 3.3: any scope that a route may be configured with.
        scopes in prop::collection::vec("[!#-\\[\\]-~]{1,12}", 0..4),
        used in prop::sample::select(vec![None, Some(AuthScheme::Dpop), Some(AuthScheme::Bearer)]),
        algorithms in prop::sample::subsequence(
            vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Es384], 1..4),
    ) {
        let accept = Accept { dpop: accept.0, mtls: accept.1, bearer: accept.2 };
        let policy = Policy { accept, scopes, ..policy(NoncePolicy::Off) };
        let challenges = Challenges::new(&algorithms);
        for (denial, _) in all() {
            let lines = challenges.render(&policy, denial, used);
            let read: Vec<Vec<_>> = lines.iter().map(|line| parse(line).map_err(|at| format!("{line}: {at}"))).collect::<Result<_, _>>().unwrap();
            prop_assert!(read.iter().all(|line| line.len() == 1), "one line, one challenge: {lines:?}");
            let read: Vec<_> = read.into_iter().flatten().collect();
            // A front that joins the lines changes nothing.
            if !lines.is_empty() {
                prop_assert_eq!(&parse(&lines.join(", ")).unwrap(), &read);
            }
            is_as_the_rfcs_have_it(&read, denial, &policy, &algorithms)?;
        }
    }

    /// Between good requests come any number of bad ones, with the same proofs and with others: the good ones fare as if
    /// nobody else had been there.
    #[test]
    fn a_refused_request_changes_nothing(steps in prop::collection::vec((0_usize..5, 0_usize..BAD + 1), 1..24)) {
        let (disturbed, quiet, policy) = (usual(), usual(), policy(NoncePolicy::Off));
        for (which, kind) in steps {
            let before = (disturbed.replay.len(), disturbed.replay.complete_since());
            if kind == BAD {
                let answer = |authorizer| ask(authorizer, &policy, &good(which), NOW).map(drop).map_err(|refusal| refusal.denial);
                prop_assert_eq!(answer(&disturbed), answer(&quiet));
            } else {
                prop_assert!(ask(&disturbed, &policy, &bad(kind, which), NOW).is_err(), "{}", kind);
                prop_assert_eq!(before, (disturbed.replay.len(), disturbed.replay.complete_since()));
            }
        }
        prop_assert_eq!(disturbed.replay.len(), quiet.replay.len());
    }
}

/// RFC 9449 section 7.1, RFC 6750 section 3.
fn is_as_the_rfcs_have_it(
    read: &[Challenge],
    denial: Denial,
    policy: &Policy,
    algorithms: &[Algorithm],
) -> Result<(), TestCaseError> {
    let kind = denial.row().kind;
    let schemes: Vec<_> = read.iter().map(|challenge| challenge.scheme.as_str()).collect();
    // A peer that may not describe requests is no client, and brings no credentials that could be better.
    let about_authentication = kind != Kind::Forbidden
        && (matches!(kind.status().as_u16(), 401 | 403) || kind == Kind::InvalidRequest);
    let expected: Vec<_> =
        policy.accept.schemes().map(AuthScheme::name).filter(|_| about_authentication).collect();
    prop_assert_eq!(schemes, expected, "{:?}", denial);
    let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
    for challenge in read {
        prop_assert!(challenge.parameter("realm").is_some());
        let algs = challenge.parameter("algs").map(|algs| algs.split(' ').collect::<Vec<_>>());
        prop_assert_eq!(algs, (challenge.scheme == "DPoP").then(|| names.clone()));
        if let Some(error) = challenge.parameter("error") {
            prop_assert_eq!(error, kind.error());
        }
        let description = challenge.parameter("error_description");
        prop_assert_eq!(description.is_some(), challenge.parameter("error").is_some());
        // Section 3: %x20-21 / %x23-5B / %x5D-7E.
        let allowed = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        prop_assert!(description.is_none_or(|text| text.bytes().all(allowed) && !text.is_empty()));
        let scope = challenge.parameter("scope").map(|scope| scope.split(' ').collect::<Vec<_>>());
        prop_assert!(scope.is_none_or(|scope| policy.scopes.is_empty() || scope == policy.scopes));
    }
    // Without credentials no error (RFC 6750 section 3.1); otherwise at least one challenge has it, wherever it can.
    let errors = read.iter().filter(|challenge| challenge.parameter("error").is_some()).count();
    let only_for_dpop = matches!(kind, Kind::InvalidProof | Kind::UseNonce);
    let can_tell =
        about_authentication && kind != Kind::Unauthorized && (policy.accept.dpop || !only_for_dpop);
    prop_assert_eq!(errors > 0, can_tell, "{:?}: {:?}", denial, read);
    Ok(())
}

/// How many ways to be refused [`bad`] knows.
const BAD: usize = 9;

/// A good request; with the same number the same proof.
fn good(which: usize) -> HeaderMap {
    let token = token(json!({}));
    let jti = format!("p{which}");
    headers("DPoP", &token, Some(&proof(&CLIENT, &token, json!({ "jti": jti }))))
}

/// A request with the same `jti` and something wrong.
fn bad(kind: usize, which: usize) -> HeaderMap {
    let (plain, jti) = (token(json!({})), format!("p{which}"));
    let with = |changes: serde_json::Value| {
        let mut changes = changes;
        changes["jti"] = json!(jti);
        headers("DPoP", &plain, Some(&proof(&CLIENT, &plain, changes)))
    };
    match kind {
        0 => with(json!({ "htm": "POST" })),
        1 => with(json!({ "htu": "https://api.test/order" })),
        2 => with(json!({ "iat": NOW.as_secs() - 61 })),
        3 => with(json!({ "ath": "a".repeat(43) })),
        4 => headers("DPoP", &plain, None),
        5 => headers("DPoP", &plain, Some(&proof(&THIEF, &plain, json!({ "jti": jti })))),
        6 => headers("Bearer", &plain, Some(&proof(&CLIENT, &plain, json!({ "jti": jti })))),
        7 => {
            let poor = token(json!({ "scope": "orders:write" }));
            headers("DPoP", &poor, Some(&proof(&CLIENT, &poor, json!({ "jti": jti }))))
        }
        _ => {
            let unprintable = token(json!({ "sub": "a\nb" }));
            headers("DPoP", &unprintable, Some(&proof(&CLIENT, &unprintable, json!({ "jti": jti }))))
        }
    }
}

/// Every refusal there is, one after the other at one gateway: it remembers no proof, and the next good request passes.
#[tokio::test]
async fn no_refusal_uses_a_proof_up() {
    let house = House::with_issuers(ROUTES, DOWN, "").await;
    for (denial, case) in all() {
        let Case::Sent(request) = case else { continue };
        let answer = house.send(request(&house)).await;
        assert_eq!(answer.status, denial.status().as_u16(), "{denial:?}");
        assert!(house.metric("keyproof_replay_entries", &[]).await < 0.5, "{denial:?} is remembered");
    }
    assert_eq!(house.good().await.status, 200);
    assert!((house.metric("keyproof_replay_entries", &[]).await - 1.0).abs() < 0.5);
}

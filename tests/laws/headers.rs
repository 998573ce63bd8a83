//! What the upstream is told, the token said.

use crate::world::{CLIENT, NOW, ask, headers, policy, proof, token, usual};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use keyproof::dpop::NoncePolicy;
use keyproof::headers::{Keep, Protected, strip_request};
use proptest::prelude::*;
use serde_json::json;

const PROTECTED: [&str; 3] = ["x-auth-subject", "x-auth-key", "remote-user"];

/// A protected name as an attacker may write it: any mark, or none, between any two letters, in any case.
fn alias() -> impl Strategy<Value = String> {
    let marks = prop::collection::vec("[-_.!#$%&'*+^`|~]{0,2}", 16);
    (prop::sample::select(PROTECTED.to_vec()), marks, any::<u32>(), any::<bool>()).prop_map(
        |(name, marks, upper, dashes)| {
            let mut spelled = String::new();
            for (place, letter) in name.chars().enumerate() {
                match letter {
                    '-' if !dashes => {}
                    _ if upper >> place & 1 == 1 => spelled.push(letter.to_ascii_uppercase()),
                    _ => spelled.push(letter),
                }
                spelled.push_str(&marks[place]);
            }
            spelled
        },
    )
}

/// Any name at all, a protected one in disguise, or one that acts on others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => alias(),
        2 => "[a-zA-Z0-9_.~-]{1,20}",
        1 => prop::sample::select(PROTECTED.to_vec()).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a client sends, and whatever it names in `Connection`: under each protected name, as the sloppiest
    /// application reads it, the upstream finds what the token says and nothing else.
    #[test]
    fn under_every_spelling_the_upstream_finds_what_the_token_says(
        sent in prop::collection::vec((name(), "[ -~]{0,12}"), 0..12),
        named in prop::collection::vec(name(), 0..4),
        trusted in any::<bool>(),
    ) {
        let mut received = HeaderMap::new();
        for (name, value) in &sent {
            let (name, value) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
            received.append(name.expect("made of name characters"), value.expect("printable"));
        }
        for name in &named {
            received.append("connection", HeaderValue::try_from(name.as_str()).expect("printable"));
        }
        let identity = [("x-auth-subject", "alice"), ("x-auth-key", "0ZcO")];

        // As the proxy does it: strip what ends here, strip identities, then set ours.
        strip_request(&mut received, Keep { origination: trusted, ..Keep::default() });
        protected().strip(&mut received);
        for (name, value) in identity {
            received.insert(name, HeaderValue::from_static(value));
        }

        for protected in PROTECTED {
            let found: Vec<_> = received.iter().filter(|(name, _)| folded(name.as_str()) == folded(protected)).collect();
            let said = identity.iter().find(|(name, _)| *name == protected);
            prop_assert_eq!(found.len(), usize::from(said.is_some()), "{:?}", found);
            prop_assert!(found.iter().all(|(_, value)| said.is_some_and(|(_, said)| *value == *said)));
        }
    }

    /// What a permit says about a subject is the token's own text, or there is no permit.
    #[test]
    fn a_subject_arrives_as_it_was_signed_or_not_at_all(subject in "\\PC{1,8}|[ -~]{1,20}|[\\x00-\\x7f]{1,6}") {
        let token = token(json!({ "sub": subject }));
        let request = headers("DPoP", &token, Some(&proof(&CLIENT, &token, json!({}))));
        if let Ok(mut permit) = ask(&usual(), &policy(NoncePolicy::Off), &request, NOW) {
            let identity = permit.take_identity();
            let told: Vec<_> = identity.iter().map(|(_, value)| value.as_bytes()).collect();
            prop_assert_eq!(told, [subject.as_bytes()]);
        } else {
            let plain = subject.bytes().all(|byte| matches!(byte, b' '..=b'~')) && subject.trim() == subject;
            prop_assert!(!plain, "{:?} was refused", subject);
        }
    }
}

fn protected() -> Protected {
    Protected::new(PROTECTED.map(HeaderName::from_static).iter())
}

/// The letters and digits alone, as CGI and its heirs come close to reading names.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "")
}

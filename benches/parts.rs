//! The parts of a decision, each by itself: `cargo bench --bench parts`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench ends where its own input is broken")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keyproof::authorize::{Accept, Challenges, Mode, Policy};
use keyproof::client::proof::{NewProof, sign};
use keyproof::clock::{Clock, UnixTime};
use keyproof::denial::{Denial, ReplayError};
use keyproof::dpop::{AcceptanceWindow, Expected, NonceMint, NoncePolicy, ProofError, TargetUri, Verifier};
use keyproof::gate::Answer;
use keyproof::headers::AuthScheme;
use keyproof::headers::Protected;
use keyproof::hot_keys::{EARNED, HotKeys};
use keyproof::identity::IdentityMap;
use keyproof::jose::{Algorithm, CompactJws, PrivateKey, encode, random, sha256};
use keyproof::names::RouteId;
use keyproof::proxy::respond;
use keyproof::replay::{MemoryStore, Outcome, Store};
use keyproof::route::{Matcher, Table};
use keyproof::token::{ClaimNames, IssuerRules, Issuers, KeySet};
use keyproof::uri::{CanonicalPath, Origin};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const HTU: &str = "https://api.test/orders/17";
/// An RSA key that signs nothing but this bench: ring cannot make one.
const RSA: &str = include_str!("../src/jose/sign/testdata/rsa.jwk");

criterion_group! {
    name = parts;
    // Half a minute for all of them: these figures guide, the side-by-side run decides.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = proofs, hot_keys, tokens, targets, routes, replay, refusals, identity
}
criterion_main!(parts);

/// A key of each algorithm.
fn keys() -> [(&'static str, PrivateKey); 4] {
    [
        ("ES256", PrivateKey::generate(Algorithm::Es256).unwrap()),
        ("ES384", PrivateKey::generate(Algorithm::Es384).unwrap()),
        ("EdDSA", PrivateKey::generate(Algorithm::EdDsa).unwrap()),
        ("PS256", PrivateKey::read(RSA).unwrap()),
    ]
}

/// Every check on a proof; with the key cached, as for a client that comes back, and without, as for a new one.
fn proofs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let origin = Origin::parse("https://api.test").unwrap();
    let token = "a.b.c";
    let hash = sha256(&[token.as_bytes()]);
    let expected = Expected {
        method: &Method::GET,
        target: TargetUri { origin: &origin, path: "/orders/17" },
        ath: Some(&hash),
        nonce: NoncePolicy::Off,
    };
    let window = AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(10) };
    let mint = Arc::new(NonceMint::new(&[], Duration::from_secs(120)));
    let verifier = |algorithm| Verifier::new(vec![algorithm], window, Arc::clone(&mint));
    for (name, key) in keys() {
        let new = NewProof { method: &Method::GET, htu: HTU, token: Some(token), nonce: None };
        let proof = sign(&key, &new, NOW);
        let known = verifier(key.algorithm());
        group.bench_function(format!("{name}, key cached"), |bench| {
            bench.iter(|| known.verify(black_box(&proof), &expected, NOW).unwrap());
        });
        group.bench_function(format!("{name}, new key"), |bench| {
            let fresh = || verifier(key.algorithm());
            bench.iter_batched_ref(
                fresh,
                |new| new.verify(black_box(&proof), &expected, NOW).unwrap(),
                BatchSize::SmallInput,
            );
        });
        let elsewhere = Expected { target: TargetUri { origin: &origin, path: "/orders/18" }, ..expected };
        group.bench_function(format!("{name}, for another URI"), |bench| {
            bench.iter(|| known.verify(black_box(&proof), &elsewhere, NOW).unwrap_err());
        });
        let bare = CompactJws::split(&proof).unwrap();
        group.bench_function(format!("{name}, the signature alone"), |bench| {
            bench.iter(|| bare.verify(key.algorithm(), black_box(key.public())).unwrap());
        });
    }
    group.finish();
}

/// The signature of a key that has a table, and what those who have none pay for the others.
fn hot_keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot keys");
    let hot_keys = HotKeys::new(Clock::manual(NOW));
    hot_keys.adapt(512).unwrap();
    let client = || {
        let key = PrivateKey::generate(Algorithm::Es256).unwrap();
        let text = key.sign("{}", &"x".repeat(300));
        (key, text)
    };
    let (hot, text) = client();
    (0..EARNED).for_each(|_| hot_keys.admitted(Algorithm::Es256, hot.public(), NOW.into()));
    while hot_keys.state().tables == 0 {
        std::thread::yield_now();
    }
    let verify = |key: &PrivateKey, text: &str| {
        let jws = CompactJws::split(text).unwrap();
        let later = NOW.saturating_add(Duration::from_secs(2));
        hot_keys.verify(&jws, Algorithm::Es256, black_box(key.public()), later.into()).unwrap();
    };
    (0..EARNED).for_each(|_| verify(&hot, &text));
    group.bench_function("a signature, by a table", |bench| bench.iter(|| verify(&hot, &text)));
    let (cold, other) = client();
    group.bench_function("a signature, no table", |bench| bench.iter(|| verify(&cold, &other)));
    group.bench_function("used again", |bench| {
        bench.iter(|| hot_keys.admitted(Algorithm::Es256, black_box(hot.public()), NOW.into()))
    });
    let cold: Vec<_> = (0..100).map(|_| client().0).collect();
    let (mut turns, mut number) = (cold.iter().cycle(), 0);
    group.bench_function("counted, no table", |bench| {
        bench.iter(|| {
            number += 1;
            // Once in twenty seconds: none becomes hot.
            let now = NOW.saturating_add(Duration::from_secs(20 * (number / 100)));
            let key = turns.next().expect("it never ends");
            hot_keys.admitted(Algorithm::Es256, black_box(key.public()), now.into());
        });
    });
    group.finish();
    hot_keys.adapt(0).unwrap();
}

fn issuers(key: &PrivateKey) -> Issuers {
    let issuers = Issuers::new(vec![IssuerRules {
        name: "main".to_owned(),
        issuer: "https://id.test".to_owned(),
        audiences: vec!["https://api.test".to_owned()],
        algorithms: vec![key.algorithm()],
        token_types: vec!["at+jwt".to_owned()],
        claims: ClaimNames::default(),
        required_claims: None,
        leeway: Duration::from_secs(10),
        introspection: None,
    }]);
    let keys = KeySet::parse(format!(r#"{{"keys":[{}]}}"#, key.public_jwk()).as_bytes()).unwrap();
    let (_, issuer) = issuers.iter().next().expect("there is one");
    issuer.publish(keys);
    issuers
}

fn token(key: &PrivateKey, number: u32) -> String {
    let claims = json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop", "iat": NOW.as_secs() - 10,
        "exp": NOW.as_secs() + 300, "jti": number.to_string(), "scope": "orders:read profile",
        "cnf": { "jkt": key.public().thumbprint().to_string() },
    });
    key.sign(&format!(r#"{{"typ":"at+jwt","alg":"{}"}}"#, key.algorithm().name()), &claims.to_string())
}

fn tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    for (name, key) in keys() {
        let text = token(&key, 0);
        let known = issuers(&key);
        if name == "ES256" {
            group.bench_function("cached, hash included", |bench| {
                bench.iter(|| known.verify(&text, &sha256(&[black_box(text.as_bytes())]), NOW).unwrap());
            });
        }
        group.bench_function(format!("{name}, new"), |bench| {
            // Another hash for the same token, so that it is never found.

            bench.iter_batched(
                random::<32>,
                |hash| known.verify(black_box(&text), &hash, NOW).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn targets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("target");
    let origin = Origin::parse("https://api.test").unwrap();
    let target = TargetUri { origin: &origin, path: "/orders/17" };
    for (name, htu) in [
        ("canonical", HTU),
        ("other case, port and query", "HTTPS://API.TEST:443/orders/17?a=b"),
        ("dot segments and escapes", "https://api.test/x/../%6frders/17"),
    ] {
        group.bench_function(format!("htu {name}"), |bench| {
            bench.iter(|| target.check(black_box(htu)).unwrap());
        });
    }
    for (name, path) in [("canonical", "/orders/17/lines/3"), ("with escapes", "/%6frders/caf%c3%a9")] {
        group.bench_function(format!("path {name}"), |bench| {
            bench.iter(|| CanonicalPath::parse(black_box(path)).unwrap());
        });
    }
    group.finish();
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let origins = [Origin::parse("https://api.test").unwrap()];
    for count in [10, 1_000, 10_000] {
        let matcher = |number| Matcher {
            route: RouteId(number),
            hosts: vec![],
            path: format!("/team-{}/service-{number}", number % 7),
            methods: vec![],
        };
        let matchers: Vec<_> = (0..count).map(matcher).collect();
        let table = Table::new(&origins, &matchers).unwrap();
        let path = format!("{}/orders/17", matchers.last().expect("there are routes").path);
        group.bench_function(format!("{count} routes, found"), |bench| {
            bench.iter(|| table.choose(0, black_box(&path), &Method::GET));
        });
        group.bench_function(format!("{count} routes, none"), |bench| {
            bench.iter(|| table.choose(0, black_box("/team-0/service-x/orders/17"), &Method::GET));
        });
    }
    group.finish();
}

/// Key and insert, at the store's ordinary size; `benches/replay.rs` has the comparison with other structures.
fn replay(criterion: &mut Criterion) {
    let store = Store::Memory(MemoryStore::new(4_000_000, usize::MAX, Duration::from_secs(70), NOW));
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    let jkt = key.public().thumbprint();
    let Store::Memory(memory) = &store else { unreachable!("it was just made") };
    let life = Duration::from_secs(60);
    // Twenty thousand a second: 1.2 million are live once the first are old.
    let moment = |number: u64| NOW.saturating_add(Duration::from_micros(50 * number));
    let mut number = 0;
    criterion.bench_function("replay/key", |bench| {
        bench.iter(|| store.key(&jkt, black_box("4Zl1Qh0cTq6Y0xS1v8b2Ng")))
    });
    criterion.bench_function("replay/insert", |bench| {
        let fresh = || {
            number += 1;
            (store.key(&jkt, &number.to_string()), moment(number))
        };
        bench.iter_batched(
            fresh,
            |(key, now)| memory.check_and_insert(key, now.saturating_add(life), now),
            BatchSize::SmallInput,
        );
    });
    let (used, now) = (store.key(&jkt, "used"), moment(number));
    let until = now.saturating_add(life);
    assert_eq!(memory.check_and_insert(used, until, now), Outcome::Fresh, "the first use");
    criterion
        .bench_function("replay/found", |bench| bench.iter(|| memory.check_and_insert(used, until, now)));
}

fn policy() -> Policy {
    Policy {
        accept: Accept { dpop: true, mtls: false, bearer: false },
        public: false,
        mode: Mode::Enforce,
        nonce: NoncePolicy::Off,
        issuers: vec![],
        introspection: None,
        scopes: vec!["orders:read".to_owned()],
        identity: map(),
    }
}

/// Challenge, body and headers of a refusal.
fn refusals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refusal");
    let challenges = Challenges::new(&[Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256]);
    let policy = policy();
    let id = HeaderValue::from_static("4Zl1Qh0cTq6Y0xS1v8b2Ng");
    for (name, denial) in [
        ("bad proof", Denial::Proof(ProofError::Signature)),
        ("replay", Denial::Replay(ReplayError::Replayed)),
        ("no route", Denial::NoRoute),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let kind = black_box(denial).row().kind;
                let answer = Answer::error(kind.status(), kind.error(), &denial.to_string(), id.clone());
                let response = respond::carry(answer, ());
                (response, challenges.render(&policy, denial, Some(AuthScheme::Dpop)))
            });
        });
    }
    group.finish();
}

fn map() -> IdentityMap {
    let headers = [
        ("x-auth-subject", "sub"),
        ("x-auth-client", "client_id"),
        ("x-auth-scope", "scope"),
        ("x-auth-issuer", "iss"),
        ("x-auth-key", "cnf.jkt"),
    ];
    IdentityMap {
        headers: headers.map(|(name, claim)| (HeaderName::from_static(name), claim.to_owned())).to_vec(),
    }
}

fn identity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identity");
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    let text = token(&key, 0);
    let verified = issuers(&key).verify(&text, &sha256(&[text.as_bytes()]), NOW).unwrap();
    let map = map();
    group.bench_function("render five headers", |bench| {
        bench.iter(|| map.render(|path| verified.claim(path)).unwrap())
    });

    let protected = Protected::new(map.names());
    let mut clean = HeaderMap::new();
    for name in [
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "authorization",
        "dpop",
        "content-type",
        "x-trace",
    ] {
        clean.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    group.bench_function("strip, nothing to strip", |bench| {
        bench.iter_batched_ref(|| clean.clone(), |headers| protected.strip(headers), BatchSize::SmallInput);
    });
    let mut spoofed = clean.clone();
    spoofed.insert("x_auth_subject", HeaderValue::from_static("root"));
    group.bench_function("strip, one spoofed", |bench| {
        bench.iter_batched_ref(|| spoofed.clone(), |headers| protected.strip(headers), BatchSize::SmallInput);
    });
    group.bench_function("thumbprint as text", |bench| {
        bench.iter(|| encode(black_box(key.public().thumbprint().as_bytes())))
    });
    group.finish();
}

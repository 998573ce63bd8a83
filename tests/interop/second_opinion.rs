//! A second opinion: the same thousand requests to the gateway and to `express-oauth2-jwt-bearer`, good ones and ones with something wrong.
//!
//! Where the two do not agree, [`DIFFERENCES`] says which of them is wrong, and by which clause. A difference that is not there fails, and so does a
//! line there that nothing shows any more. Where both refuse for one reason, they give it the same name.

use crate::node::Node;
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Child;
use support::gateway::{HOST, House, NOW};
use support::raw::Raw;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";
/// How many requests, and what they are drawn by.
const REQUESTS: usize = 1000;
const SEED: u64 = 0x5EED_0001;

/// What is wrong with a request, or only unusual.
type Change = (&'static str, fn(&mut Draft));

/// A request before it is signed and written: how it differs from a good one.
struct Draft {
    /// What stands in place of members of the token's and the proof's header and claims; [`ABSENT`]: nothing does.
    token_header: Map<String, Value>,
    token_claims: Map<String, Value>,
    proof_header: Map<String, Value>,
    proof_claims: Map<String, Value>,
    /// What the token says of the thumbprint of the key that it is for.
    cnf: fn(&str) -> Value,
    scheme: &'static str,
    target: String,
    method: &'static str,
    signs: Signer,
    /// The proof shows a private key.
    is_private: bool,
    /// What becomes of the two lines in the end: `authorization`, then `dpop`.
    lines: fn(&mut Vec<(&'static str, String)>),
    /// Signatures of which a letter is another.
    spoilt: Vec<&'static str>,
    is_sent_twice: bool,
}

/// Whose key signs the proof.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signer {
    Client,
    /// The client, whose key is of another kind.
    Edwards,
    Thief,
}

const ABSENT: &str = "(absent)";

/// Who of the two takes a request that the other refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    ByUsAlone,
    ByThemAlone,
}

/// What makes them disagree, who takes it, and why that is right or wrong.
const DIFFERENCES: &[(&str, Taken, &str)] = &[
    (
        "two spaces before the token",
        Taken::ByUsAlone,
        "they are wrong: credentials = scheme 1*SP token68 (RFC 9449 section 7.1, RFC 9110 section 11.4)",
    ),
    (
        "the token twice",
        Taken::ByThemAlone,
        "they are wrong: Authorization is no list, and node keeps the first of two (RFC 9110 section 5.3); nobody can tell which one somebody in front has looked at",
    ),
    (
        "sent twice",
        Taken::ByThemAlone,
        "they leave it to their user: that a proof is used once has to be seen to (RFC 9449 sections 4.3 and 11.1)",
    ),
    (
        "token: iat ahead",
        Taken::ByThemAlone,
        "both may: iat tells a token's age (RFC 7519 section 4.1.6), and that of one from the future is wrong",
    ),
    (
        "token: a key beside jkt",
        Taken::ByThemAlone,
        "both may: cnf should name one key (RFC 7800 section 3.1), and of two nobody can say which of them is meant",
    ),
    (
        "token: a certificate beside jkt",
        Taken::ByThemAlone,
        "they are wrong: the token is bound to a certificate too, which nobody has shown (RFC 8705 section 3)",
    ),
    (
        "proof: typ in capitals",
        Taken::ByThemAlone,
        "both may: media types are compared without case (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
    ),
    (
        "proof: typ application/dpop+jwt",
        Taken::ByThemAlone,
        "both may: the prefix may be left out and need not be (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
    ),
    (
        "proof: htm in small letters",
        Taken::ByThemAlone,
        "they are wrong: methods are compared with case (RFC 9110 section 9.1), and htm has to be the method (RFC 9449 section 4.3 check 8)",
    ),
    (
        "proof: htu with a user",
        Taken::ByThemAlone,
        "they are wrong: query and fragment are ignored and nothing else (RFC 9449 section 4.3 check 9); an http URI with a user in it is to be treated as an error (RFC 9110 section 4.2.4)",
    ),
    (
        "proof: jti a number",
        Taken::ByThemAlone,
        "they are wrong: jti is a string (RFC 7519 section 4.1.7), and whoever remembers it has to compare it",
    ),
];

/// Where both refuse and call it by another name.
const OTHER_NAMES: &[(&str, &str)] = &[(
    "bearer",
    "a bound token that is sent as a bearer token is no good for that: invalid_token (RFC 6750 section 3.1, RFC 9449 section 7.2); they say that the request is malformed",
)];

/// Everything that a request may have. The first are no fault.
const CHANGES: &[Change] = &[
    ("a query", |draft| draft.target.push_str("?a=1&b=%20")),
    ("a path below", |draft| draft.target = draft.target.replacen("/orders", "/orders/7", 1)),
    ("by DELETE", |draft| draft.method = "DELETE"),
    ("scheme dpop", |draft| draft.scheme = "dpop"),
    ("scheme DPOP", |draft| draft.scheme = "DPOP"),
    ("an Edwards key", |draft| draft.signs = Signer::Edwards),
    ("iat a minute ago", |draft| set(&mut draft.proof_claims, "iat", json!(NOW.as_secs() - 59))),
    ("iat with a fraction", |draft| set(&mut draft.proof_claims, "iat", json!(1_699_999_999.5))),
    ("a nonce that nobody asked for", |draft| set(&mut draft.proof_claims, "nonce", json!("abc"))),
    ("further claims", |draft| set(&mut draft.proof_claims, "extra", json!({ "a": [1] }))),
    ("a kid in the proof", |draft| set(&mut draft.proof_header, "kid", json!("one"))),
    ("htu with a query", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}/orders?a=1")))
    }),
    ("htu with a fragment", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}/orders#a")))
    }),
    ("htu in capitals", |draft| set(&mut draft.proof_claims, "htu", json!("HTTPS://API.TEST/orders"))),
    ("htu with the port", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}:443/orders")))
    }),
    ("htu with %6F", |draft| set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}/%6Frders")))),
    ("a long jti", |draft| {
        set(&mut draft.proof_claims, "jti", json!(format!("{}{}", unique(), "j".repeat(200))))
    }),
    ("exp of the proof ahead", |draft| set(&mut draft.proof_claims, "exp", json!(NOW.as_secs() + 60))),
    ("aud as a list", |draft| set(&mut draft.token_claims, "aud", json!(["x", "https://api.test"]))),
    ("typ application/at+jwt", |draft| set(&mut draft.token_header, "typ", json!("application/at+jwt"))),
    ("token: no typ", |draft| unset(&mut draft.token_header, "typ")),
    ("token: typ JWT", |draft| set(&mut draft.token_header, "typ", json!("JWT"))),
    ("token: alg none", |draft| set(&mut draft.token_header, "alg", json!("none"))),
    ("token: alg RS256", |draft| set(&mut draft.token_header, "alg", json!("RS256"))),
    ("token: an unknown kid", |draft| set(&mut draft.token_header, "kid", json!("two"))),
    ("token: crit", |draft| set(&mut draft.token_header, "crit", json!(["x"]))),
    ("token: spoilt", |draft| draft.spoilt.push("token")),
    ("token: expired", |draft| set(&mut draft.token_claims, "exp", json!(NOW.as_secs() - 60))),
    ("token: no exp", |draft| unset(&mut draft.token_claims, "exp")),
    ("token: exp as text", |draft| set(&mut draft.token_claims, "exp", json!("4102444800"))),
    ("token: not yet", |draft| set(&mut draft.token_claims, "nbf", json!(NOW.as_secs() + 60))),
    ("token: for others", |draft| set(&mut draft.token_claims, "aud", json!("https://other.test"))),
    ("token: for nobody", |draft| unset(&mut draft.token_claims, "aud")),
    ("token: of another issuer", |draft| set(&mut draft.token_claims, "iss", json!("https://id.test/"))),
    ("token: no sub", |draft| unset(&mut draft.token_claims, "sub")),
    ("token: no jti", |draft| unset(&mut draft.token_claims, "jti")),
    ("token: iat ahead", |draft| set(&mut draft.token_claims, "iat", json!(NOW.as_secs() + 60))),
    ("token: not bound", |draft| draft.cnf = |_| json!(ABSENT)),
    ("token: cnf empty", |draft| draft.cnf = |_| json!({})),
    ("token: cnf null", |draft| draft.cnf = |_| Value::Null),
    ("token: jkt of another key", |draft| draft.cnf = |_| json!({ "jkt": encode(&sha256(&[b"another"])) })),
    ("token: jkt as a list", |draft| draft.cnf = |jkt| json!({ "jkt": [jkt] })),
    ("token: a key beside jkt", |draft| draft.cnf = |jkt| json!({ "jkt": jkt, "jwk": {} })),
    ("token: a certificate beside jkt", |draft| {
        draft.cnf = |jkt| json!({ "jkt": jkt, "x5t#S256": encode(&sha256(&[b"certificate"])) })
    }),
    ("bearer", |draft| draft.scheme = "Bearer"),
    ("bearer without a proof", |draft| {
        draft.scheme = "Bearer";
        draft.lines = |lines| lines.retain(|(name, _)| *name != "dpop");
    }),
    ("basic", |draft| draft.scheme = "Basic"),
    ("no token", |draft| draft.lines = |lines| lines.retain(|(name, _)| *name != "authorization")),
    ("no proof", |draft| draft.lines = |lines| lines.retain(|(name, _)| *name != "dpop")),
    ("an empty proof", |draft| {
        draft.lines =
            |lines| lines.iter_mut().filter(|(name, _)| *name == "dpop").for_each(|(_, value)| value.clear())
    }),
    ("the token twice", |draft| draft.lines = |lines| lines.push(lines[0].clone())),
    ("the proof twice", |draft| draft.lines = |lines| lines.push(lines[1].clone())),
    ("two proofs in a line", |draft| draft.lines = |lines| lines[1].1 = format!("{0}, {0}", lines[1].1)),
    ("the token in the query too", |draft| draft.target.push_str("?access_token=abc")),
    ("two spaces before the token", |draft| {
        draft.lines = |lines| lines[0].1 = lines[0].1.replacen(' ', "  ", 1)
    }),
    ("more behind the token", |draft| draft.lines = |lines| lines[0].1.push_str(" x")),
    ("proof: no typ", |draft| unset(&mut draft.proof_header, "typ")),
    ("proof: typ JWT", |draft| set(&mut draft.proof_header, "typ", json!("JWT"))),
    ("proof: typ in capitals", |draft| set(&mut draft.proof_header, "typ", json!("DPoP+JWT"))),
    ("proof: typ application/dpop+jwt", |draft| {
        set(&mut draft.proof_header, "typ", json!("application/dpop+jwt"))
    }),
    ("proof: alg none", |draft| set(&mut draft.proof_header, "alg", json!("none"))),
    ("proof: alg HS256", |draft| set(&mut draft.proof_header, "alg", json!("HS256"))),
    ("proof: alg of another kind", |draft| set(&mut draft.proof_header, "alg", json!("PS256"))),
    ("proof: no jwk", |draft| unset(&mut draft.proof_header, "jwk")),
    ("proof: jwk as text", |draft| set(&mut draft.proof_header, "jwk", json!("key"))),
    ("proof: a private key", |draft| draft.is_private = true),
    ("proof: crit", |draft| set(&mut draft.proof_header, "crit", json!(["x"]))),
    ("proof: spoilt", |draft| draft.spoilt.push("proof")),
    ("proof: of a thief", |draft| draft.signs = Signer::Thief),
    ("proof: no htm", |draft| unset(&mut draft.proof_claims, "htm")),
    ("proof: htm of another method", |draft| set(&mut draft.proof_claims, "htm", json!("PUT"))),
    ("proof: htm in small letters", |draft| set(&mut draft.proof_claims, "htm", json!("get"))),
    ("proof: htm as a list", |draft| set(&mut draft.proof_claims, "htm", json!(["GET"]))),
    ("proof: no htu", |draft| unset(&mut draft.proof_claims, "htu")),
    ("proof: htu of another path", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}/carts")))
    }),
    ("proof: htu of another host", |draft| {
        set(&mut draft.proof_claims, "htu", json!("https://evil.test/orders"))
    }),
    ("proof: htu with http", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("http://{HOST}/orders")))
    }),
    ("proof: htu with a slash", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://{HOST}/orders/")))
    }),
    ("proof: htu with a user", |draft| {
        set(&mut draft.proof_claims, "htu", json!(format!("https://a@{HOST}/orders")))
    }),
    ("proof: htu is a path", |draft| set(&mut draft.proof_claims, "htu", json!("/orders"))),
    ("proof: no iat", |draft| unset(&mut draft.proof_claims, "iat")),
    ("proof: iat as text", |draft| set(&mut draft.proof_claims, "iat", json!(NOW.as_secs().to_string()))),
    ("proof: iat long ago", |draft| set(&mut draft.proof_claims, "iat", json!(NOW.as_secs() - 600))),
    ("proof: iat ahead", |draft| set(&mut draft.proof_claims, "iat", json!(NOW.as_secs() + 600))),
    ("proof: exp passed", |draft| set(&mut draft.proof_claims, "exp", json!(NOW.as_secs() - 60))),
    ("proof: nbf ahead", |draft| set(&mut draft.proof_claims, "nbf", json!(NOW.as_secs() + 60))),
    ("proof: no jti", |draft| unset(&mut draft.proof_claims, "jti")),
    ("proof: jti empty", |draft| set(&mut draft.proof_claims, "jti", json!(""))),
    ("proof: jti a number", |draft| set(&mut draft.proof_claims, "jti", json!(7))),
    ("proof: no ath", |draft| unset(&mut draft.proof_claims, "ath")),
    ("proof: ath of another token", |draft| {
        set(&mut draft.proof_claims, "ath", json!(encode(&sha256(&[b"another"]))))
    }),
    ("proof: ath as a list", |draft| set(&mut draft.proof_claims, "ath", json!([]))),
    ("sent twice", |draft| draft.is_sent_twice = true),
];

fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

fn unset(object: &mut Map<String, Value>, name: &str) {
    set(object, name, json!(ABSENT));
}

fn unique() -> String {
    encode(&keyproof::jose::random::<16>())
}

/// SplitMix64: the same requests each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Both servers, and whose keys there are.
struct Both {
    house: House,
    theirs: SocketAddr,
    thief: PrivateKey,
    edwards: PrivateKey,
    server: Child,
}

impl Drop for Both {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Both {
    async fn start(node: &Node) -> Self {
        let house = House::with_routes(ROUTES).await;
        let mut jwk: Value = serde_json::from_str(&house.issuer.public_jwk()).unwrap();
        jwk["kid"] = json!("one");
        let argument = json!({
            "issuer": "https://id.test", "audience": "https://api.test", "now": NOW.as_secs(), "jwk": jwk,
        });
        let mut server = node.start("resource-server.mjs", &argument);
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let theirs = told["address"].as_str().unwrap().parse().unwrap();
        let key = |algorithm| PrivateKey::generate(algorithm).unwrap();
        Self { house, theirs, thief: key(Algorithm::Es256), edwards: key(Algorithm::EdDsa), server }
    }

    fn key(&self, signer: Signer) -> &PrivateKey {
        match signer {
            Signer::Client => &self.house.client,
            Signer::Thief => &self.thief,
            Signer::Edwards => &self.edwards,
        }
    }

    /// The bytes of a good request with these changes.
    fn request(&self, changes: &[&Change]) -> (String, bool) {
        let mut draft = Draft {
            token_header: Map::new(),
            token_claims: Map::new(),
            proof_header: Map::new(),
            proof_claims: Map::new(),
            cnf: |jkt| json!({ "jkt": jkt }),
            scheme: "DPoP",
            target: "/orders".to_owned(),
            method: "GET",
            signs: Signer::Client,
            is_private: false,
            lines: |_| {},
            spoilt: Vec::new(),
            is_sent_twice: false,
        };
        for (_, change) in changes {
            change(&mut draft);
        }
        let (now, key) = (NOW.as_secs(), self.key(draft.signs));
        let bound = if draft.signs == Signer::Edwards { key } else { &self.house.client };
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" });
        let claims = json!({
            "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop", "iat": now - 10, "exp": now + 300,
            "jti": unique(), "scope": "orders:read", "cnf": (draft.cnf)(&bound.public().thumbprint().to_string()),
        });
        let token = self
            .house
            .issuer
            .sign(&changed(&header, draft.token_header), &changed(&claims, draft.token_claims));
        let token = if draft.spoilt.contains(&"token") { spoilt(&token) } else { token };
        let mut jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
        if draft.is_private {
            jwk["d"] = json!("AAAA");
        }
        let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk });
        let path = draft.target.split('?').next().unwrap();
        let claims = json!({
            "jti": unique(), "htm": draft.method, "htu": format!("https://{HOST}{path}"), "iat": now,
            "ath": encode(&sha256(&[token.as_bytes()])),
        });
        let proof = key.sign(&changed(&header, draft.proof_header), &changed(&claims, draft.proof_claims));
        let proof = if draft.spoilt.contains(&"proof") { spoilt(&proof) } else { proof };
        let mut lines = vec![("authorization", format!("{} {token}", draft.scheme)), ("dpop", proof)];
        (draft.lines)(&mut lines);
        // Theirs stands behind a proxy that ends TLS; ours knows its origin by itself.
        lines.push(("x-forwarded-proto", "https".to_owned()));
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        (support::gateway::request(draft.method, &draft.target, &lines), draft.is_sent_twice)
    }

    /// What both say to the same bytes.
    async fn ask(&self, request: &str, twice: bool) -> [Verdict; 2] {
        let mut verdicts = Vec::new();
        for server in [self.house.gateway, self.theirs] {
            if twice {
                Verdict::of(server, request).await;
            }
            verdicts.push(Verdict::of(server, request).await);
        }
        verdicts.try_into().unwrap()
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: u16,
    challenges: Vec<String>,
}

impl Verdict {
    async fn of(server: SocketAddr, request: &str) -> Self {
        let mut connection = Raw::connect(server).await;
        connection.send(request).await;
        let answer = connection.answer().await.expect("an answer");
        let challenges = answer.all("www-authenticate").into_iter().map(str::to_owned).collect();
        Self { status: answer.status, challenges }
    }

    fn error(&self) -> Option<&str> {
        self.challenges.iter().find_map(|challenge| challenge.split("error=\"").nth(1)?.split('"').next())
    }

    fn is_taken(&self) -> bool {
        self.status == 200
    }
}

fn changed(base: &Value, changes: Map<String, Value>) -> String {
    let mut all = base.as_object().unwrap().clone();
    all.extend(changes);
    all.retain(|_, value| *value != ABSENT);
    Value::Object(all).to_string()
}

/// With another letter in the middle of its signature.
fn spoilt(jws: &str) -> String {
    let middle = jws.rfind('.').unwrap() + 20;
    let other = if &jws[middle..=middle] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &jws[..middle], &jws[middle + 1..])
}

/// Each change alone, then two at a time as the dice fall, and in between requests with none.
fn drawn() -> Vec<Vec<&'static Change>> {
    let mut dice = Dice(SEED);
    let mut drawn: Vec<Vec<_>> = CHANGES.iter().map(|change| vec![change]).collect();
    while drawn.len() < REQUESTS {
        let mut one = || &CHANGES[dice.below(CHANGES.len())];
        drawn.push(match drawn.len() % 4 {
            0 => vec![],
            1 => vec![one()],
            _ => vec![one(), one()],
        });
    }
    drawn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_resource_server_agrees_or_it_is_known_who_is_wrong() {
    let Some(node) = Node::find() else { return };
    let both = Both::start(&node).await;
    let (mut unexplained, mut shown, mut taken) = (Vec::new(), BTreeSet::new(), 0);
    for changes in drawn() {
        let (request, twice) = both.request(&changes);
        let [ours, theirs] = both.ask(&request, twice).await;
        let names: Vec<_> = changes.iter().map(|(name, _)| *name).collect();
        if names.is_empty() {
            assert!(ours.is_taken() && theirs.is_taken(), "a good request: {ours:?} {theirs:?}");
        }
        taken += usize::from(ours.is_taken());
        let who = match (ours.is_taken(), theirs.is_taken()) {
            (false, false) => {
                if let ([name], Some(own), Some(other)) = (&names[..], ours.error(), theirs.error())
                    && own != other
                    && !OTHER_NAMES.iter().any(|(known, _)| known == name)
                {
                    unexplained.push(format!("{name}: {own}, and they say {other}"));
                }
                continue;
            }
            (true, true) => continue,
            (true, false) => Taken::ByUsAlone,
            (false, true) => Taken::ByThemAlone,
        };
        let known = DIFFERENCES.iter().filter(|(name, taken, _)| names.contains(name) && *taken == who);
        let known: Vec<_> = known.map(|(name, ..)| *name).collect();
        if known.is_empty() {
            unexplained.push(format!("{names:?}: {who:?}\n  ours {ours:?}\n  theirs {theirs:?}"));
        }
        shown.extend(known);
    }
    assert!(unexplained.is_empty(), "{} of {REQUESTS}:\n{}", unexplained.len(), unexplained.join("\n"));
    let unshown: Vec<_> =
        DIFFERENCES.iter().map(|(name, ..)| *name).filter(|name| !shown.contains(name)).collect();
    assert!(unshown.is_empty(), "they agree about {unshown:?} now");
    assert!((200..800).contains(&taken), "{taken} of {REQUESTS} were good");
}

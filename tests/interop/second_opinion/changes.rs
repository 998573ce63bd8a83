//! What a request may have that others have not, and which requests are sent.

use keyproof::jose::{encode, sha256};
use serde_json::{Map, Value, json};
use support::gateway::{HOST, NOW};

/// How many requests, and what they are drawn by.
pub(super) const REQUESTS: usize = 1000;
const SEED: u64 = 0x5EED_0001;

/// What is wrong with a request, or only unusual.
pub(super) type Change = (&'static str, fn(&mut Draft));

/// A request before it is signed and written: how it differs from a good one.
pub(super) struct Draft {
    /// What stands in place of members of the token's and the proof's header and claims; [`ABSENT`]: nothing does.
    pub(super) token_header: Map<String, Value>,
    pub(super) token_claims: Map<String, Value>,
    pub(super) proof_header: Map<String, Value>,
    pub(super) proof_claims: Map<String, Value>,
    /// What the token says of the thumbprint of the key that it is for.
    pub(super) cnf: fn(&str) -> Value,
    pub(super) scheme: &'static str,
    pub(super) target: String,
    pub(super) method: &'static str,
    pub(super) signs: Signer,
    /// The proof shows a private key.
    pub(super) is_private: bool,
    /// What becomes of the two lines in the end: `authorization`, then `dpop`.
    pub(super) lines: fn(&mut Vec<(&'static str, String)>),
    /// Signatures of which a letter is another.
    pub(super) spoilt: Vec<&'static str>,
    pub(super) is_sent_twice: bool,
}

/// Whose key signs the proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    Client,
    /// The client, whose key is of another kind.
    Edwards,
    Thief,
}

pub(super) const ABSENT: &str = "(absent)";

/// Everything that a request may have. The first are no fault.
pub(super) const CHANGES: &[Change] = &[
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

pub(super) fn unique() -> String {
    encode(&keyproof::jose::random::<16>())
}

/// Each change alone, then two at a time as the dice fall, and in between requests with none.
pub(super) fn drawn() -> Vec<Vec<&'static Change>> {
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

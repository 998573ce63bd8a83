//! What `keyproof explain` shows of each check. Every verdict is that of the functions which
//! [`Verifier::verify`] calls; here is only what a reader is told about it.

use super::proof::{
    self, MAX_PROOF, ProofClaims, check_algorithm, check_fit, check_type, date, required_text, text,
    unreadable_claims,
};
use super::verify::{check_ath, check_htm, check_nonce, check_validity, split};
use super::{Expected, NoncePolicy, ProofError, Verifier};
use crate::clock::UnixTime;
use crate::jose::json::Object;
use crate::jose::{Algorithm, CompactJws, JoseHeader, PublicKey, encode};

/// How much of what stood in a proof is shown.
const SHOWN: usize = 120;

/// One check of RFC 9449 section 4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its number in section 4.3, 1 to 12.
    pub number: u8,
    /// What is checked, in a few words.
    pub what: &'static str,
    /// How it went.
    pub outcome: CheckOutcome,
    /// What was expected, and what was found (with the skew in seconds, for the time).
    pub expected: String,
    /// What stood there.
    pub found: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It could not be made: what it needs was not given, or did not parse.
    Skipped,
}

impl Check {
    /// A check that was made; where `found` is empty, a failed one says the error.
    fn made<T>(
        number: u8,
        what: &'static str,
        result: &Result<T, ProofError>,
        expected: String,
        found: String,
    ) -> Self {
        match result {
            Ok(_) => Self { number, what, outcome: CheckOutcome::Passed, expected, found },
            Err(error) if found.is_empty() => {
                Self { number, what, outcome: CheckOutcome::Failed, expected, found: error.to_string() }
            }
            Err(_) => Self { number, what, outcome: CheckOutcome::Failed, expected, found },
        }
    }

    fn skipped(number: u8, what: &'static str, expected: &str, found: String) -> Self {
        Self { number, what, outcome: CheckOutcome::Skipped, expected: expected.to_owned(), found }
    }
}

/// Text of a client's, made fit for a terminal: no control characters, not endless.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (place, character) in text.chars().enumerate() {
        if place == SHOWN {
            out.push('…');
            break;
        }
        if character == '"' || character == '\'' {
            out.push(character);
        } else {
            out.extend(character.escape_debug());
        }
    }
    out
}

/// A proof taken apart as far as it goes, each part by itself.
struct Reading<'a> {
    proof: &'a str,
    jws: Result<&'a CompactJws<'a>, ProofError>,
    /// Without the key, so that a bad key hides neither `typ` nor `alg`.
    header: Result<JoseHeader, ProofError>,
    key: Result<PublicKey, ProofError>,
    payload: Result<&'a Object<'a>, ProofError>,
    verifier: &'a Verifier,
    expected: &'a Expected<'a>,
    now: UnixTime,
}

pub(super) fn report(verifier: &Verifier, proof: &str, expected: &Expected<'_>, now: UnixTime) -> Vec<Check> {
    let jws = split(proof);
    let jws = jws.as_ref().map_err(|error| *error);
    let payload = jws.and_then(|jws| proof::payload(&jws.payload));
    let payload = payload.as_ref().map_err(|error| *error);
    let header = jws.and_then(|jws| Ok(JoseHeader::of_proof_without_key(jws.header_segment)?));
    let key =
        jws.and_then(|jws| JoseHeader::of_proof(jws.header_segment)?.jwk.ok_or(ProofError::HeaderMember));
    let reading = Reading { proof, jws, header, key, payload, verifier, expected, now };
    let mut checks = vec![
        reading.count(),
        reading.well_formed(),
        reading.required(),
        reading.typ(),
        reading.alg(),
        reading.signature(),
        reading.public_key(),
        reading.htm(),
        reading.htu(),
        reading.nonce(),
        reading.iat(),
    ];
    checks.extend(reading.validity());
    checks.push(reading.ath());
    checks
}

impl Reading<'_> {
    fn count(&self) -> Check {
        let count = self.proof.split(',').count();
        let result = if count == 1 { Ok(()) } else { Err(ProofError::Malformed) };
        let found = if count == 1 { "one".to_owned() } else { format!("{count}, joined by commas") };
        Check::made(1, "one DPoP header", &result, "one value, no comma in it".to_owned(), found)
    }

    fn well_formed(&self) -> Check {
        // A missing member is check 3's, a bad key check 7's.
        let header = self.header.as_ref().err().copied().filter(|error| *error != ProofError::HeaderMember);
        let error = self.jws.err().or(header).or(self.payload.err());
        let result = error.map_or(Ok(()), Err);
        let expected = format!("a compact JWS of JSON objects, at most {MAX_PROOF} bytes");
        let found = if result.is_ok() { format!("one of {} bytes", self.proof.len()) } else { String::new() };
        Check::made(2, "well-formed JWT", &result, expected, found)
    }

    fn required(&self) -> Check {
        const WHAT: &str = "required members";
        let ath = self.expected.ath.is_some();
        let expected = if ath { "typ alg jwk, jti htm htu iat ath" } else { "typ alg jwk, jti htm htu iat" };
        let Ok(payload) = self.payload else {
            return Check::skipped(3, WHAT, expected, "the proof is not readable".to_owned());
        };
        let mut missing = Vec::new();
        match &self.header {
            Ok(header) => {
                missing.extend(header.typ.is_none().then_some("typ"));
                missing.extend(header.alg.is_none().then_some("alg"));
                let no_key = matches!(self.key, Err(ProofError::HeaderMember));
                missing.extend(no_key.then_some("jwk"));
            }
            Err(_) => missing.push("the header"),
        }
        missing.extend(unreadable_claims(payload));
        missing.extend((ath && payload.get("ath").is_none()).then_some("ath"));
        let result = match ProofClaims::read(payload) {
            Ok(_) if !missing.is_empty() => Err(ProofError::Claim),
            read => read.map(|_| ()),
        };
        let found = match result {
            Ok(()) => "all of them".to_owned(),
            Err(_) if missing.is_empty() => String::new(),
            Err(_) => format!("missing or of a wrong type: {}", missing.join(" ")),
        };
        Check::made(3, WHAT, &result, expected.to_owned(), found)
    }

    fn typ(&self) -> Check {
        let expected = "dpop+jwt";
        match &self.header {
            Ok(header) => {
                let found = header.typ.as_deref().map_or_else(|| "none".to_owned(), shown);
                Check::made(4, "typ", &check_type(header), expected.to_owned(), found)
            }
            Err(error) => Check::skipped(4, "typ", expected, error.to_string()),
        }
    }

    fn alg(&self) -> Check {
        let names: Vec<_> = self.verifier.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let expected = format!("one of {}", names.join(" "));
        match &self.header {
            Ok(header) => {
                let found = header.alg.as_deref().map_or_else(|| "none".to_owned(), shown);
                Check::made(5, "alg", &check_algorithm(header, &self.verifier.algorithms), expected, found)
            }
            Err(error) => Check::skipped(5, "alg", &expected, error.to_string()),
        }
    }

    fn signature(&self) -> Check {
        const WHAT: &str = "signature";
        let expected = "made by the key in jwk, with alg";
        let alg = self.header.as_ref().ok().and_then(|header| header.alg.as_deref());
        let (Ok(jws), Ok(key)) = (self.jws, &self.key) else {
            return Check::skipped(6, WHAT, expected, "no key to verify it with".to_owned());
        };
        let Some(algorithm) = alg.and_then(Algorithm::from_name) else {
            return Check::skipped(6, WHAT, expected, "no algorithm to verify it with".to_owned());
        };
        let result = check_fit(key, algorithm)
            .and_then(|()| jws.verify(algorithm, key).map_err(|_| ProofError::Signature));
        let found = if result.is_ok() { format!("made by {}", key.thumbprint()) } else { String::new() };
        Check::made(6, WHAT, &result, expected.to_owned(), found)
    }

    fn public_key(&self) -> Check {
        const WHAT: &str = "jwk is a public key";
        let expected = "a valid key, no private member";
        match &self.key {
            Err(ProofError::PrivateKey | ProofError::Key) | Ok(_) => {
                let found = if self.key.is_ok() { "a public key".to_owned() } else { String::new() };
                Check::made(7, WHAT, &self.key, expected.to_owned(), found)
            }
            Err(error) => Check::skipped(7, WHAT, expected, error.to_string()),
        }
    }

    fn htm(&self) -> Check {
        self.text_check(8, "htm", self.expected.method.to_string(), |htm| {
            check_htm(htm, self.expected.method)
        })
    }

    fn htu(&self) -> Check {
        self.text_check(9, "htu", self.expected.target.to_string(), |htu| self.expected.target.check(htu))
    }

    fn text_check(
        &self,
        number: u8,
        name: &'static str,
        expected: String,
        check: impl FnOnce(&str) -> Result<(), ProofError>,
    ) -> Check {
        match self.payload.and_then(|payload| required_text(payload, name)) {
            Ok(value) => Check::made(number, name, &check(value), expected, shown(value)),
            Err(error) => Check::skipped(number, name, &shown(&expected), error.to_string()),
        }
    }

    fn nonce(&self) -> Check {
        let nonce = self.payload.and_then(|payload| text(payload, "nonce"));
        let found = match nonce {
            Ok(nonce) => nonce.map_or_else(|| "none".to_owned(), shown),
            Err(error) => return Check::skipped(10, "nonce", "a text", error.to_string()),
        };
        if self.expected.nonce == NoncePolicy::Off {
            return Check::skipped(10, "nonce", "none is asked for", found);
        }
        let result = nonce
            .and_then(|nonce| check_nonce(nonce, self.expected.nonce, &self.verifier.mint, self.now.into()));
        Check::made(10, "nonce", &result, "one of ours, still good".to_owned(), found)
    }

    fn iat(&self) -> Check {
        const WHAT: &str = "iat";
        let (window, now) = (self.verifier.window, self.now);
        let expected = format!(
            "at most {} s old and {} s ahead at {}",
            window.max_age.as_secs_f64(),
            window.leeway.as_secs_f64(),
            seconds(now)
        );
        let iat = match self.payload.and_then(|payload| date(payload, "iat")) {
            Ok(Some(iat)) => iat,
            Ok(None) => return Check::skipped(11, WHAT, &expected, ProofError::Claim.to_string()),
            Err(error) => return Check::skipped(11, WHAT, &expected, error.to_string()),
        };
        let found = format!("iat {}, {}", seconds(iat), age(iat, now));
        if self.expected.nonce == NoncePolicy::Required {
            return Check::skipped(11, WHAT, "the nonce decides", found);
        }
        Check::made(11, WHAT, &window.check(iat, now), expected, found)
    }

    /// `exp` and `nbf`, where the proof has one of them.
    fn validity(&self) -> Option<Check> {
        let payload = self.payload.ok()?;
        let (exp, nbf) = (date(payload, "exp").ok()?, date(payload, "nbf").ok()?);
        let named = |name, date: Option<UnixTime>| date.map(|date| format!("{name} {}", seconds(date)));
        let found: Vec<_> = [named("nbf", nbf), named("exp", exp)].into_iter().flatten().collect();
        let result = check_validity(exp, nbf, &self.verifier.window, self.now);
        let expected = format!("valid at {}", seconds(self.now));
        (!found.is_empty()).then(|| Check::made(11, "exp and nbf", &result, expected, found.join(", ")))
    }

    fn ath(&self) -> Check {
        const WHAT: &str = "ath";
        let ath = match self.payload.and_then(|payload| text(payload, "ath")) {
            Ok(ath) => ath,
            Err(error) => return Check::skipped(12, WHAT, "a text", error.to_string()),
        };
        let found = ath.map_or_else(|| "none".to_owned(), shown);
        match self.expected.ath {
            Some(token) => Check::made(12, WHAT, &check_ath(ath, token), encode(token), found),
            None => {
                let found =
                    if ath.is_some() { format!("present, no token to compare: {found}") } else { found };
                Check::skipped(12, WHAT, "the hash of the token, none given", found)
            }
        }
    }
}

/// A moment in seconds, with its fraction where it has one.
fn seconds(time: UnixTime) -> String {
    time.seconds_after(UnixTime::EPOCH).to_string()
}

fn age(iat: UnixTime, now: UnixTime) -> String {
    let age = now.seconds_after(iat);
    if age < 0.0 { format!("{} s ahead", -age) } else { format!("{age} s old") }
}

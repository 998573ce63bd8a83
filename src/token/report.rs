//! What `keyproof explain` shows of an access token. Every verdict is that of the functions which [`Issuers::verify`] calls; here is only
//! what a reader is told about it.

use super::check::{self, TokenType};
use super::verify::{claims_of, header_error, split, verify_signature};
use super::{Claim, Confirmation, Issuer, IssuerId, Issuers, MAX_TOKEN, TokenError};
use crate::clock::UnixTime;
use crate::jose::json::{Limits, Object, Value};
use crate::jose::{Algorithm, CompactJws, JoseHeader};

/// One check on an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCheck {
    /// What is checked, in a few words.
    pub what: &'static str,
    /// How it went; `None`: it could not be made.
    pub result: Option<Result<(), TokenError>>,
    /// What was expected.
    pub expected: String,
    /// What stood there, as it stood there; empty: the error says it.
    pub found: String,
}

/// A token taken apart, and the issuer whose it says it is.
struct Reading<'a> {
    jws: &'a CompactJws<'a>,
    header: &'a JoseHeader,
    claims: &'a Object<'a>,
    id: IssuerId,
    issuer: &'a Issuer,
    /// What its type makes it; a type that is not accepted is looked at as if it were `at+jwt`.
    kind: TokenType,
    now: UnixTime,
}

impl Issuers {
    /// Every check on a token by itself, for `keyproof explain`: none is left out because another failed, unless it cannot be made without it.
    pub fn report(&self, token: &str, now: UnixTime) -> Vec<TokenCheck> {
        let jws = split(token);
        let header = jws
            .as_ref()
            .map_err(|error| *error)
            .and_then(|jws| JoseHeader::of_token(jws.header_segment).map_err(header_error));
        let claims = jws.as_ref().map_err(|error| *error).and_then(claims_of);
        let mut checks = vec![form(header.as_ref().err().or(claims.as_ref().err()).copied())];
        let (Ok(jws), Ok(header), Ok(claims)) = (&jws, &header, &claims) else { return checks };
        let found = self.issuer_of(claims);
        checks.push(self.iss(claims, found.as_ref().err().copied()));
        let Ok((id, issuer)) = found else { return checks };
        let kind = check::token_type(header.typ.as_deref(), &issuer.rules);
        let reading =
            Reading { jws, header, claims, id, issuer, kind: kind.unwrap_or(TokenType::AccessToken), now };
        checks.extend([
            reading.typ(kind),
            reading.alg(),
            reading.aud(),
            reading.time(),
            reading.iat(),
            self.required(&reading),
            reading.cnf(),
            reading.signature(),
        ]);
        checks
    }

    fn iss(&self, claims: &Object<'_>, error: Option<TokenError>) -> TokenCheck {
        let known: Vec<&str> = self.iter().map(|(_, issuer)| issuer.rules.issuer.as_str()).collect();
        made(
            "token iss",
            error.map_or(Ok(()), Err),
            format!("one of {}", known.join(", ")),
            text(claims.get("iss")),
        )
    }

    fn required(&self, reading: &Reading<'_>) -> TokenCheck {
        let Reading { claims, id, issuer, kind, .. } = reading;
        let rules = &issuer.rules;
        let result = check::texts(claims, rules).and_then(|()| check::required(claims, *kind, *id, rules));
        let expected = match (&rules.required_claims, kind) {
            (Some(listed), _) => format!("iss exp aud {}", listed.join(" ")),
            (None, TokenType::AccessToken) => "iss exp aud sub client_id iat jti".to_owned(),
            (None, TokenType::Legacy) => "iss exp aud".to_owned(),
        };
        let found = match result {
            Ok(()) => "all of them".to_owned(),
            Err(TokenError::ClaimMissing(claim)) => format!("{} is missing or empty", self.claim_name(claim)),
            Err(TokenError::ClaimType(claim)) => format!("{} has the wrong type", self.claim_name(claim)),
            Err(_) => String::new(),
        };
        made("token claims", result, expected, found)
    }
}

fn form(error: Option<TokenError>) -> TokenCheck {
    let Limits { levels, items } = Limits::TOKEN;
    let expected =
        format!("a JWT of at most {MAX_TOKEN} bytes, {levels} levels and {items} members, without crit");
    let found = if error.is_none() { "one".to_owned() } else { String::new() };
    made("token form", error.map_or(Ok(()), Err), expected, found)
}

impl Reading<'_> {
    fn typ(&self, kind: Option<TokenType>) -> TokenCheck {
        let result = kind.ok_or(TokenError::Type).and_then(|kind| check::no_other_jwt(self.claims, kind));
        let expected = format!("one of {}", self.issuer.rules.token_types.join(" "));
        let found = match (&self.header.typ, kind, result) {
            (_, Some(_), Err(_)) => "a claim that only ID tokens, logout tokens and events have".to_owned(),
            (typ, _, _) => typ.clone().unwrap_or_else(|| "none".to_owned()),
        };
        made("token typ", result, expected, found)
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.header.alg.as_deref().and_then(Algorithm::from_name)
    }

    fn alg(&self) -> TokenCheck {
        let accepted = &self.issuer.rules.algorithms;
        let good = self.algorithm().is_some_and(|algorithm| accepted.contains(&algorithm));
        let names: Vec<_> = accepted.iter().map(|algorithm| algorithm.name()).collect();
        let found = self.header.alg.clone().unwrap_or_else(|| "none".to_owned());
        let result = if good { Ok(()) } else { Err(TokenError::Algorithm) };
        made("token alg", result, format!("one of {}", names.join(" ")), found)
    }

    fn aud(&self) -> TokenCheck {
        let rules = &self.issuer.rules;
        let expected = format!("one of {}", rules.audiences.join(", "));
        made("token aud", check::audience(self.claims, rules), expected, text(self.claims.get("aud")))
    }

    fn time(&self) -> TokenCheck {
        let dates = check::date(self.claims, Claim::Nbf).and_then(|not_before| {
            let expires = check::date(self.claims, Claim::Exp)?;
            Ok((expires.ok_or(TokenError::ClaimMissing(Claim::Exp))?, not_before))
        });
        let result = dates.and_then(|(expires, not_before)| {
            check::in_time(expires, not_before, &self.issuer.rules, self.now)
        });
        let found = dates.map_or_else(
            |_| format!("exp {}, nbf {}", text(self.claims.get("exp")), text(self.claims.get("nbf"))),
            |(expires, not_before)| {
                let not_before =
                    not_before.map(|date| format!("nbf {}, ", seconds(date))).unwrap_or_default();
                format!("{not_before}exp {}, {}", seconds(expires), distance(expires, self.now))
            },
        );
        made("token exp", result, self.about_now("after nbf and before exp"), found)
    }

    fn iat(&self) -> TokenCheck {
        let issued = check::date(self.claims, Claim::Iat);
        let result = issued.and_then(|issued| check::issued(issued, &self.issuer.rules, self.now));
        made("token iat", result, self.about_now("not after"), text(self.claims.get("iat")))
    }

    fn about_now(&self, words: &str) -> String {
        format!(
            "{words}: it is {}, give or take {} s",
            seconds(self.now),
            self.issuer.rules.leeway.as_secs_f64()
        )
    }

    fn cnf(&self) -> TokenCheck {
        let result = check::confirmation(self.claims);
        let found = match (&result, self.claims.get("cnf")) {
            (_, None) => "none: a bearer token".to_owned(),
            (Ok(Confirmation::Key(_)), _) => "jkt: bound to a key".to_owned(),
            (Ok(Confirmation::Certificate(_)), _) => "x5t#S256: bound to a certificate".to_owned(),
            (Ok(Confirmation::KeyAndCertificate(..)), _) => "jkt and x5t#S256: bound to both".to_owned(),
            (_, Some(cnf)) => cnf.as_object().map_or_else(|| text(Some(cnf)), members),
        };
        let expected = "a valid jkt or x5t#S256 and no jwk, jwe, jku; or no cnf at all".to_owned();
        made("token cnf", result.map(|_| ()), expected, found)
    }

    fn signature(&self) -> TokenCheck {
        const WHAT: &str = "token signature";
        let kid = self.header.kid.as_deref();
        let expected = "made by a key of the issuer".to_owned();
        let Some(algorithm) = self.algorithm() else {
            return TokenCheck {
                what: WHAT,
                result: None,
                expected,
                found: "no algorithm to verify it with".to_owned(),
            };
        };
        let published = self.issuer.published();
        let result = published
            .as_ref()
            .ok_or(TokenError::KeysUnavailable(self.id))
            .and_then(|published| verify_signature(self.jws, algorithm, kid, published, self.id));
        let by = || kid.map_or_else(|| "made by one of them".to_owned(), |kid| format!("made by {kid}"));
        let found = match result {
            Ok(()) => by(),
            Err(TokenError::UnknownKey(_)) => format!("no such key: kid {}", kid.unwrap_or("none")),
            Err(_) => String::new(),
        };
        made(WHAT, result, expected, found)
    }
}

const fn made(
    what: &'static str,
    result: Result<(), TokenError>,
    expected: String,
    found: String,
) -> TokenCheck {
    TokenCheck { what, result: Some(result), expected, found }
}

/// A claim as a reader would say it.
fn text(value: Option<&Value<'_>>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone().into_owned(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Float(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Array(items)) => items.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(object)) => format!("an object of {}", members(object)),
    }
}

fn members(object: &Object<'_>) -> String {
    let names: Vec<_> = object.iter().map(|(name, value)| format!("{name} {}", text(Some(value)))).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A moment in seconds, with its fraction where it has one.
fn seconds(time: UnixTime) -> f64 {
    time.seconds_after(UnixTime::EPOCH)
}

fn distance(time: UnixTime, now: UnixTime) -> String {
    let left = time.seconds_after(now);
    if left < 0.0 { format!("{} s ago", -left) } else { format!("{left} s left") }
}

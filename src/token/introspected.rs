//! What an issuer says of a token when it is asked: RFC 7662 section 2.2, and signed answers by RFC 9701.
//!
//! Here is only what an answer means. Who asks, and how, is in [`crate::issuer`].

use super::answers::Remembered;
use super::cache::weight_of;
use super::check::{self, TokenType};
use super::verify::{check_length, verify_signature};
use super::{Claim, Confirmation, Issuer, IssuerId, Issuers, TokenError, VerifiedToken};
use crate::clock::{Moment, UnixTime};
use crate::jose::json::{JsonError, Limits, Object, Value, is_object};
use crate::jose::{Algorithm, CompactJws, JoseHeader, Sha256, decode};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// What decides about tokens that an issuer is asked about, beside its other rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionRules {
    /// Where it is asked, and as whom: answers for others are none for us.
    pub asked: (String, String),
    /// JWTs too, once their own checks have passed.
    pub all: bool,
    /// How long an active answer is believed; never longer than its `exp`.
    pub cache: Duration,
}

/// What an issuer said of one token, checked against the issuer's rules.
#[derive(Clone, Debug)]
pub struct Introspected {
    pub(super) issuer: IssuerId,
    /// Under which of the issuer's rules.
    pub(super) edition: u64,
    pub(super) said: Result<Arc<VerifiedToken>, TokenError>,
}

/// An answer that says nothing: it is not JSON, or says neither that the token is active nor that it is not. The client is not to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a JSON object within the limits of a token's claims ([`Limits::TOKEN`]).
    #[error("the answer is no JSON object: {0}")]
    Json(JsonError),
    /// `active` is neither `true` nor `false`.
    #[error("\"active\" is neither true nor false")]
    Active,
    /// A JWT was expected (RFC 9701 section 5).
    #[error("the answer is not signed: no JWT of type token-introspection+jwt")]
    Unsigned,
    /// Its algorithm is none of the issuer's.
    #[error("the answer is signed with an algorithm that is not among the issuer's algorithms")]
    Algorithm,
    /// The issuer's keys do not verify it.
    #[error("the answer's signature does not verify")]
    Signature,
    /// No key that is here fits it; there may be new ones.
    #[error("the answer is signed with a key that is not known")]
    UnknownKey,
    /// `iss` is not the issuer, `aud` not the gateway, or `token_introspection` is missing.
    #[error("the signed answer's {0} is missing or wrong")]
    Claim(&'static str),
}

/// Whether the issuer has to be asked what this is: its first segment is no JSON object, so it is no JWT.
pub fn is_opaque(token: &str) -> bool {
    let header = token.split('.').next().and_then(decode);
    !header.is_some_and(|header| is_object(&header))
}

impl Introspected {
    /// Whether it said that the token is active, and the token is one for us.
    pub const fn is_active(&self) -> bool {
        self.said.is_ok()
    }
}

impl Issuers {
    /// Whether this issuer is asked about its JWTs too.
    pub(crate) fn asks_about_all(&self, issuer: IssuerId) -> bool {
        let rules = self.issuer(issuer).and_then(|issuer| issuer.rules.introspection.as_ref());
        rules.is_some_and(|rules| rules.all)
    }

    /// The token whose SHA-256 is `hash`, as its issuer described it: just now (`said`), or a while ago.
    ///
    /// # Errors
    /// What the answer meant; [`TokenError::NotIntrospected`] where there is none yet.
    pub fn introspected(
        &self,
        issuer: IssuerId,
        hash: &Sha256,
        said: Option<&Introspected>,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let rules = self.issuer(issuer).ok_or(TokenError::Issuer)?;
        let applies = |answer: &&Introspected| answer.issuer == issuer && answer.edition == rules.edition;
        let token = match said.filter(applies) {
            Some(answer) => answer.said.clone(),
            None => {
                let remembered = self.answers.find(hash, now.steady);
                let remembered = remembered.filter(|answer| applies(&answer));
                remembered.ok_or(TokenError::NotIntrospected(issuer))?.said
            }
        }?;
        check::in_time(token.expires, token.not_before, &rules.rules, now.wall)?;
        Ok(token)
    }

    /// Keeps an answer for as long as it may be believed.
    pub fn remember(&self, hash: Sha256, answer: &Introspected, now: Moment) {
        let rules = self.issuer(answer.issuer).and_then(|issuer| issuer.rules.introspection.as_ref());
        let Some(rules) = rules else { return };
        let until_exp = |token: &Arc<VerifiedToken>| token.expires.since(now.wall);
        let lifetime = match &answer.said {
            Ok(token) => rules.cache.min(until_exp(token)),
            // A single client could ask without end otherwise; and the token may be one that becomes active.
            Err(_) => Duration::from_secs(1),
        };
        if !lifetime.is_zero() {
            let until = now.steady.saturating_add(lifetime);
            self.answers.keep(hash, Remembered { answer: answer.clone(), until });
        }
    }

    /// Reads what the issuer answered about this token.
    ///
    /// # Errors
    /// [`AnswerError`]: an answer that says nothing.
    pub fn read_answer(
        &self,
        id: IssuerId,
        token: &str,
        answer: &[u8],
        now: UnixTime,
    ) -> Result<Introspected, AnswerError> {
        let answer = Object::parse(answer, Limits::TOKEN).map_err(AnswerError::Json)?;
        self.read_members(id, token, answer, now)
    }

    /// The same where the answer is signed (RFC 9701); `audience` is who we are at the issuer.
    ///
    /// # Errors
    /// [`AnswerError`]; [`AnswerError::UnknownKey`] may pass once the keys were fetched again.
    pub fn read_signed_answer(
        &self,
        id: IssuerId,
        token: &str,
        answer: &[u8],
        audience: &str,
        now: UnixTime,
    ) -> Result<Introspected, AnswerError> {
        let text = std::str::from_utf8(answer).map_err(|_| AnswerError::Unsigned)?.trim_ascii();
        let jws = CompactJws::split(text).map_err(|_| AnswerError::Unsigned)?;
        let header = JoseHeader::of_token(jws.header_segment).map_err(|_| AnswerError::Unsigned)?;
        if !header.typ.as_deref().is_some_and(|typ| check::media_type(typ).eq_ignore_ascii_case(SIGNED)) {
            return Err(AnswerError::Unsigned);
        }
        let issuer = self.issuer(id).ok_or(AnswerError::UnknownKey)?;
        let algorithm = header.alg.as_deref().and_then(Algorithm::from_name);
        let algorithm = algorithm.filter(|algorithm| issuer.rules.algorithms.contains(algorithm));
        let published = issuer.published();
        let published = published.as_ref().ok_or(AnswerError::UnknownKey)?;
        verify_signature(
            &jws,
            algorithm.ok_or(AnswerError::Algorithm)?,
            header.kid.as_deref(),
            published,
            id,
        )
        .map_err(|error| {
            let unknown = error == TokenError::UnknownKey(id);
            if unknown { AnswerError::UnknownKey } else { AnswerError::Signature }
        })?;
        let claims = Object::parse(&jws.payload, Limits::TOKEN).map_err(AnswerError::Json)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&issuer.rules.issuer) {
            return Err(AnswerError::Claim("iss"));
        }
        let aud = claims.get("aud").ok_or(AnswerError::Claim("aud"))?;
        let audiences = aud.as_array().unwrap_or(std::slice::from_ref(aud));
        if !audiences.iter().any(|one| one.as_str() == Some(audience)) {
            return Err(AnswerError::Claim("aud"));
        }
        let said = claims.get("token_introspection").and_then(Value::as_object);
        self.read_members(id, token, said.ok_or(AnswerError::Claim("token_introspection"))?.clone(), now)
    }

    fn read_members(
        &self,
        id: IssuerId,
        token: &str,
        answer: Object<'_>,
        now: UnixTime,
    ) -> Result<Introspected, AnswerError> {
        let Some(issuer) = self.issuer(id) else { return Err(AnswerError::Active) };
        // RFC 7662 section 2.2: a boolean. A text "true" is none, and whoever sends it may mean anything.
        let said = match answer.get("active") {
            Some(Value::Bool(true)) => self.active(issuer, token, answer, now),
            Some(Value::Bool(false)) => Err(TokenError::Inactive),
            _ => return Err(AnswerError::Active),
        };
        Ok(Introspected { issuer: id, edition: issuer.edition, said })
    }

    /// A token that its issuer calls active, if it is one for us.
    fn active(
        &self,
        issuer: &Issuer,
        token: &str,
        answer: Object<'_>,
        now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        check_length(token)?;
        let bound = kind_of_token(&answer)?;
        if is_opaque(token) {
            described(issuer, answer, bound, now)
        } else {
            self.confirmed(token, &answer, bound, now)
        }
    }

    /// A JWT that passed its own checks: the answer may bind it, and make it shorter; it never loosens anything.
    fn confirmed(
        &self,
        token: &str,
        answer: &Object<'_>,
        bound: Option<Confirmation>,
        now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let jwt = self.verify(token, &crate::jose::sha256(&[token.as_bytes()]), now)?;
        let issuer = self.issuer(jwt.issuer).ok_or(TokenError::Issuer)?;
        present(answer, issuer, now)?;
        let confirmation = match (jwt.confirmation, bound) {
            (own, None) => own,
            (Confirmation::None, Some(bound)) => bound,
            (own, Some(bound)) if own == bound => own,
            // Two different keys: nobody can say which of them the issuer means.
            (_, Some(_)) => return Err(TokenError::Confirmation),
        };
        let expires = check::date(answer, Claim::Exp)?.map_or(jwt.expires, |exp| exp.min(jwt.expires));
        if confirmation == jwt.confirmation && expires == jwt.expires {
            return Ok(jwt);
        }
        let mut claims = jwt.claims.clone();
        if let Some(cnf) = answer.get("cnf").filter(|_| confirmation != jwt.confirmation) {
            claims.set("cnf", cnf.clone().into_owned());
        }
        Ok(Arc::new(VerifiedToken {
            issuer: jwt.issuer,
            claims,
            confirmation,
            expires,
            not_before: jwt.not_before,
            generation: jwt.generation,
            edition: jwt.edition,
            weight: jwt.weight,
        }))
    }
}

/// The type of a signed answer (RFC 9701 section 5).
const SIGNED: &str = "token-introspection+jwt";

/// An opaque token: what the answer says is all that is known of it.
fn described(
    issuer: &Issuer,
    mut answer: Object<'_>,
    bound: Option<Confirmation>,
    now: UnixTime,
) -> Result<Arc<VerifiedToken>, TokenError> {
    let rules = &issuer.rules;
    let asks_for_aud =
        rules.required_claims.as_ref().is_none_or(|listed| listed.iter().any(|name| name == "aud"));
    if asks_for_aud && answer.get("aud").is_none() {
        return Err(TokenError::ClaimMissing(Claim::Aud));
    }
    present(&answer, issuer, now)?;
    // What it is asked about is its own, whether it says so or not; `iss` and `exp` may be missing (RFC 7662 section 2.2).
    answer.set("iss", Value::String(Cow::Owned(rules.issuer.clone())));
    let required = rules.required_claims.as_ref().map(|listed| {
        listed.iter().enumerate().filter(|(_, name)| !matches!(name.as_str(), "iss" | "exp" | "aud"))
    });
    for (place, name) in required.into_iter().flatten() {
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        check::is_there(&answer, name, rules)?
            .then_some(())
            .ok_or(TokenError::ClaimMissing(Claim::Listed(issuer.id, place)))?;
    }
    let weight = weight_of(answer.items().saturating_mul(AVERAGE_MEMBER), answer.items());
    Ok(Arc::new(VerifiedToken {
        issuer: issuer.id,
        weight,
        confirmation: bound.unwrap_or(Confirmation::None),
        expires: check::date(&answer, Claim::Exp)?.unwrap_or(UnixTime::MAX),
        not_before: check::date(&answer, Claim::Nbf)?,
        claims: rules.claims.settle(answer.into_owned()),
        generation: 0,
        edition: issuer.edition,
    }))
}

/// How many bytes a member of an answer takes, about.
const AVERAGE_MEMBER: usize = 48;

/// The claims of an answer that need not be there, but are checked where they are.
fn present(answer: &Object<'_>, issuer: &Issuer, now: UnixTime) -> Result<(), TokenError> {
    let rules = &issuer.rules;
    if let Some(iss) = answer.get("iss") {
        let iss = iss.as_str().ok_or(TokenError::ClaimType(Claim::Iss))?;
        if iss != rules.issuer {
            return Err(TokenError::Issuer);
        }
    }
    if answer.get("aud").is_some() {
        check::audience(answer, rules)?;
    }
    check::texts(answer, rules)?;
    check::no_other_jwt(answer, TokenType::Legacy)?;
    let expires = check::date(answer, Claim::Exp)?.unwrap_or(UnixTime::MAX);
    check::in_time(expires, check::date(answer, Claim::Nbf)?, rules, now)?;
    check::issued(check::date(answer, Claim::Iat)?, rules, now)
}

/// That it is an access token, and how it is bound; `None` where the answer does not say. Where `token_type` and `cnf` both say something,
/// `cnf` decides; `DPoP` without it is bound to a key that nobody names.
fn kind_of_token(answer: &Object<'_>) -> Result<Option<Confirmation>, TokenError> {
    for name in ["typ", "token_use"] {
        let Some(kind) = answer.get(name) else { continue };
        let kind = kind.as_str().ok_or(TokenError::Type)?;
        if check::is_another_token(kind) {
            return Err(TokenError::Type);
        }
    }
    let token_type =
        answer.get("token_type").map(|kind| kind.as_str().ok_or(TokenError::Type)).transpose()?;
    let is = |name: &str| token_type.is_some_and(|kind| kind.eq_ignore_ascii_case(name));
    if token_type.is_some() && !is("Bearer") && !is("DPoP") {
        return Err(TokenError::Type);
    }
    match check::confirmation(answer)? {
        Confirmation::None if is("DPoP") => Err(TokenError::Confirmation),
        Confirmation::None => Ok(None),
        bound @ (Confirmation::Key(_)
        | Confirmation::Certificate(_)
        | Confirmation::KeyAndCertificate(..)) => Ok(Some(bound)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::encode;

    /// Of random tokens one in 65,536 begins and ends as an object does.
    #[test]
    fn a_token_is_opaque_unless_its_first_segment_is_an_object() {
        for (segment, opaque) in [
            (r#"{"alg":"ES256"}"#, false),
            (" {} ", false),
            ("{\"alg\":1,\"alg\":2}", false),
            ("{k\u{1f}1b2c3d4e5f6g7h8}", true),
            ("{\"alg\":\"ES256\"", true),
            ("{} {}", true),
            ("[]", true),
            ("\"{}\"", true),
            ("", true),
        ] {
            let segment_encoded = encode(segment.as_bytes());
            assert_eq!(is_opaque(&segment_encoded), opaque, "{segment}");
            assert_eq!(is_opaque(&format!("{segment_encoded}.e30.AA")), opaque, "{segment}");
        }
        assert!(is_opaque("not/base64url") && is_opaque("{}"));
    }
}

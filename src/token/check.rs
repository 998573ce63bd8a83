//! What a token's type and claims must be: RFC 9068 sections 2.2 and 4.

use super::claims::member_at;
use super::{Claim, Confirmation, IssuerId, IssuerRules, TokenError};
use crate::clock::UnixTime;
use crate::jose::json::{Object, Value};
use crate::jose::{Sha256, Thumbprint, decode};

/// How strictly a token's claims are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// `at+jwt`: all claims that RFC 9068 section 2.2 requires.
    AccessToken,
    /// `JWT` or no `typ`, or another that the issuer was given: `iss`, `exp` and `aud` are required.
    Legacy,
}

/// What the checks found in the claims.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) confirmation: Confirmation,
    pub(super) expires: UnixTime,
    pub(super) not_before: Option<UnixTime>,
}

/// Claims that only ID tokens (OpenID Connect Core section 3.3.2.11), logout tokens and security events (RFC
/// 8417) have.
const MARKS_OF_OTHER_JWTS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];
/// What ID tokens and refresh tokens are called, in the claims that name a token's kind.
const OTHER_TOKENS: [&str; 8] =
    ["refresh", "refresh_token", "refresh+jwt", "offline", "rt+jwt", "id", "id_token", "id+jwt"];

/// What kind of access token this `typ` makes it for this issuer; `None` if none.
/// Without `typ` a token counts as `JWT` (RFC 7519 section 5.1 makes it optional), which few issuers are
/// allowed.
pub(super) fn token_type(typ: Option<&str>, rules: &IssuerRules) -> Option<TokenType> {
    let typ = media_type(typ.unwrap_or("JWT"));
    if !rules.token_types.iter().any(|accepted| media_type(accepted).eq_ignore_ascii_case(typ)) {
        return None;
    }
    Some(if typ.eq_ignore_ascii_case("at+jwt") { TokenType::AccessToken } else { TokenType::Legacy })
}

/// A media type without the `application/` that may be left out (RFC 7515 section 4.1.9).
pub(super) fn media_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}

/// Checks every registered claim but `iss`, which found the rules.
///
/// A `JWT`-typed token that has a claim of ID, logout or event tokens, or is called one, is refused; one that has none of these
/// cannot be told from an access token but by its audience, which is why `at+jwt` is the default.
pub(super) fn claims(
    claims: &Object<'_>,
    kind: TokenType,
    id: IssuerId,
    rules: &IssuerRules,
    now: UnixTime,
) -> Result<Checked, TokenError> {
    audience(claims, rules)?;
    let expires = date(claims, Claim::Exp)?.ok_or(TokenError::ClaimMissing(Claim::Exp))?;
    let not_before = date(claims, Claim::Nbf)?;
    let issued = date(claims, Claim::Iat)?;
    texts(claims, rules)?;
    required(claims, kind, id, rules)?;
    no_other_jwt(claims, kind)?;
    in_time(expires, not_before, rules, now)?;
    self::issued(issued, rules, now)?;
    Ok(Checked { confirmation: confirmation(claims)?, expires, not_before })
}

/// Whether this value of `typ` or `token_use` (Keycloak, Amazon Cognito) names a token that is no access token.
pub(super) fn is_another_token(kind: &str) -> bool {
    OTHER_TOKENS.iter().any(|other| other.eq_ignore_ascii_case(media_type(kind)))
}

/// The claim that only tokens of other kinds have, or that names such a kind.
pub(super) fn mark_of_another_jwt(claims: &Object<'_>) -> Option<&'static str> {
    let has = |mark: &&str| claims.get(mark).is_some();
    let names = |name: &&str| claims.get(name).and_then(Value::as_str).is_some_and(is_another_token);
    let mut marks = MARKS_OF_OTHER_JWTS.into_iter();
    marks.find(has).or_else(|| ["typ", "token_use"].into_iter().find(names))
}

/// A `JWT` is no token of another kind, as far as its claims tell.
pub(super) fn no_other_jwt(claims: &Object<'_>, kind: TokenType) -> Result<(), TokenError> {
    let is_other = kind == TokenType::Legacy && mark_of_another_jwt(claims).is_some();
    if is_other { Err(TokenError::Type) } else { Ok(()) }
}

/// `iat` is not in the future (RFC 7519 section 4.1.6 lets it be checked for that).
pub(super) fn issued(issued: Option<UnixTime>, rules: &IssuerRules, now: UnixTime) -> Result<(), TokenError> {
    let ahead = issued.is_some_and(|issued| issued > now.saturating_add(rules.leeway));
    if ahead { Err(TokenError::IssuedInFuture) } else { Ok(()) }
}

/// Whether a token with these dates may be used now (RFC 7519 sections 4.1.4 and 4.1.5).
pub(super) fn in_time(
    expires: UnixTime,
    not_before: Option<UnixTime>,
    rules: &IssuerRules,
    now: UnixTime,
) -> Result<(), TokenError> {
    if now >= expires.saturating_add(rules.leeway) {
        return Err(TokenError::Expired);
    }
    if not_before.is_some_and(|not_before| not_before > now.saturating_add(rules.leeway)) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

/// `aud` is a string or an array of nothing but strings, and one of them is ours (RFC 7519 section 4.1.3).
pub(super) fn audience(claims: &Object<'_>, rules: &IssuerRules) -> Result<(), TokenError> {
    let audience = claims.get("aud").ok_or(TokenError::ClaimMissing(Claim::Aud))?;
    let audiences = audience.as_array().unwrap_or(std::slice::from_ref(audience));
    let mut ours = false;
    for audience in audiences {
        let audience = audience.as_str().ok_or(TokenError::ClaimType(Claim::Aud))?;
        ours |= rules.audiences.iter().any(|accepted| accepted == audience);
    }
    if ours { Ok(()) } else { Err(TokenError::Audience) }
}

/// A `NumericDate`: absent, or a number from the epoch to the year 9999. Text and 1e308 are no dates
/// (CVE-2026-25537).
pub(super) fn date(claims: &Object<'_>, claim: Claim) -> Result<Option<UnixTime>, TokenError> {
    let Some(value) = claims.get(claim.name()) else { return Ok(None) };
    let date = value.as_number().and_then(UnixTime::from_numeric_date);
    date.map(Some).ok_or(TokenError::ClaimType(claim))
}

/// `sub`, `client_id` and `jti` are texts wherever they are, and `scope` is one or a list of them.
pub(super) fn texts(claims: &Object<'_>, rules: &IssuerRules) -> Result<(), TokenError> {
    for claim in [Claim::Sub, Claim::Jti] {
        if claims.get(claim.name()).is_some_and(|value| value.as_str().is_none()) {
            return Err(TokenError::ClaimType(claim));
        }
    }
    rules.claims.client_id(claims)?;
    rules.claims.scope(claims)?;
    Ok(())
}

/// Whether the claim is there. An empty text says nothing, so it is missing.
pub(super) fn is_there(claims: &Object<'_>, name: &str, rules: &IssuerRules) -> Result<bool, TokenError> {
    match name {
        "client_id" => Ok(rules.claims.client_id(claims)?.is_some_and(|client_id| !client_id.is_empty())),
        "scope" => Ok(rules.claims.scope(claims)?.is_some_and(|scope| !scope.is_empty())),
        name => Ok(member_at(claims, name).is_some_and(|value| value.as_str() != Some(""))),
    }
}

/// What RFC 9068 section 2.2 requires, or what the configuration says instead.
pub(super) fn required(
    claims: &Object<'_>,
    kind: TokenType,
    id: IssuerId,
    rules: &IssuerRules,
) -> Result<(), TokenError> {
    let Some(listed) = &rules.required_claims else {
        let of_rfc_9068 = [Claim::Sub, Claim::ClientId, Claim::Iat, Claim::Jti];
        let required: &[Claim] = if kind == TokenType::AccessToken { &of_rfc_9068 } else { &[] };
        for claim in required {
            if !is_there(claims, claim.name(), rules)? {
                return Err(TokenError::ClaimMissing(*claim));
            }
        }
        return Ok(());
    };
    for (place, name) in (0_u16..).zip(listed) {
        if !is_there(claims, name, rules)? {
            return Err(TokenError::ClaimMissing(Claim::Listed(id, place)));
        }
    }
    Ok(())
}

/// Members of `cnf` that bind a token to a key in a way that is not known here (RFC 7800 sections 3.2, 3.3 and 3.5).
const OTHER_KEYS: [&str; 3] = ["jwk", "jwe", "jku"];

/// Reads `cnf`: a valid `jkt`, a valid `x5t#S256`, or both, each of which must be proved.
///
/// Members beside them are ignored, as RFC 7800 section 3.1 has it, but for those that name another key. Without a valid one the token is
/// refused: it is bound in a way that cannot be checked, which is not the same as not bound.
pub(super) fn confirmation(claims: &Object<'_>) -> Result<Confirmation, TokenError> {
    let Some(cnf) = claims.get("cnf") else { return Ok(Confirmation::None) };
    let cnf = cnf.as_object().ok_or(TokenError::Confirmation)?;
    if OTHER_KEYS.iter().any(|name| cnf.get(name).is_some()) {
        return Err(TokenError::Confirmation);
    }
    let text = |name| cnf.get(name).map(|value| value.as_str().ok_or(TokenError::Confirmation)).transpose();
    let key = text("jkt")?.map(|jkt| Thumbprint::parse(jkt).ok_or(TokenError::Confirmation)).transpose()?;
    let certificate =
        text("x5t#S256")?.map(|hash| digest(hash).ok_or(TokenError::Confirmation)).transpose()?;
    match (key, certificate) {
        (Some(key), None) => Ok(Confirmation::Key(key)),
        (None, Some(certificate)) => Ok(Confirmation::Certificate(certificate)),
        (Some(key), Some(certificate)) => Ok(Confirmation::KeyAndCertificate(key, certificate)),
        (None, None) => Err(TokenError::Confirmation),
    }
}

fn digest(text: &str) -> Option<Sha256> {
    decode(text)?.try_into().ok()
}

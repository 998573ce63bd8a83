//! What a token's type and claims must be: RFC 9068 sections 2.2 and 4.

use super::{Confirmation, IssuerRules, TokenError};
use crate::clock::UnixTime;
use crate::jose::json::Object;
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
fn media_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}

/// Checks every registered claim but `iss`, which found the rules.
///
/// A `JWT`-typed token that has a claim of ID, logout or event tokens is refused; one that has none of these
/// cannot be told from an access token but by its audience, which is why `at+jwt` is the default.
pub(super) fn claims(
    claims: &Object<'_>,
    kind: TokenType,
    rules: &IssuerRules,
    now: UnixTime,
) -> Result<Checked, TokenError> {
    check_audience(claims, rules)?;
    let expires = date(claims, "exp")?.ok_or(TokenError::ClaimMissing)?;
    let not_before = date(claims, "nbf")?;
    let issued = date(claims, "iat")?;
    check_strings(claims, kind)?;
    match kind {
        TokenType::AccessToken if issued.is_none() => return Err(TokenError::ClaimMissing),
        TokenType::Legacy if MARKS_OF_OTHER_JWTS.iter().any(|mark| claims.get(mark).is_some()) => {
            return Err(TokenError::Type);
        }
        TokenType::AccessToken | TokenType::Legacy => {}
    }
    in_time(expires, not_before, rules, now)?;
    if issued.is_some_and(|issued| issued > now.saturating_add(rules.leeway)) {
        return Err(TokenError::IssuedInFuture);
    }
    Ok(Checked { confirmation: confirmation(claims)?, expires, not_before })
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
fn check_audience(claims: &Object<'_>, rules: &IssuerRules) -> Result<(), TokenError> {
    let audience = claims.get("aud").ok_or(TokenError::ClaimMissing)?;
    let audiences = audience.as_array().unwrap_or(std::slice::from_ref(audience));
    let mut ours = false;
    for audience in audiences {
        let audience = audience.as_str().ok_or(TokenError::ClaimType)?;
        ours |= rules.audiences.iter().any(|accepted| accepted == audience);
    }
    if ours { Ok(()) } else { Err(TokenError::Audience) }
}

/// A `NumericDate`: absent, or a number from the epoch to the year 9999. Text, `null` and 1e308 are no dates
/// (CVE-2026-25537).
fn date(claims: &Object<'_>, name: &str) -> Result<Option<UnixTime>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let date = value.as_number().and_then(UnixTime::from_numeric_date);
    date.map(Some).ok_or(TokenError::ClaimType)
}

/// `sub`, `client_id`, `jti` and `scope` are strings wherever they are; RFC 9068 requires the first three.
fn check_strings(claims: &Object<'_>, kind: TokenType) -> Result<(), TokenError> {
    for name in ["sub", "client_id", "jti", "scope"] {
        let required = kind == TokenType::AccessToken && name != "scope";
        match claims.get(name) {
            None if required => return Err(TokenError::ClaimMissing),
            None => {}
            Some(value) => match value.as_str() {
                None => return Err(TokenError::ClaimType),
                Some("") if required => return Err(TokenError::ClaimMissing),
                Some(_) => {}
            },
        }
    }
    Ok(())
}

/// Reads `cnf`. RFC 7800 section 3.1 would have unknown members ignored; that would take a token that is
/// bound in a way we do not know for one that is less bound or not at all, so here they refuse it (M04).
fn confirmation(claims: &Object<'_>) -> Result<Confirmation, TokenError> {
    let Some(cnf) = claims.get("cnf") else { return Ok(Confirmation::None) };
    let cnf = cnf.as_object().ok_or(TokenError::Confirmation)?;
    let (mut key, mut certificate) = (None, None);
    for (name, value) in cnf.iter() {
        let text = value.as_str().ok_or(TokenError::Confirmation)?;
        match name {
            "jkt" => key = Some(Thumbprint::parse(text).ok_or(TokenError::Confirmation)?),
            "x5t#S256" => certificate = Some(digest(text).ok_or(TokenError::Confirmation)?),
            _ => return Err(TokenError::Confirmation),
        }
    }
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

//! The checks on an access token, cheap ones before the signature.

use super::answers::Answers;
use super::cache::{TokenCache, weight_of};
use super::issuer::Published;
use super::{Claim, Denied, DeniedBy, DenyList, Issuer, IssuerId, IssuerRules, VerifiedToken, check};
use crate::clock::UnixTime;
use crate::jose::{Algorithm, CompactJws, HeaderError, JoseHeader, PublicKey, Sha256, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest access token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;
/// How many keys are tried for one token: each costs a signature check, which anybody may ask for.
const MAX_CANDIDATES: usize = 4;

/// All issuers, and the tokens of theirs that were verified lately.
#[derive(Debug)]
pub struct Issuers {
    issuers: Vec<Issuer>,
    verified: Arc<TokenCache>,
    pub(super) answers: Arc<Answers>,
    denied: Arc<Denied>,
    /// How many editions of rules there were.
    editions: Arc<AtomicU64>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN`].
    #[error("the access token is too long")]
    TooLong,
    /// Not a compact JWS (and no introspection to ask about opaque ones), or not acceptable JSON.
    #[error("the access token is malformed")]
    Malformed,
    /// Header or claims have more than 32 levels of objects and arrays ([`json::Limits::TOKEN`]).
    #[error("the access token has too many levels")]
    TooDeep,
    /// Header or claims have more than 4,096 members and array items ([`json::Limits::TOKEN`]).
    #[error("the access token has too many members")]
    TooMany,
    /// `typ` is not that of an access token (RFC 9068 section 4).
    #[error("the token is not an access token")]
    Type,
    /// A critical extension is named; none is understood.
    #[error("the access token has a critical extension")]
    Critical,
    /// `alg` is none of those the issuer may use.
    #[error("the access token's algorithm is not accepted")]
    Algorithm,
    /// A required claim is missing or empty (RFC 9068 section 2.2, or what the issuer's rules say).
    #[error("the access token lacks a required claim")]
    ClaimMissing(Claim),
    /// A registered claim has the wrong type: a failure, never "absent" (CVE-2026-25537).
    #[error("a claim of the access token has the wrong type")]
    ClaimType(Claim),
    /// `iss` is no configured issuer, or not one of this route's.
    #[error("the access token is from an unknown issuer")]
    Issuer,
    /// `aud` has none of the issuer's audiences.
    #[error("the access token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the access token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the access token is not valid yet")]
    NotYetValid,
    /// `iat` is in the future.
    #[error("the access token is from the future")]
    IssuedInFuture,
    /// `cnf` cannot be checked: neither `jkt` nor `x5t#S256`, a malformed one, or another key beside it (RFC 7800 section 3.1).
    #[error("the access token's confirmation cannot be checked")]
    Confirmation,
    /// No key of the issuer fits; it may have new ones: fetch (rate-limited) and verify again.
    #[error("the access token's key is unknown")]
    UnknownKey(IssuerId),
    /// The signature does not verify with the key.
    #[error("the access token's signature does not verify")]
    Signature,
    /// The issuer's keys have never been fetched, or were too old: we cannot tell. Not the client's fault.
    #[error("the issuer's keys are not available")]
    KeysUnavailable(IssuerId),
    /// The issuer says that it is not active (RFC 7662 section 2.2): unknown, expired, revoked, or not for us.
    #[error("the access token is not active")]
    Inactive,
    /// The issuer has to be asked about it (RFC 7662): ask, and verify again.
    #[error("the issuer was not asked about the access token")]
    NotIntrospected(IssuerId),
    /// The issuer cannot be asked, or its answer says nothing. Not the client's fault.
    #[error("the issuer cannot be asked about the access token")]
    IntrospectionUnavailable(IssuerId),
    /// The issuer is being asked as many questions as it may be, or as this client's address may cause.
    #[error("the issuer is being asked too many questions")]
    IntrospectionBusy(IssuerId),
    /// The operator denies it, or whose it is.
    #[error("the access token is denied")]
    Denied(DeniedBy),
}

impl TokenError {
    /// Whether a signature was checked before this was found out: it is checked last.
    pub const fn cost_a_signature(self) -> bool {
        match self {
            Self::Signature => true,
            Self::TooLong
            | Self::Malformed
            | Self::TooDeep
            | Self::TooMany
            | Self::Type
            | Self::Critical
            | Self::Algorithm
            | Self::ClaimMissing(_)
            | Self::ClaimType(_)
            | Self::Issuer
            | Self::Audience
            | Self::Expired
            | Self::NotYetValid
            | Self::IssuedInFuture
            | Self::Confirmation
            | Self::UnknownKey(_)
            | Self::KeysUnavailable(_)
            | Self::Inactive
            | Self::NotIntrospected(_)
            | Self::IntrospectionUnavailable(_)
            | Self::IntrospectionBusy(_)
            // One that is denied was verified, and is remembered: it costs a signature once.
            | Self::Denied(_) => false,
        }
    }
}

impl Issuers {
    /// Issuers with these rules and no keys yet; [`IssuerId`] is the place in the list. No two may share
    /// `issuer`: the first would take all tokens.
    pub fn new(rules: Vec<IssuerRules>) -> Self {
        Self::named(rules.into_iter().enumerate().map(|(place, rules)| (IssuerId(place), rules)))
    }

    /// The same where each issuer has an identity of its own.
    pub fn named(rules: impl IntoIterator<Item = (IssuerId, IssuerRules)>) -> Self {
        let issuers = rules.into_iter().map(|(id, rules)| Issuer::new(id, rules, 0)).collect();
        Self {
            issuers,
            verified: Arc::new(TokenCache::new()),
            answers: Arc::new(Answers::new()),
            denied: Arc::default(),
            editions: Arc::default(),
        }
    }

    /// Those that come after these when the configuration is read again. Issuers of whom `keeps` is true have the keys that they had, and
    /// their verified tokens too where no rule has changed. The others begin without either.
    #[must_use]
    pub fn succeeded_by(
        &self,
        rules: impl IntoIterator<Item = (IssuerId, IssuerRules)>,
        keeps: impl Fn(IssuerId) -> bool,
    ) -> Self {
        let issuer = |(id, rules)| {
            let edition = self.editions.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            match self.issuer(id).filter(|_| keeps(id)) {
                Some(before) => before.with_rules(rules, edition),
                None => Issuer::new(id, rules, edition),
            }
        };
        Self {
            issuers: rules.into_iter().map(issuer).collect(),
            verified: Arc::clone(&self.verified),
            answers: Arc::clone(&self.answers),
            denied: Arc::clone(&self.denied),
            editions: Arc::clone(&self.editions),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (IssuerId, &Issuer)> {
        self.issuers.iter().map(|issuer| (issuer.id, issuer))
    }

    /// The issuer with this identity.
    pub fn issuer(&self, id: IssuerId) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == id)
    }

    /// Puts this list in force, for these issuers, those that came before them and those that will come after.
    pub fn deny(&self, list: Arc<DenyList>) {
        self.denied.put(list);
    }

    /// The list in force.
    pub const fn denied(&self) -> &Arc<Denied> {
        &self.denied
    }

    /// That nobody denies this token: the last of the checks on a token itself, and one that no memory of it spares.
    ///
    /// # Errors
    /// [`TokenError::Denied`].
    pub fn not_denied(&self, token: &VerifiedToken) -> Result<(), TokenError> {
        self.denied.by(token).map_or(Ok(()), |by| Err(TokenError::Denied(by)))
    }

    /// What the claim is called, for the log.
    pub fn claim_name(&self, claim: Claim) -> &str {
        let listed = |id, place| self.issuer(id)?.rules.required_claims.as_ref()?.get(usize::from(place));
        match claim {
            Claim::Listed(id, place) => listed(id, place).map_or(claim.name(), String::as_str),
            Claim::Iss | Claim::Exp | Claim::Aud | Claim::Sub | Claim::ClientId => claim.name(),
            Claim::Iat | Claim::Jti | Claim::Nbf | Claim::Scope => claim.name(),
        }
    }

    /// Verifies a token as presented, whose SHA-256 is `hash`. One verified before, by the same keys and not
    /// expired since, costs a look-up.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        token: &str,
        hash: &Sha256,
        now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        check_length(token)?;
        if let Some(known) = self.verified_before(hash, now)? {
            return Ok(known);
        }
        let verified = Arc::new(self.verify_anew(token, now)?);
        self.verified.keep(*hash, Arc::clone(&verified));
        Ok(verified)
    }

    /// What an earlier look at this token found, unless its issuer's keys have changed since. Time has
    /// passed in between, so it is asked again (liboauth2 answered from its cache after `exp`, CWE-613).
    fn verified_before(
        &self,
        hash: &Sha256,
        now: UnixTime,
    ) -> Result<Option<Arc<VerifiedToken>>, TokenError> {
        let Some(token) = self.verified.find(hash) else { return Ok(None) };
        let Some(issuer) = self.issuer(token.issuer) else { return Ok(None) };
        if issuer.edition != token.edition
            || issuer.published().as_ref().map(|published| published.generation) != Some(token.generation)
        {
            return Ok(None);
        }
        match check::in_time(token.expires, token.not_before, &issuer.rules, now) {
            Ok(()) => Ok(Some(token)),
            Err(error) => {
                if error == TokenError::Expired {
                    self.verified.forget(hash);
                }
                Err(error)
            }
        }
    }

    /// Every check, the signature last: a refusal before it costs the sender more than us.
    fn verify_anew(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenError> {
        let jws = split(token)?;
        let header = JoseHeader::of_token(jws.header_segment).map_err(header_error)?;
        let typ = header.typ.as_deref();
        // A DPoP proof or an ID token is told what it is before its claims are missed
        // (RFC 8725 sections 3.11 and 3.12).
        if !self.issuers.iter().any(|issuer| check::token_type(typ, &issuer.rules).is_some()) {
            return Err(TokenError::Type);
        }
        let algorithm = header.alg.as_deref().and_then(Algorithm::from_name).ok_or(TokenError::Algorithm)?;
        let claims = claims_of(&jws)?;
        let (id, issuer) = self.issuer_of(&claims)?;
        let kind = check::token_type(typ, &issuer.rules).ok_or(TokenError::Type)?;
        if !issuer.rules.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let checked = check::claims(&claims, kind, id, &issuer.rules, now)?;
        let published = issuer.published();
        let published = published.as_ref().ok_or(TokenError::KeysUnavailable(id))?;
        verify_signature(&jws, algorithm, header.kid.as_deref(), published, id)?;
        Ok(VerifiedToken {
            issuer: id,
            weight: weight_of(jws.payload.len(), claims.items()),
            claims: issuer.rules.claims.settle(claims.into_owned()),
            confirmation: checked.confirmation,
            expires: checked.expires,
            not_before: checked.not_before,
            generation: published.generation,
            edition: issuer.edition,
        })
    }

    /// The issuer that `iss` names: a string, never an array (CVE-2025-30144), equal to the letter (RFC 9068
    /// section 4).
    pub(super) fn issuer_of(&self, claims: &json::Object<'_>) -> Result<(IssuerId, &Issuer), TokenError> {
        let iss = claims.get("iss").ok_or(TokenError::ClaimMissing(Claim::Iss))?;
        let iss = iss.as_str().ok_or(TokenError::ClaimType(Claim::Iss))?;
        self.iter().find(|(_, issuer)| issuer.rules.issuer == iss).ok_or(TokenError::Issuer)
    }
}

pub(super) fn check_length(token: &str) -> Result<(), TokenError> {
    if token.len() > MAX_TOKEN { Err(TokenError::TooLong) } else { Ok(()) }
}

/// The token's three parts.
pub(super) fn split(token: &str) -> Result<CompactJws<'_>, TokenError> {
    check_length(token)?;
    CompactJws::split(token).map_err(|_| TokenError::Malformed)
}

/// Its claims, within their limits.
pub(super) fn claims_of<'a>(jws: &'a CompactJws<'_>) -> Result<json::Object<'a>, TokenError> {
    json::Object::parse(&jws.payload, json::Limits::TOKEN).map_err(json_error)
}

/// Checks the signature with the issuer's keys that fit. A key that the token names and that does not verify
/// it is final; a token that names none may be signed by one that is not here yet.
pub(super) fn verify_signature(
    jws: &CompactJws<'_>,
    algorithm: Algorithm,
    kid: Option<&str>,
    published: &Published,
    id: IssuerId,
) -> Result<(), TokenError> {
    let verifies = |key: &PublicKey| jws.verify(algorithm, key).is_ok();
    let (keys, mut named) =
        (&published.keys, published.keys.named(kid, algorithm).take(MAX_CANDIDATES).peekable());
    let is_final = kid.is_some() && named.peek().is_some();
    if named.any(verifies) || kid.is_some() && keys.nameless(algorithm).take(MAX_CANDIDATES).any(verifies) {
        return Ok(());
    }
    Err(if is_final { TokenError::Signature } else { TokenError::UnknownKey(id) })
}

pub(super) const fn header_error(error: HeaderError) -> TokenError {
    match error {
        HeaderError::Critical => TokenError::Critical,
        HeaderError::Json(error) => json_error(error),
        HeaderError::Type | HeaderError::Jwk(_) => TokenError::Malformed,
    }
}

const fn json_error(error: json::JsonError) -> TokenError {
    match error {
        json::JsonError::Syntax | json::JsonError::Duplicate => TokenError::Malformed,
        json::JsonError::TooDeep => TokenError::TooDeep,
        json::JsonError::TooMany => TokenError::TooMany,
    }
}

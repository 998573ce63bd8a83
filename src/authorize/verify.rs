//! The checks in a fixed order, so that an error is predictable.

use super::certificate::HeldCertificate;
use super::credentials::{Credentials, proof, refused_line};
use super::{Accept, Authorizer, Mode, Policy};
use crate::certificate::Shown;
use crate::clock::Moment;
use crate::denial::{BindingError, Denial};
use crate::dpop::{Expected, TargetUri, VerifiedProof};
use crate::headers::AuthScheme;
use crate::identity::Rendered;
use crate::jose::{Sha256, Thumbprint, sha256};
use crate::token::{Confirmation, Introspected, TokenError, VerifiedToken, is_opaque};
use http::{HeaderMap, Method};
use std::sync::Arc;

/// What was asked, as far as it matters for who may ask.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URI that the client asked for.
    pub target: TargetUri<'a>,
    /// The query, in which no token may stand.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The client's certificate.
    pub certificate: &'a Shown,
    /// What the token's issuer said of it, where it was asked.
    pub introspected: Option<&'a Introspected>,
}

impl<'a> Asked<'a> {
    /// The access token as presented, where there is one.
    pub fn token(&self) -> Option<&'a str> {
        Credentials::read(self.headers, self.query).ok().map(|credentials| credentials.token)
    }

    /// Whether there is anything that may cost a signature.
    pub fn has_credentials(&self) -> bool {
        self.headers.contains_key(http::header::AUTHORIZATION)
    }
}

/// Why not, under which scheme the client tried, and whose token it was.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason.
    pub denial: Denial,
    /// The scheme that was used, where it can be told.
    pub scheme: Option<AuthScheme>,
    /// The token, where it was verified and something else failed.
    pub token: Option<Arc<VerifiedToken>>,
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self { denial, scheme: None, token: None }
    }
}

/// A request that passed every check but one: that its proof was never used.
#[derive(Debug)]
pub struct Verified(pub(super) Evidence);

/// What the checks found.
#[derive(Debug)]
pub(super) enum Evidence {
    /// Nothing was asked for.
    Public,
    /// A token the route takes, and its values for the identity headers.
    Token { token: Arc<VerifiedToken>, identity: Rendered, binding: Binding },
}

/// How the token was bound, and what proved it.
#[derive(Debug)]
pub(super) enum Binding {
    Bearer,
    Mtls(HeldCertificate),
    Dpop(VerifiedProof),
    DpopAndMtls(VerifiedProof, HeldCertificate),
}

impl Binding {
    /// The proof, where a key was to be proved.
    pub(super) const fn proof(&self) -> Option<&VerifiedProof> {
        match self {
            Self::Dpop(proof) | Self::DpopAndMtls(proof, _) => Some(proof),
            Self::Bearer | Self::Mtls(_) => None,
        }
    }
}

impl Authorizer {
    /// Every check but the last. Synchronous and without effect: it may be repeated.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        now: impl Into<Moment>,
    ) -> Result<Verified, Refusal> {
        let now = now.into();
        if policy.public {
            return Ok(Verified(Evidence::Public));
        }
        let credentials = Credentials::read(asked.headers, asked.query)
            .map_err(|(error, scheme)| Refusal { denial: error.into(), scheme, token: None })?;
        let scheme = Some(credentials.scheme);
        // One hash names the token in the cache and in the proof's `ath`.
        let hash = sha256(&[credentials.token.as_bytes()]);
        let token = self.verify_token(policy, asked, credentials.token, &hash, now);
        let token = token.map_err(|error| Refusal { denial: error.into(), scheme, token: None })?;
        match self.verify_holder(policy, asked, credentials.scheme, &token, &hash, now) {
            Ok((binding, identity)) => Ok(Verified(Evidence::Token { token, identity, binding })),
            Err(denial) => Err(Refusal { denial, scheme, token: Some(token) }),
        }
    }

    /// The token by itself: by its signature, by what its issuer says of it, or by both.
    fn verify_token(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        token: &str,
        hash: &Sha256,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let issuer = match policy.introspection.filter(|_| is_opaque(token)) {
            Some(issuer) => issuer,
            None => {
                let verified = self.issuers.verify(token, hash, now.wall)?;
                if !self.issuers.asks_about_all(verified.issuer()) {
                    return Ok(verified);
                }
                self.denied_in_spite_of_others(policy, &verified)?;
                // One issuer's tokens are shown to no other, and not to one whose tokens the route does not take.
                issuer_is_taken(policy, &verified)?;
                verified.issuer()
            }
        };
        self.issuers.introspected(issuer, hash, asked.introspected, now)
    }

    /// Where other refusals are overlooked, those that would come before it must not hide that a token is denied.
    fn denied_in_spite_of_others(&self, policy: &Policy, token: &VerifiedToken) -> Result<(), TokenError> {
        match policy.mode {
            Mode::Enforce => Ok(()),
            Mode::Observe => self.issuers.not_denied(token),
        }
    }

    /// Whether the client may use this token here: whose it is, whether it is denied, then the binding, then what it allows.
    fn verify_holder(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        scheme: AuthScheme,
        token: &VerifiedToken,
        hash: &Sha256,
        now: Moment,
    ) -> Result<(Binding, Rendered), Denial> {
        self.denied_in_spite_of_others(policy, token)?;
        issuer_is_taken(policy, token)?;
        self.issuers.not_denied(token)?;
        is_taken_as_sent(scheme, token.confirmation(), policy.accept)?;
        let holds = |expected: &Sha256| HeldCertificate::check(expected, asked.certificate);
        let binding = match token.confirmation() {
            Confirmation::None => Binding::Bearer,
            Confirmation::Certificate(expected) => Binding::Mtls(holds(&expected)?),
            Confirmation::Key(jkt) => Binding::Dpop(self.verify_proof(policy, asked, &jkt, hash, now)?),
            Confirmation::KeyAndCertificate(jkt, expected) => {
                let proof = self.verify_proof(policy, asked, &jkt, hash, now)?;
                Binding::DpopAndMtls(proof, holds(&expected)?)
            }
        };
        if missing_scope(policy, token).is_some() {
            return Err(Denial::InsufficientScope);
        }
        Ok((binding, rendered(policy, token)?))
    }

    fn verify_proof(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        jkt: &Thumbprint,
        hash: &Sha256,
        now: Moment,
    ) -> Result<VerifiedProof, Denial> {
        let expected =
            Expected { method: asked.method, target: asked.target, ath: Some(hash), nonce: policy.nonce };
        let line = proof(asked.headers)?;
        let proof = self.proofs.verify(line, &expected, now).map_err(|error| refused_line(line, error))?;
        // RFC 9449 section 4.3 check 12: the key the token is bound to.
        if proof.jkt() == *jkt { Ok(proof) } else { Err(BindingError::Key.into()) }
    }
}

/// The route takes this issuer's tokens.
pub(super) fn issuer_is_taken(policy: &Policy, token: &VerifiedToken) -> Result<(), TokenError> {
    let taken = policy.issuers.is_empty() || policy.issuers.contains(&token.issuer());
    if taken { Ok(()) } else { Err(TokenError::Issuer) }
}

/// The first scope that the route needs and the token lacks.
pub(super) fn missing_scope<'p>(policy: &'p Policy, token: &VerifiedToken) -> Option<&'p str> {
    policy.scopes.iter().map(String::as_str).find(|scope| !token.has_scope(scope))
}

/// The values of the identity headers.
pub(super) fn rendered(policy: &Policy, token: &VerifiedToken) -> Result<Rendered, Denial> {
    Ok(policy.identity.render(|path| token.claim(path)).map_err(|_| BindingError::Identity)?)
}

/// Whether the route takes a token that is bound so and was sent so. What the token says decides what has to be proved, never the scheme
/// alone (RFC 9449 section 7.2).
pub(super) const fn is_taken_as_sent(
    scheme: AuthScheme,
    token: Confirmation,
    accept: Accept,
) -> Result<(), BindingError> {
    match (scheme, token) {
        (AuthScheme::Bearer, Confirmation::Key(_) | Confirmation::KeyAndCertificate(..)) => {
            Err(BindingError::Downgrade)
        }
        (AuthScheme::Bearer, Confirmation::None) if accept.bearer => Ok(()),
        (AuthScheme::Bearer, Confirmation::None) => Err(BindingError::BearerNotAccepted),
        (AuthScheme::Bearer, Confirmation::Certificate(_)) if accept.mtls => Ok(()),
        (AuthScheme::Bearer, Confirmation::Certificate(_)) => Err(BindingError::MtlsNotAccepted),
        (AuthScheme::Dpop, Confirmation::None | Confirmation::Certificate(_)) => Err(BindingError::Unbound),
        (AuthScheme::Dpop, Confirmation::Key(_) | Confirmation::KeyAndCertificate(..)) if accept.dpop => {
            Ok(())
        }
        (AuthScheme::Dpop, Confirmation::Key(_) | Confirmation::KeyAndCertificate(..)) => {
            Err(BindingError::DpopNotAccepted)
        }
    }
}

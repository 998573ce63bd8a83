//! What `keyproof explain` shows of what a route asks. Every verdict is that of the functions which [`Authorizer::verify`] calls; here is
//! only what a reader is told about it.

use super::certificate::HeldCertificate;
use super::credentials::Credentials;
use super::verify::{Asked, is_taken_as_sent, issuer_is_taken, missing_scope, rendered};
use super::{Accept, Authorizer, Policy};
use crate::certificate::CertificateThumbprint;
use crate::clock::UnixTime;
use crate::denial::Denial;
use crate::jose::json::Value;
use crate::jose::{Sha256, sha256};
use crate::token::{Confirmation, DeniedBy, VerifiedToken};

/// One check on the request by what its route asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCheck {
    /// What is checked, in a few words.
    pub what: &'static str,
    /// How it went; `None`: it could not be made.
    pub result: Option<Result<(), Denial>>,
    /// What was expected.
    pub expected: String,
    /// What stood there; empty: the error says it.
    pub found: String,
}

/// A check on a verified token, and what it found.
type CheckOf<'c> = &'c dyn Fn(&VerifiedToken) -> (Result<(), Denial>, String);

impl Authorizer {
    /// Every check of a route by itself, for `keyproof explain`; those on the token and on the proof have reports of their own.
    pub fn report(&self, policy: &Policy, asked: &Asked<'_>, now: UnixTime) -> Vec<PolicyCheck> {
        if policy.public {
            return Vec::new();
        }
        let credentials = Credentials::read(asked.headers, asked.query);
        let token = credentials.as_ref().ok().and_then(|credentials| {
            let hash = sha256(&[credentials.token.as_bytes()]);
            self.issuers.verify(credentials.token, &hash, now).ok()
        });
        let mut checks = vec![sent(credentials.as_ref().map_err(|(error, _)| Denial::from(*error)))];
        let Ok(credentials) = credentials else { return checks };
        let with_token = |what, expected: String, check: CheckOf<'_>| {
            let Some(token) = &token else {
                let found = "no token that was verified".to_owned();
                return PolicyCheck { what, result: None, expected, found };
            };
            let (result, found) = check(token);
            PolicyCheck { what, result: Some(result), expected, found }
        };
        checks.push(with_token("route issuers", self.issuers_of(policy), &|token| {
            let name = self.issuers.issuer(token.issuer()).map(|issuer| issuer.rules.name.clone());
            (issuer_is_taken(policy, token).map_err(Denial::from), name.unwrap_or_default())
        }));
        if self.issuers.denied().any() {
            checks.push(with_token("denied_file", "no entry that denies it".to_owned(), &|token| {
                let by = self.issuers.denied().by(token).map_or("none", DeniedBy::name).to_owned();
                (self.issuers.not_denied(token).map_err(Denial::from), by)
            }));
        }
        checks.push(with_token("route accept", accepted(policy.accept), &|token| {
            let taken = is_taken_as_sent(credentials.scheme, token.confirmation(), policy.accept);
            let found = format!("{}, sent as {}", bound(token.confirmation()), credentials.scheme.name());
            (taken.map_err(Denial::from), found)
        }));
        if let Some(expected) = token.as_ref().and_then(|token| certificate_of(token)) {
            checks.push(certificate(&expected, asked));
        }
        checks.push(with_token("route scopes", listed(&policy.scopes), &|token| {
            let found = token.claim("scope").and_then(Value::as_str).unwrap_or("none").to_owned();
            (missing_scope(policy, token).map_or(Ok(()), |_| Err(Denial::InsufficientScope)), found)
        }));
        let headers = "claims that can be header values".to_owned();
        checks.push(with_token("identity headers", headers, &|token| match rendered(policy, token) {
            Ok(headers) => {
                (Ok(()), headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Err(denial) => (Err(denial), String::new()),
        }));
        checks
    }

    fn issuers_of(&self, policy: &Policy) -> String {
        let taken =
            self.issuers.iter().filter(|(id, _)| policy.issuers.is_empty() || policy.issuers.contains(id));
        let names: Vec<_> = taken.map(|(_, issuer)| issuer.rules.name.as_str()).collect();
        format!("one of {}", names.join(", "))
    }
}

fn sent(credentials: Result<&Credentials<'_>, Denial>) -> PolicyCheck {
    let (result, found) = match credentials {
        Ok(credentials) => (Ok(()), format!("a token as {}", credentials.scheme.name())),
        Err(denial) => (Err(denial), String::new()),
    };
    let expected = "one token, as DPoP or Bearer".to_owned();
    PolicyCheck { what: "credentials", result: Some(result), expected, found }
}

/// The certificate that the token is bound to.
fn certificate_of(token: &VerifiedToken) -> Option<Sha256> {
    match token.confirmation() {
        Confirmation::Certificate(expected) | Confirmation::KeyAndCertificate(_, expected) => Some(expected),
        Confirmation::None | Confirmation::Key(_) => None,
    }
}

fn certificate(expected: &Sha256, asked: &Asked<'_>) -> PolicyCheck {
    let held = HeldCertificate::check(expected, asked.certificate).map_err(Denial::from);
    let found = asked.certificate.map_or_else(|absence| absence.to_string(), |shown| shown.to_string());
    let expected = format!("the certificate {}", CertificateThumbprint::new(*expected));
    PolicyCheck { what: "certificate", result: Some(held.map(|_| ())), expected, found }
}

fn accepted(accept: Accept) -> String {
    let taken = [
        accept.dpop.then_some("a token bound to a key, sent as DPoP"),
        accept.mtls.then_some("a token bound to a certificate, sent as Bearer"),
        accept.bearer.then_some("an unbound token, sent as Bearer"),
    ];
    taken.into_iter().flatten().collect::<Vec<_>>().join(", or ")
}

const fn bound(confirmation: Confirmation) -> &'static str {
    match confirmation {
        Confirmation::None => "an unbound token",
        Confirmation::Key(_) => "a token bound to a key",
        Confirmation::Certificate(_) => "a token bound to a certificate",
        Confirmation::KeyAndCertificate(..) => "a token bound to a key and a certificate",
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none is needed".to_owned() } else { format!("all of {}", names.join(" ")) }
}

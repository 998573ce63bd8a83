//! A second look at a refused request, for the log: what was found, and what was expected.
//!
//! The checks keep nothing of what they compare, so that a good request pays nothing for this. Whoever was refused is looked at again, within
//! the same bounds. Nothing that is found here was verified, and nothing decides by it.

use super::credentials::{Credentials, proof};
use super::{Asked, Authorizer, Policy, Refusal};
use crate::clock::UnixTime;
use crate::denial::{BindingError, CredentialsError, Denial, ProofCountError};
use crate::dpop::{Expected, NoncePolicy};
use crate::headers::{AuthScheme, DPOP};
use crate::token::{Confirmation, VerifiedToken};
use http::header::AUTHORIZATION;

type Finding = (&'static str, String);

/// Authentication schemes that may be named; of any other word, somebody may have sent a secret without a scheme.
const SCHEMES: [&str; 16] = [
    "Basic",
    "Digest",
    "Negotiate",
    "NTLM",
    "Kerberos",
    "Token",
    "ApiKey",
    "OAuth",
    "GNAP",
    "HOBA",
    "Mutual",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "AWS4-HMAC-SHA256",
    "Signature",
];

impl Authorizer {
    /// The clock difference that a refused proof tells: `now` minus its `iat`, in seconds. `None` where the checks did not come to the proof,
    /// it says none, or a nonce stands in place of `iat`.
    pub fn skew_of_refused(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        refusal: &Refusal,
        now: UnixTime,
    ) -> Option<f64> {
        if policy.nonce == NoncePolicy::Required || !came_to_the_proof(refusal) {
            return None;
        }
        let iat = self.proofs.claimed_iat(proof(asked.headers).ok()?)?;
        Some(now.seconds_after(iat))
    }

    /// What was found and what was expected: a name and a text for each part, never a token, a proof or a secret.
    pub fn findings(&self, policy: &Policy, asked: &Asked<'_>, refusal: &Refusal) -> Vec<Finding> {
        match refusal.denial {
            Denial::Credentials(CredentialsError::Missing) => other_scheme(asked).into_iter().collect(),
            Denial::Token(error) => Credentials::read(asked.headers, asked.query)
                .map(|credentials| self.issuers.findings(credentials.token, error, &policy.issuers))
                .unwrap_or_default(),
            Denial::Binding(error) => self.of_binding(policy, asked, refusal, error),
            Denial::ProofCount(ProofCountError::Several) => {
                vec![("proofs", count_of_proofs(asked).to_string())]
            }
            Denial::Proof(error) => {
                let expected =
                    Expected { method: asked.method, target: asked.target, ath: None, nonce: policy.nonce };
                proof(asked.headers)
                    .map(|proof| self.proofs.findings(proof, &expected, error))
                    .unwrap_or_default()
            }
            Denial::InsufficientScope => {
                refusal.token.as_ref().map(|token| of_scope(policy, token)).unwrap_or_default()
            }
            Denial::Description(_)
            | Denial::Authority(_)
            | Denial::Path(_)
            | Denial::TargetTooLong
            | Denial::NoRoute
            | Denial::MethodNotAllowed
            | Denial::Credentials(_)
            | Denial::ProofCount(_)
            | Denial::Replay(_)
            | Denial::Unsupported(_)
            | Denial::Body
            | Denial::Marked => Vec::new(),
        }
    }

    fn of_binding(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        refusal: &Refusal,
        error: BindingError,
    ) -> Vec<Finding> {
        match error {
            BindingError::Downgrade
            | BindingError::BearerNotAccepted
            | BindingError::DpopNotAccepted
            | BindingError::MtlsNotAccepted
            | BindingError::Unbound => {
                let scheme = refusal.scheme.map(|scheme| ("scheme", scheme.name().to_owned()));
                let accepted: Vec<_> = policy.accept.schemes().map(AuthScheme::name).collect();
                scheme.into_iter().chain([("scheme_expected", accepted.join(" "))]).collect()
            }
            // What was expected is the token's `jkt`, which stands in every line.
            BindingError::Key => {
                let key = proof(asked.headers).ok().and_then(|proof| self.proofs.claimed_key(proof));
                key.map(|key| ("proof_jkt", key.to_string())).into_iter().collect()
            }
            // The same of its `x5t`.
            BindingError::CertificateMissing | BindingError::Certificate => {
                vec![match asked.certificate {
                    Ok(shown) => ("certificate_x5t", shown.to_string()),
                    Err(absence) => ("certificate", absence.to_string()),
                }]
            }
            BindingError::Identity => {
                let claim = |path: &str| refusal.token.as_ref()?.claim(path);
                let claim = policy.identity.unrepresentable(claim);
                claim.map(|claim| ("claim", claim.to_owned())).into_iter().collect()
            }
        }
    }
}

/// Whether the proof was looked at before something was wrong: after the token and its binding (see [`Authorizer::verify`]).
fn came_to_the_proof(refusal: &Refusal) -> bool {
    let bound = match refusal.token.as_ref().map(|token| token.confirmation()) {
        Some(Confirmation::Key(_) | Confirmation::KeyAndCertificate(..)) => true,
        Some(Confirmation::None | Confirmation::Certificate(_)) | None => false,
    };
    let after = matches!(
        refusal.denial,
        Denial::Proof(_)
            | Denial::InsufficientScope
            | Denial::Replay(_)
            | Denial::Binding(
                BindingError::Key
                    | BindingError::CertificateMissing
                    | BindingError::Certificate
                    | BindingError::Identity
            )
    );
    bound && after && refusal.scheme == Some(AuthScheme::Dpop)
}

/// The scheme of credentials that are none of ours.
fn other_scheme(asked: &Asked<'_>) -> Option<Finding> {
    let line = asked.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let name = line.split(' ').next().unwrap_or_default();
    let known = SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    Some(("scheme", known.map_or("another", |known| known).to_owned()))
}

fn count_of_proofs(asked: &Asked<'_>) -> usize {
    asked.headers.get_all(DPOP).iter().map(|line| line.as_bytes().split(|byte| *byte == b',').count()).sum()
}

fn of_scope(policy: &Policy, token: &VerifiedToken) -> Vec<Finding> {
    let missing: Vec<_> =
        policy.scopes.iter().map(String::as_str).filter(|scope| !token.has_scope(scope)).collect();
    let granted = token.claim("scope").and_then(|scope| scope.as_str());
    let granted = granted.map(|scope| ("scope", scope.to_owned()));
    [("scope_missing", missing.join(" "))].into_iter().chain(granted).collect()
}

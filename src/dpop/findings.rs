//! A second look at a proof that was refused, for the log: what it says, and what was expected. Nothing in it was verified.

use super::proof::{MAX_PROOF, ProofKey, date, payload, text, unreadable_claims};
use super::verify::split;
use super::{Expected, ProofError, Verifier};
use crate::clock::UnixTime;
use crate::jose::json::Object;
use crate::jose::{JoseHeader, Thumbprint};
use crate::uri::without_secrets;

impl Verifier {
    /// When the client says that the proof was made, whether it may be believed or not.
    pub fn claimed_iat(&self, proof: &str) -> Option<UnixTime> {
        let jws = split(proof).ok()?;
        date(&payload(&jws.payload).ok()?, "iat").ok().flatten()
    }

    /// The thumbprint of the key that the proof names as its own.
    pub fn claimed_key(&self, proof: &str) -> Option<Thumbprint> {
        let jws = split(proof).ok()?;
        let key = ProofKey::read(jws.header_segment, &self.algorithms).ok()?;
        Some(key.key.thumbprint())
    }

    /// What this error is about: a name and a text for each part. Bounded as the check itself is; no nonce, no hash and no signature is told.
    pub fn findings(
        &self,
        proof: &str,
        expected: &Expected<'_>,
        error: ProofError,
    ) -> Vec<(&'static str, String)> {
        if error == ProofError::TooLong {
            return vec![("length", proof.len().to_string()), ("length_expected", MAX_PROOF.to_string())];
        }
        let Ok(jws) = split(proof) else { return Vec::new() };
        let header = JoseHeader::of_proof_without_key(jws.header_segment).ok();
        let payload = payload(&jws.payload).ok();
        let claim = |name| payload.as_ref().and_then(|payload| text(payload, name).ok().flatten());
        match error {
            ProofError::HeaderMember | ProofError::Type => {
                vec![
                    ("typ", or_none(header.and_then(|header| header.typ))),
                    ("typ_expected", "dpop+jwt".to_owned()),
                ]
            }
            ProofError::Algorithm | ProofError::KeyAlgorithm | ProofError::Key => {
                let names: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.name()).collect();
                vec![
                    ("alg", or_none(header.and_then(|header| header.alg))),
                    ("alg_expected", names.join(" ")),
                ]
            }
            ProofError::Claim => {
                vec![("claim", payload.as_ref().map(unreadable_claims).unwrap_or_default().join(" "))]
            }
            ProofError::Htm => {
                let found = or_none(claim("htm").map(str::to_owned));
                vec![("htm", found), ("htm_expected", expected.method.to_string())]
            }
            ProofError::HtuInvalid | ProofError::Htu => {
                let found = or_none(claim("htu").map(without_secrets));
                vec![("htu", found), ("htu_expected", expected.target.to_string())]
            }
            ProofError::IatStale | ProofError::IatFuture => vec![("skew_expected", self.accepted_skew())],
            ProofError::Expired => vec![("exp", seconds(payload.as_ref(), "exp"))],
            ProofError::NotYetValid => vec![("nbf", seconds(payload.as_ref(), "nbf"))],
            ProofError::TooLong
            | ProofError::Malformed
            | ProofError::Json
            | ProofError::TooDeep
            | ProofError::TooMany
            | ProofError::Critical
            | ProofError::JtiTooLong
            | ProofError::PrivateKey
            | ProofError::Signature
            | ProofError::NonceMissing
            | ProofError::NonceStale
            | ProofError::AthMissing
            | ProofError::Ath => Vec::new(),
        }
    }

    /// Between which two numbers of seconds `now` minus `iat` may lie.
    fn accepted_skew(&self) -> String {
        format!("-{} to {}", self.window.leeway.as_secs_f64(), self.window.max_age.as_secs_f64())
    }
}

fn or_none(found: Option<String>) -> String {
    found.unwrap_or_else(|| "none".to_owned())
}

fn seconds(payload: Option<&Object<'_>>, name: &str) -> String {
    let date = payload.and_then(|payload| date(payload, name).ok().flatten());
    or_none(date.map(|date| date.as_secs().to_string()))
}

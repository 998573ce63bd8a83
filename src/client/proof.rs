//! Signing a DPoP proof (RFC 9449 section 4.2).

use crate::clock::UnixTime;
use crate::jose::{PrivateKey, encode, random, sha256};
use http::{Method, Uri};
use serde::Serialize;

/// What a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct NewProof<'a> {
    /// `htm`.
    pub method: &'a Method,
    /// `htu`: see [`htu`].
    pub htu: &'a str,
    /// The access token that goes along, which `ath` names; none at a token endpoint.
    pub token: Option<&'a str>,
    /// The nonce that the server asked for.
    pub nonce: Option<&'a str>,
}

/// Signs a proof with `key`, made at `now`, with a `jti` of 128 random bits.
pub fn sign(key: &PrivateKey, proof: &NewProof<'_>, now: UnixTime) -> String {
    let header =
        format!(r#"{{"typ":"dpop+jwt","alg":"{}","jwk":{}}}"#, key.algorithm().name(), key.public_jwk());
    let claims = Claims {
        jti: encode(&random::<16>()),
        htm: proof.method.as_str(),
        htu: proof.htu,
        iat: now.as_secs(),
        ath: proof.token.map(|token| encode(&sha256(&[token.as_bytes()]))),
        nonce: proof.nonce,
    };
    // A struct of strings and a number always serialises.
    key.sign(&header, &serde_json::to_string(&claims).unwrap_or_default())
}

/// The target URI of a request, without query and fragment (RFC 9449 section 4.2).
pub fn htu(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("https");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    format!("{scheme}://{authority}{path}")
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htu_has_neither_query_nor_fragment() {
        let rows = [
            ("https://api.example.com/orders?limit=1", "https://api.example.com/orders"),
            ("https://api.example.com:8443/a%2Fb#top", "https://api.example.com:8443/a%2Fb"),
            ("http://127.0.0.1", "http://127.0.0.1/"),
        ];
        for (uri, expected) in rows {
            assert_eq!(htu(&uri.parse().unwrap()), expected);
        }
    }
}

//! Strict JOSE: JSON, JWS and public keys, with no claims, no HTTP and no time. The only room that names the
//! crypto crate.
//!
//! [`json`] reads a document once and strictly, [`CompactJws`] splits a token, [`PublicKey`] is a key that
//! passed every check, [`Thumbprint`] its name (RFC 7638), [`PrivateKey`] what the client side (`request`,
//! `demo`) signs with, [`SealingSecret`] what seals a text for nobody but itself.

mod aead;
mod algorithm;
mod base64url;
mod digest;
pub mod json;
mod jwk;
mod jws;
mod prepared;
mod sign;
mod thumbprint;
mod verify;

pub use aead::SealingSecret;
pub use algorithm::Algorithm;
pub use base64url::{decode, encode, encodes};
pub use digest::{Password, Secret, Sha256, random, sha256};
pub use jwk::{JwkError, PublicKey};
pub use jws::{CompactJws, HeaderError, JoseHeader, JwsError};
pub use prepared::PreparedKey;
pub use sign::{KeyFileError, PrivateKey};
pub use thumbprint::Thumbprint;
pub use verify::BadSignature;

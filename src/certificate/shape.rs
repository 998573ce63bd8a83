//! What a certificate looks like from outside.

use super::der::{SEQUENCE, element};

const BIT_STRING: u8 = 0x03;

/// Whether this is one certificate and nothing else, as far as its outermost elements tell (RFC 5280 section 4.1).
///
/// Whoever says that it was shown has read the rest of it; old ones of version 1 are certificates too.
pub(super) fn is_certificate(der: &[u8]) -> bool {
    let parts = |der| {
        let (certificate, after) = element(der, SEQUENCE)?;
        let (_to_be_signed, rest) = element(certificate, SEQUENCE)?;
        let (_algorithm, rest) = element(rest, SEQUENCE)?;
        let (_signature, rest) = element(rest, BIT_STRING)?;
        Some(after.is_empty() && rest.is_empty())
    };
    parts(der) == Some(true)
}

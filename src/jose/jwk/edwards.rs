//! What can be said of an Ed25519 public key without arithmetic (RFC 8032 section 5.1.3).

/// The y coordinates of the points of order 1, 2, 4 and 8, little-endian, the sign of x taken off. Under such
/// a key a signature says nothing: one can be found that verifies for almost any message.
const SMALL_ORDER: [[u8; 32]; 5] = [
    low_byte(0),
    low_byte(1),
    ORDER_8,
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    MINUS_ONE,
];

const ORDER_8: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
    0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];

/// p - 1, the largest canonical y.
const MINUS_ONE: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xec;
    bytes[31] = 0x7f;
    bytes
};

const fn low_byte(low: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = low;
    bytes
}

/// Whether `key` spells its y canonically (below p = 2^255 - 19, so that one key has one thumbprint) and is
/// not of small order. Whether it is a point at all, ring says when it verifies.
pub(super) fn is_acceptable(key: &[u8; 32]) -> bool {
    let mut y = *key;
    let [.., last] = &mut y;
    *last &= 0x7f;
    y.iter().rev().le(MINUS_ONE.iter().rev()) && !SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// With A of order 8 and S = 0, R = the neutral point fits wherever the hash is a multiple of 8.
    #[test]
    fn under_a_key_of_small_order_anything_verifies_and_it_is_refused() {
        let mut signature = [0; 64];
        signature[0] = 1;
        for y in SMALL_ORDER {
            let forged = |message: u16| {
                UnparsedPublicKey::new(&ED25519, &y).verify(&message.to_be_bytes(), &signature).is_ok()
            };
            assert!((0..1000).any(forged), "the table has a point of small order");
            let mut negative = y;
            negative[31] |= 0x80;
            assert!(!is_acceptable(&y) && !is_acceptable(&negative));
        }
    }

    #[test]
    fn a_y_of_p_or_more_is_refused() {
        let mut y = MINUS_ONE;
        for low in 0xed..=0xff {
            y[0] = low;
            assert!(!is_acceptable(&y), "{low}");
        }
        y[0] = 0xeb;
        assert!(is_acceptable(&y));
    }
}

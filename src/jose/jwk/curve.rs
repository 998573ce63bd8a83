//! Whether a point lies on its curve (RFC 7518 section 6.2.1, RFC 8725 section 3.4); ring says so only when
//! it verifies.
//!
//! Public values only, so nothing here needs constant time. Numbers are little-endian limbs of 64 bits.

/// A prime curve y² = x³ - 3x + b (FIPS 186, SP 800-186 section 3.2.1).
struct Curve<const N: usize> {
    /// The field's prime.
    p: [u64; N],
    b: [u64; N],
    /// `-p⁻¹ mod 2⁶⁴`, for Montgomery's multiplication.
    p_inverse: u64,
}

const P256: Curve<4> = Curve {
    p: [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0x0000_0000_0000_0000, 0xffff_ffff_0000_0001],
    b: [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7],
    p_inverse: 1,
};

const P384: Curve<6> = Curve {
    p: [
        0x0000_0000_ffff_ffff,
        0xffff_ffff_0000_0000,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
    ],
    b: [
        0x2a85_c8ed_d3ec_2aef,
        0xc656_398d_8a2e_d19d,
        0x0314_088f_5013_875a,
        0x181d_9c6e_fe81_4112,
        0x988e_056b_e3f8_2d19,
        0xb331_2fa7_e23e_e7e4,
    ],
    p_inverse: 0x0000_0001_0000_0001,
};

/// Whether (x, y), big-endian, is a point of P-256.
pub(super) fn on_p256(x: &[u8; 32], y: &[u8; 32]) -> bool {
    P256.contains(&limbs(x), &limbs(y))
}

/// Whether (x, y), big-endian, is a point of P-384.
pub(super) fn on_p384(x: &[u8; 48], y: &[u8; 48]) -> bool {
    P384.contains(&limbs(x), &limbs(y))
}

impl<const N: usize> Curve<N> {
    /// Both coordinates are below p and satisfy the equation. Every term is multiplied by R⁻² (R = 2^64N),
    /// which saves turning the numbers into Montgomery's form and changes nothing about equality.
    fn contains(&self, x: &[u64; N], y: &[u64; N]) -> bool {
        if !less(x, &self.p) || !less(y, &self.p) {
            return false;
        }
        let y_squared = self.reduce(&self.multiply(y, y));
        let x_cubed = self.multiply(&self.multiply(x, x), x);
        let x_once = self.reduce(&self.reduce(x));
        let b = self.reduce(&self.reduce(&self.b));
        // y² + 3x = x³ + b, so that nothing is subtracted.
        let three_x = self.add(&self.add(&x_once, &x_once), &x_once);
        self.add(&y_squared, &three_x) == self.add(&x_cubed, &b)
    }

    /// `a · R⁻¹ mod p`.
    fn reduce(&self, a: &[u64; N]) -> [u64; N] {
        let mut one = [0; N];
        one.iter_mut().take(1).for_each(|limb| *limb = 1);
        self.multiply(a, &one)
    }

    /// `a · b · R⁻¹ mod p` for a and b below p (Montgomery, "Modular multiplication without trial division",
    /// 1985).
    fn multiply(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        let mut sum = [0; N];
        let mut top = false;
        for &digit in a {
            // sum + digit · b has one limb more than N, and a bit.
            let high = accumulate(&mut sum, digit, b);
            let (high, over_1) = high.overflowing_add(u64::from(top));
            // A multiple of p that clears the lowest limb, which is then shifted out.
            let factor = sum.first().map_or(0, |low| low.wrapping_mul(self.p_inverse));
            let carry = accumulate(&mut sum, factor, &self.p);
            let (high, over_2) = high.overflowing_add(carry);
            sum.rotate_left(1);
            sum.iter_mut().rev().take(1).for_each(|limb| *limb = high);
            top = over_1 || over_2;
        }
        self.below_p(sum, top)
    }

    /// `a + b mod p` for a and b below p.
    fn add(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        let mut sum = *a;
        let mut carry = false;
        for (limb, &other) in sum.iter_mut().zip(b) {
            (*limb, carry) = limb.carrying_add(other, carry);
        }
        self.below_p(sum, carry)
    }

    /// The number below p that `number`, with `over` as the bit above it, is equal to, given that it is below
    /// 2p.
    fn below_p(&self, mut number: [u64; N], over: bool) -> [u64; N] {
        if over || !less(&number, &self.p) {
            let mut borrow = false;
            for (limb, &other) in number.iter_mut().zip(&self.p) {
                (*limb, borrow) = limb.borrowing_sub(other, borrow);
            }
        }
        number
    }
}

/// `sum += digit · number`; what does not fit is returned.
fn accumulate<const N: usize>(sum: &mut [u64; N], digit: u64, number: &[u64; N]) -> u64 {
    let mut carry = 0;
    for (limb, &other) in sum.iter_mut().zip(number) {
        (*limb, carry) = digit.carrying_mul_add(other, *limb, carry);
    }
    carry
}

fn less<const N: usize>(a: &[u64; N], b: &[u64; N]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn limbs<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut limbs = [0; N];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.rchunks_exact(8)) {
        *limb = <[u8; 8]>::try_from(chunk).map_or(0, u64::from_be_bytes);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair,
    };

    /// A random point in the form 04 || x || y, from ring.
    fn point(algorithm: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
        let rng = ring::rand::SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &rng).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    fn p256(point: &[u8]) -> bool {
        on_p256(point[1..33].try_into().unwrap(), point[33..].try_into().unwrap())
    }

    fn p384(point: &[u8]) -> bool {
        on_p384(point[1..49].try_into().unwrap(), point[49..].try_into().unwrap())
    }

    #[test]
    fn the_constants_fit_each_other() {
        assert_eq!(P256.p[0].wrapping_mul(P256.p_inverse), u64::MAX);
        assert_eq!(P384.p[0].wrapping_mul(P384.p_inverse), u64::MAX);
    }

    #[test]
    fn points_of_ring_are_on_the_curve_and_their_neighbours_are_not() {
        for _ in 0..200 {
            let (mut small, mut large) =
                (point(&ECDSA_P256_SHA256_FIXED_SIGNING), point(&ECDSA_P384_SHA384_FIXED_SIGNING));
            assert!(p256(&small) && p384(&large));
            small[40] ^= 1;
            large[60] ^= 0x80;
            assert!(!p256(&small) && !p384(&large));
        }
    }

    #[test]
    fn zero_and_unreduced_coordinates_are_not_on_the_curve() {
        assert!(!on_p256(&[0; 32], &[0; 32]) && !on_p384(&[0; 48], &[0; 48]));
        assert!(!on_p256(&[0xff; 32], &[0xff; 32]) && !on_p384(&[0xff; 48], &[0xff; 48]));
        // (0, √b) is on P-256; (p, √b) is the same residue, spelled wrong.
        let root = [
            0x66, 0x48, 0x5c, 0x78, 0x0e, 0x2f, 0x83, 0xd7, 0x24, 0x33, 0xbd, 0x5d, 0x84, 0xa0, 0x6b, 0xb6,
            0x54, 0x1c, 0x2a, 0xf3, 0x1d, 0xae, 0x87, 0x17, 0x28, 0xbf, 0x85, 0x6a, 0x17, 0x4f, 0x93, 0xf4,
        ];
        let mut p = [0; 32];
        for (chunk, limb) in p.rchunks_exact_mut(8).zip(P256.p) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        assert!(on_p256(&[0; 32], &root));
        assert!(!on_p256(&p, &root));
    }

    proptest! {
        /// Ring refuses a public key off the curve when it agrees on a secret: both must say the same.
        #[test]
        fn ring_says_the_same(x in any::<[u8; 32]>(), y in any::<[u8; 32]>()) {
            let rng = ring::rand::SystemRandom::new();
            let mine = ring::agreement::EphemeralPrivateKey::generate(&ring::agreement::ECDH_P256, &rng).unwrap();
            let bytes = [&[4], &x[..], &y[..]].concat();
            let peer = ring::agreement::UnparsedPublicKey::new(&ring::agreement::ECDH_P256, bytes);
            let ring = ring::agreement::agree_ephemeral(mine, &peer, |_| ()).is_ok();
            prop_assert_eq!(on_p256(&x, &y), ring);
        }
    }
}

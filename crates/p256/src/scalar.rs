//! Numbers mod n, the order of the group: `fiat-crypto`'s.

use crate::field::is_below;
use crate::invert::Modulus;
use fiat_crypto::p256_scalar_64::{
    fiat_p256_scalar_montgomery_domain_field_element as Montgomery, fiat_p256_scalar_mul,
    fiat_p256_scalar_non_montgomery_domain_field_element as Plain, fiat_p256_scalar_to_montgomery,
};

/// How many points there are; limbs are little-endian.
pub(crate) const N: [u64; 4] =
    [0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84, 0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000];
const MODULUS: Modulus = Modulus::new(N);

/// A number mod n, below it and in its plain form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scalar([u64; 4]);

/// A number in Montgomery's form: one factor of a product.
#[derive(Clone, Copy)]
pub(crate) struct Factor(Montgomery);

impl Scalar {
    const ONE: Self = Self([1, 0, 0, 0]);

    /// What r and s may be: from 1 to n − 1 (FIPS 186-5 section 6.4.2, step 1).
    pub(crate) fn from_signature(bytes: &[u8; 32]) -> Option<Self> {
        let limbs = limbs(bytes);
        (limbs != [0; 4] && is_below(&limbs, &N)).then_some(Self(limbs))
    }

    /// A digest, which may be anything, mod n. It is below 2n, so one subtraction will do.
    pub(crate) fn from_digest(bytes: &[u8; 32]) -> Self {
        let mut limbs = limbs(bytes);
        if !is_below(&limbs, &N) {
            let mut borrow = false;
            for (limb, n) in limbs.iter_mut().zip(N) {
                (*limb, borrow) = limb.borrowing_sub(n, borrow);
            }
        }
        Self(limbs)
    }

    pub(crate) const fn limbs(&self) -> &[u64; 4] {
        &self.0
    }

    pub(crate) fn times(&self, factor: &Factor) -> Self {
        let mut out = Montgomery([0; 4]);
        // Montgomery's product of a plain number and one in his form is plain.
        fiat_p256_scalar_mul(&mut out, &Montgomery(self.0), &factor.0);
        Self(out.0)
    }

    /// The number by which this one, which is not zero, gives 1.
    pub(crate) fn inverted(&self) -> Factor {
        let plain = MODULUS.invert(self.0);
        if is_below(&plain, &N) {
            let inverse = Self(plain).factor();
            // What is multiplied here is proven, what inverted is not.
            if self.times(&inverse) == Self::ONE {
                return inverse;
            }
        }
        self.inverted_slowly()
    }

    pub(crate) fn factor(&self) -> Factor {
        let mut out = Montgomery([0; 4]);
        fiat_p256_scalar_to_montgomery(&mut out, &Plain(self.0));
        Factor(out)
    }

    /// By Fermat: the power n − 2, with multiplications alone.
    fn inverted_slowly(&self) -> Factor {
        let exponent = [N[0] - 2, N[1], N[2], N[3]];
        let mut power = Self::ONE;
        let number = self.factor();
        for limb in exponent.iter().rev() {
            for bit in (0..64).rev() {
                power = power.times(&power.factor());
                if limb >> bit & 1 == 1 {
                    power = power.times(&number);
                }
            }
        }
        power.factor()
    }
}

/// What signing needs, for the tests.
#[cfg(test)]
impl Scalar {
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        crate::differential::to_bytes(self.0)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0 == [0; 4]
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_crypto::p256_scalar_64::fiat_p256_scalar_add(
            &mut out,
            &Montgomery(self.0),
            &Montgomery(other.0),
        );
        Self(out.0)
    }

    pub(crate) fn negated(&self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_crypto::p256_scalar_64::fiat_p256_scalar_opp(&mut out, &Montgomery(self.0));
        Self(out.0)
    }

    /// One divided by it.
    pub(crate) fn reciprocal(&self) -> Self {
        Self::ONE.times(&self.inverted())
    }
}

/// From big-endian bytes.
pub(crate) fn limbs(bytes: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::to_bytes as bytes;
    use crate::invert::tests::numbers;

    #[test]
    fn inverses_give_one_and_both_ways_agree() {
        for limbs in numbers(&N) {
            let Some(number) = Scalar::from_signature(&bytes(limbs)) else { continue };
            assert_eq!(number.times(&number.inverted()), Scalar::ONE);
            assert_eq!(number.times(&number.inverted_slowly()), Scalar::ONE);
            // The fast way is the one that was taken.
            assert_eq!(number.times(&Scalar(MODULUS.invert(limbs)).factor()), Scalar::ONE);
        }
    }

    #[test]
    fn r_and_s_are_from_one_to_n_minus_one() {
        let last = [N[0] - 1, N[1], N[2], N[3]];
        assert!(Scalar::from_signature(&[0; 32]).is_none() && Scalar::from_signature(&bytes(N)).is_none());
        assert!(Scalar::from_signature(&[0xff; 32]).is_none());
        assert_eq!(Scalar::from_signature(&bytes(last)), Some(Scalar(last)));
    }

    #[test]
    fn digests_are_taken_mod_n() {
        assert_eq!(Scalar::from_digest(&bytes(N)), Scalar([0; 4]));
        assert_eq!(Scalar::from_digest(&bytes([N[0] + 5, N[1], N[2], N[3]])), Scalar([5, 0, 0, 0]));
        // 2²⁵⁶ − 1 − n
        let most = Scalar([!N[0], !N[1], !N[2], !N[3]]);
        assert_eq!(Scalar::from_digest(&[0xff; 32]), most);
    }
}

//! Numbers mod p, the prime of the field: `fiat-crypto`'s, in Montgomery's form.

use crate::invert::Modulus;
use fiat_crypto::p256_64::{
    fiat_p256_add, fiat_p256_from_montgomery, fiat_p256_montgomery_domain_field_element as Montgomery,
    fiat_p256_mul, fiat_p256_non_montgomery_domain_field_element as Plain, fiat_p256_opp, fiat_p256_set_one,
    fiat_p256_square, fiat_p256_sub, fiat_p256_to_montgomery,
};

/// Below it are the coordinates; limbs are little-endian.
pub(crate) const P: [u64; 4] =
    [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0x0000_0000_0000_0000, 0xffff_ffff_0000_0001];
const MODULUS: Modulus = Modulus::new(P);
/// R³ mod p: what brings the inverse of a number in Montgomery's form back to that form.
const R_CUBED: Field = Field::from_limbs_below_p(Field::from_limbs_below_p(Field::ONE.0.0).0.0);

/// A number mod p. Its limbs are below p, always, so equal numbers have equal limbs.
#[derive(Clone, Copy)]
pub(crate) struct Field(Montgomery);

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x?}", self.limbs())
    }
}

impl Field {
    pub(crate) const ZERO: Self = Self(Montgomery([0; 4]));
    pub(crate) const ONE: Self = {
        let mut one = Montgomery([0; 4]);
        fiat_p256_set_one(&mut one);
        Self(one)
    };

    /// The number, if it is below p.
    pub(crate) fn from_limbs(limbs: [u64; 4]) -> Option<Self> {
        is_below(&limbs, &P).then(|| Self::from_limbs_below_p(limbs))
    }

    /// The number, which the caller knows to be below p.
    pub(crate) const fn from_limbs_below_p(limbs: [u64; 4]) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_to_montgomery(&mut out, &Plain(limbs));
        Self(out)
    }

    pub(crate) fn limbs(&self) -> [u64; 4] {
        let mut out = Plain([0; 4]);
        fiat_p256_from_montgomery(&mut out, &self.0);
        out.0
    }

    #[inline]
    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_mul(&mut out, &self.0, &other.0);
        Self(out)
    }

    #[inline]
    pub(crate) fn squared(&self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_square(&mut out, &self.0);
        Self(out)
    }

    #[inline]
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_add(&mut out, &self.0, &other.0);
        Self(out)
    }

    #[inline]
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_sub(&mut out, &self.0, &other.0);
        Self(out)
    }

    #[inline]
    pub(crate) fn negated(&self) -> Self {
        let mut out = Montgomery([0; 4]);
        fiat_p256_opp(&mut out, &self.0);
        Self(out)
    }

    /// The number by which this one gives 1; zero for zero.
    pub(crate) fn inverted(&self) -> Self {
        let plain = MODULUS.invert(self.0.0);
        let inverse = Self(Montgomery(plain)).times(&R_CUBED);
        // What is multiplied here is proven, what inverted is not.
        if is_below(&plain, &P) && self.times(&inverse) == Self::ONE {
            inverse
        } else {
            self.inverted_slowly()
        }
    }

    /// By Fermat: the power p − 2, with multiplications alone.
    fn inverted_slowly(&self) -> Self {
        self.power(&[P[0] - 2, P[1], P[2], P[3]])
    }

    fn power(&self, exponent: &[u64; 4]) -> Self {
        let mut power = Self::ONE;
        for limb in exponent.iter().rev() {
            for bit in (0..64).rev() {
                power = power.squared();
                if limb >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power
    }
}

#[cfg(test)]
impl Field {
    /// The power (p + 1) / 4, if that is a root: p is 3 mod 4.
    pub(crate) fn root(&self) -> Option<Self> {
        let root = self.power(&[0, 1 << 30, 1 << 62, P[3] >> 2]);
        (root.squared() == *self).then_some(root)
    }
}

pub(crate) fn is_below(number: &[u64; 4], bound: &[u64; 4]) -> bool {
    number.iter().rev().lt(bound.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invert::tests::numbers;

    #[test]
    fn inverses_give_one_and_both_ways_agree() {
        for limbs in numbers(&P) {
            let Some(number) = Field::from_limbs(limbs) else { continue };
            let inverse = number.inverted();
            assert_eq!(inverse, number.inverted_slowly());
            if number != Field::ZERO {
                assert_eq!(number.times(&inverse), Field::ONE);
                assert_eq!(MODULUS.invert(number.0.0).len(), 4);
                // The fast way is the one that was taken.
                assert_eq!(Field(Montgomery(MODULUS.invert(number.0.0))).times(&R_CUBED), inverse);
            }
        }
        assert_eq!(Field::ZERO.inverted(), Field::ZERO);
    }

    #[test]
    fn what_is_not_below_p_is_no_number() {
        assert!(Field::from_limbs(P).is_none() && Field::from_limbs([u64::MAX; 4]).is_none());
        assert_eq!(Field::from_limbs([P[0] - 1, P[1], P[2], P[3]]), Some(Field::ONE.negated()));
    }
}

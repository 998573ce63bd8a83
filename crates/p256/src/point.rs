//! The group of P-256: y² = x³ − 3x + b (SP 800-186 section 3.2.1.3), with every pair of points that the usual
//! formulas are not for.

use crate::field::{Field, P};
use crate::scalar::{N, Scalar, limbs};

/// How many points the additions of one verification take in at most: a digit of each table's.
pub(crate) const MOST: usize = 2 * crate::table::ROWS;
const MOST_PAIRS: usize = MOST / 2;

const B: Field = Field::from_limbs_below_p([
    0x3bce_3c3e_27d2_604b,
    0x651d_06b0_cc53_b0f6,
    0xb3eb_bd55_7698_86bc,
    0x5ac6_35d8_aa3a_93e7,
]);

/// A point other than the one at infinity. One fills a line of the processor's cache.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(crate) struct Affine {
    x: Field,
    y: Field,
}

/// The point (x / z², y / z³); with z = 0 the one at infinity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jacobian {
    x: Field,
    y: Field,
    z: Field,
}

/// Up to [`MOST`] points, none of them at infinity.
pub(crate) struct Points {
    places: [Affine; MOST],
    count: usize,
}

/// The line through two points, or the tangent where they are one.
#[derive(Clone, Copy)]
struct Line {
    numerator: Field,
    /// Never zero.
    denominator: Field,
    /// The points are opposite: their sum is at infinity.
    is_vertical: bool,
    /// The product of all denominators before this one.
    before: Field,
}

impl Affine {
    pub(crate) const GENERATOR: Self = Self {
        x: Field::from_limbs_below_p([
            0xf4a1_3945_d898_c296,
            0x7703_7d81_2deb_33a0,
            0xf8bc_e6e5_63a4_40f2,
            0x6b17_d1f2_e12c_4247,
        ]),
        y: Field::from_limbs_below_p([
            0xcbb6_4068_37bf_51f5,
            0x2bce_3357_6b31_5ece,
            0x8ee7_eb4a_7c0f_9e16,
            0x4fe3_42e2_fe1a_7f9b,
        ]),
    };

    /// From its uncompressed form (SEC 1 section 2.3.4), if it is on the curve. The group's order is a prime, so
    /// that is all there is to check (SP 800-56A section 5.6.2.3.4).
    pub(crate) fn from_bytes(bytes: &[u8; 65]) -> Option<Self> {
        let [4, coordinates @ ..] = bytes else { return None };
        let ([x, y], []) = coordinates.as_chunks::<32>() else { return None };
        let point = Self { x: Field::from_limbs(limbs(x))?, y: Field::from_limbs(limbs(y))? };
        point.is_on_the_curve().then_some(point)
    }

    fn is_on_the_curve(&self) -> bool {
        let x_cubed = self.x.squared().times(&self.x);
        self.y.squared() == x_cubed.minus(&thrice(&self.x)).plus(&B)
    }

    pub(crate) fn negated(&self) -> Self {
        Self { x: self.x, y: self.y.negated() }
    }

    /// Twice this point, which is never at infinity: the order of the group is odd.
    pub(crate) fn doubled(&self) -> Self {
        let line = Line::tangent(self);
        self.third_on(&line.numerator.times(&line.denominator.inverted()), self)
    }

    /// The sum of two points, given the slope of the line through them.
    fn third_on(&self, slope: &Field, other: &Self) -> Self {
        let x = slope.squared().minus(&self.x).minus(&other.x);
        let y = slope.times(&self.x.minus(&x)).minus(&self.y);
        Self { x, y }
    }
}

impl Line {
    fn through(a: &Affine, b: &Affine) -> Self {
        let denominator = b.x.minus(&a.x);
        if denominator != Field::ZERO {
            return Self { numerator: b.y.minus(&a.y), denominator, is_vertical: false, before: Field::ONE };
        }
        // One x has two points, unless y = 0, which no point of an odd order has.
        if a.y == b.y { Self::tangent(a) } else { Self::VERTICAL }
    }

    const VERTICAL: Self =
        Self { numerator: Field::ZERO, denominator: Field::ONE, is_vertical: true, before: Field::ONE };

    /// (3x² − 3) / 2y.
    fn tangent(point: &Affine) -> Self {
        Self {
            numerator: thrice(&point.x.squared().minus(&Field::ONE)),
            denominator: point.y.plus(&point.y),
            is_vertical: false,
            before: Field::ONE,
        }
    }
}

impl Points {
    pub(crate) const EMPTY: Self = Self { places: [Affine::GENERATOR; MOST], count: 0 };

    /// Adds a point to the list, or says that there is no place.
    pub(crate) fn push(&mut self, point: Affine) -> Option<()> {
        *self.places.get_mut(self.count)? = point;
        self.count += 1;
        Some(())
    }

    pub(crate) fn as_slice(&self) -> &[Affine] {
        self.places.get(..self.count).unwrap_or_default()
    }
}

/// The sum of each pair by the chord and the tangent, five multiplications and a square each: all of them share
/// one inversion (Montgomery, "Speeding the Pollard and elliptic curve methods of factorization", 1987, section
/// 10.3.1). Sums at infinity are left out. At most [`MOST_PAIRS`] pairs.
pub(crate) fn add_pairs(pairs: &[[Affine; 2]], sums: &mut Points) -> Option<()> {
    let mut lines = [Line::VERTICAL; MOST_PAIRS];
    let lines = lines.get_mut(..pairs.len())?;
    let mut product = Field::ONE;
    for (line, [a, b]) in lines.iter_mut().zip(pairs) {
        *line = Line { before: product, ..Line::through(a, b) };
        product = product.times(&line.denominator);
    }
    let mut inverse = product.inverted();
    for line in lines.iter_mut().rev() {
        let own = inverse.times(&line.before);
        inverse = inverse.times(&line.denominator);
        // From here on it is the slope.
        line.numerator = line.numerator.times(&own);
    }
    for (line, [a, b]) in lines.iter().zip(pairs) {
        if !line.is_vertical {
            sums.push(a.third_on(&line.numerator, b))?;
        }
    }
    Some(())
}

impl Jacobian {
    pub(crate) const INFINITY: Self = Self { x: Field::ONE, y: Field::ONE, z: Field::ZERO };

    /// The sum with `other`: madd-2004-hmv of the Explicit-Formulas Database (Hankerson, Menezes and Vanstone,
    /// "Guide to Elliptic Curve Cryptography", algorithm 3.22), 8 multiplications and 3 squares.
    #[must_use]
    pub(crate) fn plus(&self, other: &Affine) -> Self {
        if self.z == Field::ZERO {
            return (*other).into();
        }
        let z_squared = self.z.squared();
        let t1 = z_squared.times(&other.x).minus(&self.x);
        let t2 = z_squared.times(&self.z).times(&other.y).minus(&self.y);
        if t1 == Field::ZERO {
            // The same x: twice the same point, or one and its opposite.
            return if t2 == Field::ZERO { other.doubled().into() } else { Self::INFINITY };
        }
        let t1_squared = t1.squared();
        let t1_cubed = t1_squared.times(&t1);
        let t3 = t1_squared.times(&self.x);
        let x = t2.squared().minus(&t3.plus(&t3)).minus(&t1_cubed);
        let y = t3.minus(&x).times(&t2).minus(&t1_cubed.times(&self.y));
        Self { x, y, z: self.z.times(&t1) }
    }

    /// Whether x mod n is r (FIPS 186-5 section 6.4.2, steps 6 to 8): x is r, or r + n where that is below p.
    /// Compared with x · z², so that nothing is divided.
    pub(crate) fn has_x(&self, r: &Scalar) -> bool {
        if self.z == Field::ZERO {
            return false;
        }
        let z_squared = self.z.squared();
        let is = |x: Field| x.times(&z_squared) == self.x;
        // n is below p, so r is.
        is(Field::from_limbs_below_p(*r.limbs())) || plus_n_below_p(r).is_some_and(is)
    }
}

impl From<Affine> for Jacobian {
    fn from(Affine { x, y }: Affine) -> Self {
        Self { x, y, z: Field::ONE }
    }
}

/// What the tests make keys and signatures of.
#[cfg(test)]
impl Affine {
    pub(crate) fn to_bytes(self) -> [u8; 65] {
        let to_bytes = |number: &Field| crate::differential::to_bytes(number.limbs());
        [&[4], &to_bytes(&self.x)[..], &to_bytes(&self.y)].concat().try_into().unwrap()
    }

    /// Its x as r, unless that is zero.
    pub(crate) fn x_mod_n(&self) -> Option<Scalar> {
        let r = Scalar::from_digest(&crate::differential::to_bytes(self.x.limbs()));
        (!r.is_zero()).then_some(r)
    }

    /// A point whose x is r, or r + n where that is asked for and below p.
    pub(crate) fn with_x_of(r: &Scalar, plus_n: bool) -> Option<Self> {
        let x = if plus_n { plus_n_below_p(r)? } else { Field::from_limbs(*r.limbs())? };
        let y = x.squared().times(&x).minus(&thrice(&x)).plus(&B).root()?;
        Some(Self { x, y })
    }
}

#[cfg(test)]
impl Jacobian {
    pub(crate) fn to_affine(self) -> Option<Affine> {
        if self.z == Field::ZERO {
            return None;
        }
        let inverse = self.z.inverted();
        let squared = inverse.squared();
        Some(Affine { x: self.x.times(&squared), y: self.y.times(&squared.times(&inverse)) })
    }
}

/// r + n, if it is below p.
fn plus_n_below_p(r: &Scalar) -> Option<Field> {
    let mut sum = *r.limbs();
    let mut carry = false;
    for (limb, n) in sum.iter_mut().zip(N) {
        (*limb, carry) = limb.carrying_add(n, carry);
    }
    if carry { None } else { Field::from_limbs(sum) }
}

fn thrice(number: &Field) -> Field {
    number.plus(number).plus(number)
}

const _: () = assert!(P[3] > N[3], "n is below p");

#[cfg(test)]
mod tests;

//! The multiples of a point that a scalar's digits choose from.
//!
//! A scalar is written with signed digits of seven bits, after Booth: k = Σ dᵢ · 2⁷ⁱ with −64 ≤ dᵢ ≤ 64. For each of
//! its 37 digits there is a row with 1 to 64 times 2⁷ⁱ · P, so k · P is the sum of one point of each row, with
//! its sign, and nothing is doubled: the fixed-base windowing method ("Guide to Elliptic Curve Cryptography", algorithm
//! 3.41) with signed digits, as in Gueron and Krasnov, "Fast prime field elliptic-curve cryptography with 256-bit
//! primes" (2013).

use crate::point::{Affine, Points, add_pairs};
use crate::scalar::Scalar;

/// Bits of a digit.
const WINDOW: usize = 7;
/// Digits of a scalar, which has 256 bits: the last one has four, and its carry is never passed on.
pub(crate) const ROWS: usize = 37;
/// Points of a row: digits have a sign, and zero needs no point.
const MULTIPLES: usize = 1 << (WINDOW - 1);

/// The multiples of one point; 148 KiB.
pub(crate) struct Table {
    rows: Box<[[Affine; MULTIPLES]]>,
}

impl Table {
    /// What a table takes of memory.
    pub(crate) const BYTES: usize = ROWS * MULTIPLES * size_of::<Affine>();

    /// The table of `point`; `None` never, but the caller knows better what to do than a panic does.
    pub(crate) fn new(point: Affine) -> Option<Self> {
        Self::in_steps(point, || {})
    }

    /// The same in a hundred steps, with something else `between` two of them.
    pub(crate) fn in_steps(point: Affine, mut between: impl FnMut()) -> Option<Self> {
        let mut rows = vec![[point; MULTIPLES]; ROWS].into_boxed_slice();
        let mut first = point;
        for row in &mut rows {
            row.fill(first);
            for _ in 0..WINDOW {
                first = first.doubled();
            }
            between();
        }
        // Column by column, each the one before it and the first: all rows share an inversion. The second column is a doubling.
        // No sum is at infinity, since the order of the group is a prime and greater than any of these multiples.
        for column in 1..MULTIPLES {
            let pairs: Option<Vec<_>> =
                rows.iter().map(|row| Some([*row.get(column - 1)?, *row.first()?])).collect();
            let mut sums = Points::EMPTY;
            add_pairs(&pairs?, &mut sums)?;
            if sums.as_slice().len() != ROWS {
                return None;
            }
            for (row, sum) in rows.iter_mut().zip(sums.as_slice()) {
                *row.get_mut(column)? = *sum;
            }
            between();
        }
        Some(Self { rows })
    }

    /// The points whose sum is `scalar` times the table's point.
    pub(crate) fn choose(&self, scalar: &Scalar, points: &mut Points) -> Option<()> {
        for (row, digit) in self.rows.iter().zip(digits(scalar)) {
            let Some(index) = usize::from(digit.unsigned_abs()).checked_sub(1) else { continue };
            let point = row.get(index)?;
            points.push(if digit < 0 { point.negated() } else { *point })?;
        }
        Some(())
    }
}

/// The signed digits of a scalar, lowest first.
///
/// The digit of the bits vₘ…v₀ with the bit w below them is v + w − 2⁷vₘ: w is what the digit below was made smaller by.
fn digits(scalar: &Scalar) -> [i16; ROWS] {
    let [a, b, c, d] = *scalar.limbs();
    // A zero below the lowest bit.
    let shifted = [a << 1, a >> 63 | b << 1, b >> 63 | c << 1, c >> 63 | d << 1, d >> 63, 0];
    let mut digits = [0; ROWS];
    for (row, digit) in digits.iter_mut().enumerate() {
        let (limb, bit) = (row * WINDOW / 64, row * WINDOW % 64);
        let low = shifted.get(limb).map_or(0, |low| low >> bit);
        let high = shifted.get(limb + 1).map_or(0, |high| high << 1 << (63 - bit));
        // One bit more than the window has: w is the lowest.
        let bits = i16::try_from((low | high) & 0xff).unwrap_or_default();
        *digit = (bits + 1) / 2 - (bits >> WINDOW << WINDOW);
    }
    digits
}

#[cfg(test)]
mod tests;

#![expect(clippy::as_conversions, reason = "the remainder fits")]

use super::*;
use crate::differential::to_bytes as bytes;
use crate::invert::tests::numbers;
use crate::scalar::N;

/// The digits are put together again, highest first, in five limbs with a sign.
#[test]
fn digits_are_the_scalar() {
    for limbs in numbers(&N) {
        let digits = digits(&Scalar::from_digest(&bytes(limbs)));
        assert!(digits.iter().all(|digit| (-64..=64).contains(digit)));
        let mut number = [0_u64; 5];
        for digit in digits.iter().rev() {
            let mut carry = i128::from(*digit);
            for limb in &mut number {
                let sum = i128::from(*limb) * 128 + carry;
                *limb = sum.rem_euclid(1 << 64) as u64;
                carry = sum.div_euclid(1 << 64);
            }
        }
        assert_eq!(number, [limbs[0], limbs[1], limbs[2], limbs[3], 0]);
    }
}

/// Each point of the generator's table, reached in another way: one by one, from the row's first.
#[test]
fn a_table_holds_the_multiples() {
    let table = Table::new(Affine::GENERATOR).unwrap();
    let mut first = Affine::GENERATOR;
    for row in &table.rows {
        let mut multiple = first;
        for point in row {
            assert_eq!(*point, multiple);
            let mut next = Points::EMPTY;
            add_pairs(&[[multiple, first]], &mut next).unwrap();
            multiple = next.as_slice()[0];
        }
        for _ in 0..7 {
            first = first.doubled();
        }
    }
    assert_eq!(Table::BYTES, 148 * 1024);
}

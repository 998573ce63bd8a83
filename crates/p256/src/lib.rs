//! ES256 signatures of keys that are seen often, in less than half the time of a verification that starts from
//! nothing.
//!
//! To verify is to compute u₁·G + u₂·Q (FIPS 186-5 section 6.4.2). Nearly all of that is doublings, and they
//! are the same for each signature of a key: a `KeyTable` holds their results. What is left are some 70
//! additions, one inversion mod n, and a comparison.
//!
//! `field` and `scalar` are arithmetic mod p and mod n, by `fiat-crypto`, whose code is generated together
//! with a proof that it is right. `invert` is the one piece of arithmetic that is not; each of its results is
//! multiplied with what it inverted before anybody uses it. `point` is the group law, `table` the
//! multiples, `verify` puts them together.
//!
//! Nothing here is secret, so nothing here takes constant time: never sign with it.

mod field;
mod invert;
mod point;
mod scalar;
mod table;
mod verify;

#[cfg(test)]
mod differential;

pub use verify::KeyTable;

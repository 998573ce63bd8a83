//! Every reason to be refused, each brought about by a real request.
//!
//! The `match` that [`cases!`] writes has no wildcard: a reason without a case here does not compile.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod reasons;
#[cfg(test)]
#[expect(dead_code, unreachable_pub, clippy::disallowed_methods, reason = "what several test programs share")]
#[path = "../support/mod.rs"]
mod support;

//! Tokens that are not the tidy JWT of RFC 9068, before the whole gateway.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

#[cfg(test)]
mod denied;
#[cfg(test)]
mod dialects;
mod endpoint;
#[cfg(test)]
mod introspection;

//! What keyproof promises, whatever comes: laws across the rooms, tried with thousands of made-up cases.
//!
//! - A proof is accepted at most once while it can be accepted, whatever the clocks do, and the first time it is.
//! - Of many copies of one request exactly one passes, however many threads bring them.
//! - Two spellings of a URI are one or two as RFC 3986 has it, never as it suits somebody.
//! - What passes leads to the same route for every upstream, however sloppily it reads the path.
//! - No spelling of an identity header survives; what the upstream is told, the token said.
//! - Every challenge can be read by a client that reads to the letter.
//! - A refused request changes nothing.

#[cfg(test)]
mod challenge;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod once;
#[cfg(test)]
mod readings;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod uris;
#[cfg(test)]
mod world;

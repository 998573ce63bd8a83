//! Verified tokens, kept by hash until they expire.

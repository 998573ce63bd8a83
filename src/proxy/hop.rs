//! Hop-by-hop headers (RFC 9110 section 7.6.1).

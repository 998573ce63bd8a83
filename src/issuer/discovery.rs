//! Issuer metadata: RFC 8414, then OpenID Connect Discovery.

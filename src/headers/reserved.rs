//! Names that a route's identity headers may not have.

use super::letters_and_digits;
use super::table::{Kind, row};

/// Names with a meaning of their own to HTTP, to proxies or to us, as [`letters_and_digits`] reads them.
const RESERVED: [&[u8]; 32] = [
    b"accept",
    b"acceptencoding",
    b"authorization",
    b"cachecontrol",
    b"connection",
    b"contentencoding",
    b"contenttype",
    b"cookie",
    b"date",
    b"dpop",
    b"expect",
    b"host",
    b"http2settings",
    b"ifmatch",
    b"ifnonematch",
    b"keepalive",
    b"maxforwards",
    b"origin",
    b"proxyauthenticate",
    b"proxyauthorization",
    b"proxyconnection",
    b"range",
    b"setcookie",
    b"te",
    b"traceparent",
    b"tracestate",
    b"trailer",
    b"trailers",
    b"upgrade",
    b"via",
    b"wwwauthenticate",
    b"xrequestid",
];

/// Whether a name in any spelling means something to HTTP, to proxies or to us, so that it cannot carry a claim. The names of users that
/// legacy APIs trust are not among them: a claim is what should stand there.
pub fn is_reserved(name: &str) -> bool {
    let letters: Vec<u8> = letters_and_digits(name).collect();
    let elsewhere = row(name).is_some_and(|row| match row.kind {
        Kind::Method | Kind::Target | Kind::Host | Kind::Internal | Kind::Framing | Kind::Origination => true,
        Kind::Certificate | Kind::User => false,
    });
    elsewhere || letters.starts_with(b"xforwarded") || RESERVED.contains(&letters.as_slice())
}

/// Whether a front may name its client's certificate under this name: it is one of those that fronts do it under, or means nothing else.
pub fn may_carry_certificate(name: &str) -> bool {
    row(name).is_some_and(|row| row.kind == Kind::Certificate) || !is_reserved(name)
}

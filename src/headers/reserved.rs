//! Names that a route's identity headers may not have.

#[cfg(doc)]
use super::letters_and_digits;

/// Names with a meaning of their own to HTTP, to proxies or to us, as [`letters_and_digits`] reads them.
const RESERVED: [&[u8]; 39] = [
    b"accept",
    b"acceptencoding",
    b"authorization",
    b"cachecontrol",
    b"connection",
    b"contentencoding",
    b"contentlength",
    b"contenttype",
    b"cookie",
    b"date",
    b"dpop",
    b"expect",
    b"forwarded",
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
    b"transferencoding",
    b"upgrade",
    b"via",
    b"wwwauthenticate",
    b"xhttpmethodoverride",
    b"xoriginalurl",
    b"xrealip",
    b"xrequestid",
    b"xrewriteurl",
];

/// Whether a name, as [`letters_and_digits`] reads it, means something to HTTP, to proxies or to us, so that it cannot carry a claim.
pub fn is_reserved(letters: &[u8]) -> bool {
    RESERVED.contains(&letters) || letters.starts_with(b"xforwarded")
}

//! Header names: those we set, those that no client may send, and those that a route may not claim; and how a field is read.
//!
//! Applications behind CGI, WSGI, Rack or PHP see `X-Auth-Subject`, `X_Auth_Subject` and `X.Auth.Subject` under one name, so names are
//! compared by their letters and digits alone, without case (RFC 9700 section 4.13; CVE-2025-64484, CVE-2026-30851).

mod auth_scheme;
mod names;
mod protected;
mod read;
mod reserved;
mod strip;
mod table;

pub use auth_scheme::AuthScheme;
pub use names::{
    DPOP, DPOP_NONCE, TRACEPARENT, TRACESTATE, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_METHOD,
    X_FORWARDED_PROTO, X_FORWARDED_URI, X_KEYPROOF_DOCTOR, X_ORIGINAL_METHOD, X_ORIGINAL_URL, X_REQUEST_ID,
};
pub use protected::Protected;
pub use read::{Repeated, ascii, is_chunked_at_most, is_tchar, is_token, is_token68, lists, only, tokens};
pub use reserved::{is_reserved, may_carry_certificate};
pub use strip::{Keep, strip_request, strip_response};
pub use table::Kind;

/// A header name as the sloppiest application would read it: its letters and digits, in lower case.
pub fn letters_and_digits(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

//! The names of fields that the gateway reads or sets and that the `http` crate does not name.

use http::header::HeaderName;

/// The field that carries the proof (RFC 9449 section 4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The field that carries a nonce for the next proof (RFC 9449 section 8.1).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// A request's identifier.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Who asked, one proxy after the other.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What authority was asked.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// By which scheme.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Which path and query were asked for.
pub const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// By which method.
pub const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
/// By which method, as nginx is usually told to say it.
pub const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
/// Which absolute URL was asked for, as nginx is usually told to say it.
pub const X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
/// The mark that `keyproof doctor` registered before it sent the request.
pub const X_KEYPROOF_DOCTOR: HeaderName = HeaderName::from_static("x-keyproof-doctor");
/// A request's place in a trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

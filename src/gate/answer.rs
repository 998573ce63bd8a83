//! Answers that the gateway makes itself, whichever door they leave by.

use crate::headers::X_REQUEST_ID;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};

/// How many fields such an answer has at most: the map never grows.
const FIELDS: usize = 8;

/// An answer of our own: a refusal, or what a preflight gets.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields; the door adds what its connection needs.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: StatusCode, request_id: HeaderValue) -> Self {
        let mut headers = HeaderMap::with_capacity(FIELDS);
        headers.insert(X_REQUEST_ID, request_id);
        Self { status, headers, body: Bytes::new() }
    }

    /// What a failure looks like: `{"error":"…","error_description":"…"}`, which nobody may store.
    pub fn error(status: StatusCode, error: &str, description: &str, request_id: HeaderValue) -> Self {
        let mut answer = Self::empty(status, request_id);
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.body = error_body(error, description);
        answer
    }
}

/// The body of a refusal: `{"error":"…","error_description":"…"}`. Both texts are ours and need no escaping.
fn error_body(error: &str, description: &str) -> Bytes {
    debug_assert!(!error.chars().chain(description.chars()).any(|c| c.is_control() || c == '"' || c == '\\'));
    Bytes::from([r#"{"error":""#, error, r#"","error_description":""#, description, r#""}"#].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_json_that_nobody_stores() {
        let id = HeaderValue::from_static("id");
        let answer =
            Answer::error(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is expired.", id);
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["error"], "invalid_token");
        assert_eq!(document["error_description"], "The access token is expired.");
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-request-id"], "id");
    }
}

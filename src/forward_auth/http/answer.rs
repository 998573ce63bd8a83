//! What a front is told where a request may pass.

use crate::forward_auth::passage::Passage;
use crate::gate::Answer;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};

/// The request may pass: with these headers in place of the client's.
pub(super) fn allow(passage: Passage, request_id: HeaderValue) -> Answer {
    let mut answer = Answer::empty(StatusCode::OK, request_id);
    let headers = &mut answer.headers;
    // An answer is good for one request.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    take_away(passage.remove, headers);
    headers.extend(passage.set);
    headers.extend(passage.show);
    answer
}

/// Headers without a value: the front overwrites the client's with them.
pub(super) fn take_away(names: Vec<HeaderName>, headers: &mut HeaderMap) {
    headers.extend(names.into_iter().map(|name| (name, HeaderValue::from_static(""))));
}

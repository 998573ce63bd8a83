//! Answers of our own, put on an HTTP connection.

use super::body::{ResponseBody, Rider};
use crate::gate::Answer;
use http::Response;
use http::header::{CONNECTION, HeaderMap, HeaderValue};

/// The answer with its body; the record rides along.
pub fn carry<R: Rider>(answer: Answer, rider: R) -> Response<ResponseBody<R>> {
    let body = if answer.body.is_empty() {
        ResponseBody::empty(rider)
    } else {
        ResponseBody::full(answer.body, rider)
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// Makes the connection close after this answer, as bad framing demands. HTTP/2 streams are independent: hyper drops it there.
pub fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

//! Answers of our own to gRPC: its clients read a status in the fields, never that of HTTP or a body (gRPC over HTTP/2, "Responses").

use crate::gate::Answer;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is one of gRPC: `application/grpc`, alone or followed by `+` or `;`. `application/grpc-web` is another protocol.
pub(super) fn is_spoken(request: &HeaderMap) -> bool {
    request.get(CONTENT_TYPE).is_some_and(is_grpc)
}

fn is_grpc(media_type: &HeaderValue) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let media_type = media_type.as_bytes().trim_ascii();
    let Some((name, rest)) = media_type.split_at_checked(GRPC.len()) else { return false };
    name.eq_ignore_ascii_case(GRPC) && matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';'))
}

/// The same answer, trailers-only: challenge, nonce and whatever else it has are metadata.
pub(super) fn told(answer: Answer, description: &str) -> Answer {
    let Answer { status, mut headers, .. } = answer;
    headers.remove(ALLOW);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(encoded(description)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    Answer { status: StatusCode::OK, headers, body: Bytes::new() }
}

/// The status of gRPC for one of HTTP. The table of gRPC's own ("HTTP to gRPC Status Code Mapping") is for answers that are none of gRPC; this
/// one says what a refusal means.
const fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        // INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED
        400 => 3,
        401 => 16,
        403 => 7,
        404 | 405 => 12,
        // RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL
        413 | 429 => 8,
        502 | 503 => 14,
        504 => 4,
        _ => 13,
    }
}

/// A message as its field has it: what is no visible ASCII or a space, and `%`, in `%XX`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_what_looks_like_it() {
        let spoken = |media_type: &'static str| is_grpc(&HeaderValue::from_static(media_type));
        for grpc in [
            "application/grpc",
            "Application/GRPC",
            "application/grpc+proto",
            "application/grpc; a=b",
            "application/grpc;a",
        ] {
            assert!(spoken(grpc), "{grpc}");
        }
        for other in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
            "",
        ] {
            assert!(!spoken(other), "{other}");
        }
    }

    #[test]
    fn a_refusal_is_an_answer_of_grpc_with_the_same_fields() {
        let id = HeaderValue::from_static("id");
        let mut answer = Answer::error(StatusCode::UNAUTHORIZED, "invalid_token", "no", id);
        answer.headers.insert("dpop-nonce", HeaderValue::from_static("n"));
        let told = told(answer, "100 % sure: ü");
        assert_eq!((told.status, told.body.len()), (StatusCode::OK, 0));
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("grpc-status", "16"),
            ("grpc-message", "100 %25 sure: %C3%BC"),
            ("dpop-nonce", "n"),
            ("cache-control", "no-store"),
            ("x-request-id", "id"),
        ] {
            assert_eq!(told.headers[name], value, "{name}");
        }
    }

    #[test]
    fn each_status_has_the_one_that_the_contract_names() {
        let expected = [
            (400, 3),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (413, 8),
            (414, 13),
            (421, 13),
            (429, 8),
            (431, 13),
            (500, 13),
            (501, 13),
            (502, 14),
            (503, 14),
            (504, 4),
        ];
        for (status, grpc) in expected {
            assert_eq!(code(StatusCode::from_u16(status).unwrap()), grpc, "{status}");
        }
    }
}

//! What Envoy asks over gRPC, and what it is told: as much of both as the generator needs.

use crate::pool::Shot;
use crate::scenery::HOST;
use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http_body_util::Full;

const CHECK: &str = "http://keyproof/envoy.service.auth.v3.Authorization/Check";

/// A `CheckRequest` with what Envoy sends for such a request, `encode_raw_headers` included.
pub(crate) fn question(path: &str, shot: &Shot<'_>) -> Request<Full<Bytes>> {
    let mut headers = Vec::with_capacity(2048);
    let own = [
        (":authority", Some(HOST)),
        (":path", Some(path)),
        (":method", Some("GET")),
        (":scheme", Some("https")),
        ("x-forwarded-proto", Some("https")),
        ("x-request-id", Some("5b1f3c52-6a3c-4c57-a4a8-0b6d5f0e6a11")),
        ("authorization", shot.authorization),
        ("dpop", shot.proof),
    ];
    for (name, value) in own {
        let Some(value) = value else { continue };
        field(&mut headers, 1, &[&bytes(1, name.as_bytes())[..], &bytes(3, value.as_bytes())].concat());
    }
    let texts = [(2, "GET"), (4, path), (5, HOST), (6, "https"), (10, "HTTP/1.1")];
    let mut http = texts.map(|(number, text)| bytes(number, text.as_bytes())).concat();
    field(&mut http, 13, &headers);
    let address = bytes(1, &bytes(1, &bytes(2, b"127.0.0.1")));
    let attributes = [bytes(1, &address), bytes(4, &bytes(2, &http))].concat();
    let message = bytes(1, &attributes);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let framed = [&[0][..], &length.to_be_bytes(), &message].concat();
    let mut request = Request::new(Full::from(framed));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = CHECK.parse().unwrap();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request
}

/// 200 where a `CheckResponse` lets the request pass: its first field is a status without a code.
pub(crate) fn verdict(framed: &[u8]) -> u16 {
    if framed.get(5..).is_some_and(|message| message.starts_with(&[0x0a, 0])) { 200 } else { 401 }
}

fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 4);
    field(&mut out, number, value);
    out
}

/// A field of wire type 2: its key, its length, itself.
fn field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = value.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
}

//! What a client may ask for that is not built: refused, since to drop the wish silently would leave both ends guessing.

use crate::denial::{Denial, UnsupportedError};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, UPGRADE};

/// A WebSocket handshake (RFC 6455 section 4.1) or gRPC, whose status is in trailers that would be lost on the way to the upstream.
///
/// Any other `Upgrade`, `h2c` among them, is ignored, as it may be (RFC 9110 section 7.8): its client goes on in HTTP/1.1.
pub(super) fn wish(headers: &HeaderMap) -> Option<Denial> {
    let websocket = |line: &HeaderValue| {
        line.as_bytes().split(|byte| *byte == b',').any(|protocol| is_websocket(protocol.trim_ascii()))
    };
    if headers.get_all(UPGRADE).iter().any(websocket) {
        return Some(UnsupportedError::WebSocket.into());
    }
    headers.get_all(CONTENT_TYPE).iter().any(is_grpc).then(|| UnsupportedError::Grpc.into())
}

/// With a version or without.
fn is_websocket(protocol: &[u8]) -> bool {
    protocol.split(|byte| *byte == b'/').next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
}

/// `application/grpc`, alone or followed by `+` or `;`. `application/grpc-web` is another protocol, which needs no trailers.
fn is_grpc(media_type: &HeaderValue) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let media_type = media_type.as_bytes().trim_ascii();
    let Some((name, rest)) = media_type.split_at_checked(GRPC.len()) else { return false };
    name.eq_ignore_ascii_case(GRPC) && matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn refused(name: &'static str, value: &'static str) -> Option<Denial> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        wish(&headers)
    }

    #[test]
    fn websocket_and_grpc_are_told_from_what_looks_like_them() {
        for upgrade in ["websocket", "WebSocket", "h2c, websocket", "websocket/13"] {
            assert_eq!(refused("upgrade", upgrade), Some(UnsupportedError::WebSocket.into()), "{upgrade}");
        }
        for upgrade in ["h2c", "TLS/1.2", "websockets", ""] {
            assert_eq!(refused("upgrade", upgrade), None, "{upgrade}");
        }
        for grpc in
            ["application/grpc", "Application/GRPC", "application/grpc+proto", "application/grpc; a=b"]
        {
            assert_eq!(refused("content-type", grpc), Some(UnsupportedError::Grpc.into()), "{grpc}");
        }
        for other in
            ["application/grpc-web", "application/grpc-web+proto", "application/grpcx", "application/json"]
        {
            assert_eq!(refused("content-type", other), None, "{other}");
        }
    }
}

//! What a client may ask for that is not built: refused, since to drop the wish silently would leave both ends guessing.

use crate::denial::{Denial, UnsupportedError};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

/// gRPC, whose status is in trailers that would be lost on the way to the upstream.
pub(super) fn wish(headers: &HeaderMap) -> Option<Denial> {
    headers.get_all(CONTENT_TYPE).iter().any(is_grpc).then(|| UnsupportedError::Grpc.into())
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
    fn grpc_is_told_from_what_looks_like_it() {
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

//! How a client of an authorization server says who it is in `Authorization`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded::byte_serialize;

/// `client_secret_basic`: both parts form-encoded before they are joined (RFC 6749 section 2.3.1).
pub fn client_secret_basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_form_encoded_before_they_are_joined() {
        // "a%3Ab:c+d" in base64.
        assert_eq!(client_secret_basic("a:b", "c d"), "Basic YSUzQWI6Yytk");
    }
}

//! `Authorization` lines and the query beside them.
#![no_main]

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use keyproof::authorize::Credentials;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(AUTHORIZATION, value);
        }
    }
    if let Ok(credentials) = Credentials::read(&headers, query) {
        assert_eq!(headers.get_all(AUTHORIZATION).iter().count(), 1);
        assert!(
            !credentials.token.is_empty() && credentials.token.bytes().all(|byte| byte.is_ascii_graphic())
        );
        assert!(!credentials.token.contains([',', '"', ' ']));
    }
});

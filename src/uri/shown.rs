//! A client's URI or authority as a log may show it.

/// The text without user information, query and fragment, where secrets may stand (RFC 3986 section 3.2.1; RFC 6750 section 2.3). It need not
/// be a URI: of what is none, nothing before an `@` is shown.
pub fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return after_user(text).to_owned();
    };
    // An authority may hide behind more slashes than two, of either kind: some readers skip them.
    let rest = rest.trim_start_matches(['/', '\\']);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", after_user(authority))
}

fn after_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_may_be_secret_is_left_out() {
        for (text, shown) in [
            ("https://api.example.com/orders", "https://api.example.com/orders"),
            ("https://api.example.com/orders?access_token=s#s", "https://api.example.com/orders"),
            ("https://u:s@api.example.com:8443/users/@me", "https://api.example.com:8443/users/@me"),
            ("https://u:s@x@api.example.com", "https://api.example.com"),
            ("https:///u:s@api.example.com/a", "https://api.example.com/a"),
            ("https://\\u:s@api.example.com/a", "https://api.example.com/a"),
            ("u:s@api.example.com", "api.example.com"),
            ("//u:s@api.example.com/a", "api.example.com/a"),
            ("https:/u:s@api.example.com/a", "api.example.com/a"),
            ("u:s://x@api.example.com/a", "api.example.com/a"),
            ("/orders", "/orders"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_is_shown_wherever_it_stands(
            before in "(https?:)?[/\\\\]{0,3}[a-z:%@]{0,6}",
            after in "[a-z.:]{1,8}(/[a-z]{0,3})?",
            query in "[?#][a-z&=]{0,6}",
        ) {
            let shown = without_secrets(&format!("{before}SECRET@{after}{query}SECRET"));
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }
    }
}

//! One URI has many spellings, and no two URIs have one.
//!
//! The oracle is RFC 3986 section 6.2.2 and 5.2.4 done by hand, slowly, with nothing of the product in it.

use keyproof::dpop::TargetUri;
use keyproof::uri::{CanonicalPath, Origin, normalize_path};
use proptest::prelude::*;

/// A URI's parts, each in its normal form; query and fragment do not count (RFC 9449 section 4.3 check 9).
#[derive(Debug, PartialEq, Eq)]
struct Normal {
    scheme: String,
    host: String,
    port: u32,
    path: String,
}

/// Spellings of a few origins and of everything that may happen in a path.
fn spelling() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec!["https", "HTTPS", "hTTps", "http"]);
    let host = prop::sample::select(vec!["api.test", "API.test", "api.tesT", "api.test.uk", "xapi.test"]);
    let port = prop::sample::select(vec!["", ":443", ":80", ":8443"]);
    let after = prop::sample::select(vec!["", "?a=/../b", "#x", "?#", "?q=%2F#/"]);
    (scheme, host, port, path(), after)
        .prop_map(|(scheme, host, port, path, after)| format!("{scheme}://{host}{port}{path}{after}"))
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "a", "A", "b", ".", "..", "/.", "/..", "%2e", "%2E", "%61", "%41", "%2f", "%2F", "%3a",
        "%3A", ":", "~", "%7e", "%7E", ";", "%3B", "%c3%a9", "%C3%A9", "+", "%20", "@",
    ]);
    prop::collection::vec(piece, 0..7).prop_map(|pieces| {
        let path = pieces.concat();
        if path.is_empty() || path.starts_with('/') { path } else { format!("/{path}") }
    })
}

/// Two spellings: mostly of one URI, sometimes of two.
fn two_spellings() -> impl Strategy<Value = (String, String)> {
    (spelling(), spelling(), prop::collection::vec(any::<u8>(), 64), 0..4).prop_map(
        |(one, two, choices, which)| {
            let other = if which == 0 { two } else { respelled(&one, &choices) };
            (one, other)
        },
    )
}

/// The same URI in other words, as the choices have it; now and then with a letter less.
fn respelled(uri: &str, choices: &[u8]) -> String {
    let (origin, path) = parts(uri);
    let mut choices = choices.iter().cycle();
    let mut choose = |of: u8| choices.next().unwrap() % of;
    let mut out = String::new();
    for letter in origin.chars() {
        out.push(if choose(3) == 0 { letter.to_ascii_uppercase() } else { letter });
    }
    if origin.matches(':').count() == 1 && choose(2) == 0 {
        out.push_str(if origin.starts_with(['h', 'H']) && origin.as_bytes()[4] == b':' {
            ":80"
        } else {
            ":443"
        });
    }
    for letter in path.chars() {
        match (letter, choose(8)) {
            ('/', 0) => out.push_str("/./"),
            ('/', 1) => out.push_str("/b/%2e%2E/"),
            ('a'..='z' | 'A'..='Z' | '.' | '~', 0) if !out.ends_with('%') && !ends_in_half_a_code(&out) => {
                out.push_str(&format!("%{:02x}", u32::from(letter)));
            }
            ('a'..='z', 7) if choose(4) == 0 => {}
            (letter, _) => out.push(letter),
        }
    }
    out
}

/// Whether the last letter is the first digit of a code: what follows is its second.
fn ends_in_half_a_code(text: &str) -> bool {
    text.len() >= 2 && text.as_bytes()[text.len() - 2] == b'%'
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// `htu` is the request's URI exactly where RFC 3986 says that both have one normal form.
    #[test]
    fn an_htu_is_the_requests_own_uri_and_no_other((request, htu) in two_spellings()) {
        // A code that lost a digit is no spelling of anything.
        prop_assume!(!is_broken(&htu));
        let asked = normal(&request);
        let (origin, path) = parts(&request);
        // What is ambiguous never becomes a request's target.
        if let Ok(path) = CanonicalPath::parse(path) {
            let origin = Origin::parse(origin).unwrap();
            let target = TargetUri { origin: &origin, path: path.as_str() };
            prop_assert_eq!(target.check(&htu).is_ok(), asked == normal(&htu), "{} and {}", target, htu);
            // Its own spelling is among them, unless it says nothing where `/` is meant.
            prop_assert_eq!(target.check(&request), Ok(()));
            prop_assert_eq!(target.to_string(), canonical(&asked));
        }
    }

    /// Being the same URI goes both ways, and on from one spelling to the next.
    #[test]
    fn being_the_same_uri_is_an_equivalence(
        (one, two) in two_spellings(),
        choices in prop::collection::vec(any::<u8>(), 64),
    ) {
        let three = respelled(&two, &choices);
        let same = |one: &str, two: &str| {
            let (origin, path) = parts(one);
            let path = CanonicalPath::parse(path).ok()?;
            let origin = Origin::parse(origin).ok()?;
            Some(TargetUri { origin: &origin, path: path.as_str() }.check(two).is_ok())
        };
        if let (Some(one_two), Some(two_one)) = (same(&one, &two), same(&two, &one)) {
            prop_assert_eq!(one_two, two_one);
        }
        if same(&one, &two) == Some(true) && same(&two, &three) == Some(true) {
            prop_assert_eq!(same(&one, &three), Some(true));
        }
    }

    /// A normal form is its own normal form, and it is the one that RFC 3986 gives.
    #[test]
    fn normalisation_is_rfc_3986s_and_idempotent(path in path()) {
        let once = normalize_path(&path).expect("only what a URI may have");
        let shown = if path.is_empty() { "/" } else { &path };
        prop_assert_eq!(once.to_string(), without_dots(&recoded(shown)));
        let twice = normalize_path(&once).map(String::from);
        prop_assert_eq!(twice, Some(once.to_string()));
    }
}

/// Scheme and authority, and the path up to the query or fragment.
fn parts(uri: &str) -> (&str, &str) {
    let uri = &uri[..uri.find(['?', '#']).unwrap_or(uri.len())];
    let authority = uri.find("://").unwrap() + 3;
    let (origin, path) =
        uri.split_at(uri[authority..].find('/').map_or(uri.len(), |slash| authority + slash));
    (origin, if path.is_empty() { "/" } else { path })
}

/// Whether a `%` stands without its two digits.
fn is_broken(uri: &str) -> bool {
    uri.split('%')
        .skip(1)
        .any(|rest| rest.len() < 2 || !rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit()))
}

fn normal(uri: &str) -> Normal {
    let (origin, path) = parts(uri);
    let (scheme, authority) = origin.split_once("://").unwrap();
    let scheme = scheme.to_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().unwrap()),
        None => (authority, default),
    };
    Normal { host: host.to_lowercase(), port, path: without_dots(&recoded(path)), scheme }
}

fn canonical(uri: &Normal) -> String {
    let port = match (uri.scheme.as_str(), uri.port) {
        ("https", 443) | ("http", 80) => String::new(),
        (_, port) => format!(":{port}"),
    };
    format!("{}://{}{port}{}", uri.scheme, uri.host, uri.path)
}

/// Sections 6.2.2.1 and 6.2.2.2: upper-case digits, and no encoding of what needs none.
fn recoded(path: &str) -> String {
    let mut out = path.to_owned();
    for byte in 0..=255_u8 {
        let upper = format!("%{byte:02X}");
        let plain = char::from(byte);
        let unreserved = plain.is_ascii_alphanumeric() || "-._~".contains(plain);
        let form = if unreserved { plain.to_string() } else { upper.clone() };
        // One pass over the text for each code; `%` itself stays encoded, so no pass sees another's work.
        for spelled in [upper.clone(), upper.to_lowercase(), mixed(byte), mixed(byte).to_lowercase()] {
            out = out.replace(&spelled, &form);
        }
    }
    out
}

/// `%aB` of a code with two letters.
fn mixed(byte: u8) -> String {
    format!("%{:x}{:X}", byte >> 4, byte & 15)
}

/// Section 5.2.4, step by step.
fn without_dots(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("../").or_else(|| input.strip_prefix("./")) {
            input = rest.to_owned();
        } else if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "." || input == ".." {
            input.clear();
        } else {
            let end = input[1..].find('/').map_or(input.len(), |slash| slash + 1);
            output.push_str(&input[..end]);
            input.drain(..end);
        }
    }
    output
}

#[test]
fn the_oracle_knows_the_examples_of_rfc_3986() {
    assert_eq!(without_dots("/a/b/c/./../../g"), "/a/g");
    assert_eq!(without_dots("mid/content=5/../6"), "mid/6");
    assert_eq!(recoded("/%7euser/%41%3a"), "/~user/A%3A");
    let uri = normal("HTTPS://Api.Test:443/a/./b/../%63/%7bfoo%7d?x");
    assert_eq!(canonical(&uri), "https://api.test/a/c/%7Bfoo%7D");
}

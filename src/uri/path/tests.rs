//! Every rule of the canonical path, as tables and as laws.

use super::*;
use proptest::prelude::*;

#[test]
fn a_path_has_one_spelling() {
    let table = [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/", "/orders/"),
        ("/Orders", "/Orders"),
        ("/%6Frders", "/orders"),
        ("/%6frders", "/orders"),
        ("/%7Euser/%2d%5F", "/~user/-_"),
        ("/a%2eb", "/a.b"),
        ("/a/...", "/a/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/.b/a..", "/..a/.b/a.."),
        ("/%2e%2ea", "/..a"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a%3bb", "/a%3Bb"),
        ("/a+b", "/a+b"),
        ("/a;v=1/b", "/a;v=1/b"),
        ("/;jsessionid=1", "/;jsessionid=1"),
        ("/a%252Fb", "/a%252Fb"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/%255C", "/%255C"),
        ("/a:b@c!$&'()*,=", "/a:b@c!$&'()*,="),
        ("/items[1]", "/items[1]"),
        ("/%3C%3e%22", "/%3C%3E%22"),
    ];
    for (path, canonical) in table {
        let parsed = CanonicalPath::parse(path).unwrap();
        assert_eq!(parsed.as_str(), canonical, "{path}");
        assert_eq!(matches!(parsed.text, Cow::Borrowed(_)), path == canonical, "{path}");
        assert!(!parsed.has_encoded_slash(), "{path}");
    }
}

#[test]
fn an_encoded_slash_is_noted_and_kept() {
    for (path, canonical) in [("/a%2Fb", "/a%2Fb"), ("/a%2fb/c", "/a%2Fb/c"), ("/%2F%2F", "/%2F%2F")] {
        let parsed = CanonicalPath::parse(path).unwrap();
        assert_eq!((parsed.as_str(), parsed.has_encoded_slash()), (canonical, true), "{path}");
    }
}

#[test]
fn an_ambiguous_path_is_refused() {
    use PathError::{Backslash, Character, DotSegment, EmptySegment, NotAbsolute, Percent};
    let table: [(PathError, &[&str]); 7] = [
        (NotAbsolute, &["", "*", "a", "http://x/", "%2Fa", ".", "?"]),
        (
            DotSegment,
            &[
                "/.",
                "/..",
                "/./",
                "/../",
                "/a/../b",
                "/a/.",
                "/a/..",
                "/%2e",
                "/%2E%2e",
                "/.%2e/x",
                "/%2e./x",
                "/..;",
                "/..;/x",
                "/.;a=b/x",
                "/%2e%2e;x",
                "/..%3B/x",
                "/..%3b",
                "/a/.;",
                "/..%2Fa",
                "/a%2F..",
                "/a%2f%2e%2e%2fb",
                "/.%2F",
            ],
        ),
        (EmptySegment, &["//", "//a", "/a//", "/a//b", "/;/a", "/a/;x=1/b", "/%3B/a"]),
        (Backslash, &["/\\", "/a\\b", "/a%5Cb", "/a%5cb", "/..\\"]),
        (
            Character,
            &[
                "/a b",
                "/\t",
                "/\r\n",
                "/\0",
                "/\x7f",
                "/caf\u{e9}",
                "/%00",
                "/%0d%0A",
                "/%1f",
                "/%7F",
                "/<",
                "/>",
                "/\"",
                "/{",
                "/}",
                "/|",
                "/^",
                "/`",
                "/a?b",
                "/a#b",
            ],
        ),
        (Percent, &["/%", "/%2", "/%zz", "/%2g", "/a%%20", "/%\u{e9}", "/%+1", "/% 1"]),
        (DotSegment, &["/a%2F.;x"]),
    ];
    for (error, paths) in table {
        for path in paths {
            assert_eq!(CanonicalPath::parse(path), Err(error), "{path:?}");
        }
    }
}

#[test]
fn a_path_is_read_as_upstreams_read_it() {
    let table: [(&str, &[&str]); 17] = [
        ("/svc/admin", &[]),
        ("/svc/file.json", &[]),
        ("/svc/caf%C3%A9", &[]),
        ("/svc/a%20b", &[]),
        ("/svc/admin;a=b", &["/svc/admin"]),
        ("/svc/admin%3Bx/y", &["/svc/admin/y"]),
        ("/svc/admin%2Fa.txt", &["/svc/admin/a.txt"]),
        ("/svc/%2Fadmin/a.txt", &["/svc//admin/a.txt", "/svc/admin/a.txt"]),
        ("/svc/admin%252Fx", &["/svc/admin/x"]),
        ("/svc/admin%25252525252fx", &["/svc/admin/x"]),
        ("/svc/admin%255Cx", &["/svc/admin/x"]),
        ("/svc/admin%3Fx", &["/svc/admin"]),
        ("/svc/admin%2500.txt", &["/svc/admin"]),
        ("/svc/%252e%252e/admin", &["/svc/../admin", "/admin"]),
        ("/svc/admin.", &["/svc/admin"]),
        ("/svc/admin%20.%20/x", &["/svc/admin%20./x", "/svc/admin/x"]),
        ("/svc/%61dmin%2f", &["/svc/admin/"]),
    ];
    for (path, expected) in table {
        let path = CanonicalPath::parse(path).unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let note = |reading: &str| {
            seen.borrow_mut().push(reading.to_owned());
            true
        };
        assert!(path.every_reading(note));
        for reading in expected {
            assert!(seen.borrow().iter().any(|seen| seen == reading), "{}: {reading}", path.as_str());
        }
        assert_eq!(seen.borrow().is_empty(), expected.is_empty(), "{}: {seen:?}", path.as_str());
        assert_eq!(path.every_reading(|_| false), expected.is_empty(), "{}", path.as_str());
    }
}

#[test]
fn the_path_of_an_htu_is_normalised() {
    let table = [
        ("", Some("/")),
        ("/", Some("/")),
        ("/a/./b/../c", Some("/a/c")),
        ("/a/b/..", Some("/a/")),
        ("/a/.", Some("/a/")),
        ("/..", Some("/")),
        ("/../../a", Some("/a")),
        ("/a/%2E%2e/b", Some("/b")),
        ("/a//b", Some("/a//b")),
        ("//../a", Some("/a")),
        ("/a/..;/b", Some("/a/..;/b")),
        ("/a%2fb", Some("/a%2Fb")),
        ("/%7euser", Some("/~user")),
        ("/caf%c3%a9", Some("/caf%C3%A9")),
        ("/A/", Some("/A/")),
        ("a", None),
        ("/a\\b", None),
        ("/a%5cb", None),
        ("/a%00", None),
        ("/caf\u{e9}", None),
        ("/a b", None),
        ("/a%2", None),
        ("/<", None),
    ];
    for (path, normal) in table {
        assert_eq!(normalize_path(path).as_deref(), normal, "{path:?}");
    }
}

/// Paths in which everything that matters comes up often.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        prop::sample::select(vec![
            ".", "..", "%2e", "%2F", "%2f", "%25", ";", "%5C", "\\", "%00", "%", "%3B"
        ])
        .prop_map(str::to_owned),
        "[a-c%]{1,2}",
        "%[0-9a-fA-F]{2}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn a_canonical_path_is_its_own_canonical_path(path in path()) {
        if let Ok(parsed) = CanonicalPath::parse(&path) {
            let again = CanonicalPath::parse(parsed.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&parsed));
            prop_assert!(again.is_ok_and(|path| matches!(path.text, Cow::Borrowed(_))));
            // What a route matches and what an `htu` is compared with are the same text.
            let normal = normalize_path(parsed.as_str());
            prop_assert_eq!(normal.as_deref(), Some(parsed.as_str()));
        }
    }

    #[test]
    fn a_canonical_path_is_never_ambiguous(path in path()) {
        if let Ok(parsed) = CanonicalPath::parse(&path) {
            let text = parsed.as_str();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
            prop_assert!(!text.contains("//") && !text.contains('\\') && !text.contains("%5C"), "{}", text);
            prop_assert_eq!(text.contains("%2F"), parsed.has_encoded_slash());
            // As an upstream that decodes slashes and drops parameters would read it.
            let decoded = text.replace("%2F", "/").replace("%3B", ";");
            for segment in decoded.split('/') {
                let name = segment.split(';').next().unwrap_or_default();
                prop_assert!(name != "." && name != "..", "{}", text);
            }
        }
    }

    #[test]
    fn normalising_twice_is_normalising_once(path in path()) {
        if let Some(normal) = normalize_path(&path) {
            let again = normalize_path(&normal);
            prop_assert_eq!(again.as_deref(), Some(&*normal));
            prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
        }
    }
}

/// Nobody has shown a token when this is asked: what a path may cost has an end.
#[test]
fn a_path_of_too_many_or_too_long_readings_holds_for_nothing() {
    let ambiguous = "/a;%2Fb%20.;c%252Fd%20.%3Fe";
    let readings = |path: &str| readings::of(path).map(|all| all.len());
    assert!(readings(ambiguous).is_some_and(|count| count > 8));
    assert_eq!(readings(&ambiguous.repeat(300)), None);
    // An ordinary path is as long as it likes.
    assert_eq!(readings(&"/a%20b".repeat(20_000)), Some(1));
}

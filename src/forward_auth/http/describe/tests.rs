use super::*;
use DescriptionError::{Contradictory, Malformed, Missing, Repeated};
use http::Request;

const ORIGINAL: [(&str, &str); 2] =
    [("x-original-method", "PUT"), ("x-original-url", "https://api.test/orders?a=1")];
const FORWARDED: [(&str, &str); 4] = [
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "api.test"),
    ("x-forwarded-uri", "/orders?a=1"),
];

fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method("GET").uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn without(fields: &[(&'static str, &'static str)], name: &str) -> Vec<(&'static str, &'static str)> {
    fields.iter().copied().filter(|(other, _)| *other != name).collect()
}

fn fault(target: &str, fields: &[(&str, &str)]) -> (DescriptionError, String) {
    let fault = read(&head(target, fields)).unwrap_err();
    (fault.error, fault.fields)
}

#[test]
fn each_family_describes_the_whole_request() {
    for fields in [&ORIGINAL[..], &FORWARDED, &[ORIGINAL.as_slice(), &FORWARDED].concat()] {
        for own in ["/", "/auth?a=2&x-forwarded-uri=/", "/checkout", "/verify/check/"] {
            let head = head(own, fields);
            let described = read(&head).unwrap();
            assert_eq!((described.method.as_str(), described.scheme), ("PUT", Some(Scheme::Https)));
            assert_eq!(
                (described.authority, described.target.as_str()),
                (Authority::One("api.test"), "/orders?a=1")
            );
        }
    }
}

#[test]
fn nothing_is_assumed() {
    for (name, _) in ORIGINAL {
        assert_eq!(fault("/", &without(&ORIGINAL, name)), (Missing, name.to_owned()));
    }
    for (name, _) in FORWARDED {
        assert_eq!(fault("/", &without(&FORWARDED, name)), (Missing, name.to_owned()));
    }
    let all = "x-original-method, x-original-url, x-forwarded-method, x-forwarded-proto, x-forwarded-host, x-forwarded-uri";
    let own = [("host", "api.test"), ("x-forwarded-port", "443"), ("forwarded", "proto=https;host=api.test")];
    assert_eq!(fault("/orders", &own), (Missing, all.to_owned()));
    // Half of each is no whole.
    let halves = [&ORIGINAL[..1], &FORWARDED[1..3]].concat();
    assert_eq!(
        fault("/", &halves),
        (Missing, "x-original-url, x-forwarded-method, x-forwarded-uri".to_owned())
    );
}

#[test]
fn a_field_stands_once() {
    for (fields, all) in [(&ORIGINAL[..], ORIGINAL.as_slice()), (&FORWARDED, &FORWARDED)] {
        for twice in all {
            let fields = [fields, &[*twice]].concat();
            assert_eq!(fault("/", &fields), (Repeated, twice.0.to_owned()));
        }
    }
    // Of the other family too.
    let fields = [&ORIGINAL[..], &FORWARDED[2..3], &FORWARDED[2..3]].concat();
    assert_eq!(fault("/", &fields), (Repeated, "x-forwarded-host".to_owned()));
}

#[test]
fn a_field_is_what_it_should_be() {
    let bad = [
        ("x-original-method", ""),
        ("x-original-method", "GET, PUT"),
        ("x-original-url", ""),
        ("x-original-url", "/orders"),
        ("x-original-url", "api.test/orders"),
        ("x-original-url", "https://api.test"),
        ("x-original-url", "https://api.test?a=1"),
        ("x-original-url", "https:///orders"),
        ("x-original-url", "ftp://api.test/orders"),
        ("x-original-url", "https://api.test/orders#a"),
        ("x-original-url", "https://api.test/orders a"),
        ("x-forwarded-method", "G T"),
        ("x-forwarded-proto", ""),
        ("x-forwarded-proto", "https,http"),
        ("x-forwarded-proto", "h2"),
        ("x-forwarded-host", ""),
        ("x-forwarded-uri", ""),
        ("x-forwarded-uri", "*"),
        ("x-forwarded-uri", "orders"),
        ("x-forwarded-uri", "https://api.test/orders"),
        ("x-forwarded-uri", "/orders#a"),
    ];
    for (name, value) in bad {
        for family in [&ORIGINAL[..], &FORWARDED] {
            // In the family that counts, or beside it.
            let fields = [without(family, name), vec![(name, value)]].concat();
            assert_eq!(fault("/", &fields), (Malformed, name.to_owned()), "{value:?}");
        }
    }
}

#[test]
fn both_families_say_the_same() {
    let other = [
        ("x-original-method", "GET"),
        ("x-original-url", "http://api.test/orders?a=1"),
        ("x-original-url", "https://api.test:8443/orders?a=1"),
        ("x-original-url", "https://api.test/orders"),
        ("x-forwarded-method", "put"),
        ("x-forwarded-proto", "ws"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-uri", "/orders?a=2"),
    ];
    let is_original = |name: &str| name.starts_with("x-original");
    for (name, value) in other {
        let family = if is_original(name) { &FORWARDED[..] } else { &ORIGINAL };
        // Where both are whole, the four fields are held against the two.
        let fields = [family, &[(name, value)]].concat();
        assert_eq!(fault("/", &fields), (Contradictory, name.to_owned()), "{value:?}");
    }
    for (name, value) in [
        ("x-forwarded-proto", "wss"),
        ("x-forwarded-host", "API.test:443"),
        ("x-original-url", "HTTPS://API.test:443/orders?a=1"),
        ("x-original-url", "wss://api.test/orders?a=1"),
    ] {
        let family = if is_original(name) { &FORWARDED[..] } else { &ORIGINAL };
        assert!(read(&head("/", &[family, &[(name, value)]].concat())).is_ok(), "{value:?}");
    }
}

#[test]
fn under_check_the_request_describes_itself() {
    let contrary =
        [ORIGINAL.as_slice(), &[("x-forwarded-host", "evil.test"), ("x-forwarded-uri", "/evil")]].concat();
    let fields = [contrary.as_slice(), &[("host", "api.test")]].concat();
    let checked = head("/check/orders//a%2Fb?a=1", &fields);
    let described = read(&checked).unwrap();
    assert_eq!((described.method.as_str(), described.scheme), ("GET", None));
    assert_eq!(
        (described.authority, described.target.as_str()),
        (Authority::One("api.test"), "/orders//a%2Fb?a=1")
    );
    let secure = head("/check/", &[("host", "api.test"), ("x-forwarded-proto", "wss")]);
    let described = read(&secure).unwrap();
    assert_eq!((described.scheme, described.target.as_str()), (Some(Scheme::Https), "/"));

    assert_eq!(fault("/check/", &[]), (Missing, "host".to_owned()));
    assert_eq!(
        fault("/check/", &[("host", "api.test"), ("host", "api.test")]),
        (Repeated, "host".to_owned())
    );
    for proto in ["", "h2"] {
        let fields = [("host", "api.test"), ("x-forwarded-proto", proto)];
        assert_eq!(fault("/check/", &fields), (Malformed, "x-forwarded-proto".to_owned()));
    }
    let twice = [("host", "api.test"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "https")];
    assert_eq!(fault("/check/", &twice), (Repeated, "x-forwarded-proto".to_owned()));
}

/// Where Envoy asks about `OPTIONS *` the fields that its client sent must not become the description.
#[test]
fn what_has_no_path_under_check_is_no_description() {
    for target in ["/check", "/check?a=1", "/check*"] {
        assert_eq!(fault(target, &FORWARDED), (Malformed, "request-target".to_owned()), "{target}");
    }
}

use super::*;
use crate::denial::DescriptionError;

/// What makes another description of it.
type Change = fn(&mut HttpRequest);

fn field(key: &'static str, value: &'static str) -> Field {
    Field { key: key.into(), value: value.into(), raw_value: Bytes::new() }
}

fn raw(key: &'static str, value: &'static str) -> Field {
    Field { key: key.into(), value: Bytes::new(), raw_value: value.into() }
}

/// As Envoy asks about `PUT https://api.test/orders?a=1`.
fn whole() -> HttpRequest {
    HttpRequest {
        method: "PUT".into(),
        path: "/orders?a=1".into(),
        host: "api.test".into(),
        scheme: "https".into(),
        headers: vec![
            field(":method", "PUT"),
            field(":path", "/orders?a=1"),
            field(":authority", "api.test"),
            field(":scheme", "https"),
            field("dpop", "a"),
            field("x-forwarded-host", "evil.test"),
            field("x-original-url", "http://evil.test/"),
        ],
        ..HttpRequest::default()
    }
}

fn request(http: HttpRequest) -> CheckRequest {
    let request = Some(super::super::messages::Request { http: Some(http) });
    CheckRequest { attributes: Some(Attributes { request, source: None }) }
}

fn fault(change: impl FnOnce(&mut HttpRequest)) -> (DescriptionError, String) {
    let mut http = whole();
    change(&mut http);
    let fault = Asked::of(request(http)).and_then(|asked| asked.described().map(drop)).unwrap_err();
    (fault.error, fault.fields)
}

fn is_fine(change: impl FnOnce(&mut HttpRequest)) {
    let mut http = whole();
    change(&mut http);
    Asked::of(request(http)).unwrap().described().unwrap();
}

#[test]
fn the_fields_describe_the_request_and_the_clients_headers_do_not() {
    let asked = Asked::of(request(whole())).unwrap();
    let described = asked.described().unwrap();
    assert_eq!((described.method.as_str(), described.scheme), ("PUT", Some(Scheme::Https)));
    assert_eq!((described.authority, described.target.as_str()), (Authority::One("api.test"), "/orders?a=1"));
    let names: Vec<_> = described.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["dpop", "x-forwarded-host", "x-original-url"]);
}

#[test]
fn nothing_is_assumed() {
    let cases: [(Change, &str); 3] = [
        (|http| http.method.clear(), "method"),
        (|http| http.path.clear(), "path"),
        (|http| http.host.clear(), "host"),
    ];
    for (change, name) in cases {
        assert_eq!(fault(change), (Missing, name.to_owned()), "what the headers say is no description");
    }
    is_fine(|http| http.scheme.clear());
    is_fine(|http| http.headers.clear());
    let nothing = Asked::of(CheckRequest::default()).unwrap_err();
    assert_eq!((nothing.error, nothing.fields.as_str()), (Missing, "attributes.request.http"));
}

#[test]
fn a_field_is_what_it_should_be() {
    let cases: [(Change, &str); 9] = [
        (|http| http.method = "G T".into(), "method"),
        (|http| http.path = "*".into(), "path"),
        (|http| http.path = "https://api.test/orders".into(), "path"),
        (|http| http.path = "/orders#a".into(), "path"),
        (|http| http.path = b"/\xff\xfe\xfd"[..].into(), "path"),
        (|http| http.host = b"\xff"[..].into(), "host"),
        (|http| http.scheme = "h2".into(), "scheme"),
        (|http| http.fragment = "a".into(), "fragment"),
        (|http| http.headers.push(field("a b", "c")), "headers"),
    ];
    for (change, name) in cases {
        assert_eq!(fault(change), (Malformed, name.to_owned()));
    }
    for value in ["a\r\nb: c", "a\0"] {
        assert_eq!(fault(|http| http.headers.push(field("a", value))), (Malformed, "headers".to_owned()));
    }
    // A value can be any bytes that HTTP takes: whoever reads it says what it must be.
    is_fine(|http| http.headers.push(Field { value: b"\xe9"[..].into(), ..field("a", "") }));
}

#[test]
fn what_is_said_twice_is_the_same() {
    for (name, value) in [
        (":method", "GET"),
        (":method", "put"),
        (":path", "/orders"),
        (":authority", "evil.test"),
        (":authority", "api.test:8443"),
        (":scheme", "http"),
    ] {
        let change = |http: &mut HttpRequest| {
            http.headers.retain(|field| field.key != name);
            http.headers.push(field(name, value));
        };
        assert_eq!(fault(change), (Contradictory, name.to_owned()), "{value}");
    }
    for host in ["evil.test", "api.test:8443", ""] {
        let change = |http: &mut HttpRequest| http.headers.push(field("host", host));
        assert_eq!(fault(change), (Contradictory, "host".to_owned()), "{host}");
    }
    for host in ["api.test", "API.test:443"] {
        is_fine(|http| http.headers.push(field("host", host)));
    }
    for query in ["a=2", "a", "?a=1"] {
        assert_eq!(fault(|http| http.query = query.into()), (Contradictory, "query".to_owned()));
    }
    is_fine(|http| http.query = "a=1".into());
    for (name, value) in
        [(":method", "PUT"), (":path", "/orders?a=1"), (":authority", "api.test"), (":scheme", "https")]
    {
        let twice = |http: &mut HttpRequest| http.headers.push(field(name, value));
        assert_eq!(fault(twice), (Repeated, name.to_owned()));
    }
}

/// `encode_raw_headers`.
#[test]
fn the_headers_stand_in_one_of_two_places() {
    let in_map = |fields: Vec<Field>| {
        move |http: &mut HttpRequest| {
            http.headers.clear();
            http.header_map = Some(super::super::messages::HeaderMap { headers: fields });
        }
    };
    let mut http = whole();
    in_map(vec![raw(":path", "/orders?a=1"), raw("dpop", "a"), raw("dpop", "b"), field("x", "y")])(&mut http);
    let asked = Asked::of(request(http)).unwrap();
    assert_eq!(asked.described().unwrap().headers.get_all("dpop").iter().count(), 2, "two lines stay two");
    assert_eq!(asked.headers["x"], "y");

    let both = |http: &mut HttpRequest| {
        http.header_map = Some(super::super::messages::HeaderMap { headers: vec![raw("dpop", "a")] });
    };
    assert_eq!(fault(both), (Contradictory, "header_map".to_owned()));
    is_fine(|http| http.header_map = Some(super::super::messages::HeaderMap::default()));
    let two_values = Field { raw_value: "b".into(), ..field("dpop", "a") };
    assert_eq!(fault(in_map(vec![two_values])), (Malformed, "header_map".to_owned()));
    assert_eq!(fault(in_map(vec![raw(":path", "/other")])), (Contradictory, ":path".to_owned()));
}

/// A map has each key once; on the wire nothing sees to that.
#[test]
fn a_key_of_the_map_that_is_there_twice_is_two_lines() {
    let mut http = whole();
    http.headers.push(field("DPoP", "b"));
    let asked = Asked::of(request(http)).unwrap();
    assert_eq!(asked.described().unwrap().headers.get_all("dpop").iter().count(), 2);
}

//! What passes the gateway leads to the same route for every upstream, however sloppily it reads the path.
//!
//! The upstreams here are written by hand, on decoded bytes, with nothing of the product in them. Each is also tried behind each other one.

use http::Method;
use keyproof::names::RouteId;
use keyproof::route::{Choice, Matcher, Table};
use keyproof::uri::{CanonicalPath, Origin};
use proptest::prelude::*;

/// One way to read a path.
type Upstream = (&'static str, fn(&[u8]) -> Vec<u8>);

const UPSTREAMS: [Upstream; 9] = [
    ("as it came", <[u8]>::to_vec),
    ("decodes", decode),
    ("cuts parameters, then decodes", |path| decode(&without_parameters(path))),
    ("decodes, then cuts parameters", |path| without_parameters(&decode(path))),
    ("merges slashes", merge),
    ("decodes and merges slashes", |path| merge(&decode(path))),
    ("decodes, resolves dots, merges slashes", |path| merge(&without_dots(&decode(path)))),
    ("decodes and forgets dots and spaces at the end of a name", |path| without_tails(&decode(path))),
    ("decodes and passes a query on", |path| until(&decode(path), b"?#\0")),
];

/// The text in place of which a route's path stands, in its segments.
fn routes() -> impl Strategy<Value = Vec<String>> {
    let segment = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")));
    prop::collection::btree_set(path, 1..5).prop_map(|paths| paths.into_iter().collect())
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "/a",
        "/b",
        "/c",
        "/a/b",
        "a",
        "b",
        ";",
        ";x=1",
        ";x/",
        "%3B",
        "%3b",
        "%2F",
        "%2f",
        "%252F",
        "%252f",
        "%25252F",
        "%255C",
        "%253B",
        "%20",
        "%20/",
        ".",
        "./",
        "%2e",
        "%252e%252e",
        "%252e%252e/",
        "%3F",
        "%23",
        "%2500",
        "%61",
        "%2561",
        "%25",
        "%C3%A9",
    ]);
    prop::collection::vec(piece, 0..7).prop_map(|pieces| {
        let path = pieces.concat();
        if path.starts_with('/') { path } else { format!("/{path}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_passes_is_the_same_routes_for_every_upstream(routes in routes(), path in path()) {
        let Ok(canonical) = CanonicalPath::parse(&path) else { return Ok(()) };
        let table = table(&routes);
        let chosen = table.choose(0, canonical.as_str(), &Method::GET);
        if !table.is_read_alike(0, &canonical, &Method::GET, chosen) {
            return Ok(());
        }
        for (first, one) in UPSTREAMS {
            for (second, other) in UPSTREAMS {
                let read = other(&one(canonical.as_str().as_bytes()));
                prop_assert_eq!(
                    route_of(&routes, &read).map(RouteId),
                    chosen.route(),
                    "{} {}, then {}: {:?}", path, first, second, String::from_utf8_lossy(&read)
                );
            }
        }
    }

    /// Only what could be read as another route's path is refused.
    #[test]
    fn what_every_upstream_reads_alike_passes(path in "(/[a-c]{1,2}(;[a-z]=[0-9])?){1,4}") {
        let routes = ["/".to_owned()];
        let canonical = CanonicalPath::parse(&path).unwrap();
        let chosen = Choice::Route(RouteId(0));
        prop_assert!(table(&routes).is_read_alike(0, &canonical, &Method::GET, chosen), "{}", path);
    }
}

/// The law found these: one upstream decodes and cuts something off, and another behind it decodes what is left.
#[test]
fn what_is_left_after_one_reading_is_read_again() {
    for (route, path) in [("/a/b", "/%252F%3B%252F%3F/a/b"), ("/c", "/%252F./c%2F%252e%252e")] {
        let table = table(&[route.to_owned()]);
        let canonical = CanonicalPath::parse(path).unwrap();
        let chosen = table.choose(0, canonical.as_str(), &Method::GET);
        assert!(!table.is_read_alike(0, &canonical, &Method::GET, chosen), "{path}");
    }
}

fn table(routes: &[String]) -> Table {
    let matcher = |(number, path): (usize, &String)| Matcher {
        route: RouteId(number),
        hosts: Vec::new(),
        path: path.clone(),
        methods: Vec::new(),
    };
    let origin = Origin::parse("https://api.test").unwrap();
    Table::new(&[origin], &routes.iter().enumerate().map(matcher).collect::<Vec<_>>()).unwrap()
}

/// The longest route that the path is, or lies below, by whole segments.
fn route_of(routes: &[String], path: &[u8]) -> Option<usize> {
    let takes = |route: &str| {
        route == "/"
            || path.strip_prefix(route.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    (0..routes.len()).filter(|&place| takes(&routes[place])).max_by_key(|&place| routes[place].len())
}

fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                let byte = u8::try_from(high * 16 + low).unwrap();
                out.push(if byte == b'\\' { b'/' } else { byte });
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    segments(path).map(|segment| until(segment, b";")).collect::<Vec<_>>().join(&b'/')
}

fn without_tails(path: &[u8]) -> Vec<u8> {
    let tail = |segment: &[u8]| match segment {
        b"." | b".." => segment.to_vec(),
        _ => {
            let length = segment.iter().rposition(|byte| !b". ".contains(byte)).map_or(0, |last| last + 1);
            segment[..length].to_vec()
        }
    };
    segments(path).map(tail).collect::<Vec<_>>().join(&b'/')
}

fn merge(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|one, other| *one == b'/' && *other == b'/');
    out
}

fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in segments(path).skip(1) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    [b"/".to_vec(), kept.join(&b'/')].concat()
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

fn until(text: &[u8], ends: &[u8]) -> Vec<u8> {
    text.iter().copied().take_while(|byte| !ends.contains(byte)).collect()
}

//! The table of routes: the longest matching path wins, then the more specific host, then the one with methods.

use crate::names::RouteId;
use crate::uri::{CanonicalPath, Origin};
use http::Method;
use std::cmp::Reverse;
use std::collections::HashMap;

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// Which route it is.
    pub route: RouteId,
    /// `host` (any port) or `host:port`, in lower case; empty: every public origin.
    pub hosts: Vec<String>,
    /// A canonical path; it matches itself and everything below it, by whole segments. `/` matches all.
    pub path: String,
    /// The methods, compared to the letter; empty: any.
    pub methods: Vec<Method>,
}

impl Matcher {
    /// Whether it matches exactly what the other does, whatever the routes are called.
    pub fn takes_the_same(&self, other: &Self) -> bool {
        let all_in = |some: &Self, others: &Self| {
            some.hosts.iter().all(|host| others.hosts.contains(host))
                && some.methods.iter().all(|method| others.methods.contains(method))
        };
        self.path == other.path
            && self.hosts.is_empty() == other.hosts.is_empty()
            && self.methods.is_empty() == other.methods.is_empty()
            && all_in(self, other)
            && all_in(other, self)
    }
}

/// Two routes, by their places in the list, of which the second can never match, or of which only the order in the file could say who wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The one that stands.
    pub first: usize,
    /// The one that can never match.
    pub second: usize,
}

/// What the table says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This route.
    Route(RouteId),
    /// Routes for this path exist, none for this method.
    MethodNotAllowed,
    /// Nothing here.
    NotFound,
}

impl Choice {
    /// The route, if there is one.
    pub const fn route(self) -> Option<RouteId> {
        match self {
            Self::Route(route) => Some(route),
            Self::MethodNotAllowed | Self::NotFound => None,
        }
    }
}

/// All routes: for each public origin, the paths that have routes and those routes, most specific first.
///
/// A look-up hashes the path, then each of its parents: its cost grows with the depth of the path, not with the number of routes. What is
/// longer than every route's path is not hashed: a stranger's path of a thousand segments costs no more than the routes are deep.
#[derive(Clone, Debug, Default)]
pub struct Table {
    origins: Vec<HashMap<String, Vec<Candidate>>>,
    longest: usize,
}

#[derive(Clone, Debug)]
struct Candidate {
    host: HostRank,
    methods: Vec<Method>,
    /// The matcher's place in the list.
    place: usize,
    route: RouteId,
}

/// How specifically a route names its host; the later, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Any,
    Host,
    HostAndPort,
}

impl Table {
    /// The table for these routes, in the configuration's order, which does not matter, under these public origins.
    ///
    /// # Errors
    /// Every pair of which one can never match, or of which only the order could decide.
    pub fn new(origins: &[Origin], routes: &[Matcher]) -> Result<Self, Vec<Conflict>> {
        let origins: Vec<_> = origins.iter().map(|origin| paths_of(origin, routes)).collect();
        let longest = origins.iter().flat_map(HashMap::keys).map(String::len).max().unwrap_or(0);
        let table = Self { origins, longest };
        let conflicts = table.conflicts(routes.len());
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    /// The route for a request to the origin in place `origin` of the list given to [`Table::new`], for a canonical path.
    pub fn choose(&self, origin: usize, path: &str, method: &Method) -> Choice {
        let Some(paths) = self.origins.get(origin) else {
            return Choice::NotFound;
        };
        let mut other_methods = false;
        for prefix in self.prefixes(path) {
            for candidate in paths.get(prefix).map_or(&[][..], Vec::as_slice) {
                if candidate.takes(method) {
                    return Choice::Route(candidate.route);
                }
                other_methods = true;
            }
        }
        if other_methods { Choice::MethodNotAllowed } else { Choice::NotFound }
    }

    /// Whether every way in which upstreams are known to read this path leads to the same route as the path itself, or neither to any.
    ///
    /// Otherwise one route's rules would have been checked, and what another one guards would be delivered.
    pub fn is_read_alike(
        &self,
        origin: usize,
        path: &CanonicalPath<'_>,
        method: &Method,
        chosen: Choice,
    ) -> bool {
        path.every_reading(|reading| self.choose(origin, reading, method).route() == chosen.route())
    }

    /// The methods that some route takes there: what `Allow` says beside a 405 (RFC 9110 section 15.5.6).
    pub fn methods(&self, origin: usize, path: &str) -> Vec<&Method> {
        let mut methods = Vec::new();
        let paths = self.origins.get(origin);
        for candidate in self.prefixes(path).filter_map(|prefix| paths?.get(prefix)).flatten() {
            for method in &candidate.methods {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        methods
    }

    /// The path and its parents, as far as any route's path is as long.
    fn prefixes<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> + use<'p> {
        let longest = self.longest;
        prefixes(path).skip_while(move |prefix| prefix.len() > longest)
    }

    /// The routes that can never match, and those between which only the order in the file could decide.
    fn conflicts(&self, routes: usize) -> Vec<Conflict> {
        let mut reachable = vec![false; routes];
        let mut found = Vec::new();
        for candidates in self.origins.iter().flat_map(HashMap::values) {
            for (place, candidate) in candidates.iter().enumerate() {
                let better = candidates.get(..place).unwrap_or_default();
                let rival =
                    better.iter().find(|other| other.as_specific_as(candidate) && other.overlaps(candidate));
                match (rival, candidate.shadowed_by(better)) {
                    (Some(first), _) => found.push((first.place, candidate.place, true)),
                    (None, Some(first)) => found.push((first.place, candidate.place, false)),
                    (None, None) => {
                        if let Some(slot) = reachable.get_mut(candidate.place) {
                            *slot = true;
                        }
                    }
                }
            }
        }
        // A route that loses under one origin may still win under another; a tie is wrong wherever it is.
        found.retain(|(_, second, tie)| *tie || reachable.get(*second) == Some(&false));
        let mut conflicts: Vec<_> =
            found.into_iter().map(|(first, second, _)| Conflict { first, second }).collect();
        conflicts.sort_by_key(|conflict| (conflict.second, conflict.first));
        conflicts.dedup_by_key(|conflict| conflict.second);
        conflicts
    }
}

fn paths_of(origin: &Origin, routes: &[Matcher]) -> HashMap<String, Vec<Candidate>> {
    let mut paths: HashMap<String, Vec<Candidate>> = HashMap::new();
    for (place, matcher) in routes.iter().enumerate() {
        if let Some(host) = matcher.host_rank(origin) {
            let (methods, route) = (matcher.methods.clone(), matcher.route);
            let candidate = Candidate { host, methods, place, route };
            paths.entry(without_final_slash(&matcher.path).to_owned()).or_default().push(candidate);
        }
    }
    for candidates in paths.values_mut() {
        candidates.sort_by_key(|c| (Reverse(c.host), c.methods.is_empty(), c.place));
    }
    paths
}

impl Matcher {
    /// How specifically this route names the origin's host; `None` if it names only others.
    fn host_rank(&self, origin: &Origin) -> Option<HostRank> {
        if self.hosts.is_empty() {
            return Some(HostRank::Any);
        }
        let rank = |host: &String| {
            let with_port = host.strip_prefix(origin.host()).and_then(|rest| rest.strip_prefix(':'));
            if with_port.is_some_and(|port| port == origin.port().to_string()) {
                Some(HostRank::HostAndPort)
            } else {
                (host == origin.host()).then_some(HostRank::Host)
            }
        };
        self.hosts.iter().filter_map(rank).max()
    }
}

impl Candidate {
    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    fn as_specific_as(&self, other: &Self) -> bool {
        self.host == other.host && self.methods.is_empty() == other.methods.is_empty()
    }

    /// One of the better candidates, if together they take every method of this one.
    fn shadowed_by<'a>(&self, better: &'a [Self]) -> Option<&'a Self> {
        let taken = |method| better.iter().find(|other| other.takes(method));
        match self.methods.split_first() {
            None => better.iter().find(|other| other.methods.is_empty()),
            Some((first, rest)) => taken(first).filter(|_| rest.iter().all(|method| taken(method).is_some())),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|method| other.takes(method))
    }
}

/// `/a/b/c`, `/a/b`, `/a`, `/`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(without_final_slash(path)), |path| parent(path))
}

fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 => (path != "/").then_some("/"),
        slash => path.get(..slash),
    }
}

fn without_final_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(shorter) => shorter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Vec<Origin> {
        ["https://api.example.com", "https://api.example.com:8443", "https://other.example.com"]
            .map(|text| Origin::parse(text).unwrap())
            .to_vec()
    }

    fn matcher(hosts: &[&str], path: &str, methods: &[Method]) -> Matcher {
        Matcher {
            route: RouteId(0),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            path: path.to_owned(),
            methods: methods.to_vec(),
        }
    }

    #[test]
    fn the_longest_path_wins_then_the_host_then_the_methods() {
        let routes = [
            matcher(&[], "/", &[]),
            matcher(&[], "/orders", &[]),
            matcher(&[], "/orders", &[Method::GET]),
            matcher(&["api.example.com"], "/orders", &[]),
            matcher(&["api.example.com:8443"], "/orders", &[]),
            matcher(&[], "/orders/archive", &[Method::GET]),
        ];
        let numbered = routes.into_iter().enumerate();
        let routes: Vec<_> =
            numbered.map(|(number, matcher)| Matcher { route: RouteId(number), ..matcher }).collect();
        let table = Table::new(&origins(), &routes).unwrap();
        let cases = [
            (0, "/", Method::GET, 0),
            (0, "/ordersx", Method::GET, 0),
            (0, "/orders", Method::GET, 3),
            (0, "/orders/", Method::GET, 3),
            (0, "/orders/1/lines", Method::PUT, 3),
            (1, "/orders", Method::GET, 4),
            (2, "/orders", Method::GET, 2),
            (2, "/orders", Method::PUT, 1),
            (0, "/orders/archive/2025", Method::GET, 5),
            (0, "/orders/archive", Method::PUT, 3),
            (0, "/orders/archive%2Fx", Method::GET, 3),
        ];
        for (origin, path, method, route) in cases {
            assert_eq!(
                table.choose(origin, path, &method),
                Choice::Route(RouteId(route)),
                "{origin} {method} {path}"
            );
        }
    }

    #[test]
    fn absence_denies() {
        let table = Table::new(&origins(), &[matcher(&["other.example.com"], "/a", &[Method::GET])]).unwrap();
        assert_eq!(table.choose(2, "/a/b", &Method::GET), Choice::Route(RouteId(0)));
        assert_eq!(table.choose(2, "/a", &Method::HEAD), Choice::MethodNotAllowed);
        assert_eq!(table.methods(2, "/a/b"), [Method::GET]);
        assert_eq!(table.choose(2, "/b", &Method::GET), Choice::NotFound);
        assert_eq!(table.choose(0, "/a", &Method::GET), Choice::NotFound);
        assert_eq!(table.choose(9, "/a", &Method::GET), Choice::NotFound);
    }

    #[test]
    fn a_route_that_can_never_match_is_a_conflict() {
        let all = ["api.example.com", "other.example.com"];
        let get_put = [Method::GET, Method::PUT];
        let cases: [(&str, Vec<Matcher>, bool); 6] = [
            ("the same twice", vec![matcher(&[], "/a", &[]), matcher(&[], "/a/", &[])], true),
            (
                "hosts cover every origin",
                vec![matcher(&all, "/a", &[]), matcher(&[], "/a", &[Method::GET])],
                true,
            ),
            (
                "hosts leave one origin",
                vec![matcher(&["api.example.com"], "/a", &[]), matcher(&[], "/a", &[])],
                false,
            ),
            (
                "overlapping methods",
                vec![matcher(&[], "/a", &get_put), matcher(&[], "/a", &[Method::PUT])],
                true,
            ),
            (
                "disjoint methods",
                vec![matcher(&[], "/a", &[Method::GET]), matcher(&[], "/a", &[Method::PUT])],
                false,
            ),
            ("a path below", vec![matcher(&[], "/a", &[]), matcher(&[], "/a/b", &[])], false),
        ];
        for (case, routes, conflicting) in cases {
            let conflicts = Table::new(&origins(), &routes).err();
            let expected = conflicting.then(|| vec![Conflict { first: 0, second: 1 }]);
            assert_eq!(conflicts, expected, "{case}");
        }
    }
}

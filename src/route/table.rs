//! The table of routes: the longest matching path wins, then the more specific host, then the one with methods.

use http::Method;
use std::collections::HashMap;

/// Which route: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// `host` (any port) or `host:port`, in lower case; empty: every public origin.
    pub hosts: Vec<String>,
    /// A canonical path; it matches itself and everything below it, by whole segments. `/` matches all.
    pub path: String,
    /// The methods, compared to the letter; empty: any.
    pub methods: Vec<Method>,
}

/// Two routes of which the later can never match: the earlier takes all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The one that stands.
    pub first: RouteId,
    /// The one that can never match.
    pub second: RouteId,
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

/// All routes, by authority and path.
#[derive(Debug, Default)]
pub struct Table {
    _paths: HashMap<String, Vec<RouteId>>,
}

impl Table {
    /// The table for these routes, in the configuration's order, which does not matter, under these public authorities
    /// ([`crate::uri::Origin::authority`] and [`crate::uri::Origin::host`]).
    ///
    /// # Errors
    /// Every pair of which one can never match.
    pub fn new(_authorities: &[crate::uri::Origin], _routes: &[Matcher]) -> Result<Self, Vec<Conflict>> {
        todo!()
    }

    /// The route for a request to the origin in place `origin` of the list given to [`Table::new`].
    pub fn choose(&self, _origin: usize, _path: &str, _method: &Method) -> Choice {
        todo!()
    }
}

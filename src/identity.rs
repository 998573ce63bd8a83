//! Identity headers: strip every spelling of them, then set them from a verified token.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A route's identity headers: which claim goes into which header.
#[derive(Clone, Debug)]
pub struct IdentityMap {
    /// Header and claim path (`sub`, `cnf.jkt`), in the configuration's order.
    pub headers: Vec<(HeaderName, String)>,
}

/// The names that no client may send, in any spelling: those of every route, and what we alone may say.
#[derive(Debug, Default)]
pub struct Protected(());

/// A claim's value cannot be a header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrepresentable;

/// The values of one token for one route, ready to be set.
pub type Rendered = Vec<(HeaderName, HeaderValue)>;

impl Protected {
    /// Protects the headers of all routes' maps.
    pub fn new<'a>(_maps: impl Iterator<Item = &'a IdentityMap>) -> Self {
        todo!()
    }
    /// Whether a header of this name aliases a protected one: letters and digits compared without case, every other character ignored.
    pub fn covers(&self, _name: &str) -> bool {
        todo!()
    }
    /// Removes every header that aliases a protected one.
    pub fn strip(&self, _headers: &mut HeaderMap) {
        todo!()
    }
}

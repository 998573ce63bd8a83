//! Browser clients: which origins a route lets read its answers, and preflights (WHATWG Fetch; C01-C06).

use super::forward::Answer;
use super::locate::Place;
use super::{Gateway, Route, respond};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method};

/// The request's origin, if the route allows it: one of the configured ones, never `null` or just any.
pub(super) fn allowed<'o>(route: &Route, origin: Option<&'o HeaderValue>) -> Option<&'o HeaderValue> {
    let origins = &route.cors.as_ref()?.origins;
    origin.filter(|origin| origins.iter().any(|allowed| *allowed == **origin))
}

impl Gateway {
    /// A preflight asks on behalf of another method: the route of that one answers, and the upstream is never asked without credentials.
    pub(super) fn preflight(&self, head: &Parts, place: &Place<'_, '_>) -> Option<(Answer, &Route)> {
        if !respond::is_preflight(&head.method, &head.headers) {
            return None;
        }
        let requested = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes();
        let route = self.route(place, &Method::from_bytes(requested).ok()?).ok()?;
        allowed(route, head.headers.get(ORIGIN))?;
        Some((Answer::Preflight(head.headers.clone()), route))
    }
}

//! What was asked: one authority, one path, one route (RFC 9112 section 3.2, RFC 9113 section 8.3.1).

use super::{Authority, Question};
use crate::authorize::Asked;
use crate::config::{Plan, RoutePlan};
use crate::denial::{AuthorityError, Denial};
use crate::dpop::TargetUri;
use crate::names::{ById, RouteId};
use crate::route::{Choice, Table};
use crate::uri::{CanonicalPath, Origin, PathError, Scheme};
use http::{HeaderValue, Method};
use std::borrow::Cow;
use std::sync::Arc;

/// The longest request target that is read, path and query, in bytes.
pub(super) const MAX_TARGET: usize = 8 * 1024;

/// Where everything that can be asked for is.
#[derive(Debug)]
pub(super) struct Map {
    sites: Vec<Site>,
    /// Their origins, in words.
    served: String,
    table: Arc<Table>,
    /// Which routes take an encoded slash.
    keeps_encoded_slashes: ById<RouteId, bool>,
}

/// One of the names that clients may call us by.
#[derive(Debug)]
pub struct Site {
    /// The origin.
    pub origin: Origin,
    /// Its authority, as the upstream sees it in `Host`.
    pub host: HeaderValue,
}

/// What was asked, without doubt.
#[derive(Debug)]
pub(super) struct Located<'m, 'q> {
    pub(super) site: &'m Site,
    pub(super) path: CanonicalPath<'q>,
    number: usize,
}

impl Map {
    pub(super) fn new(plan: &Plan) -> Self {
        let site = |origin: &Origin| {
            // An origin's characters are those of a header value.
            let host =
                HeaderValue::from_str(origin.authority()).unwrap_or(HeaderValue::from_static("invalid"));
            Site { origin: origin.clone(), host }
        };
        Self {
            sites: plan.origins.iter().map(site).collect(),
            served: plan.origins.iter().map(Origin::as_str).collect::<Vec<_>>().join(" "),
            table: Arc::clone(&plan.table),
            keeps_encoded_slashes: plan
                .routes
                .iter()
                .map(|route| (route.id, route.keep_encoded_slashes))
                .collect(),
        }
    }

    /// Finds out which of our origins was asked, and for what path.
    ///
    /// # Errors
    /// The request means nothing here, or more than one thing.
    pub(super) fn locate<'m, 'q>(&'m self, question: &Question<'q>) -> Result<Located<'m, 'q>, Denial> {
        if matches!(*question.method, Method::CONNECT | Method::TRACE) {
            return Err(Denial::MethodNotAllowed);
        }
        let query = question.query.map_or(0, |query| query.len().saturating_add(1));
        if question.path.len().saturating_add(query) > MAX_TARGET {
            return Err(Denial::TargetTooLong);
        }
        let number = self.origin_of(question.authority?, question.scheme)?;
        let site = self.sites.get(number).ok_or(AuthorityError::Unknown)?;
        let path = CanonicalPath::parse(question.path)?;
        if question.query.is_some_and(|query| !query.is_ascii()) {
            // No URI has them, and each upstream would decode them in its own way.
            return Err(PathError::Character.into());
        }
        Ok(Located { site, path, number })
    }

    /// Whether several of our origins have this authority: they differ in scheme alone.
    pub(super) fn needs_scheme(&self, authority: &str) -> bool {
        self.sites.iter().filter(|site| site.origin.is_authority(authority)).count() > 1
    }

    /// The origins that clients may call us by.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.sites.iter().map(|site| &site.origin)
    }

    /// The same in words, for the log.
    pub(super) fn served(&self) -> &str {
        &self.served
    }

    /// The route that takes this method there.
    ///
    /// # Errors
    /// None does; or the path has an encoded slash, which the route does not keep.
    pub(super) fn route(&self, place: &Located<'_, '_>, method: &Method) -> Result<RouteId, Denial> {
        let keeps = |route: &RouteId| self.keeps_encoded_slashes.get(*route) == Some(&true);
        let choice = self.table.choose(place.number, place.path.as_str(), method);
        match choice {
            Choice::Route(route) if place.path.has_encoded_slash() && !keeps(&route) => {
                Err(PathError::EncodedSlash.into())
            }
            Choice::MethodNotAllowed | Choice::NotFound if place.path.has_encoded_slash() => {
                Err(PathError::EncodedSlash.into())
            }
            _ if !self.table.is_read_alike(place.number, &place.path, method, choice) => {
                Err(PathError::ReadDifferently.into())
            }
            Choice::Route(route) => Ok(route),
            Choice::MethodNotAllowed => Err(Denial::MethodNotAllowed),
            Choice::NotFound => Err(Denial::NoRoute),
        }
    }

    /// What `Allow` says there (RFC 9110 section 10.2.1).
    pub(super) fn allow(&self, place: &Located<'_, '_>) -> Option<HeaderValue> {
        let methods = self.table.methods(place.number, place.path.as_str());
        HeaderValue::try_from(methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", "))
            .ok()
    }

    /// The place of the one origin that the request names.
    fn origin_of(&self, authority: Authority<'_>, scheme: Scheme) -> Result<usize, AuthorityError> {
        match authority {
            Authority::One(one) => self.named(one, scheme),
            Authority::Target { target, host } => {
                self.named(host, scheme)?;
                self.named(target, scheme)
            }
            Authority::Same(target, host) => {
                let target = self.named(target, scheme)?;
                if self.named(host, scheme) == Ok(target) { Ok(target) } else { Err(AuthorityError::Invalid) }
            }
        }
    }

    /// The origin with this authority; of two that differ in scheme alone, the one with the connection's.
    fn named<'m>(&'m self, authority: &str, scheme: Scheme) -> Result<usize, AuthorityError> {
        let is = |(place, site): (usize, &'m Site)| {
            site.origin.is_authority(authority).then_some((place, &site.origin))
        };
        let mut all = self.sites.iter().enumerate().filter_map(is);
        match all.next() {
            Some((place, first)) if first.scheme() == scheme => Ok(place),
            Some((place, _)) => {
                Ok(all.find(|(_, other)| other.scheme() == scheme).map_or(place, |(other, _)| other))
            }
            None if Origin::from_authority(scheme, &without_root(authority)).is_ok() => {
                Err(AuthorityError::Unknown)
            }
            None => Err(AuthorityError::Invalid),
        }
    }
}

impl Located<'_, '_> {
    /// The question as far as it matters for who may ask.
    pub(super) fn asked<'a>(&'a self, question: &Question<'a>) -> Asked<'a> {
        let target = TargetUri { origin: &self.site.origin, path: self.path.as_str() };
        Asked {
            method: question.method,
            target,
            query: question.query,
            headers: question.headers,
            certificate: question.certificate,
            introspected: None,
        }
    }
}

/// Where this question leads, as the gate of this plan would find it: which origin, what path, and the route. For `keyproof explain`.
///
/// # Errors
/// It leads nowhere.
pub fn route_of<'p>(
    plan: &'p Plan,
    question: &Question<'_>,
) -> Result<(Origin, String, &'p RoutePlan), Denial> {
    let map = Map::new(plan);
    let place = map.locate(question)?;
    let id = map.route(&place, question.method)?;
    let route = plan.routes.iter().find(|route| route.id == id).ok_or(Denial::NoRoute)?;
    Ok((place.site.origin.clone(), place.path.as_str().to_owned(), route))
}

/// The authority without the dot of the root (RFC 1034 section 3.1): a valid name, but never one of ours.
fn without_root(authority: &str) -> Cow<'_, str> {
    match authority.strip_suffix('.') {
        Some(name) => name.into(),
        None => authority.replacen(".:", ":", 1).into(),
    }
}

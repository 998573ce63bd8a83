//! Which listener, which route, which upstream, which issuer: identities that last as long as the process.
//!
//! The configuration knows them by name, and the order in the file never matters. A name that was seen once keeps its number, whatever is
//! read later: an open connection stays with its listener, and a route's counters with the route, when a reload reorders the file.

use std::fmt;
use std::marker::PhantomData;

/// An identity: a number that belongs to one name.
pub trait Id: Copy + fmt::Debug {
    /// The identity with this number.
    fn new(number: usize) -> Self;
    /// Its number, from 0 without gaps.
    fn number(self) -> usize;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub usize);

        impl Id for $name {
            fn new(number: usize) -> Self {
                Self(number)
            }

            fn number(self) -> usize {
                self.0
            }
        }
    )*};
}

ids! {
    /// Which listener.
    ListenerId;
    /// Which route.
    RouteId;
    /// Which upstream.
    UpstreamId;
    /// Which issuer.
    IssuerId;
}

/// Every name that a configuration had so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of listeners.
    pub listeners: Register<ListenerId>,
    /// Of routes.
    pub routes: Register<RouteId>,
    /// Of upstreams.
    pub upstreams: Register<UpstreamId>,
    /// Of issuers.
    pub issuers: Register<IssuerId>,
}

/// The names of one kind, each with the identity that is its for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<I> {
    names: Vec<String>,
    kind: PhantomData<I>,
}

/// Something for each of some identities.
#[derive(Clone, Debug)]
pub struct ById<I, T> {
    things: Vec<Option<T>>,
    kind: PhantomData<I>,
}

impl<I: Id> Register<I> {
    /// The identity of this name: the one it has, or else a new one.
    pub fn id(&mut self, name: &str) -> I {
        let known = self.names.iter().position(|known| known == name);
        I::new(known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len().saturating_sub(1)
        }))
    }

    /// All names, by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl<I> Default for Register<I> {
    fn default() -> Self {
        Self { names: Vec::new(), kind: PhantomData }
    }
}

impl<I, S: Into<String>> FromIterator<S> for Register<I> {
    fn from_iter<N: IntoIterator<Item = S>>(names: N) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), kind: PhantomData }
    }
}

impl<I: Id, T> ById<I, T> {
    /// Everything, in the order of the identities.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.iter().flatten()
    }

    /// Everything with its identity.
    pub fn pairs(&self) -> impl Iterator<Item = (I, &T)> {
        self.things.iter().enumerate().filter_map(|(number, thing)| Some((I::new(number), thing.as_ref()?)))
    }

    /// What there is for this identity.
    pub fn get(&self, id: I) -> Option<&T> {
        self.things.get(id.number())?.as_ref()
    }
}

impl<I: Id, T> FromIterator<(I, T)> for ById<I, T> {
    fn from_iter<N: IntoIterator<Item = (I, T)>>(all: N) -> Self {
        let mut things = Vec::new();
        for (id, thing) in all {
            if things.len() <= id.number() {
                things.resize_with(id.number().saturating_add(1), || None);
            }
            if let Some(slot) = things.get_mut(id.number()) {
                *slot = Some(thing);
            }
        }
        Self { things, kind: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_identity_in_whatever_order_it_comes_again() {
        let mut routes = Register::<RouteId>::default();
        let first: Vec<_> = ["orders", "health"].map(|name| routes.id(name)).into();
        assert_eq!(first, [RouteId(0), RouteId(1)]);
        let second: Vec<_> = ["carts", "health", "orders"].map(|name| routes.id(name)).into();
        assert_eq!(second, [RouteId(2), RouteId(1), RouteId(0)]);
        assert_eq!(routes.names(), ["orders", "health", "carts"]);
    }

    #[test]
    fn what_is_kept_by_identity_is_found_by_it_alone() {
        let kept: ById<RouteId, &str> = [(RouteId(3), "d"), (RouteId(1), "b")].into_iter().collect();
        assert_eq!(
            [0, 1, 2, 3, 4].map(|number| kept.get(RouteId(number)).copied()),
            [None, Some("b"), None, Some("d"), None]
        );
        assert_eq!(kept.pairs().collect::<Vec<_>>(), [(RouteId(1), &"b"), (RouteId(3), &"d")]);
    }
}

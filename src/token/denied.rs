//! Whom the operator denies, whatever issuers say: keys, certificates, tokens, clients and subjects.
//!
//! A [`DenyList`] is what a file says, [`Denied`] the one in force. It is asked about every token of every request, remembered ones too, and
//! about those whose answers still run: nothing that was found out earlier stands in its way.

use super::{Confirmation, IssuerId, VerifiedToken};
use crate::jose::{Sha256, Thumbprint, json};
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What one line denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `jkt`: every token that is bound to this key.
    Key(Thumbprint),
    /// `x5t`: every token that is bound to the certificate with this thumbprint (RFC 8705 section 3.1).
    Certificate(Sha256),
    /// `jti`: the tokens with this one.
    Token(String),
    /// `client`: the tokens of this client, of one issuer or of any.
    Client(Option<IssuerId>, String),
    /// `sub`: the same for a subject.
    Subject(Option<IssuerId>, String),
}

/// By which kind of entry a token is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeniedBy {
    /// `jkt`
    Key,
    /// `x5t`
    Certificate,
    /// `jti`
    Token,
    /// `client`
    Client,
    /// `sub`
    Subject,
}

impl DeniedBy {
    /// What the line begins with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "jkt",
            Self::Certificate => "x5t",
            Self::Token => "jti",
            Self::Client => "client",
            Self::Subject => "sub",
        }
    }
}

/// All that is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    keys: HashSet<Thumbprint>,
    certificates: HashSet<Sha256>,
    tokens: HashSet<Box<str>>,
    clients: Named,
    subjects: Named,
}

/// Names, of any issuer or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    of_any: HashSet<Box<str>>,
    of_one: HashMap<IssuerId, HashSet<Box<str>>>,
}

impl Named {
    fn add(&mut self, issuer: Option<IssuerId>, name: String) {
        let names = issuer.map_or(&mut self.of_any, |issuer| self.of_one.entry(issuer).or_default());
        names.insert(name.into());
    }

    fn has(&self, issuer: IssuerId, name: Option<&str>) -> bool {
        let is_in =
            |names: &HashSet<Box<str>>| !names.is_empty() && name.is_some_and(|name| names.contains(name));
        is_in(&self.of_any) || self.of_one.get(&issuer).is_some_and(is_in)
    }

    fn len(&self) -> usize {
        self.of_one.values().map(HashSet::len).sum::<usize>().saturating_add(self.of_any.len())
    }
}

impl FromIterator<Entry> for DenyList {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let mut list = Self::default();
        for entry in entries {
            match entry {
                Entry::Key(key) => drop(list.keys.insert(key)),
                Entry::Certificate(hash) => drop(list.certificates.insert(hash)),
                Entry::Token(jti) => drop(list.tokens.insert(jti.into())),
                Entry::Client(issuer, name) => list.clients.add(issuer, name),
                Entry::Subject(issuer, name) => list.subjects.add(issuer, name),
            }
        }
        list
    }
}

impl DenyList {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        let names = self.clients.len().saturating_add(self.subjects.len());
        [self.keys.len(), self.certificates.len(), self.tokens.len()]
            .iter()
            .fold(names, |sum, one| sum.saturating_add(*one))
    }

    /// Whether nobody is denied.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What denies this token, if anything does.
    fn denies(&self, token: &VerifiedToken) -> Option<DeniedBy> {
        let (key, certificate) = match token.confirmation() {
            Confirmation::None => (None, None),
            Confirmation::Key(key) => (Some(key), None),
            Confirmation::Certificate(hash) => (None, Some(hash)),
            Confirmation::KeyAndCertificate(key, hash) => (Some(key), Some(hash)),
        };
        let (issuer, has_jti) = (token.issuer(), |jti: &str| self.tokens.contains(jti));
        if key.is_some_and(|key| self.keys.contains(&key)) {
            Some(DeniedBy::Key)
        } else if certificate.is_some_and(|hash| self.certificates.contains(&hash)) {
            Some(DeniedBy::Certificate)
        } else if token.claim("jti").and_then(json::Value::as_str).is_some_and(has_jti) {
            Some(DeniedBy::Token)
        } else if self.clients.has(issuer, token.client_id()) {
            Some(DeniedBy::Client)
        } else if self.subjects.has(issuer, token.sub()) {
            Some(DeniedBy::Subject)
        } else {
            None
        }
    }
}

/// The list in force: the same for everything that runs, whichever configuration it began under.
#[derive(Debug, Default)]
pub struct Denied(ArcSwap<InForce>);

#[derive(Debug, Default)]
struct InForce {
    list: Arc<DenyList>,
    any: bool,
}

impl Denied {
    /// Puts a list in force, from the next question on.
    pub(super) fn put(&self, list: Arc<DenyList>) {
        let any = !list.is_empty();
        self.0.store(Arc::new(InForce { list, any }));
    }

    /// Whether anything is denied at all.
    pub fn any(&self) -> bool {
        self.0.load().any
    }

    /// What denies this token, if anything does.
    pub fn by(&self, token: &VerifiedToken) -> Option<DeniedBy> {
        let in_force = self.0.load();
        if in_force.any { in_force.list.denies(token) } else { None }
    }
}

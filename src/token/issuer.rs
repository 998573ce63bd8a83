//! An issuer: what its tokens must be, and the slot for its keys.

use super::{ClaimNames, IntrospectionRules, KeySet};
use crate::jose::Algorithm;
use crate::names::IssuerId;
use arc_swap::{ArcSwapOption, Guard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an issuer's tokens must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// Its name in the configuration: a metric label.
    pub name: String,
    /// Compared exactly with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    /// Which algorithms its tokens may use.
    pub algorithms: Vec<Algorithm>,
    /// Which `typ` values are access tokens (media types: compared without case, with or without
    /// `application/`).
    pub token_types: Vec<String>,
    /// Where it puts what RFC 9068 calls `client_id` and `scope`.
    pub claims: ClaimNames,
    /// Which claims its tokens must have beside `iss`, `exp` and `aud`, whatever their type; `None`: those of RFC 9068
    /// section 2.2 in an `at+jwt`, no others in a `JWT`.
    pub required_claims: Option<Vec<String>>,
    /// How much clocks may differ for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// How it is asked about tokens, where it is.
    pub introspection: Option<IntrospectionRules>,
}

/// An issuer's rules and the slot in which its current keys are published.
#[derive(Debug)]
pub struct Issuer {
    /// Which it is.
    pub id: IssuerId,
    /// The rules.
    pub rules: IssuerRules,
    keys: Arc<KeySlot>,
    /// The number of these rules: what was verified under others is verified again.
    pub(super) edition: u64,
}

/// Where an issuer's current keys are published. It is the same one as long as they come from the same source, whatever becomes of the rules.
#[derive(Debug, Default)]
pub struct KeySlot {
    slot: ArcSwapOption<Published>,
    publications: AtomicU64,
}

/// A key set and its number in one place, so that nobody sees the keys of one publication with the number of
/// another.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) keys: Arc<KeySet>,
    pub(super) generation: u64,
}

impl Issuer {
    /// Which edition of its rules these are: another number wherever they are others.
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    pub(super) fn new(id: IssuerId, rules: IssuerRules, edition: u64) -> Self {
        Self { id, rules, keys: Arc::default(), edition }
    }

    /// The same keys under these rules, with the edition that is given where they are others.
    pub(super) fn with_rules(&self, rules: IssuerRules, edition: u64) -> Self {
        let edition = if rules == self.rules { self.edition } else { edition };
        Self { id: self.id, rules, keys: Arc::clone(&self.keys), edition }
    }

    /// Where its keys are published.
    pub const fn slot(&self) -> &Arc<KeySlot> {
        &self.keys
    }

    /// Publishes a new key set.
    pub fn publish(&self, keys: KeySet) {
        self.keys.publish(keys);
    }

    /// The current keys, if there are any.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.keys()
    }

    /// The current keys and which publication they are.
    pub(super) fn published(&self) -> Guard<Option<Arc<Published>>> {
        self.keys.slot.load()
    }
}

impl KeySlot {
    /// Publishes a new key set; tokens verified with the one before are verified again when they come next.
    pub fn publish(&self, keys: KeySet) {
        let generation = self.publications.fetch_add(1, Ordering::Relaxed);
        self.slot.store(Some(Arc::new(Published { keys: Arc::new(keys), generation })));
    }

    /// Takes the keys back (too old to be trusted): no token of this issuer verifies until others are
    /// published.
    pub fn withdraw(&self) {
        self.slot.store(None);
    }

    /// The current keys, if there are any.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.slot.load().as_ref().map(|published| Arc::clone(&published.keys))
    }
}

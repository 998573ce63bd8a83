//! What becomes of a request that may pass.
//!
//! Most fronts hand on the client's own copy of a header that the answer leaves out. So whatever the upstream must not see from the client
//! is named.

use super::{Decisions, HandingOn};
use crate::authorize::{Credentials, Permit};
use crate::config::Authorization;
use crate::gate::Admitted;
use crate::headers::{DPOP, DPOP_NONCE};
use ::http::HeaderValue;
use ::http::header::{AUTHORIZATION, HeaderMap, HeaderName, ORIGIN};

/// How the front is to change the request, and what its client is to get beside the answer.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// Headers in place of the client's.
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
    /// Headers that the upstream must not see.
    pub(super) remove: Vec<HeaderName>,
    /// Headers of the answer to the client: the next nonce, and what a browser needs.
    pub(super) show: HeaderMap,
}

impl Decisions {
    /// The request may pass: with these headers in place of the client's.
    pub(super) fn passage(&self, asked: &HeaderMap, admitted: Admitted<'_, '_>) -> Passage {
        let Admitted { route, mut permit, .. } = admitted;
        let mut passage = Passage { set: permit.take_identity(), ..Passage::default() };
        // A value that is empty says as little as none.
        passage.set.retain(|(_, value)| !value.is_empty());
        passage.remove = self.without(&passage.set, asked);
        if let Some(handing_on) = self.handing_on.get(route) {
            hand_on_credentials(&mut passage, handing_on, &permit, asked);
        }
        if let Some(nonce) = self.gate.next_nonce(route, &permit) {
            passage.show.insert(DPOP_NONCE, nonce);
        }
        self.gate.show_to_browser(route, asked.get(ORIGIN), &mut passage.show);
        passage
    }

    /// What a request that is nobody's goes without.
    pub(super) fn nobodys(&self, asked: &HeaderMap) -> Vec<HeaderName> {
        self.without(&[], asked)
    }

    /// Every identity header but these, and the client's other spellings of them and of certificates: an application may take them for the
    /// same header.
    fn without(&self, set: &[(HeaderName, HeaderValue)], asked: &HeaderMap) -> Vec<HeaderName> {
        let is_set = |name: &HeaderName| set.iter().any(|(other, _)| other == name);
        let mut gone: Vec<_> = self.identity.iter().filter(|name| !is_set(name)).cloned().collect();
        let is_other = |name: &HeaderName| {
            self.other_certificates.covers(name.as_str()) && !self.certificates.contains(name)
        };
        for name in asked.keys().filter(|name| self.protected.covers(name.as_str()) || is_other(name)) {
            if !is_set(name) && !gone.contains(name) {
                gone.push(name.clone());
            }
        }
        gone
    }
}

/// What the upstream is to see of token and proof. While a route only observes, an API that checks them itself still gets both. Only a
/// token that this permit was given for becomes a Bearer token: what was not verified would look as if it had been.
fn hand_on_credentials(passage: &mut Passage, to: &HandingOn, permit: &Permit, asked: &HeaderMap) {
    if !to.observes {
        passage.remove.push(DPOP);
    }
    match to.authorization {
        Authorization::Remove if !to.observes => passage.remove.push(AUTHORIZATION),
        Authorization::Bearer if permit.passed() => {
            let credentials = Credentials::read(asked, None).ok();
            let bearer = credentials
                .and_then(|credentials| HeaderValue::try_from(format!("Bearer {}", credentials.token)).ok());
            passage.set.extend(bearer.map(|bearer| (AUTHORIZATION, bearer)));
        }
        Authorization::Remove | Authorization::Bearer | Authorization::Keep => {}
    }
}

//! What the front is told.
//!
//! Most fronts hand on the client's own copy of a header that the answer leaves out. So whatever the upstream must not see from the client
//! is in the answer, without a value: the front overwrites it.

use super::{ForwardAuth, HandingOn};
use crate::authorize::{Credentials, Permit};
use crate::config::Authorization;
use crate::gate::{Admitted, Answer, Refused};
use crate::headers::{DPOP, DPOP_NONCE};
use crate::observe::Exchange;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

const NOTHING: HeaderValue = HeaderValue::from_static("");

impl ForwardAuth {
    /// A preflight is answered, not let pass. A front that takes every 2xx for a permission at least sends it on as nobody's.
    pub(super) fn preflight(&self, head: &Parts, mut answer: Answer) -> Answer {
        self.take_identity_away(head, &mut answer.headers);
        answer
    }

    /// Every identity header without a value, and the client's other spellings of them: an application may take them for the same header.
    fn take_identity_away(&self, head: &Parts, headers: &mut HeaderMap) {
        let spoofed = head.headers.keys().filter(|name| self.protected.covers(name.as_str()));
        for name in self.identity.iter().chain(spoofed) {
            headers.insert(name.clone(), NOTHING);
        }
    }

    /// The request may pass: with these headers in place of the client's.
    pub(super) fn allow(&self, head: &Parts, admitted: Admitted<'_, '_>, exchange: &Exchange) -> Answer {
        let Admitted { route, mut permit, .. } = admitted;
        let mut answer = Answer::empty(StatusCode::OK, exchange.request_id());
        let headers = &mut answer.headers;
        self.take_identity_away(head, headers);
        for (name, value) in permit.take_identity() {
            headers.insert(name, value);
        }
        if let Some(handing_on) = self.handing_on.get(route) {
            hand_on_credentials(headers, handing_on, &permit, &head.headers);
        }
        // An answer is good for one request.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(nonce) = self.gate.next_nonce(route, &permit) {
            headers.insert(DPOP_NONCE, nonce);
        }
        self.gate.show_to_browser(route, head.headers.get(ORIGIN), headers);
        answer
    }
}

/// What the upstream is to see of token and proof. While a route only observes, an API that checks them itself still gets both. Only a
/// token that this permit was given for becomes a Bearer token: what was not verified would look as if it had been.
fn hand_on_credentials(headers: &mut HeaderMap, to: &HandingOn, permit: &Permit, asked: &HeaderMap) {
    if !to.observes {
        headers.insert(DPOP, NOTHING);
    }
    match to.authorization {
        Authorization::Remove if !to.observes => drop(headers.insert(AUTHORIZATION, NOTHING)),
        Authorization::Bearer if permit.passed() => {
            let credentials = Credentials::read(asked, None).ok();
            let bearer = credentials
                .and_then(|credentials| HeaderValue::try_from(format!("Bearer {}", credentials.token)).ok());
            if let Some(bearer) = bearer {
                headers.insert(AUTHORIZATION, bearer);
            }
        }
        Authorization::Remove | Authorization::Bearer | Authorization::Keep => {}
    }
}

/// The refusal as every front can pass it on: nginx keeps only the first `WWW-Authenticate` line, so all challenges stand in one, which is
/// the same (RFC 9110 section 11.6.1).
pub(super) fn refusal(refused: Refused) -> Answer {
    let mut answer = refused.answer;
    let challenges: Vec<_> =
        answer.headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes).collect();
    if challenges.len() > 1
        && let Ok(line) = HeaderValue::from_bytes(&challenges.join(&b", "[..]))
    {
        answer.headers.insert(WWW_AUTHENTICATE, line);
    }
    answer
}

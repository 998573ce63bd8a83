//! The refusal, as the client sees it, whichever door it leaves by.

use super::{Answer, Gate, Stop};
use crate::denial::{Denial, Kind};
use crate::headers::DPOP_NONCE;
use crate::names::RouteId;
use crate::observe::{Decision, Exchange};
use http::HeaderValue;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use std::sync::Arc;

/// A request that is refused: why, and the answer. It knows nothing of connections.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub denial: Denial,
    /// The route that says so, once there is one.
    pub route: Option<RouteId>,
    /// The answer.
    pub answer: Answer,
}

impl Gate {
    /// Makes the answer that the table of refusals says, and records it.
    pub(super) fn refuse(
        &self,
        stop: &Stop,
        origin: Option<&HeaderValue>,
        exchange: &mut Exchange,
    ) -> Box<Refused> {
        let denial = stop.refusal.denial;
        let kind = denial.row().kind;
        exchange.decided(Decision::Deny(denial));
        if let Some(token) = &stop.refusal.token {
            exchange.token(Arc::clone(token));
        }
        let mut answer =
            Answer::error(kind.status(), kind.error(), &denial.to_string(), exchange.request_id());
        let headers = &mut answer.headers;
        if let Some(rule) = stop.route.and_then(|route| self.rules.get(route)) {
            for challenge in self.challenges.render(&rule.policy, denial, stop.refusal.scheme) {
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    headers.append(WWW_AUTHENTICATE, challenge);
                }
            }
        }
        if kind == Kind::UseNonce {
            exchange.nonce_challenged();
            if let Ok(nonce) = HeaderValue::try_from(self.authorizer.challenge_nonce(self.clock.moment())) {
                headers.insert(DPOP_NONCE, nonce);
            }
        }
        if let Some(allow) = &stop.allow {
            headers.insert(ALLOW, allow.clone());
        }
        if let Some(seconds) = kind.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(route) = stop.route {
            self.show_to_browser(route, origin, headers);
        }
        Box::new(Refused { denial, route: stop.route, answer })
    }
}

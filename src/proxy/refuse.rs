//! The refusal, as the client sees it.

use super::{Body, Gateway, Stop, cors, respond};
use crate::clock::UnixTime;
use crate::denial::{Denial, Kind};
use crate::observe::Exchange;
use http::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};
use std::sync::Arc;

impl Gateway {
    /// Answers with what the table of refusals says, and records it.
    pub(super) fn refuse(
        &self,
        stop: &Stop<'_>,
        origin: Option<&HeaderValue>,
        now: UnixTime,
        mut exchange: Exchange,
    ) -> Response<Body> {
        let denial = stop.refusal.denial;
        let kind = denial.row().kind;
        if let Some(token) = &stop.refusal.token {
            exchange.token(Arc::clone(token));
        }
        exchange.status(kind.status());
        if kind == Kind::UseNonce {
            exchange.nonce_challenged();
        }
        let request_id = exchange.request_id();
        let body = respond::error_body(kind.error(), &denial.to_string());
        let mut response = respond::json(kind.status(), body, request_id, exchange);

        let headers = response.headers_mut();
        if let Some(route) = stop.route {
            for challenge in self.challenges.render(&route.policy, denial, stop.refusal.scheme) {
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    headers.append(WWW_AUTHENTICATE, challenge);
                }
            }
        }
        if kind == Kind::UseNonce
            && let Ok(nonce) = HeaderValue::try_from(self.authorizer.challenge_nonce(now))
        {
            headers.insert(HeaderName::from_static("dpop-nonce"), nonce);
        }
        if let Some(allow) = &stop.allow {
            headers.insert(ALLOW, allow.clone());
        }
        if let Some(seconds) = kind.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if denial == Denial::Body {
            respond::close(headers);
        }
        if let Some(origin) = stop.route.and_then(|route| cors::allowed(route, origin)) {
            respond::allow_origin(headers, origin);
        }
        response
    }
}

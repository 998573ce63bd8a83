//! `/doctor`: where a mark is registered, and what came with it is told.
//!
//! Whoever may ask for the configuration may ask here, but never on behalf of a page.

use super::Facts;
use super::answer::{JSON, TEXT, page};
use crate::doctor::{NotRegistered, Told};
use crate::headers::{X_KEYPROOF_DOCTOR, only};
use http::header::{ALLOW, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use serde_json::json;

/// The longest body that is read: a mark and the end of its line.
const LONGEST: usize = 64;

/// Answers a request for `/doctor`.
pub(super) async fn answer(request: Request<Incoming>, facts: &Facts) -> Response<Full<Bytes>> {
    if request.headers().contains_key(ORIGIN) {
        return page(StatusCode::FORBIDDEN, TEXT, "not for pages\n");
    }
    match *request.method() {
        Method::POST => register(request, facts).await,
        Method::GET => tell(&request, facts),
        _ => {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
            refusal
        }
    }
}

async fn register(request: Request<Incoming>, facts: &Facts) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), LONGEST).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mark = str::from_utf8(&body).unwrap_or_default().trim();
    match facts.marks.register(mark, facts.clock.moment().steady) {
        Ok(()) => page(StatusCode::CREATED, TEXT, "registered\n"),
        Err(why) => {
            let status = match why {
                NotRegistered::Malformed => StatusCode::BAD_REQUEST,
                NotRegistered::Known => StatusCode::CONFLICT,
                NotRegistered::TooMany => StatusCode::TOO_MANY_REQUESTS,
            };
            page(status, TEXT, format!("{why}\n"))
        }
    }
}

/// What came with the mark that this request names, too: in a field, so that it stands in no log.
fn tell(request: &Request<Incoming>, facts: &Facts) -> Response<Full<Bytes>> {
    let mark = only(request.headers(), &X_KEYPROOF_DOCTOR).ok().flatten().and_then(|line| line.to_str().ok());
    match mark.and_then(|mark| facts.marks.tell(mark, facts.clock.moment().steady)) {
        None => page(StatusCode::NOT_FOUND, TEXT, "no such mark\n"),
        Some(Told::NotSeen) => {
            page(StatusCode::OK, JSON, format!("{}\n", json!({ "times": 0, "seen": null })))
        }
        Some(Told::Seen(sighting, times)) => {
            page(StatusCode::OK, JSON, format!("{:#}\n", json!({ "times": times, "seen": sighting })))
        }
    }
}

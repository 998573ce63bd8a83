//! Which path tells what.

use super::Facts;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Answers a request; its body is not read.
pub(super) fn answer<B>(request: &Request<B>, facts: &Facts) -> Response<Full<Bytes>> {
    let tell: fn(&Facts) -> Response<Full<Bytes>> = match request.uri().path() {
        "/metrics" => metrics,
        "/livez" => |_| page(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready,
        "/config" => config,
        _ => return page(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    tell(facts)
}

fn metrics(facts: &Facts) -> Response<Full<Bytes>> {
    let (content_type, text) = facts.metrics.render(facts.clock.now());
    page(StatusCode::OK, content_type, text)
}

/// One line for each thing that is waited for.
fn ready(facts: &Facts) -> Response<Full<Bytes>> {
    let reasons = facts.readiness.reasons();
    if reasons.is_empty() {
        return page(StatusCode::OK, TEXT, "ready\n");
    }
    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
}

fn config(facts: &Facts) -> Response<Full<Bytes>> {
    page(StatusCode::OK, JSON, format!("{:#}\n", facts.config.load()))
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

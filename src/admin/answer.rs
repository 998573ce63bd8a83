//! Which path tells what.

use super::{Configuration, Facts, Outcome};
use crate::observe::rfc3339;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// Answers a request; its body is not read.
pub(super) fn answer<B>(request: &Request<B>, facts: &Facts) -> Response<Full<Bytes>> {
    let tell: fn(&Facts) -> Response<Full<Bytes>> = match request.uri().path() {
        "/metrics" => metrics,
        "/livez" => |_| page(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready,
        "/config" => config,
        "/version" => version,
        _ => return not_found(),
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

/// One line for each thing that is waited for; then which configuration runs.
fn ready(facts: &Facts) -> Response<Full<Bytes>> {
    let mut lines = facts.readiness.reasons();
    let status = if lines.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if lines.is_empty() {
        lines.push("ready".to_owned());
    }
    let Configuration { file, digest, number, since, last, .. } = &**facts.configuration.load();
    let since = rfc3339(*since);
    lines.push(format!("configuration: {file}, SHA-256 {digest}, number {number}, since {since}"));
    if let Some(Outcome { at, rejected: Some(why) }) = last {
        lines.push(format!("the last reload was rejected at {}: {why}", rfc3339(*at)));
    }
    page(status, TEXT, lines.join("\n") + "\n")
}

fn config(facts: &Facts) -> Response<Full<Bytes>> {
    page(StatusCode::OK, JSON, format!("{:#}\n", facts.configuration.load().effective))
}

/// Which program and which configuration run, and what came of the last reload.
fn version(facts: &Facts) -> Response<Full<Bytes>> {
    let Configuration { file, digest, number, since, last, .. } = &**facts.configuration.load();
    let last = last.as_ref().map(|Outcome { at, rejected }| {
        let result = if rejected.is_some() { "rejected" } else { "success" };
        json!({ "at": rfc3339(*at), "result": result, "why": rejected })
    });
    let all = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": { "file": file, "sha256": digest, "number": number, "since": rfc3339(*since) },
        "last_reload": last,
    });
    page(StatusCode::OK, JSON, format!("{all:#}\n"))
}

pub(super) fn not_found() -> Response<Full<Bytes>> {
    page(StatusCode::NOT_FOUND, TEXT, "not found\n")
}

pub(super) fn page(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

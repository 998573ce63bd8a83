//! The legacy upstream: it knows nothing of tokens or proofs and echoes what reaches it.

use super::listen::{Reply, json};
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

/// Method, path and header lines of `request`, as JSON.
pub(super) fn echo<B>(request: &Request<B>) -> Reply {
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        let text = Value::from(String::from_utf8_lossy(value.as_bytes()));
        match headers.get_mut(name.as_str()) {
            None => drop(headers.insert(name.to_string(), text)),
            Some(Value::Array(lines)) => lines.push(text),
            Some(first) => *first = Value::Array(vec![first.take(), text]),
        }
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let seen = json!({ "method": request.method().as_str(), "path": path, "headers": headers });
    json(StatusCode::OK, &seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn every_line_of_a_header_is_echoed() {
        let request = Request::put("/orders?limit=1").header("x-a", "1").header("x-a", "2").body(()).unwrap();
        let body = echo(&request).into_body().collect().await.unwrap().to_bytes();
        let seen: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            seen,
            json!({ "method": "PUT", "path": "/orders?limit=1", "headers": { "x-a": ["1", "2"] } })
        );
    }
}

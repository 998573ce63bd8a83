//! An access token by client credentials (RFC 6749 section 4.4): bound to a key (RFC 9449 section 5), or to the client's certificate alone
//! (RFC 8705 section 3).

use super::header_value;
use super::http::{Answer, ClientError, HttpClient};
use super::proof::{self, NewProof};
use crate::clock::Clock;
use crate::headers::DPOP;
use crate::issuer::{first_good, well_known};
use crate::jose::PrivateKey;
use crate::net::client_secret_basic;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;
use url::form_urlencoded::Serializer;

/// How long all places where metadata may be have together.
const DISCOVERY: Duration = Duration::from_secs(10);

/// Who asks, and for what.
#[derive(Clone)]
pub struct ClientCredentials {
    /// `client_id`.
    pub client_id: String,
    /// The secret; none for a public client.
    pub client_secret: Option<String>,
    /// `scope`, space-delimited.
    pub scope: Option<String>,
    /// `resource` (RFC 8707), repeated.
    pub resources: Vec<String>,
}

/// Where tokens are issued, and how clients say who they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Its URI.
    pub uri: Uri,
    /// The secret goes into the body (`client_secret_post`), because the server's metadata does not list
    /// `client_secret_basic`.
    pub secret_in_body: bool,
}

/// A token as issued.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub access_token: String,
    /// `DPoP` if it is bound to the key.
    pub token_type: String,
    /// How long it lives, in seconds.
    pub expires_in: Option<u64>,
    /// Whether the server asked for a nonce first.
    pub challenged: bool,
}

// Neither shows what it keeps: both end up in logs and panics otherwise.
impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCredentials({})", self.client_id)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.token_type)
    }
}

/// Finds the token endpoint of `issuer`: RFC 8414 metadata first, then OpenID Connect Discovery, as keys are found.
///
/// # Errors
/// [`ClientError::Discovery`] with what was found at each place, where none has metadata of this very issuer (RFC 8414 section 3.3).
pub async fn discover(http: &HttpClient, issuer: &str) -> Result<TokenEndpoint, ClientError> {
    let failed = |reason: String| ClientError::Discovery { issuer: issuer.to_owned(), reason };
    let url = Url::parse(issuer).map_err(|error| failed(format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(failed("not an absolute http or https URL".to_owned()));
    }
    let ask = |place: Url| {
        let (http, issuer) = (http.clone(), issuer.to_owned());
        async move {
            let uri = place.as_str().parse().map_err(|_| "not a URL".to_owned())?;
            let answer = http.send(get(uri)).await.map_err(|error| error.to_string())?;
            match answer.status {
                StatusCode::OK => read_metadata(&issuer, &answer.body, http.shows_certificate()),
                status => Err(format!("answered {status}")),
            }
        }
    };
    let found = first_good(well_known(&url), DISCOVERY, ask).await;
    found.map(|(_, endpoint)| endpoint).map_err(|tried| failed(tried.to_string()))
}

/// Gets a token bound to `key`; follows one `use_dpop_nonce` challenge (RFC 9449 section 8). Without a key no proof is sent: what binds the
/// token then is the server's to say.
///
/// # Errors
/// [`ClientError::Token`] with what the server said, or [`ClientError::Transport`].
pub async fn fetch(
    http: &HttpClient,
    endpoint: &TokenEndpoint,
    credentials: &ClientCredentials,
    key: Option<&PrivateKey>,
    clock: &Clock,
) -> Result<Token, ClientError> {
    let ask = async |nonce: Option<&str>| {
        let htu = proof::htu(&endpoint.uri);
        let new = NewProof { method: &Method::POST, htu: &htu, token: None, nonce };
        let proof = key.map(|key| proof::sign(key, &new, clock.now()));
        http.send(request(endpoint, credentials, proof.as_deref())?).await
    };
    let first = ask(None).await?;
    match first.token_nonce_challenge() {
        Some(nonce) if key.is_some() => read_token(&ask(Some(nonce)).await?, true),
        Some(_) | None => read_token(&first, false),
    }
}

fn get(uri: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

/// A member that is null counts as absent.
#[derive(Deserialize)]
struct Metadata {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    mtls_endpoint_aliases: Option<Aliases>,
}

/// Where clients with a certificate go instead (RFC 8705 section 5).
#[derive(Deserialize)]
struct Aliases {
    token_endpoint: Option<String>,
}

fn read_metadata(issuer: &str, body: &[u8], with_certificate: bool) -> Result<TokenEndpoint, String> {
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|e| format!("the metadata cannot be read: {e}"))?;
    let named = metadata.issuer.ok_or("the metadata names no issuer")?;
    if named != issuer {
        return Err(format!("the metadata is of another issuer: {named}"));
    }
    let alias = metadata.mtls_endpoint_aliases.filter(|_| with_certificate);
    let alias = alias.and_then(|aliases| aliases.token_endpoint);
    let endpoint = alias.or(metadata.token_endpoint).ok_or("the metadata names no token_endpoint")?;
    let uri = endpoint.parse().map_err(|_| "its token_endpoint is not a URL".to_owned())?;
    // Absent means client_secret_basic alone (RFC 8414 section 2).
    let secret_in_body = metadata.token_endpoint_auth_methods_supported.is_some_and(|methods| {
        let lists = |name: &str| methods.iter().any(|method| method == name);
        !lists("client_secret_basic") && lists("client_secret_post")
    });
    Ok(TokenEndpoint { uri, secret_in_body })
}

fn request(
    endpoint: &TokenEndpoint,
    credentials: &ClientCredentials,
    proof: Option<&str>,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::new(Full::new(Bytes::from(form(endpoint, credentials))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(proof) = proof {
        headers.insert(DPOP, header_value("DPoP", proof)?);
    }
    if let (Some(secret), false) = (&credentials.client_secret, endpoint.secret_in_body) {
        let basic = client_secret_basic(&credentials.client_id, secret);
        let mut value = header_value("Authorization", &basic)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

fn form(endpoint: &TokenEndpoint, credentials: &ClientCredentials) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    match &credentials.client_secret {
        None => {
            form.append_pair("client_id", &credentials.client_id);
        }
        Some(secret) if endpoint.secret_in_body => {
            form.append_pair("client_id", &credentials.client_id);
            form.append_pair("client_secret", secret);
        }
        Some(_) => {}
    }
    if let Some(scope) = &credentials.scope {
        form.append_pair("scope", scope);
    }
    for resource in &credentials.resources {
        form.append_pair("resource", resource);
    }
    form.finish()
}

/// RFC 6749 sections 5.1 and 5.2 in one: some servers refuse with status 200. A member that is null counts as absent.
fn read_token(answer: &Answer, challenged: bool) -> Result<Token, ClientError> {
    let failed = |reason: String| ClientError::Token { status: answer.status, reason };
    let Ok(read) = serde_json::from_slice::<Map<String, Value>>(&answer.body) else {
        return Err(failed(no_json(answer)));
    };
    let text = |name: &str| read.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("error"), text("error_description")) {
        (Some(error), Some(text)) => return Err(failed(format!("{error} ({text})"))),
        (Some(error), None) => return Err(failed(error)),
        (None, _) if !answer.status.is_success() => {
            return Err(failed("no error code in the body".to_owned()));
        }
        (None, _) => {}
    }
    let needed = |name: &str| text(name).ok_or_else(|| failed(format!("no {name} in the body")));
    let (access_token, token_type) = (needed("access_token")?, needed("token_type")?);
    let expires_in = read.get("expires_in").and_then(seconds);
    Ok(Token { access_token, token_type, expires_in, challenged })
}

/// Whole seconds: a number as RFC 6749 section 5.1 has it, with a fraction too, or the same as text, as some servers write it. Anything
/// else says nothing: the member is only recommended.
fn seconds(expires_in: &Value) -> Option<u64> {
    let number = match expires_in {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Duration::try_from_secs_f64(number).ok().map(|duration| duration.as_secs())
}

/// What came instead of the JSON object of a token endpoint.
fn no_json(answer: &Answer) -> String {
    let header = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if answer.status.is_redirection() {
        let to = header(LOCATION).unwrap_or("nowhere");
        return format!("a redirect to {to}, which is not followed: name the endpoint itself");
    }
    if answer.body.is_empty() {
        return "the body is empty".to_owned();
    }
    let kind = header(CONTENT_TYPE).unwrap_or("of no type");
    let begin: String = String::from_utf8_lossy(&answer.body).trim_start().chars().take(120).collect();
    format!("the body is no JSON object but {kind}, and begins with {begin:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let body = br#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/token"}"#;
        assert!(read_metadata("https://id.example.com", body, false).unwrap_err().contains("another issuer"));
        let null = br#"{"issuer":null,"token_endpoint":"https://evil.example/token"}"#;
        assert!(read_metadata("https://id.example.com", null, false).unwrap_err().contains("no issuer"));
    }

    #[test]
    fn the_secret_goes_where_the_metadata_says() {
        let metadata = |methods: &str| {
            let text = format!(r#"{{"issuer":"i","token_endpoint":"https://i/t"{methods}}}"#);
            read_metadata("i", text.as_bytes(), false).unwrap().secret_in_body
        };
        assert!(!metadata(""));
        assert!(!metadata(r#","token_endpoint_auth_methods_supported":null"#));
        assert!(!metadata(
            r#","token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]"#
        ));
        assert!(metadata(r#","token_endpoint_auth_methods_supported":["client_secret_post"]"#));
    }

    /// RFC 8705 section 5.
    #[test]
    fn a_client_with_a_certificate_goes_where_one_is_asked_for() {
        let aliases = r#""mtls_endpoint_aliases":{"token_endpoint":"https://mtls.i/t"}"#;
        for (aliases, with_certificate, expected) in [
            (aliases, true, "https://mtls.i/t"),
            (aliases, false, "https://i/t"),
            (r#""mtls_endpoint_aliases":{}"#, true, "https://i/t"),
            (r#""mtls_endpoint_aliases":null"#, true, "https://i/t"),
        ] {
            let text = format!(r#"{{"issuer":"i","token_endpoint":"https://i/t",{aliases}}}"#);
            let endpoint = read_metadata("i", text.as_bytes(), with_certificate).unwrap();
            assert_eq!(endpoint.uri, expected, "{aliases}");
        }
    }

    #[test]
    fn the_form_names_the_client_only_where_the_header_does_not() {
        let mut credentials = ClientCredentials {
            client_id: "me".to_owned(),
            client_secret: Some("s&s".to_owned()),
            scope: Some("a b".to_owned()),
            resources: vec!["https://api/".to_owned()],
        };
        let at = |secret_in_body| TokenEndpoint { uri: Uri::from_static("https://i/t"), secret_in_body };
        let tail = "&scope=a+b&resource=https%3A%2F%2Fapi%2F";
        assert_eq!(form(&at(false), &credentials), format!("grant_type=client_credentials{tail}"));
        assert_eq!(
            form(&at(true), &credentials),
            format!("grant_type=client_credentials&client_id=me&client_secret=s%26s{tail}")
        );
        credentials.client_secret = None;
        assert_eq!(
            form(&at(false), &credentials),
            format!("grant_type=client_credentials&client_id=me{tail}")
        );
    }

    fn answer(status: u16, kind: &'static str, body: &'static str) -> Answer {
        let headers = [(CONTENT_TYPE, kind), (LOCATION, "https://login.test/")];
        Answer {
            version: http::Version::HTTP_11,
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .into_iter()
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn how_long_a_token_lives_is_read_however_it_is_written() {
        let rows = [
            ("3600", Some(3600)),
            (r#""3600""#, Some(3600)),
            (r#"" 3600 ""#, Some(3600)),
            ("3599.9", Some(3599)),
            (r#""3599.9""#, Some(3599)),
            ("3.6e3", Some(3600)),
            ("0", Some(0)),
            ("null", None),
            ("-1", None),
            ("1e300", None),
            (r#""soon""#, None),
            ("true", None),
            ("[3600]", None),
        ];
        for (written, expected) in rows {
            let text = format!(r#"{{"access_token":"at","token_type":"dpop","expires_in":{written}}}"#);
            let answer = Answer { body: text.into(), ..answer(200, "application/json", "") };
            let token = read_token(&answer, false).unwrap();
            assert_eq!((token.expires_in, token.token_type.as_str()), (expected, "dpop"), "{written}");
        }
        let without =
            answer(200, "application/json", r#"{"access_token":"at","token_type":"DPOP","scope":null}"#);
        assert_eq!(read_token(&without, false).unwrap().expires_in, None);
    }

    #[test]
    fn what_is_no_token_is_told_in_words() {
        let json = "application/json";
        let rows = [
            (answer(400, json, r#"{"error":"invalid_scope"}"#), "400 Bad Request: invalid_scope"),
            (
                answer(400, json, r#"{"error":"invalid_scope","error_description":null}"#),
                "400 Bad Request: invalid_scope",
            ),
            (answer(200, json, r#"{"error":"bad","error_description":"why"}"#), "200 OK: bad (why)"),
            (answer(401, json, "{}"), "401 Unauthorized: no error code in the body"),
            (answer(400, json, r#"{"error":null}"#), "400 Bad Request: no error code in the body"),
            (answer(200, json, r#"{"token_type":"DPoP"}"#), "200 OK: no access_token in the body"),
            (
                answer(200, json, r#"{"access_token":null,"token_type":"DPoP"}"#),
                "200 OK: no access_token in the body",
            ),
            (answer(200, json, r#"{"access_token":"at"}"#), "200 OK: no token_type in the body"),
            (
                answer(502, "text/html", "\n<h1>Bad \"gateway\"</h1>"),
                "502 Bad Gateway: the body is no JSON object but text/html, and begins with \"<h1>Bad \\\"gateway\\\"</h1>\"",
            ),
            (answer(200, "text/plain", ""), "200 OK: the body is empty"),
            (
                answer(302, "text/html", "moved"),
                "302 Found: a redirect to https://login.test/, which is not followed: name the endpoint itself",
            ),
            (
                answer(200, json, "[]"),
                "200 OK: the body is no JSON object but application/json, and begins with \"[]\"",
            ),
        ];
        for (answer, told) in rows {
            let error = read_token(&answer, false).unwrap_err().to_string();
            assert_eq!(error, format!("the token endpoint answered {told}"));
        }
    }
}

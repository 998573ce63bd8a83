//! A DPoP-bound access token by client credentials (RFC 6749 section 4.4, RFC 9449 section 5).

use super::header_value;
use super::http::{Answer, ClientError, HttpClient};
use super::proof::{self, NewProof};
use crate::clock::Clock;
use crate::headers::DPOP;
use crate::jose::PrivateKey;
use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

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

/// Finds the token endpoint of `issuer`: RFC 8414 metadata first, then OpenID Connect Discovery.
///
/// # Errors
/// [`ClientError::Discovery`] where neither is there, or the document names another issuer (RFC 8414
/// section 3.3).
pub async fn discover(http: &HttpClient, issuer: &str) -> Result<TokenEndpoint, ClientError> {
    let failed = |reason: String| ClientError::Discovery { issuer: issuer.to_owned(), reason };
    let mut tried = Vec::new();
    for place in well_known(issuer).map_err(failed)? {
        let answer = http.send(get(&place)).await.map_err(|e| failed(e.to_string()))?;
        if !answer.status.is_success() {
            tried.push(format!("{place} answered {}", answer.status.as_u16()));
            continue;
        }
        return read_metadata(issuer, &answer.body).map_err(failed);
    }
    Err(failed(tried.join(", ")))
}

/// Gets a token bound to `key`; follows one `use_dpop_nonce` challenge (RFC 9449 section 8).
///
/// # Errors
/// [`ClientError::Token`] with what the server said, or [`ClientError::Transport`].
pub async fn fetch(
    http: &HttpClient,
    endpoint: &TokenEndpoint,
    credentials: &ClientCredentials,
    key: &PrivateKey,
    clock: &Clock,
) -> Result<Token, ClientError> {
    let ask = async |nonce: Option<&str>| {
        let htu = proof::htu(&endpoint.uri);
        let new = NewProof { method: &Method::POST, htu: &htu, token: None, nonce };
        http.send(request(endpoint, credentials, &proof::sign(key, &new, clock.now()))?).await
    };
    let first = ask(None).await?;
    match first.token_nonce_challenge() {
        Some(nonce) => read_token(&ask(Some(nonce)).await?, true),
        None => read_token(&first, false),
    }
}

/// Where the metadata may be: RFC 8414 section 3.1 puts its suffix before the issuer's path, OpenID Connect
/// after it.
fn well_known(issuer: &str) -> Result<[Uri; 2], String> {
    let uri: Uri = issuer.parse().map_err(|_| "not a URL".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("not an absolute URL".to_owned());
    };
    let path = uri.path().trim_end_matches('/');
    let read = |text: String| text.parse().map_err(|_| "not a URL".to_owned());
    Ok([
        read(format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"))?,
        read(format!("{scheme}://{authority}{path}/.well-known/openid-configuration"))?,
    ])
}

fn get(uri: &Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

fn read_metadata(issuer: &str, body: &[u8]) -> Result<TokenEndpoint, String> {
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|e| format!("the metadata cannot be read: {e}"))?;
    if metadata.issuer != issuer {
        return Err(format!("the metadata is of another issuer: {}", metadata.issuer));
    }
    let endpoint = metadata.token_endpoint.ok_or("the metadata names no token_endpoint")?;
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
    proof: &str,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::new(Full::new(Bytes::from(form(endpoint, credentials))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(DPOP, header_value("DPoP", proof)?);
    if let (Some(secret), false) = (&credentials.client_secret, endpoint.secret_in_body) {
        let basic = basic(&credentials.client_id, secret);
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

/// `client_secret_basic`: both parts form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
    error_description: Option<String>,
}

fn read_token(answer: &Answer, challenged: bool) -> Result<Token, ClientError> {
    let failed = |reason: String| ClientError::Token { status: answer.status, reason };
    if !answer.status.is_success() {
        return Err(failed(match serde_json::from_slice::<TokenRefusal>(&answer.body) {
            Ok(TokenRefusal { error, error_description: Some(text) }) => format!("{error} ({text})"),
            Ok(TokenRefusal { error, error_description: None }) => error,
            Err(_) => "no error code in the body".to_owned(),
        }));
    }
    let token: TokenAnswer =
        serde_json::from_slice(&answer.body).map_err(|e| failed(format!("the body holds no token: {e}")))?;
    let (access_token, token_type) = (token.access_token, token.token_type);
    Ok(Token { access_token, token_type, expires_in: token.expires_in, challenged })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_rfcs_put_it() {
        let rows = [
            (
                "https://id.example.com",
                "https://id.example.com/.well-known/oauth-authorization-server",
                "https://id.example.com/.well-known/openid-configuration",
            ),
            (
                "https://id.example.com/tenant/1/",
                "https://id.example.com/.well-known/oauth-authorization-server/tenant/1",
                "https://id.example.com/tenant/1/.well-known/openid-configuration",
            ),
        ];
        for (issuer, oauth, openid) in rows {
            assert_eq!(well_known(issuer).unwrap().map(|uri| uri.to_string()), [oauth, openid]);
        }
        assert!(well_known("id.example.com/relative").is_err());
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let body = br#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/token"}"#;
        assert!(read_metadata("https://id.example.com", body).unwrap_err().contains("another issuer"));
    }

    #[test]
    fn the_secret_goes_where_the_metadata_says() {
        let metadata = |methods: &str| {
            let text = format!(r#"{{"issuer":"i","token_endpoint":"https://i/t"{methods}}}"#);
            read_metadata("i", text.as_bytes()).unwrap().secret_in_body
        };
        assert!(!metadata(""));
        assert!(!metadata(
            r#","token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]"#
        ));
        assert!(metadata(r#","token_endpoint_auth_methods_supported":["client_secret_post"]"#));
    }

    #[test]
    fn basic_credentials_are_form_encoded_first() {
        // "a%3Ab:c+d" in base64.
        assert_eq!(basic("a:b", "c d"), "Basic YSUzQWI6Yytk");
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
}

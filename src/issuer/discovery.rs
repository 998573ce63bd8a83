//! Issuer metadata: RFC 8414, then OpenID Connect Discovery.

mod places;

pub use places::{Tried, first_good, well_known};

use super::fetch::{FetchError, Fetcher};
use crate::jose::json::{Limits, Object, Value};
use std::time::Duration;
use url::{Host, Url};

/// How large metadata may be: large issuers list some hundreds of items.
const LIMITS: Limits = Limits { items: 4096, ..Limits::SMALL };

/// Why no place tells a `jwks_uri` to use: what was found at each.
#[derive(Debug, thiserror::Error)]
#[error("the issuer's metadata: {0}")]
pub(super) struct DiscoveryError(Tried<MetadataError>);

/// Why the metadata of one place are no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataError {
    /// Not fetched.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// A page, or a member twice.
    #[error("no JSON object")]
    Format,
    /// A required member (RFC 8414 section 2) is missing or of the wrong type.
    #[error("has no text in {0:?}")]
    Missing(&'static str),
    /// `issuer` is another one: the metadata must not be used (RFC 8414 section 3.3).
    #[error("names another issuer, {0:?}")]
    Issuer(String),
    /// `jwks_uri` is not a URL.
    #[error("jwks_uri is not a URL")]
    NotUrl,
    /// Keys would come over plain HTTP.
    #[error("jwks_uri is neither https nor loopback")]
    Insecure,
}

/// Finds `jwks_uri` in the metadata of the issuer at `url`, whose identifier is `issuer` to the letter, within `time`.
///
/// What answers badly at one place is taken for a server that does not know it (many answer every path with a page, or with the
/// metadata of their first tenant), and the next is asked.
pub(super) async fn jwks_uri(
    fetcher: &Fetcher,
    issuer: &str,
    url: &Url,
    time: Duration,
) -> Result<Url, DiscoveryError> {
    let ask = |place: Url| {
        let (fetcher, issuer, url) = (fetcher.clone(), issuer.to_owned(), url.clone());
        async move { read(&fetcher.get(&place).await?.body, &issuer, &url) }
    };
    let (place, jwks_uri) = first_good(well_known(url), time, ask).await.map_err(DiscoveryError)?;
    tracing::debug!(issuer, %place, %jwks_uri, "metadata found");
    Ok(jwks_uri)
}

/// Reads `jwks_uri` from a metadata document.
fn read(document: &[u8], issuer: &str, url: &Url) -> Result<Url, MetadataError> {
    let metadata = Object::parse(document, LIMITS).map_err(|_| MetadataError::Format)?;
    // A member that is null is absent.
    let text = |name| metadata.get(name).and_then(Value::as_str).ok_or(MetadataError::Missing(name));
    let named = text("issuer")?;
    if named != issuer {
        return Err(MetadataError::Issuer(named.chars().take(200).collect()));
    }
    let jwks_uri = Url::parse(text("jwks_uri")?).map_err(|_| MetadataError::NotUrl)?;
    if is_safe(&jwks_uri, url) { Ok(jwks_uri) } else { Err(MetadataError::Insecure) }
}

/// https, or plain http where nobody is in between, or where the configuration already trusts this issuer
/// over it.
fn is_safe(jwks_uri: &Url, issuer: &Url) -> bool {
    match jwks_uri.scheme() {
        "https" => true,
        "http" => issuer.scheme() == "http" || is_loopback(jwks_uri),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn metadata_are_used_only_for_their_own_issuer_and_over_safe_ways() {
        let of =
            |document: &str, issuer: &str| read(document.as_bytes(), issuer, &url(issuer)).map(String::from);
        let keys = "https://id.test/keys";
        let good = r#"{"issuer":"https://id.test","jwks_uri":"https://id.test/keys"}"#;
        assert_eq!(of(good, "https://id.test"), Ok(keys.to_owned()));
        // To the letter: a slash more, another case or a port that goes without saying is another issuer (RFC 8414 section 3.3).
        for other in ["https://id.test/", "https://ID.test", "https://id.test:443", "http://id.test"] {
            assert_eq!(of(good, other), Err(MetadataError::Issuer("https://id.test".to_owned())));
        }
        // Entra: metadata of a tenant are for that tenant, and those of all tenants are for none.
        let entra = |tenant: &str| {
            let issuer = format!("https://login.test/{tenant}/v2.0");
            format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://login.test/common/keys"}}"#)
        };
        let tenant = "https://login.test/8a3c/v2.0";
        assert_eq!(of(&entra("8a3c"), tenant), Ok("https://login.test/common/keys".to_owned()));
        for other in ["{tenantid}", "9188", "8A3C"] {
            let named = format!("https://login.test/{other}/v2.0");
            assert_eq!(of(&entra(other), tenant), Err(MetadataError::Issuer(named)));
        }
        // Auth0 and Entra's version 1 end with a slash, and keys may be at another host.
        for issuer in ["https://id.test/", "https://sts.test/8a3c/"] {
            let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://keys.test/k"}}"#);
            assert_eq!(of(&document, issuer), Ok("https://keys.test/k".to_owned()));
            let bare = issuer.trim_end_matches('/');
            assert_eq!(of(&document, bare), Err(MetadataError::Issuer(issuer.to_owned())));
        }
        let with =
            |issuer: &str, uri: &str| of(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#), issuer);
        assert_eq!(with("https://id.test", "http://id.test/keys"), Err(MetadataError::Insecure));
        assert_eq!(with("https://id.test", "file:///keys"), Err(MetadataError::Insecure));
        assert_eq!(with("https://id.test", "/keys"), Err(MetadataError::NotUrl));
        for (issuer, uri) in [
            ("https://id.test", "http://127.0.0.1:8080/keys"),
            ("https://id.test", "http://[::1]/keys"),
            ("https://id.test", "http://localhost/keys"),
            ("http://id.test", "http://keys.test/keys"),
        ] {
            assert_eq!(with(issuer, uri), Ok(uri.to_owned()));
        }
        for bad in ["", "[]", "<html>", "{", "null"] {
            assert_eq!(of(bad, "https://id.test"), Err(MetadataError::Format), "{bad}");
        }
        for (bad, missing) in [
            ("{}", "issuer"),
            (r#"{"issuer":1,"jwks_uri":"https://a"}"#, "issuer"),
            (r#"{"issuer":null,"jwks_uri":"https://a"}"#, "issuer"),
            (r#"{"issuer":"https://id.test"}"#, "jwks_uri"),
            (r#"{"issuer":"https://id.test","jwks_uri":null}"#, "jwks_uri"),
        ] {
            assert_eq!(of(bad, "https://id.test"), Err(MetadataError::Missing(missing)), "{bad}");
        }
    }
}

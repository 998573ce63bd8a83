//! Issuer metadata: RFC 8414, then OpenID Connect Discovery.

use super::fetch::{FetchError, Fetcher};
use crate::jose::json::{Object, Value};
use url::{Host, Url};

/// How many members and array items metadata may have: large issuers list some hundreds.
const MAX_NODES: usize = 4096;

/// Why an issuer's metadata tell no `jwks_uri` to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    /// Neither well-known document could be fetched; the last one's failure.
    #[error("the issuer's metadata: {0}")]
    Fetch(#[from] FetchError),
    /// Not a JSON object, or without `issuer` or a URL in `jwks_uri`.
    #[error("the issuer's metadata are no JSON object with \"issuer\" and \"jwks_uri\"")]
    Format,
    /// `issuer` is another one: the metadata must not be used (RFC 8414 section 3.3).
    #[error("the metadata name another issuer")]
    Issuer,
    /// Keys would come over plain HTTP.
    #[error("jwks_uri is neither https nor loopback")]
    Insecure,
}

/// Finds `jwks_uri` in the metadata of the issuer at `url`, whose identifier is `issuer` to the letter.
///
/// What answers badly at the first place is taken for a server that does not know it (many answer every path
/// with a page), and the second is asked; metadata of another issuer end the search.
pub(super) async fn jwks_uri(fetcher: &Fetcher, issuer: &str, url: &Url) -> Result<Url, DiscoveryError> {
    let mut failure = DiscoveryError::Format;
    for place in well_known(url) {
        let found = match fetcher.get(&place).await {
            Ok(document) => read(&document.body, issuer, url),
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(jwks_uri) => return Ok(jwks_uri),
            Err(error @ (DiscoveryError::Issuer | DiscoveryError::Insecure)) => return Err(error),
            Err(error @ (DiscoveryError::Fetch(_) | DiscoveryError::Format)) => failure = error,
        }
    }
    Err(failure)
}

/// RFC 8414 section 3.1 puts the well-known part between host and path, OpenID Connect Discovery section 4
/// behind the path.
fn well_known(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        url
    };
    [
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
    ]
}

/// Reads `jwks_uri` from a metadata document.
fn read(document: &[u8], issuer: &str, url: &Url) -> Result<Url, DiscoveryError> {
    let metadata = Object::parse_bounded(document, MAX_NODES).map_err(|_| DiscoveryError::Format)?;
    let text = |name| metadata.get(name).and_then(Value::as_str).ok_or(DiscoveryError::Format);
    if text("issuer")? != issuer {
        return Err(DiscoveryError::Issuer);
    }
    let jwks_uri = Url::parse(text("jwks_uri")?).map_err(|_| DiscoveryError::Format)?;
    if is_safe(&jwks_uri, url) { Ok(jwks_uri) } else { Err(DiscoveryError::Insecure) }
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
        Some(Host::Domain(name)) => name == "localhost",
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
    fn well_known_is_inserted_then_appended() {
        for (issuer, rfc8414, openid) in [
            (
                "https://id.test",
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
            ),
            (
                "https://id.test/",
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
            ),
            (
                "https://id.test/a/b",
                "/.well-known/oauth-authorization-server/a/b",
                "/a/b/.well-known/openid-configuration",
            ),
            (
                "https://id.test/a/",
                "/.well-known/oauth-authorization-server/a",
                "/a/.well-known/openid-configuration",
            ),
        ] {
            let found = well_known(&url(issuer)).map(String::from);
            assert_eq!(found, [rfc8414, openid].map(|path| format!("https://id.test{path}")), "{issuer}");
        }
    }

    #[test]
    fn metadata_are_used_only_for_their_own_issuer_and_over_safe_ways() {
        let of =
            |document: &str, issuer: &str| read(document.as_bytes(), issuer, &url(issuer)).map(String::from);
        let keys = "https://id.test/keys";
        let good = r#"{"issuer":"https://id.test","jwks_uri":"https://id.test/keys"}"#;
        assert_eq!(of(good, "https://id.test"), Ok(keys.to_owned()));
        // To the letter: a slash more is another issuer (RFC 8414 section 3.3).
        assert_eq!(of(good, "https://id.test/"), Err(DiscoveryError::Issuer));
        let with =
            |issuer: &str, uri: &str| of(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#), issuer);
        assert_eq!(with("https://id.test", "http://id.test/keys"), Err(DiscoveryError::Insecure));
        assert_eq!(with("https://id.test", "file:///keys"), Err(DiscoveryError::Insecure));
        assert_eq!(with("https://id.test", "/keys"), Err(DiscoveryError::Format));
        for (issuer, uri) in [
            ("https://id.test", "http://127.0.0.1:8080/keys"),
            ("https://id.test", "http://[::1]/keys"),
            ("https://id.test", "http://localhost/keys"),
            ("http://id.test", "http://keys.test/keys"),
        ] {
            assert_eq!(with(issuer, uri), Ok(uri.to_owned()));
        }
        for bad in [
            "",
            "[]",
            "<html>",
            "{}",
            r#"{"issuer":"https://id.test"}"#,
            r#"{"issuer":1,"jwks_uri":"https://a"}"#,
        ] {
            assert_eq!(of(bad, "https://id.test"), Err(DiscoveryError::Format), "{bad}");
        }
    }
}

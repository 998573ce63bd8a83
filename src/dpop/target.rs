//! `htu`: the target URI, compared as RFC 9449 section 4.3 check 9 asks.

use super::ProofError;
use crate::uri::{Origin, Scheme, normalize_path};

/// The URI that the client asked for, without query and fragment: one of our origins and the canonical path.
#[derive(Clone, Copy, Debug)]
pub struct TargetUri<'a> {
    /// The public origin that the request came to.
    pub origin: &'a Origin,
    /// The canonical path ([`crate::uri::CanonicalPath`]).
    pub path: &'a str,
}

impl TargetUri<'_> {
    /// Whether `htu` names this URI, both sides normalised (D22-D27); its query and fragment are ignored
    /// (D23). Allocates nothing where `htu` is canonical.
    ///
    /// # Errors
    /// [`ProofError::HtuInvalid`] or [`ProofError::Htu`].
    pub fn check(&self, htu: &str) -> Result<(), ProofError> {
        // Checked in whole, so that what is ignored cannot hide anything either (D27).
        if !htu.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(ProofError::HtuInvalid);
        }
        let uri = htu.split(['?', '#']).next().unwrap_or_default();
        if uri.strip_prefix(self.origin.as_str()) == Some(self.path) {
            return Ok(());
        }
        let (scheme, rest) = Scheme::split(uri).ok_or(ProofError::HtuInvalid)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = normalize_path(path).ok_or(ProofError::HtuInvalid)?;
        let same = scheme == self.origin.scheme() && self.origin.is_authority(authority);
        if !same {
            // A refusal says whether it is another URI or none at all.
            Origin::from_authority(scheme, authority).map_err(|_| ProofError::HtuInvalid)?;
        }
        if same && path == self.path { Ok(()) } else { Err(ProofError::Htu) }
    }
}

impl std::fmt::Display for TargetUri<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin.as_str(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uri::CanonicalPath;
    use proptest::prelude::*;

    #[test]
    fn an_htu_is_compared_as_rfc_3986_normalises_it() {
        use ProofError::{Htu, HtuInvalid};
        let (ok, other, invalid) = (Ok(()), Err(Htu), Err(HtuInvalid));
        let table: &[(&str, &str, &str, Result<(), ProofError>)] = &[
            ("https://api.example.com", "/orders", "https://api.example.com/orders", ok),
            ("https://api.example.com", "/orders", "HTTPS://API.example.COM/orders", ok),
            ("https://api.example.com", "/orders", "https://api.example.com:443/orders", ok),
            ("http://api.example.com", "/orders", "http://api.example.com:80/orders", ok),
            ("https://api.example.com:8443", "/orders", "https://api.example.com:8443/orders", ok),
            ("https://api.example.com", "/orders", "https://api.example.com/orders?a=/b", ok),
            ("https://api.example.com", "/orders", "https://api.example.com/orders#x?y", ok),
            ("https://api.example.com", "/", "https://api.example.com", ok),
            ("https://api.example.com", "/", "https://api.example.com?x", ok),
            ("https://api.example.com", "/~user", "https://api.example.com/%7euser", ok),
            ("https://api.example.com", "/caf%C3%A9", "https://api.example.com/caf%c3%a9", ok),
            ("https://api.example.com", "/b", "https://api.example.com/a/../b", ok),
            ("https://api.example.com", "/a%2Fb", "https://api.example.com/a%2fb", ok),
            ("https://[::1]:8443", "/a", "https://[0:0::1]:8443/a", ok),
            ("https://api.example.com", "/orders", "https://api.example.com/Orders", other),
            ("https://api.example.com", "/orders", "https://api.example.com/orders/", other),
            ("https://api.example.com", "/orders/", "https://api.example.com/orders", other),
            ("https://api.example.com", "/orders", "https://api.example.com//orders", other),
            ("https://api.example.com", "/a%2Fb", "https://api.example.com/a/b", other),
            ("https://api.example.com", "/a/b", "https://api.example.com/a%2Fb", other),
            ("https://api.example.com", "/a+b", "https://api.example.com/a%20b", other),
            ("https://api.example.com", "/orders", "http://api.example.com/orders", other),
            ("https://api.example.com", "/orders", "https://api.example.com:80/orders", other),
            ("https://api.example.com", "/orders", "https://api.example.com.evil/orders", other),
            ("https://api.example.com", "/orders", "https://evil/https://api.example.com/orders", other),
            ("https://api.example.com", "/orders", "https://api.example.comorders", other),
            ("https://api.example.com", "/orders", "https://user@api.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com@evil/orders", invalid),
            ("https://api.example.com", "/orders", "ftp://api.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "/orders", invalid),
            ("https://api.example.com", "/orders", "api.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "https:/api.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com\\orders", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders?\\", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders%5c", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders%00", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders%0", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders ", invalid),
            ("https://api.example.com", "/orders", " https://api.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com/orders\n", invalid),
            ("https://api.example.com", "/orders", "https://\u{e4}pi.example.com/orders", invalid),
            ("https://api.example.com", "/orders", "https://api.example.com./orders", invalid),
            ("https://api.example.com", "/orders", "https:///orders", invalid),
            ("https://api.example.com", "/orders", "", invalid),
        ];
        for (origin, path, htu, result) in table {
            let origin = Origin::parse(origin).unwrap();
            let target = TargetUri { origin: &origin, path };
            assert_eq!(target.check(htu), *result, "{target} {htu}");
        }
    }

    proptest! {
        #[test]
        fn a_target_matches_its_own_text_and_that_of_no_other_path(
            one in "/[a-c/.%2Ff~]{0,8}",
            other in "/[a-c/.%2Ff~]{0,8}",
        ) {
            let origin = Origin::parse("https://api.example.com").unwrap();
            if let (Ok(one), Ok(other)) = (CanonicalPath::parse(&one), CanonicalPath::parse(&other)) {
                let target = TargetUri { origin: &origin, path: one.as_str() };
                prop_assert_eq!(target.check(&target.to_string()), Ok(()));
                let htu = format!("https://api.example.com{}", other.as_str());
                prop_assert_eq!(target.check(&htu).is_ok(), one.as_str() == other.as_str());
            }
        }

        #[test]
        fn no_htu_makes_it_panic(htu in "(https://api.example.com)?[ -~\u{e9}]{0,16}") {
            let origin = Origin::parse("https://api.example.com").unwrap();
            let _ = TargetUri { origin: &origin, path: "/" }.check(&htu);
        }
    }
}

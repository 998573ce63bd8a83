//! Scheme, host and port.

use core::net::Ipv6Addr;

/// The longest host name there is (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;
/// The longest label of one.
const MAX_LABEL: usize = 63;

/// The schemes that a client can reach us under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`, port 80 unless named.
    Http,
    /// `https`, port 443 unless named.
    Https,
}

/// An origin in canonical form: scheme and host in lower case, no default port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    port: u16,
    /// `https://api.example.com:8443`
    text: String,
}

/// Why a text is no origin or no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The scheme is neither http nor https.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// Something stands before an `@`.
    #[error("user information is not allowed")]
    UserInfo,
    /// The host is empty or has a character no host may have (an internationalised name is written as
    /// `xn--…`).
    #[error("not a valid host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("not a valid port")]
    Port,
    /// A path, a query or a fragment follows.
    #[error("an origin has no path, query or fragment")]
    Trailing,
}

impl Scheme {
    /// Splits `scheme://rest`; the scheme is read without regard to case (RFC 3986 section 3.1).
    pub(crate) fn split(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        [Self::Https, Self::Http]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
            .map(|known| (known, rest))
    }

    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that need not be named.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    const fn default_port_suffix(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }
}

impl Origin {
    /// Reads `scheme://host[:port]`, nothing after it but an optional `/`.
    ///
    /// # Errors
    /// [`OriginError`], as its variants say.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = Scheme::split(text).ok_or(OriginError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(OriginError::Trailing);
        }
        Self::from_authority(scheme, authority)
    }

    /// The origin with this scheme and authority (`host[:port]`, as `Host` and `:authority` have it).
    ///
    /// Letters become lower case, an IPv6 address takes the spelling of RFC 5952, the scheme's own port is
    /// dropped. A host that ends in a dot and a port with a leading zero are refused: each would be a second
    /// spelling of the same place.
    ///
    /// # Errors
    /// [`OriginError`], as its variants say.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, OriginError> {
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let port = port.map_or(Ok(scheme.default_port()), read_port)?;
        let mut text = String::with_capacity("https://".len() + authority.len());
        text.push_str(scheme.as_str());
        text.push_str("://");
        push_host(&mut text, host)?;
        if port != scheme.default_port() {
            text.push(':');
            text.push_str(&port.to_string());
        }
        Ok(Self { scheme, port, text })
    }

    /// Whether `authority`, as a client wrote it under this scheme, names this origin: without regard to
    /// case, and with the scheme's own port named or not. Says the same as comparing with
    /// [`Origin::from_authority`], but allocates nothing unless an IPv6 address is spelled in an unusual way.
    pub fn is_authority(&self, authority: &str) -> bool {
        let own = self.authority();
        if own.eq_ignore_ascii_case(authority) {
            return true;
        }
        let default = self.port == self.scheme.default_port();
        let bare = authority.strip_suffix(self.scheme.default_port_suffix()).filter(|_| default);
        if bare.is_some_and(|bare| own.eq_ignore_ascii_case(bare)) {
            return true;
        }
        let literal = own.starts_with('[') && authority.starts_with('[');
        literal && Self::from_authority(self.scheme, authority).is_ok_and(|other| other == *self)
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole origin, as `https://api.example.com`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and, where it is not the scheme's own, port: `api.example.com` or `api.example.com:8443`.
    pub fn authority(&self) -> &str {
        self.text.get(self.scheme.as_str().len() + "://".len()..).unwrap_or_default()
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        if self.port == self.scheme.default_port() {
            return authority;
        }
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }

    /// The port, named or the scheme's own.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits `host[:port]`; the colons inside of brackets belong to the host.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), OriginError> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(OriginError::Host)?;
        let (host, rest) = authority.split_at_checked(end + 1).ok_or(OriginError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(OriginError::Host),
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn read_port(text: &str) -> Result<u16, OriginError> {
    // `u16::from_str` takes a leading `+` and zeros.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then_some(text).and_then(|text| text.parse().ok()).ok_or(OriginError::Port)
}

fn push_host(out: &mut String, host: &str) -> Result<(), OriginError> {
    if let Some(literal) = host.strip_prefix('[') {
        let address: Ipv6Addr =
            literal.strip_suffix(']').and_then(|text| text.parse().ok()).ok_or(OriginError::Host)?;
        out.push('[');
        out.push_str(&address.to_string());
        out.push(']');
        return Ok(());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(allowed);
    if host.len() > MAX_HOST || !host.split('.').all(label) {
        return Err(OriginError::Host);
    }
    out.extend(host.chars().map(|character| character.to_ascii_lowercase()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let table = [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.COM/", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://api.example.com:80/", "http://api.example.com"),
            ("https://api.example.com:80", "https://api.example.com:80"),
            ("http://api.example.com:443", "http://api.example.com:443"),
            ("https://api.example.com:8443", "https://api.example.com:8443"),
            ("https://a_b.example", "https://a_b.example"),
            ("https://127.0.0.1:65535", "https://127.0.0.1:65535"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://[::1]:443", "https://[::1]"),
            ("https://[2001:DB8:0:0:0:0:0:1]:1", "https://[2001:db8::1]:1"),
            ("http://localhost", "http://localhost"),
        ];
        for (text, canonical) in table {
            assert_eq!(Origin::parse(text).map(|origin| origin.text), Ok(canonical.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_says_why() {
        let long_label = format!("https://{}.example", "a".repeat(64));
        let long_name = format!("https://{}a", "a.".repeat(127));
        let table = [
            ("", OriginError::Scheme),
            ("api.example.com", OriginError::Scheme),
            ("ftp://api.example.com", OriginError::Scheme),
            (" https://api.example.com", OriginError::Scheme),
            ("https:/api.example.com", OriginError::Scheme),
            ("https://user@api.example.com", OriginError::UserInfo),
            ("https://user:password@api.example.com", OriginError::UserInfo),
            ("https://@api.example.com", OriginError::UserInfo),
            ("https://", OriginError::Host),
            ("https:///", OriginError::Host),
            ("https://:443", OriginError::Host),
            ("https://api.example.com.", OriginError::Host),
            ("https://.example.com", OriginError::Host),
            ("https://api..example.com", OriginError::Host),
            ("https://api%2eexample.com", OriginError::Host),
            ("https://b\u{fc}cher.example", OriginError::Host),
            ("https://api.example.com\\x", OriginError::Host),
            ("https://api example.com", OriginError::Host),
            ("https://api,example.com", OriginError::Host),
            ("https://*.example.com", OriginError::Host),
            ("https://[::1", OriginError::Host),
            ("https://[::1]x", OriginError::Host),
            ("https://[::g]", OriginError::Host),
            ("https://[fe80::1%25eth0]", OriginError::Host),
            ("https://[127.0.0.1]", OriginError::Host),
            ("https://[]", OriginError::Host),
            (&long_label, OriginError::Host),
            (&long_name, OriginError::Host),
            ("https://api.example.com:", OriginError::Port),
            ("https://api.example.com:0", OriginError::Port),
            ("https://api.example.com:0443", OriginError::Port),
            ("https://api.example.com:+443", OriginError::Port),
            ("https://api.example.com:65536", OriginError::Port),
            ("https://api.example.com:4x", OriginError::Port),
            ("https://api.example.com:443:443", OriginError::Port),
            ("https://::1", OriginError::Port),
            ("https://api.example.com/path", OriginError::Trailing),
            ("https://api.example.com//", OriginError::Trailing),
            ("https://api.example.com?", OriginError::Trailing),
            ("https://api.example.com#x", OriginError::Trailing),
        ];
        for (text, error) in table {
            assert_eq!(Origin::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn its_parts_are_told_apart() {
        let table = [
            ("https://api.example.com", "api.example.com", "api.example.com", 443),
            ("http://api.example.com:8080", "api.example.com:8080", "api.example.com", 8080),
            ("https://[::1]", "[::1]", "[::1]", 443),
            ("https://[::1]:8443", "[::1]:8443", "[::1]", 8443),
        ];
        for (text, authority, host, port) in table {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.authority(), origin.host(), origin.port()), (authority, host, port));
            assert_eq!(origin.to_string(), text);
        }
    }

    #[test]
    fn an_authority_is_recognised_however_it_is_spelled() {
        let table = [
            ("https://api.example.com", "api.example.com", true),
            ("https://api.example.com", "API.example.COM:443", true),
            ("https://api.example.com", "api.example.com:80", false),
            ("http://api.example.com", "api.example.com:80", true),
            ("http://api.example.com", "api.example.com:443", false),
            ("https://api.example.com:8443", "Api.example.com:8443", true),
            ("https://api.example.com:8443", "api.example.com", false),
            ("https://api.example.com:8443", "api.example.com:8443:443", false),
            ("https://api.example.com", "api.example.com:0443", false),
            ("https://api.example.com", "api.example.com.", false),
            ("https://api.example.com", "user@api.example.com", false),
            ("https://api.example.com", "", false),
            ("https://[::1]", "[0:0:0:0:0:0:0:1]:443", true),
            ("https://[::1]", "[::2]", false),
        ];
        for (origin, authority, same) in table {
            assert_eq!(Origin::parse(origin).unwrap().is_authority(authority), same, "{origin} {authority}");
        }
    }

    fn authority() -> impl Strategy<Value = String> {
        let host = prop_oneof![
            "[a-bA-B.]{1,4}",
            "\\[[0:]{2,6}[01]\\]",
            "[aA]\\.[bB]",
            "[ -~]{0,6}",
            Just(String::new())
        ];
        let port = prop_oneof![
            Just(String::new()),
            Just(":443".to_owned()),
            Just(":80".to_owned()),
            ":[0-9]{0,5}".prop_map(|port| port)
        ];
        (host, port).prop_map(|(host, port)| host + &port)
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_never_panics(text in "(https?://)?[ -~\u{e9}]{0,24}") {
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert_eq!(Origin::parse(origin.as_str()), Ok(origin.clone()));
                prop_assert!(origin.is_authority(origin.authority()));
            }
        }

        #[test]
        fn the_cheap_comparison_says_the_same(a in authority(), b in authority(), https in any::<bool>()) {
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            if let Ok(origin) = Origin::from_authority(scheme, &a) {
                let same = Origin::from_authority(scheme, &b).is_ok_and(|other| other == origin);
                prop_assert_eq!(origin.is_authority(&b), same);
            }
        }
    }
}

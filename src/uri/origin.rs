//! Scheme, host and port.

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
    /// The host is empty or has a character no host may have (an internationalised name is written as `xn--…`).
    #[error("not a valid host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("not a valid port")]
    Port,
    /// A path, a query or a fragment follows.
    #[error("an origin has no path, query or fragment")]
    Trailing,
}

impl Origin {
    /// Reads `scheme://host[:port]`, nothing after it but an optional `/`.
    ///
    /// # Errors
    /// [`OriginError`], as its variants say.
    pub fn parse(_text: &str) -> Result<Self, OriginError> {
        todo!()
    }

    /// The origin with this scheme and authority (`host[:port]`, as `Host` and `:authority` have it).
    ///
    /// # Errors
    /// [`OriginError`], as its variants say.
    pub fn from_authority(_scheme: Scheme, _authority: &str) -> Result<Self, OriginError> {
        todo!()
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
        todo!()
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        todo!()
    }

    /// The port, named or the scheme's own.
    pub fn port(&self) -> u16 {
        todo!()
    }
}

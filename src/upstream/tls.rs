//! TLS to servers, verified as strictly as rustls can, and which check failed where it failed.

use crate::config::{ServerPlan, UpstreamProtocol, UpstreamTlsPlan};
use crate::net;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How TLS is spoken to one server.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

impl Tls {
    /// TLS to this server; `None` where there can be none: its name is no name of a certificate.
    pub(super) fn new(
        config: &Arc<ClientConfig>,
        plan: &UpstreamTlsPlan,
        server: &ServerPlan,
    ) -> Option<Self> {
        let own = || ServerName::try_from(server.authority.host().trim_matches(['[', ']']).to_owned()).ok();
        let name = plan.server_name.clone().or_else(own)?;
        Some(Self { connector: TlsConnector::from(Arc::clone(config)), name })
    }

    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsFailure> {
        let connected = self.connector.connect(self.name.clone(), stream).await;
        connected.map_err(|error| TlsFailure::of(&error).unwrap_or(TlsFailure::Ended))
    }
}

/// What the servers of an upstream share.
pub(super) fn config(plan: &UpstreamTlsPlan, protocol: UpstreamProtocol) -> Arc<ClientConfig> {
    let roots = match &plan.authorities {
        None => net::tls::system_roots(),
        Some(authorities) => net::tls::roots(authorities),
    };
    let client = net::tls::client(roots);
    let mut config = match &plan.identity {
        None => client.with_no_client_auth(),
        Some(identity) => {
            client.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
        }
    };
    let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    config.alpn_protocols = match protocol {
        UpstreamProtocol::Http1 => vec![http1],
        UpstreamProtocol::Http2 => vec![http2],
        UpstreamProtocol::Auto => vec![http2, http1],
    };
    Arc::new(config)
}

/// Why TLS to a server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFailure {
    /// Nobody who is trusted issued the certificate.
    UnknownIssuer,
    /// The certificate, or one above it, is over.
    Expired,
    /// Or not valid yet.
    NotValidYet,
    /// It is for another name.
    WrongName,
    /// It is not for servers.
    WrongPurpose,
    /// It is an authority's own, as one that is made without further words is.
    OwnAuthority,
    /// It, or one above it, is not signed by who should have.
    BadSignature,
    /// Another rule about certificates.
    Certificate,
    /// The server takes nobody without a certificate.
    CertificateRequired,
    /// The server does not take ours.
    CertificateRefused,
    /// The server refused the handshake. TLS 1.2 has no alert of its own for a certificate that is missing.
    Refused,
    /// No version, cipher suite or protocol is known to both.
    NothingInCommon,
    /// What answers speaks no TLS.
    NotTls,
    /// Anything else of TLS.
    Handshake,
    /// The connection ended before TLS began.
    Ended,
}

impl TlsFailure {
    /// What of TLS is the cause of an error, if anything is.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // An `io::Error` does not name what it holds as its source.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let held = held.and_then(|held| held.downcast_ref::<Error>());
            if let Some(found) = held.or_else(|| error.downcast_ref::<Error>()) {
                return Some(found.into());
            }
            cause = error.source();
        }
        None
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "upstream_tls: the server's certificate is from no authority that is trusted"
            }
            Self::Expired => "upstream_tls: the server's certificate has expired",
            Self::NotValidYet => "upstream_tls: the server's certificate is not valid yet",
            Self::WrongName => "upstream_tls: the server's certificate is for another name",
            Self::WrongPurpose => "upstream_tls: the server's certificate is not for servers",
            Self::OwnAuthority => {
                "upstream_tls: the server's certificate is a certification authority's own: it must have CA:FALSE"
            }
            Self::BadSignature => "upstream_tls: the server's certificate is not signed as it should be",
            Self::Certificate => "upstream_tls: the server's certificate cannot be verified",
            Self::CertificateRequired => "upstream_tls: the server asks for a client certificate",
            Self::CertificateRefused => "upstream_tls: the server does not take the client certificate",
            Self::Refused => {
                "upstream_tls: the server refuses the handshake: no cipher suite in common, or it asks for a client certificate"
            }
            Self::NothingInCommon => "upstream_tls: no version, cipher suite or protocol in common",
            Self::NotTls => "upstream_tls: the server speaks no TLS",
            Self::Handshake => "upstream_tls: the handshake failed",
            Self::Ended => "upstream_tls: the connection ended in the handshake",
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has many more, and they are all told alike")]
impl From<&Error> for TlsFailure {
    fn from(error: &Error) -> Self {
        use AlertDescription as Alert;
        match error {
            Error::InvalidCertificate(error) => error.into(),
            Error::AlertReceived(Alert::CertificateRequired) => Self::CertificateRequired,
            Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied,
            ) => Self::CertificateRefused,
            Error::AlertReceived(Alert::HandshakeFailure) => Self::Refused,
            Error::AlertReceived(
                Alert::ProtocolVersion | Alert::InsufficientSecurity | Alert::NoApplicationProtocol,
            )
            | Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol => Self::NothingInCommon,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Handshake,
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has many more, and they are all told alike")]
impl From<&CertificateError> for TlsFailure {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::Other(other)
                if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
            {
                Self::OwnAuthority
            }
            _ => Self::Certificate,
        }
    }
}

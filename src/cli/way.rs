//! How a command gets to a server, and whom it believes there: the same options for every command that is a client.

use crate::client::{ClientError, ConnectTo, HttpClient, Way, roots};
use crate::net::{ProxyError, pem};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(super) struct WayArguments {
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Connect to HOST2:PORT2 for what is for HOST1:PORT1, as curl does; may be repeated
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    connect_to: Vec<ConnectTo>,
    /// Believe whoever answers: take any certificate
    #[arg(short = 'k', long)]
    insecure: bool,
}

/// The client's own certificate.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(super) struct CertificateArguments {
    /// Show the client certificate in this PEM file where a server asks for one (RFC 8705); the chain may follow it
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert, a PEM file; without it the key is in the file of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum WayError {
    /// The file of certificate authorities.
    #[error("--cacert: {0}")]
    Roots(String),
    /// The file of the client's own certificate.
    #[error("--cert: {0}")]
    Certificate(String),
    /// The file of its key.
    #[error("--cert-key: {0}")]
    CertificateKey(String),
    /// The environment's proxies.
    #[error(transparent)]
    Proxies(#[from] ProxyError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl WayArguments {
    /// A client that goes this way.
    pub(super) fn client(&self) -> Result<HttpClient, WayError> {
        self.client_with(&CertificateArguments::default())
    }

    /// The same where servers that ask for a certificate are shown this one.
    pub(super) fn client_with(&self, own: &CertificateArguments) -> Result<HttpClient, WayError> {
        let pem = self.cacert.as_deref().map(|file| read(file).map_err(WayError::Roots)).transpose()?;
        let roots = roots(true, pem.as_deref()).map_err(|error| WayError::Roots(error.to_string()))?;
        let (connect_to, insecure) = (self.connect_to.clone(), self.insecure);
        let identity = own.identity()?;
        Ok(HttpClient::by(Way { roots, proxies: super::proxies()?, connect_to, insecure, identity })?)
    }
}

impl CertificateArguments {
    /// Whether there is one.
    pub(super) const fn is_given(&self) -> bool {
        self.cert.is_some()
    }

    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, WayError> {
        let Some(file) = &self.cert else { return Ok(None) };
        let contents = read(file).map_err(WayError::Certificate)?;
        let chain = pem::certificates(&contents)
            .map_err(|error| WayError::Certificate(format!("{}: it {error}", file.display())))?;
        let (file, contents) = match &self.cert_key {
            Some(file) => (file, read(file).map_err(WayError::CertificateKey)?),
            None => (file, contents),
        };
        let key = pem::private_key(&contents)
            .map_err(|error| WayError::CertificateKey(format!("{}: it {error}", file.display())))?;
        Ok(Some((chain, key)))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

//! How a command gets to a server, and whom it believes there: the same options for every command that is a client.

use crate::client::{ClientError, ConnectTo, HttpClient, Way, roots};
use crate::net::ProxyError;
use std::path::PathBuf;

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

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum WayError {
    /// The file of certificate authorities.
    #[error("--cacert: {0}")]
    Roots(String),
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
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|error| WayError::Roots(format!("{}: {error}", file.display())))
        };
        let pem = self.cacert.as_ref().map(read).transpose()?;
        let roots = roots(true, pem.as_deref()).map_err(|error| WayError::Roots(error.to_string()))?;
        let (connect_to, insecure) = (self.connect_to.clone(), self.insecure);
        Ok(HttpClient::by(Way { roots, proxies: super::proxies()?, connect_to, insecure })?)
    }
}

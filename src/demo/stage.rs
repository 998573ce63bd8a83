//! Builds the stage: certificate, configuration file, servers, gateway.

use super::issuer::AuthorizationServer;
use super::{listen, upstream};
use crate::app::{App, AppError};
use crate::client::{ClientError, HttpClient, roots};
use crate::clock::Clock;
use crate::config;
use crate::jose::{encode, random};
use crate::net::Proxies;
use crate::uri::{Origin, Scheme};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http_body_util::Full;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The one client that the demo's authorization server knows.
pub const CLIENT_ID: &str = "shop";
/// Its secret. Everything is on loopback and gone with the process.
pub const CLIENT_SECRET: &str = "demo-secret";
/// How often another port is tried where somebody took the one that was free a moment ago.
const TRIES: usize = 5;

/// How often, and at most how many times, the gateway is asked whether it is ready: 10 s in all.
const READY_POLL: Duration = Duration::from_millis(20);
const READY_POLLS: usize = 500;

/// Everything that runs, until [`Stage::close`].
#[derive(Debug)]
pub struct Stage {
    /// The authorization server's issuer URL.
    pub issuer: String,
    /// The upstream's URL.
    pub upstream: String,
    /// The gateway's public origin.
    pub gateway: String,
    /// The gateway's admin address.
    pub admin: SocketAddr,
    /// The certificate that the gateway shows, as PEM.
    pub certificate: String,
    /// The file that it is in, for `--cacert`.
    pub cacert: PathBuf,
    reached: Arc<AtomicUsize>,
    directory: Directory,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why the stage cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No socket, no file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No directory for its files.
    #[error(
        "no directory can be made in {0}; set TMPDIR to a directory that exists and that this user may write to"
    )]
    Directory(String),
    /// No certificate.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// No key.
    #[error("no key can be made")]
    Key,
    /// Our own address is no origin: a fault of ours.
    #[error("an address is no origin: {0}")]
    Origin(#[from] crate::uri::OriginError),
    /// The configuration is refused: a fault of ours.
    #[error("the demo's configuration is refused: {0}")]
    Config(String),
    /// Asking the gateway failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The gateway never became ready: a fault of ours.
    #[error("the gateway is not ready")]
    NotReady,
    /// The gateway does not start.
    #[error("the gateway does not start: {0}")]
    Gateway(#[from] AppError),
}

impl Stage {
    /// Starts everything; when this returns, every address answers.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn build(clock: &Clock) -> Result<Self, DemoError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let directory = Directory::create(&places())?;
        let (issuer_socket, issuer) = listen::bind().await?;
        let (upstream_socket, upstream) = listen::bind().await?;
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        listen::serve(upstream_socket, &tasks, stop.clone(), move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(upstream::echo(&request))
        });
        let issuer = Origin::from_authority(Scheme::Http, &issuer.to_string())?;
        let audience = "https://orders.demo";
        let server =
            AuthorizationServer::new(issuer.clone(), audience, clock.clone()).ok_or(DemoError::Key)?;
        let server = Arc::new(server);
        listen::serve(issuer_socket, &tasks, stop.clone(), move |request| {
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        });
        let certificate = directory.write_certificate()?;
        let upstream = format!("http://{upstream}");
        let (app, public) = gateway(&directory, issuer.as_str(), audience, &upstream, clock).await?;
        let admin = app.admin_address();
        let stopped = stop.clone();
        tasks.spawn(async move { app.run(stopped).await });
        ready(admin).await?;
        Ok(Self {
            issuer: issuer.as_str().to_owned(),
            upstream,
            gateway: format!("https://{public}"),
            admin,
            certificate,
            cacert: directory.file("tls.crt"),
            reached,
            directory,
            tasks,
            stop,
        })
    }

    /// The public URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway)
    }

    /// How many requests have reached the upstream.
    pub fn reached_upstream(&self) -> usize {
        self.reached.load(Ordering::Relaxed)
    }

    /// The configuration file that the gateway runs on.
    pub fn configuration(&self) -> PathBuf {
        self.directory.file("keyproof.yaml")
    }

    /// Stops everything, waits for it, and removes what was written.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The gateway, from a file, as `serve` starts it. Clients put its port into `htu`, so the port stands in
/// the file before anybody listens.
async fn gateway(
    directory: &Directory,
    issuer: &str,
    audience: &str,
    upstream: &str,
    clock: &Clock,
) -> Result<(App, SocketAddr), DemoError> {
    let mut tries = 0;
    loop {
        let address = listen::bind().await?.1;
        let file = directory.write("keyproof.yaml", &configuration(address, issuer, audience, upstream))?;
        let (plan, _warnings) = config::load(&file).map_err(|problems| {
            DemoError::Config(problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        tries += 1;
        match App::build(plan, clock.clone(), None).await {
            Ok(app) => return Ok((app, address)),
            Err(_) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the gateway has the issuer's keys: `/readyz`, as an orchestrator would.
async fn ready(admin: SocketAddr) -> Result<(), DemoError> {
    let http = HttpClient::new(roots(false, None)?, &Proxies::default())?;
    for _ in 0..READY_POLLS {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = format!("http://{admin}/readyz").parse().map_err(|_| ClientError::Url)?;
        if http.send(request).await?.status.is_success() {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(DemoError::NotReady)
}

/// What an operator would write, with the demo's addresses in it.
fn configuration(address: SocketAddr, issuer: &str, audience: &str, upstream: &str) -> String {
    format!(
        "\
# Written by `keyproof demo`.
listeners:
  - name: public
    address: {address}
    tls:
      certificate: tls.crt
      private_key: tls.key

admin:
  address: 127.0.0.1:0

public_origins: [\"https://{address}\"]

issuers:
  - name: demo
    issuer: {issuer}
    audiences: [\"{audience}\"]

upstreams:
  - name: orders
    servers: [\"{upstream}\"]

routes:
  - name: orders
    match:
      path: /orders
    upstream: orders
    scopes: [\"orders:read\"]
"
    )
}

/// Where the demo may write: what `TMPDIR` names or else /tmp, as everywhere; where that is not to be had, as in an image without /tmp, in
/// memory or beside whoever started it.
fn places() -> Vec<PathBuf> {
    let mut places = vec![std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
    places.extend(std::env::current_dir());
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

/// A directory of our own, removed at the end.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    /// In the first place of `places` where one can be made. Nobody else may look into it: it holds the gateway's private key.
    fn create(places: &[PathBuf]) -> Result<Self, DemoError> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("keyproof-demo-{}", encode(&random::<6>()));
        let mut tried: Vec<String> = Vec::new();
        for place in places {
            let path = place.join(&name);
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => tried.push(format!("{} ({error})", place.display())),
            }
        }
        Err(DemoError::Directory(tried.join(" or ")))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.file(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// A certificate for loopback that signs itself.
    fn write_certificate(&self) -> Result<String, DemoError> {
        let names = vec![Ipv4Addr::LOCALHOST.to_string(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        self.write("tls.key", &pem("PRIVATE KEY", made.signing_key.serialized_der()))?;
        let certificate = pem("CERTIFICATE", made.cert.der());
        self.write("tls.crt", &certificate)?;
        Ok(certificate)
    }
}

/// The textual encoding of RFC 7468: lines of 64 characters between two boundaries.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = STANDARD.encode(der);
    for end in (64..text.len()).step_by(64).collect::<Vec<_>>().into_iter().rev() {
        text.insert(end, '\n');
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays behind after a failure is a temporary directory that only its owner can read.
        drop(std::fs::remove_dir_all(Path::new(&self.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_not_there_is_passed_over_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
        std::fs::write(&file, "").unwrap();
        let error = Directory::create(&[missing.clone(), file]).unwrap_err().to_string();
        assert!(error.contains(&format!("{} (No such file", missing.display())), "{error}");
        assert!(error.contains("set TMPDIR"), "{error}");
        let made = Directory::create(&[missing, folder.path().to_owned()]).unwrap();
        assert!(made.0.starts_with(folder.path()));
    }

    #[test]
    fn pem_is_wrapped_as_others_read_it() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        assert_eq!(pem("CERTIFICATE", made.cert.der()), made.cert.pem().replace("\r\n", "\n"));
        let exact = pem("X", &[0; 48]);
        assert_eq!(exact.lines().map(str::len).collect::<Vec<_>>(), [17, 64, 15]);
    }
}

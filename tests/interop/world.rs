//! One authorization server, one gateway, one upstream, and the wire between client and gateway.

use crate::node::Node;
use crate::wire::{self, Response, Upstream, Wire};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// The API's resource indicator and the tokens' audience.
pub(crate) const RESOURCE: &str = "https://orders.example/api";

/// How this world differs from another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// The authorization server demands a nonce too.
    pub(crate) nonce: bool,
    /// Both servers speak https and ask for client certificates.
    pub(crate) certificates: bool,
}

/// Everything that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) issuer: String,
    scheme: &'static str,
    wire: Wire,
    upstream: Upstream,
    gateway: SocketAddr,
    files: TempDir,
    processes: Vec<Child>,
}

/// How `keyproof request` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// Starts everything and waits until the gateway is ready; `None` where node is missing.
    pub(crate) fn start(needs: &Needs) -> Option<Self> {
        let node = Node::find()?;
        let files = tempfile::tempdir().unwrap();
        let tls = needs.certificates.then(|| certificate(files.path(), "tls"));
        let mut provider = node
            .start("provider.mjs", &json!({ "resource": RESOURCE, "requireNonce": needs.nonce, "tls": tls }));
        let mut line = String::new();
        BufReader::new(provider.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let issuer = serde_json::from_str::<Value>(&line).unwrap()["issuer"].as_str().unwrap().to_owned();

        let upstream = Upstream::start();
        let (gateway, admin) = (free_address(), free_address());
        let wire = Wire::to(gateway);
        let configuration = configuration(gateway, admin, wire.address, &issuer, upstream.address);
        let configuration = if needs.certificates { securely(&configuration) } else { configuration };
        std::fs::write(files.path().join("keyproof.yaml"), configuration).unwrap();
        std::fs::write(files.path().join("introspection"), "gateway-secret\n").unwrap();
        let log = std::fs::File::create(files.path().join("log")).unwrap();
        let serve = Command::new(env!("CARGO_BIN_EXE_keyproof"))
            .args(["serve", "--config"])
            .arg(files.path().join("keyproof.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let scheme = if needs.certificates { "https" } else { "http" };
        let mut world =
            Self { node, issuer, scheme, wire, upstream, gateway, files, processes: vec![serve, provider] };
        world.wait_until_ready(admin);
        Some(world)
    }

    /// The public URL of a path: that of the wire.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.wire.address)
    }

    /// A file of this world.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A client that nobody vouches for: its certificate and its key, which are in `NAME.crt` and `NAME.key`, too.
    pub(crate) fn client(&self, name: &str) -> Value {
        certificate(self.files.path(), name)
    }

    /// The last request that a client sent, to the letter.
    pub(crate) fn last_recorded_request(&self) -> String {
        self.wire.last_request()
    }

    /// Sends bytes to the gateway, past the wire.
    pub(crate) fn send(&self, request: &str) -> Response {
        wire::send(self.gateway, request)
    }

    /// How many requests have reached the upstream.
    pub(crate) fn upstream_requests(&self) -> usize {
        self.upstream.requests()
    }

    /// Runs `keyproof request`.
    pub(crate) fn request(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyproof"));
        let output = command.arg("request").args(arguments).output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What the gateway has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.files.path().join("log")).unwrap()
    }

    /// Waits until the gateway has logged this.
    pub(crate) fn logs(&self, text: &str) {
        for _ in 0..600 {
            if self.log().contains(text) {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("{text} is not in the log:\n{}", self.log());
    }

    fn wait_until_ready(&mut self, admin: SocketAddr) {
        for _ in 0..600 {
            if let Some(code) = self.processes[0].try_wait().unwrap() {
                panic!("the gateway ended with {code}:\n{}", self.log());
            }
            if std::net::TcpStream::connect(admin).is_ok() {
                let asked = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
                if wire::send(admin, &asked).head.starts_with("HTTP/1.1 200") {
                    return;
                }
            }
            sleep(Duration::from_millis(50));
        }
        panic!("the gateway is not ready:\n{}", self.log());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// An address that was free a moment ago: the file must name it before the gateway listens.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Writes a certificate for loopback and its key into a folder.
fn certificate(folder: &Path, name: &str) -> Value {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(folder.join(format!("{name}.crt")), &cert).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), &key).unwrap();
    json!({ "cert": cert, "key": key })
}

/// The same with https on both sides, and a route for certificates.
fn securely(configuration: &str) -> String {
    let tls = "  - name: public\n    tls: { certificate: tls.crt, private_key: tls.key, client_certificates: any }\n";
    let text = configuration.replacen("  - name: public\n", tls, 1);
    let text = text.replacen("public_origins: [\"http:", "public_origins: [\"https:", 1);
    let text = text.replacen("    audiences:", "    ca: tls.crt\n    audiences:", 1);
    text + "  - { name: bound, match: { path: /bound }, upstream: echo, accept: [mtls], scopes: [\"orders:read\"] }\n"
}

fn configuration(
    gateway: SocketAddr,
    admin: SocketAddr,
    public: SocketAddr,
    issuer: &str,
    upstream: SocketAddr,
) -> String {
    format!(
        r#"
listeners:
  - name: public
    address: {gateway}
admin:
  address: {admin}
public_origins: ["http://{public}"]
issuers:
  - name: main
    issuer: {issuer}
    audiences: ["{RESOURCE}", "{RESOURCE}/opaque"]
    introspection:
      endpoint: {issuer}/token/introspection
      client_id: gateway
      client_secret_file: introspection
      cache: 1s
upstreams:
  - name: echo
    servers: ["http://{upstream}"]
routes:
  - name: orders
    match:
      path: /orders
    upstream: echo
    scopes: ["orders:read"]
  - name: strict
    match:
      path: /strict
    upstream: echo
    nonce: required
"#
    )
}

//! Everything around the generator: keys, certificate, configuration, and the processes it starts.

use crate::arguments::{Door, RunArguments, SceneArguments, Spoken};
use keyproof::clock::{Clock, UnixTime};
use keyproof::jose::{Algorithm, PrivateKey};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const HOST: &str = "api.test";
/// The name in the upstream's certificate.
const UPSTREAM: &str = "upstream.test";
pub(crate) const ISSUER: &str = "https://id.test";
pub(crate) const AUDIENCE: &str = "https://api.test";
pub(crate) const KEY_ID: &str = "k1";

/// A proof must be younger than the replay store, leeway included, or it is refused.
const LEEWAY: Duration = Duration::from_secs(1);
const PATIENCE: u32 = 200;

/// The server to measure, and what was started for it.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) scene: PathBuf,
    pub(crate) issuer: PrivateKey,
    pub(crate) processes: Vec<u32>,
    began: Option<UnixTime>,
    children: Vec<Child>,
    _directory: Option<tempfile::TempDir>,
}

impl Stage {
    /// Finds the server, or starts one.
    pub(crate) fn set(arguments: &RunArguments) -> io::Result<Self> {
        if arguments.gateway {
            return Self::start(arguments);
        }
        pin(&arguments.generator_cpus)?;
        let scene = arguments.scene.clone().unwrap_or_default();
        let address = arguments.address.ok_or(io::Error::other("no address"))?;
        Ok(Self {
            address,
            issuer: read_issuer(&scene)?,
            scene,
            processes: arguments.pid.clone(),
            began: None,
            children: Vec::new(),
            _directory: None,
        })
    }

    fn start(arguments: &RunArguments) -> io::Result<Self> {
        pin(&arguments.generator_cpus)?;
        let directory = tempfile::tempdir()?;
        let scene = directory.path().to_path_buf();
        let (upstream, upstream_address) = start_upstream()?;
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let (plain, tls, admin, decisions, grpc) = (free()?, free()?, free()?, free()?, free()?);
        write(&SceneArguments {
            directory: scene.clone(),
            listen: plain,
            listen_tls: Some(tls),
            listen_decisions: Some(decisions),
            listen_grpc: Some(grpc),
            admin,
            upstream: upstream_address,
            upstream_speaks: Spoken::Plain,
            max_age: "60s".to_owned(),
            hot_keys: 0,
        })?;
        let gateway = start_gateway(arguments, &scene)?;
        let mut stage = Self {
            address: match arguments.door {
                Door::Proxy if arguments.tls => tls,
                Door::Proxy => plain,
                Door::ForwardAuth => decisions,
                Door::Grpc => grpc,
            },
            issuer: read_issuer(&scene)?,
            scene,
            processes: vec![gateway.id()],
            began: None,
            children: vec![upstream, gateway],
            _directory: Some(directory),
        };
        stage.wait_for(stage.address)?;
        stage.began = Some(Clock::system().now());
        Ok(stage)
    }

    /// A gateway that has just started cannot know which older proofs were used: sign only what is newer.
    pub(crate) fn wait_until_proofs_count(&self) {
        if let Some(began) = self.began {
            let age = Clock::system().now().since(began);
            std::thread::sleep((LEEWAY + Duration::from_secs(1)).saturating_sub(age));
        }
    }

    fn wait_for(&mut self, address: SocketAddr) -> io::Result<()> {
        for _ in 0..PATIENCE {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.children.last_mut().map(Child::try_wait).transpose()?.flatten() {
                let log = fs::read_to_string(self.scene.join("stderr.log")).unwrap_or_default();
                return Err(io::Error::other(format!("the gateway ended with {status}: {log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("the gateway does not listen"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Asked, not cut off: a gateway that `deploy/build` has instrumented writes its profile when it ends.
        for child in &mut self.children {
            if terminate(child).is_err() {
                child.kill().ok();
            }
            child.wait().ok();
        }
    }
}

fn terminate(child: &Child) -> io::Result<()> {
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process(process, Signal::TERM)?)
}

/// Writes the files of a scene. Keys that are already there stay.
pub(crate) fn write(arguments: &SceneArguments) -> io::Result<()> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)?;
    if !directory.join("issuer.jwk").exists() {
        write_keys(directory)?;
    }
    fs::write(directory.join("keyproof.yaml"), configuration(arguments))
}

fn write_keys(directory: &Path) -> io::Result<()> {
    let issuer = PrivateKey::generate(Algorithm::Es256).ok_or(io::Error::other("no key can be made"))?;
    let mut public: serde_json::Value = serde_json::from_str(&issuer.public_jwk())?;
    public["kid"] = KEY_ID.into();
    public["alg"] = "ES256".into();
    fs::write(directory.join("jwks.json"), serde_json::json!({ "keys": [public] }).to_string())?;
    fs::write(directory.join("issuer.jwk"), issuer.private_jwk())?;
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(io::Error::other)?;
    fs::write(directory.join("tls.crt"), made.cert.pem())?;
    fs::write(directory.join("tls.key"), made.signing_key.serialize_pem())?;
    write_upstream_keys(directory).map_err(io::Error::other)?
}

/// A certificate for the upstream, and the authority that vouches for it.
fn write_upstream_keys(directory: &Path) -> Result<io::Result<()>, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([UPSTREAM.to_owned()])?.signed_by(&key, &authority)?;
    let files = [
        ("upstream.crt", certificate.pem()),
        ("upstream.key", key.serialize_pem()),
        ("upstream-ca.crt", authority.pem()),
    ];
    Ok(files.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text)))
}

fn read_issuer(scene: &Path) -> io::Result<PrivateKey> {
    PrivateKey::read(&fs::read_to_string(scene.join("issuer.jwk"))?).map_err(io::Error::other)
}

fn configuration(arguments: &SceneArguments) -> String {
    let (listen, admin, upstream) = (arguments.listen, arguments.admin, arguments.upstream);
    let tls = arguments.listen_tls.map_or_else(String::new, |address| {
        format!("  - {{ name: tls, address: \"{address}\", tls: {{ certificate: tls.crt, private_key: tls.key }} }}\n")
    });
    let door = |mode: &str, address: Option<SocketAddr>| {
        address.map_or_else(String::new, |address| {
            format!("  - {{ name: {mode}, address: \"{address}\", mode: {mode}, trusted_proxies: [127.0.0.1/32] }}\n")
        })
    };
    let doors =
        door("forward_auth", arguments.listen_decisions) + &door("ext_authz_grpc", arguments.listen_grpc);
    let (max_age, leeway) = (&arguments.max_age, LEEWAY.as_secs());
    let hot_keys = arguments.hot_keys;
    let servers = match arguments.upstream_speaks {
        Spoken::Plain => format!("servers: [\"http://{upstream}\"]"),
        Spoken::Http2 => format!("servers: [\"http://{upstream}\"], protocol: http2"),
        Spoken::Tls => format!(
            "servers: [\"https://{upstream}\"], tls: {{ ca: upstream-ca.crt, server_name: {UPSTREAM} }}"
        ),
    };
    format!(
        r#"listeners:
  - {{ name: plain, address: "{listen}" }}
{tls}{doors}admin: {{ address: "{admin}" }}
public_origins: ["https://{HOST}"]
issuers:
  - {{ name: main, issuer: "{ISSUER}", audiences: ["{AUDIENCE}"], jwks_file: jwks.json }}
dpop: {{ hot_keys: {hot_keys}, max_age: {max_age}, leeway: {leeway}s }}
replay: {{ per_key_limit: 1000000, per_subject_limit: 1000000, on_start: wait }}
upstreams:
  - {{ name: upstream, {servers} }}
routes:
  - {{ name: orders, match: {{ path: /orders }}, upstream: upstream, scopes: ["orders:read"] }}
"#
    )
}

fn start_upstream() -> io::Result<(Child, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe()?).arg("upstream").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().parse().map_err(io::Error::other)?;
    Ok((child, address))
}

/// The gateway, its access log in a file.
fn start_gateway(arguments: &RunArguments, scene: &Path) -> io::Result<Child> {
    let mut command = match arguments.server_cpus.as_str() {
        "" => Command::new(&arguments.binary),
        cpus => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpus]).arg(&arguments.binary);
            command
        }
    };
    command.arg("serve").arg("--config").arg(scene.join("keyproof.yaml"));
    command
        .stdout(fs::File::create(scene.join("access.log"))?)
        .stderr(fs::File::create(scene.join("stderr.log"))?);
    command.spawn()
}

/// Keeps this process, and what it starts, on these cores.
fn pin(cpus: &str) -> io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    let own = std::process::id().to_string();
    let status = Command::new("taskset").args(["-acp", cpus, &own]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("taskset: {status}"))) }
}

//! Somebody who has read the contract and nothing else: writes a configuration, starts the program, sends bytes.

use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use rustix::process::{Pid, Signal};
use serde_json::{Map, Value, json};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::raw::{Answer, Raw};
use support::upstream::Recording;
use tokio::time::sleep;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Ready after a second, and no proof needs a nonce from then on.
pub(crate) const WAIT: &str = "dpop: { leeway: 0s }\nreplay: { on_start: wait }";

/// The program, running, and everything around it.
pub(crate) struct Stranger {
    process: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) issuer: PrivateKey,
    client: PrivateKey,
    folder: tempfile::TempDir,
    /// What it listens on, where that is handed over.
    socket: Option<TcpListener>,
}

impl Stranger {
    /// Starts a gateway to this upstream with these top-level settings and routes, and waits until it says that it is ready.
    pub(crate) async fn starts(upstream: SocketAddr, settings: &str, routes: &str) -> Self {
        Self::starts_in(tempfile::tempdir().unwrap(), upstream, "", settings, routes).await
    }

    /// The same with a folder that has files in it, and more settings for the listener.
    pub(crate) async fn starts_in(
        folder: tempfile::TempDir,
        upstream: SocketAddr,
        listener: &str,
        settings: &str,
        routes: &str,
    ) -> Self {
        Self::starts_on(None, folder, upstream, listener, settings, routes).await
    }

    /// The same with a socket that the process gets as from systemd, under the name `web`.
    pub(crate) async fn starts_on(
        socket: Option<TcpListener>,
        folder: tempfile::TempDir,
        upstream: SocketAddr,
        listener: &str,
        settings: &str,
        routes: &str,
    ) -> Self {
        let issuer = PrivateKey::generate(Algorithm::Es256).unwrap();
        publish(folder.path(), &[("one", &issuer)]);
        let file = folder.path().join("keyproof.yaml");
        let address = if socket.is_some() { "systemd:web" } else { "127.0.0.1:0" };
        std::fs::write(&file, configuration(address, upstream, listener, settings, routes)).unwrap();
        let process = launch(folder.path(), socket.as_ref());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let client = PrivateKey::generate(Algorithm::Es256).unwrap();
        let mut stranger = Self { process, gateway: nowhere, admin: nowhere, issuer, client, folder, socket };
        stranger.is_up().await;
        stranger
    }

    /// Ends the process as an orchestrator does, and starts the next.
    pub(crate) async fn restarts(&mut self) -> ExitStatus {
        self.terminate();
        let status = self.ends().await;
        self.process = launch(self.folder.path(), self.socket.as_ref());
        self.is_up().await;
        status
    }

    async fn is_up(&mut self) {
        self.gateway = self.logged_address("listening").await;
        self.admin = self.logged_address("admin").await;
        while self.page("/readyz").await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Replaces the issuer's keys.
    pub(crate) fn publish(&self, keys: &[(&str, &PrivateKey)]) {
        publish(self.folder.path(), keys);
    }

    /// Replaces the issuer's key set by this text.
    pub(crate) fn publish_text(&self, jwks: &str) {
        replace(self.folder.path(), jwks);
    }

    /// The thumbprint of the client's key.
    pub(crate) fn jkt(&self) -> String {
        self.client.public().thumbprint().to_string()
    }

    /// `GET /orders` with this token and a good proof.
    pub(crate) fn with_token(&self, token: &str) -> String {
        let proof = self.proof(token, json!({}));
        get("/orders", &[("Authorization", &format!("DPoP {token}")), ("DPoP", &proof)])
    }

    /// A token for the client's key; `changes` replace claims, `null` removes them.
    pub(crate) fn token(&self, changes: Value) -> String {
        self.token_by("one", &self.issuer, changes)
    }

    pub(crate) fn token_by(&self, kid: &str, key: &PrivateKey, changes: Value) -> String {
        let claims = json!({
            "iss": "https://id.example.com", "aud": "https://api.example.com", "sub": "alice", "client_id": "shop",
            "iat": now(), "exp": now() + 300, "jti": unique(), "scope": "orders:read",
            "cnf": { "jkt": self.client.public().thumbprint().to_string() },
        });
        key.sign(
            &json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid }).to_string(),
            &merged(claims, changes),
        )
    }

    /// A proof for `GET https://api.example.com/orders` with this token.
    pub(crate) fn proof(&self, token: &str, changes: Value) -> String {
        let jwk: Value = serde_json::from_str(&self.client.public_jwk()).unwrap();
        let claims = json!({
            "jti": unique(), "htm": "GET", "htu": "https://api.example.com/orders", "iat": now(),
            "ath": encode(&sha256(&[token.as_bytes()])),
        });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        self.client.sign(&header.to_string(), &merged(claims, changes))
    }

    /// `GET /orders` with a good token and a good proof that no other request has.
    pub(crate) fn good(&self) -> String {
        self.with_token(&self.token(json!({})))
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        send(self.gateway, request).await
    }

    /// A page of the admin address.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        send(self.admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }

    /// What the process has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The line of the log that says this; it is waited for.
    pub(crate) async fn logged(&self, said: &str) -> String {
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(said) && line.ends_with('}')) {
                return line.to_owned();
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The lines about requests that it has logged so far.
    pub(crate) fn logged_requests(&self) -> impl Iterator<Item = Value> {
        let log = self.log();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let lines: Vec<Value> = whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().filter(|line| line["message"] == "request")
    }

    /// How many there are.
    pub(crate) fn requests(&self) -> usize {
        self.logged_requests().count()
    }

    /// How much memory the process has, in KiB.
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        rustix::process::kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
    }

    /// What the configuration file says.
    pub(crate) fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("keyproof.yaml")).unwrap()
    }

    /// Writes the configuration file anew.
    pub(crate) fn write_configuration(&self, text: &str) {
        std::fs::write(self.folder.path().join("keyproof.yaml"), text).unwrap();
    }

    /// Tells the process to stop, as an orchestrator does.
    pub(crate) fn terminate(&self) {
        // By the system call: a small machine has no program for it.
        rustix::process::kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }

    /// Stops the process, as a suspended machine does, or a debugger; returns when it has stopped.
    pub(crate) async fn freeze(&self) {
        let pid = Pid::from_child(&self.process);
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        rustix::process::kill_process(Pid::from_child(&self.process), Signal::CONT).unwrap();
    }

    /// How the process ends.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let status = self.ends().await;
        (status, self.log())
    }

    async fn ends(&mut self) -> ExitStatus {
        loop {
            match self.process.try_wait().unwrap() {
                Some(status) => return status,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Every address that it listened on at its start, in the configuration's order.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        let lines =
            self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
        let listening = lines.iter().filter(|line| line["message"] == "listening");
        listening.filter_map(|line| line["address"].as_str()?.parse().ok()).collect()
    }

    /// The folder of its configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn logged_address(&mut self, message: &str) -> SocketAddr {
        let mark = format!(r#""message":"{message}""#);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(&mark) && line.ends_with('}')) {
                let line: Value = serde_json::from_str(line).unwrap();
                return line["address"].as_str().unwrap().parse().unwrap();
            }
            assert!(self.process.try_wait().unwrap().is_none(), "the gateway ended: {log}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// An upstream that says `ok`.
pub(crate) async fn upstream() -> Recording {
    Recording::start(OK).await
}

pub(crate) fn get(path: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\n{fields}\r\n")
}

async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut connection = Raw::connect(address).await;
    connection.send(request).await;
    connection.answer().await.expect("an answer")
}

/// In one step, as a secret that is mounted changes.
fn publish(folder: &Path, keys: &[(&str, &PrivateKey)]) {
    let jwk = |(kid, key): &(&str, &PrivateKey)| {
        merged(serde_json::from_str(&key.public_jwk()).unwrap(), json!({ "kid": kid }))
    };
    let jwks: Vec<_> = keys.iter().map(jwk).collect();
    replace(folder, &format!(r#"{{"keys":[{}]}}"#, jwks.join(",")));
}

fn replace(folder: &Path, jwks: &str) {
    std::fs::write(folder.join("jwks.new"), jwks).unwrap();
    std::fs::rename(folder.join("jwks.new"), folder.join("jwks.json")).unwrap();
}

/// Starts the program in a folder that has its configuration, with its words in the file `log`.
fn launch(folder: &Path, socket: Option<&TcpListener>) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = match socket {
        None => Command::new(env!("CARGO_BIN_EXE_keyproof")),
        Some(socket) => handed(&[socket.as_fd()], "web"),
    };
    command.args(["serve", "--config"]).arg(folder.join("keyproof.yaml"));
    if socket.is_none() {
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap());
    }
    command.stderr(log).spawn().unwrap()
}

/// The program with sockets handed over as systemd does it: from descriptor 3 on, with its process number and these names.
///
/// A shell puts them there, which gets the first as its input and a second as its output; the program writes to what is its error output.
pub(crate) fn handed(sockets: &[BorrowedFd<'_>], names: &str) -> Command {
    let script = format!(
        r#"export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}; exec "$0" "$@" 3<&0 4<&1 >&2 </dev/null"#,
        sockets.len()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_keyproof")]);
    let own = |socket: &BorrowedFd<'_>| Stdio::from(socket.try_clone_to_owned().unwrap());
    command.stdin(sockets.first().map_or_else(Stdio::null, own));
    command.stdout(sockets.get(1).map_or_else(Stdio::null, own));
    command
}

fn configuration(
    address: &str,
    upstream: SocketAddr,
    listener: &str,
    settings: &str,
    routes: &str,
) -> String {
    format!(
        r#"
listeners:
  - name: public
    address: {address}
{listener}
admin:
  address: 127.0.0.1:0
public_origins: ["https://api.example.com"]
issuers:
  - name: main
    issuer: https://id.example.com
    audiences: ["https://api.example.com"]
    jwks_file: jwks.json
upstreams:
  - name: legacy
    servers: ["http://{upstream}"]
routes:
  - name: orders
    match: {{ path: /orders }}
    upstream: legacy
{routes}
{settings}
"#
    )
}

fn merged(base: Value, changes: Value) -> String {
    let members = |value: Value| value.as_object().unwrap().clone();
    let mut all: Map<String, Value> = members(base);
    all.extend(members(changes));
    all.retain(|_, value| !value.is_null());
    Value::Object(all).to_string()
}

#[expect(clippy::disallowed_methods, reason = "a stranger has a clock of its own")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("stranger-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

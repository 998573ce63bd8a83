//! Load on an upstream that is never at rest: one of its servers is killed and comes back every two seconds, another one hangs now and then, and
//! the addresses of its name change. No request may fail, and none may be handled twice.
//!
//! `KEYPROOF_TURBULENCE=120` has it last so many seconds instead of six.

use super::stranger::get;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::raw::Raw;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const CLIENTS: usize = 12;
const NAME: &str = "orders.test";

/// A server on an address of its own: real, so that it can be killed.
struct Server {
    address: Ipv4Addr,
    port: u16,
    log: std::path::PathBuf,
    process: Child,
}

impl Server {
    async fn start(last: u8, port: u16, folder: &Path) -> Self {
        let (address, log) = (Ipv4Addr::new(127, 0, 0, last), folder.join(format!("server.{last}")));
        std::fs::write(&log, "").unwrap();
        let mut server = Self { address, port, process: launch(address, port, &log), log };
        server.is_up().await;
        server
    }

    async fn comes_back(&mut self) {
        self.process = launch(self.address, self.port, &self.log);
        self.is_up().await;
    }

    async fn is_up(&mut self) {
        while tokio::net::TcpStream::connect((self.address, self.port)).await.is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "python3 does not run it");
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn dies(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn hears(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// What it was asked for.
    fn handled(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn launch(address: Ipv4Addr, port: u16, log: &Path) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/turbulence.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(address.to_string()).arg(port.to_string()).arg(log);
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// Whether this user may have a file system of its own; a line on stderr where not.
fn may_unshare() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        let why = "contract: turbulence needs root and unshare(1)";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
        // Past the test harness, which keeps the output of tests that pass to itself.
        std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
    }
    may
}

/// The gateway, for which the test says what `/etc/hosts` has.
struct Gateway {
    process: Child,
    address: SocketAddr,
    admin: SocketAddr,
    hosts: std::path::PathBuf,
}

impl Gateway {
    async fn start(folder: &Path, port: u16) -> Self {
        let (hosts, file, log) = (folder.join("hosts"), folder.join("keyproof.yaml"), folder.join("log"));
        std::fs::write(&hosts, hosts_of(&[2, 3, 4])).unwrap();
        std::fs::write(&file, configuration(port)).unwrap();
        // Names are the system's to know: a file system of its own for the process has another /etc/hosts.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]).arg(&hosts);
        command.arg(env!("CARGO_BIN_EXE_keyproof")).args(["serve", "--config"]).arg(&file);
        command.stdin(Stdio::null()).stdout(std::fs::File::create(&log).unwrap());
        let mut process =
            command.stderr(std::fs::File::create(folder.join("errors")).unwrap()).spawn().unwrap();
        let mut said = async |message: &str| loop {
            let log = std::fs::read_to_string(&log).unwrap();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == message) {
                return line["address"].as_str().unwrap().parse().unwrap();
            }
            let errors = std::fs::read_to_string(folder.join("errors")).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "the gateway ended: {errors}");
            sleep(Duration::from_millis(10)).await;
        };
        let (address, admin) = (said("listening").await, said("admin").await);
        Self { process, address, admin, hosts }
    }

    /// From now on the name has these addresses.
    fn name_has(&self, addresses: &[u8]) {
        std::fs::write(&self.hosts, hosts_of(addresses)).unwrap();
    }

    async fn metrics(&self) -> String {
        let mut connection = Raw::connect(self.admin).await;
        connection.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        connection.answer().await.unwrap().text()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn hosts_of(addresses: &[u8]) -> String {
    let lines = addresses.iter().map(|last| format!("127.0.0.{last} {NAME}\n"));
    "127.0.0.1 localhost\n".to_owned() + &lines.collect::<String>()
}

fn configuration(port: u16) -> String {
    format!(
        r#"
listeners: [{{ name: public, address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
public_origins: ["https://api.example.com"]
upstreams:
  - name: orders
    servers: ["http://{NAME}:{port}"]
    resolve: 1s
    balance: least_requests
    health: {{ path: /healthz, interval: 200ms, timeout: 500ms, unhealthy_after: 1, healthy_after: 1 }}
    eject: {{ after: 3, for: 1s }}
routes: [{{ name: all, match: {{ path: / }}, upstream: orders, public: true }}]
"#
    )
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    sent: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

async fn client(gateway: SocketAddr, until: Instant, seen: Arc<Seen>) {
    let mut connection = Raw::connect(gateway).await;
    while Instant::now() < until {
        let path = format!("/{}", seen.sent.fetch_add(1, Ordering::SeqCst));
        connection.send(get(&path, &[])).await;
        let failure = match connection.answer().await {
            Some(answer) if answer.status == 200 => None,
            Some(answer) => Some(format!("{path}: {}", answer.status)),
            None => Some(format!("{path}: no answer")),
        };
        seen.failed.lock().unwrap().extend(failure);
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn no_request_fails_or_is_doubled_while_servers_die_hang_and_move() {
    if !may_unshare() {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "how long a test takes is for who runs it")]
    let seconds = std::env::var("KEYPROOF_TURBULENCE").map_or(6, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
    let mut servers = Vec::new();
    for last in 2..=5 {
        servers.push(Server::start(last, port, folder.path()).await);
    }
    let gateway = Gateway::start(folder.path(), port).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let seen = Arc::<Seen>::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(gateway.address, until, Arc::clone(&seen)));
    }
    let [mortal, moody, ..] = &mut servers[..] else { unreachable!("there are four") };
    let dies = async {
        let mut deaths = 0;
        while Instant::now() < until {
            sleep(Duration::from_secs(1)).await;
            mortal.dies();
            deaths += 1;
            sleep(Duration::from_secs(1)).await;
            mortal.comes_back().await;
        }
        deaths
    };
    let hangs = async {
        while Instant::now() < until {
            sleep(Duration::from_millis(1500)).await;
            moody.hears(Signal::STOP);
            sleep(Duration::from_secs(2)).await;
            moody.hears(Signal::CONT);
        }
    };
    let moves = async {
        // A look-up comes every second; each list lasts longer than that.
        for addresses in [&[2, 3, 4, 5][..], &[2, 3, 5], &[2, 3, 4]].into_iter().cycle() {
            sleep_until(until.min(Instant::now() + Duration::from_millis(1500))).await;
            gateway.name_has(addresses);
            if Instant::now() >= until {
                break;
            }
        }
    };
    let (deaths, (), ()) = tokio::join!(dies, hangs, moves);
    clients.join_all().await;

    let failed = seen.failed.lock().unwrap().clone();
    assert_eq!(failed, Vec::<String>::new(), "{}", gateway.metrics().await);
    let mut handled: BTreeMap<String, usize> = BTreeMap::new();
    for path in servers.iter().flat_map(Server::handled) {
        *handled.entry(path).or_default() += 1;
    }
    let sent = seen.sent.load(Ordering::SeqCst);
    let doubled: Vec<_> = handled.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!((handled.len(), doubled), (sent, Vec::new()));
    // All of it happened, and nobody was left out.
    assert!(deaths >= 2 && sent > CLIENTS * 20, "{deaths} deaths, {sent} requests");
    for server in &servers {
        assert!(!server.handled().is_empty(), "{} got nothing", server.address);
    }
    let shares: Vec<_> = servers.iter().map(|server| server.handled().len()).collect();
    println!(
        "{sent} requests in {seconds} s, {deaths} deaths; the servers had {shares:?}; none failed or was doubled"
    );
}

//! `keyproof doctor` through real fronts, each broken on purpose in each way: what it finds, and what the user sees.
//!
//! `breaks/` holds the table, a file for each front that asks the gateway (as in `deploy/front`) or forwards to it (as in `forwarding/`):
//! what is changed in which file of its configuration, how the command ends, and a part of what it says. `seen/` holds all that it says;
//! `UPDATE_GOLDEN=1` writes it anew.

mod breaks;

use super::front::Front;
use super::kinds::{self, Kind};
use breaks::Break;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::gateway::House;
use support::tls::Terminator;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [dpop, bearer], cors: { origins: ["https://app.test"] } }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }"#;
/// Two that differ in scheme alone, and one that differs from them in the port.
const ORIGINS: &str = r#"["http://api.test", "https://api.test", "http://api.test:8081"]"#;

/// A front, and what it does with requests.
pub(crate) struct Patient {
    kind: &'static Kind,
    /// As its files are named.
    name: &'static str,
    /// As `--front` has it.
    front: &'static str,
    /// It forwards to the gateway with this file of `forwarding/`, or it asks.
    forwards: Option<&'static str>,
}

pub(crate) const NGINX_ASKS: Patient =
    Patient { kind: &kinds::NGINX, name: "nginx", front: "nginx", forwards: None };
pub(crate) const NGINX_FORWARDS: Patient = Patient { forwards: Some("nginx.conf"), ..NGINX_ASKS };
pub(crate) const CADDY_ASKS: Patient =
    Patient { kind: &kinds::CADDY, name: "caddy", front: "caddy", forwards: None };
pub(crate) const CADDY_FORWARDS: Patient = Patient { forwards: Some("Caddyfile"), ..CADDY_ASKS };
pub(crate) const TRAEFIK_ASKS: Patient =
    Patient { kind: &kinds::TRAEFIK, name: "traefik", front: "traefik", forwards: None };
pub(crate) const TRAEFIK_FORWARDS: Patient =
    Patient { forwards: Some("traefik-routes.yaml"), ..TRAEFIK_ASKS };
pub(crate) const HAPROXY_ASKS: Patient =
    Patient { kind: &kinds::HAPROXY, name: "haproxy", front: "haproxy", forwards: None };
pub(crate) const HAPROXY_FORWARDS: Patient = Patient { forwards: Some("haproxy.cfg"), ..HAPROXY_ASKS };
pub(crate) const ENVOY_ASKS: Patient =
    Patient { kind: &kinds::ENVOY, name: "envoy", front: "envoy", forwards: None };
pub(crate) const ENVOY_FORWARDS: Patient = Patient { forwards: Some("envoy.yaml"), ..ENVOY_ASKS };
pub(crate) const ENVOY_ASKS_OVER_GRPC: Patient =
    Patient { kind: &kinds::ENVOY_GRPC, name: "envoy-grpc", ..ENVOY_ASKS };

/// Every break is found, and everything that is seen is as written.
pub(crate) async fn finds(patient: &'static Patient) {
    let house = House::present_with_origins(ROUTES, ORIGINS).await;
    let behind = if patient.forwards.is_some() { house.gateway } else { (patient.kind.asks)(&house) };
    let mut all = String::new();
    for broken in breaks::read(&patient.file("breaks")) {
        let edit = |file: &str, shipped| broken.edited(file, patient.text(file, shipped));
        let Some(front) = Front::start_edited(patient.kind, &house, behind, edit).await else { return };
        let (exit, said) = doctor(patient, &broken, &house, &front).await;
        let place = format!("{}: {}:\n{said}\n{}", patient.name(), broken.name, front.said());
        assert_eq!(exit, broken.exit, "{place}");
        assert!(said.contains(&broken.says), "{place}");
        // Of a break only what is found is written: what stands before it differs in that alone.
        let from = if broken.edits.is_empty() { 0 } else { said.find("\n1. ").map_or(0, |at| at + 1) };
        all += &format!("== {} (exit {exit})\n{}\n", broken.name, said[from..].trim_end());
    }
    same_as_written(&patient.file("seen"), &all);
}

impl Patient {
    fn name(&self) -> String {
        format!("{}-{}", self.name, if self.forwards.is_some() { "forwards" } else { "asks" })
    }

    fn file(&self, folder: &str) -> PathBuf {
        here(folder).join(self.name() + ".txt")
    }

    /// What stands in one of its files before it is broken.
    fn text(&self, file: &str, shipped: String) -> String {
        let own = self.forwards.filter(|own| *own == file);
        own.map_or(shipped, |own| std::fs::read_to_string(here("forwarding").join(own)).unwrap())
    }
}

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fronts/doctor").join(folder)
}

/// What the command says, without what differs from time to time.
async fn doctor(patient: &Patient, broken: &Break, house: &House, front: &Front) -> (i32, String) {
    let tls = broken.url.starts_with("https");
    let terminator = if tls { Some(Terminator::before(front.address, house.folder()).await) } else { None };
    let address = terminator.as_ref().map_or(front.address, |terminator| terminator.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyproof"));
    command.args(["doctor", &broken.url, "--front", patient.front]).args(&broken.with);
    command.args(["--admin", &format!("http://{}", house.admin)]);
    command.args(["--connect-to", &format!("::{}:{}", address.ip(), address.port())]);
    command.arg("--cacert").arg(house.folder().join("tls.crt")).env_clear();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let said = said.replace(&house.gateway.to_string(), "127.0.0.1:4180");
    let lines = said.lines().map(|line| match line.split_once(' ') {
        Some(("Date", rest)) if !rest.contains("<--") => "Date             (a date)",
        Some(("clock", _)) => "clock            (about the same)",
        _ => line.trim_end(),
    });
    (output.status.code().unwrap(), lines.map(|line| format!("{line}\n")).collect())
}

fn same_as_written(file: &Path, said: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, said).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(written == said, "{} is not what is said:\n{said}", file.display());
}

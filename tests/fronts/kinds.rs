//! The fronts: where their programs are, how they start, and what each cannot do (as `docs/fronts.md` says).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::gateway::House;

/// A kind of front.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Where the program may be.
    pub(crate) programs: &'static [&'static str],
    /// Its files in `deploy/front`; the first is the one it starts with.
    pub(crate) files: &'static [&'static str],
    /// How the three addresses are written in them: the front's own, keyproof's, the API's.
    pub(crate) ports: [&'static str; 3],
    /// Which listener of keyproof it asks.
    pub(crate) asks: fn(&House) -> SocketAddr,
    /// What starts it.
    pub(crate) command: fn(program: &Path, folder: &Path, file: &Path) -> Command,
    pub(crate) limits: Limits,
}

/// What a front cannot do.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The body of a refusal is another one.
    pub(crate) no_body: bool,
    /// The next nonce does not come with a success.
    pub(crate) no_nonce_on_success: bool,
    /// HTTP/2 comes in by TLS alone.
    pub(crate) no_http2_without_tls: bool,
}

const NONE: Limits = Limits { no_body: false, no_nonce_on_success: false, no_http2_without_tls: false };

pub(crate) const NGINX: Kind = Kind {
    name: "nginx",
    programs: &["/usr/sbin/nginx"],
    files: &["nginx.conf"],
    ports: ["127.0.0.1:8080", "127.0.0.1:4180", "127.0.0.1:9000"],
    asks: House::decisions,
    command: |program, folder, file| {
        let around = format!(
            "pid nginx.pid; error_log stderr warn; events {{}} http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi; include {}; }}",
            file.display()
        );
        std::fs::write(folder.join("around.conf"), around).unwrap();
        let mut command = Command::new(program);
        // As root its workers would be another user, who cannot read the folder.
        command.arg("-p").arg(folder).args(["-c", "around.conf", "-g", "daemon off; master_process off;"]);
        command
    },
    limits: Limits { no_body: true, no_http2_without_tls: true, ..NONE },
};

/// Debian's.
pub(crate) const CADDY: Kind = Kind {
    name: "caddy 2.6",
    programs: &["/usr/bin/caddy"],
    files: &["Caddyfile"],
    ports: [":8080", "127.0.0.1:4180", "127.0.0.1:9000"],
    asks: House::decisions,
    command: caddy,
    limits: Limits { no_http2_without_tls: true, ..NONE },
};

/// Today's.
pub(crate) const CADDY_NEW: Kind =
    Kind { name: "caddy 2.11", programs: &["target/fronts/bin/caddy"], ..CADDY };

pub(crate) const TRAEFIK: Kind = Kind {
    name: "traefik",
    programs: &["target/fronts/bin/traefik"],
    files: &["traefik.yaml", "traefik-routes.yaml"],
    ports: ["127.0.0.1:8080", "127.0.0.1:4180", "127.0.0.1:9000"],
    asks: House::decisions,
    command: |program, folder, file| {
        let mut command = Command::new(program);
        command.current_dir(folder).arg("--configFile").arg(file);
        command
    },
    limits: Limits { no_nonce_on_success: true, ..NONE },
};

pub(crate) const HAPROXY: Kind = Kind {
    name: "haproxy",
    programs: &["/usr/sbin/haproxy"],
    files: &["haproxy.cfg", "haproxy-keyproof.lua"],
    ports: ["127.0.0.1:8080", "127.0.0.1:4180", "127.0.0.1:9000"],
    asks: House::decisions,
    command: |program, folder, file| {
        let mut command = Command::new(program);
        command.current_dir(folder).args(["-db", "-f"]).arg(file);
        command
    },
    limits: Limits { no_http2_without_tls: true, ..NONE },
};

/// The same after a mistake in the Lua file, which HAProxy only says something about.
pub(crate) const HAPROXY_BROKEN: Kind = Kind {
    command: |program, folder, file| {
        let lua = folder.join("haproxy-keyproof.lua");
        let text = std::fs::read_to_string(&lua).unwrap();
        let mistake = "if txn.sf:path() ~= \"/public\" then nobody.knows() end\n    local sent =";
        std::fs::write(&lua, text.replace("local sent =", mistake)).unwrap();
        (HAPROXY.command)(program, folder, file)
    },
    ..HAPROXY
};

pub(crate) const ENVOY: Kind = Kind {
    name: "envoy",
    // The binary itself: the script that the package brings would leave it behind.
    programs: &["target/fronts/envoy"],
    files: &["envoy.yaml"],
    ports: ["port_value: 8080", "port_value: 4180", "port_value: 9000"],
    asks: House::decisions,
    command: |program, _, file| {
        let mut command = Command::new(program);
        command
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(file);
        command
    },
    limits: NONE,
};

/// The same, asking over gRPC.
pub(crate) const ENVOY_GRPC: Kind = Kind {
    name: "envoy over gRPC",
    files: &["envoy-grpc.yaml"],
    ports: ["port_value: 8080", "port_value: 4181", "port_value: 9000"],
    asks: House::grpc,
    ..ENVOY
};

/// As many have it: two lines of a header become one.
pub(crate) const ENVOY_GRPC_JOINING: Kind = Kind {
    command: |program, folder, file| {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, text.replace("encode_raw_headers: true", "encode_raw_headers: false")).unwrap();
        (ENVOY.command)(program, folder, file)
    },
    ..ENVOY_GRPC
};

fn caddy(program: &Path, folder: &Path, file: &Path) -> Command {
    // No admin port, which every Caddy would want.
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, format!("{{\n\tadmin off\n\tauto_https off\n}}\n{text}")).unwrap();
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command
}

impl Kind {
    /// The program, where it is installed: by the system, or by `tests/run` from PyPI.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.programs.iter().map(|program| root.join(program)).find(|program| program.exists())
    }
}

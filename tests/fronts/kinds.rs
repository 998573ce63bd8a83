//! The fronts: where their programs are, how they start, and what each cannot do (as `docs/fronts.md` says).

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of front.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Where the program may be.
    pub(crate) programs: &'static [&'static str],
    /// Its files in `deploy/front`; the first is the one it starts with.
    pub(crate) files: &'static [&'static str],
    /// How the three addresses are written in them: the front's own, keyproof's, the API's.
    pub(crate) ports: [&'static str; 3],
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
}

const NONE: Limits = Limits { no_body: false, no_nonce_on_success: false };

pub(crate) const NGINX: Kind = Kind {
    name: "nginx",
    programs: &["/usr/sbin/nginx"],
    files: &["nginx.conf"],
    ports: ["127.0.0.1:8080", "127.0.0.1:4180", "127.0.0.1:9000"],
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
    limits: Limits { no_body: true, ..NONE },
};

impl Kind {
    /// The program, where it is installed: by the system, or by `tests/run` from PyPI.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.programs.iter().map(|program| root.join(program)).find(|program| program.exists())
    }
}

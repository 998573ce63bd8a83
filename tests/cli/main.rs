//! The command line as users see it: its help, its exit codes, what it prints.
//!
//! `UPDATE_GOLDEN=1` writes the expected help anew.

#![expect(clippy::unwrap_used, reason = "a broken promise ends the test with its place")]

use std::path::PathBuf;
use std::process::{Command, Output};

const COMMANDS: [&str; 11] = [
    "serve",
    "check",
    "schema",
    "demo",
    "request",
    "explain",
    "doctor",
    "healthcheck",
    "version",
    "completions",
    "man",
];

#[test]
fn the_help_of_every_command_is_as_written() {
    let mut wrong = Vec::new();
    for command in [""].iter().chain(&COMMANDS) {
        let arguments: Vec<&str> = [*command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let output = keyproof(&arguments);
        assert!(output.status.success(), "{command}");
        let help = String::from_utf8(output.stdout).unwrap();
        let name = if command.is_empty() { "keyproof" } else { command };
        let file = root().join(format!("tests/cli/help/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &help).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != help {
            wrong.push(format!("{name}:\n{help}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn usage_errors_exit_64() {
    for arguments in
        [&["--nonsense"][..], &[], &["check", "a", "b"], &["serve", "--log", "xml"], &["completions"]]
    {
        let output = keyproof(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_says_what_is_wrong_and_exits_64() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyproof.yaml");
    std::fs::write(&file, "listeners: []\nroute: []\n").unwrap();
    let output = keyproof(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stdout).unwrap();
    let place = format!("{}:2:1: file: unknown key \"route\"; did you mean \"routes\"?\n", file.display());
    assert!(said.contains(&place), "{said}");
    let missing = keyproof(&["check", folder.path().join("missing.yaml").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(64));
}

#[test]
fn check_of_the_shipped_reference_is_fine() {
    let output = keyproof(&["check", root().join("config/keyproof.yaml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .ends_with(": fine (3 listeners, 1 issuer, 1 upstream, 2 routes)\n")
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn the_small_commands_print_something_and_succeed() {
    let version = keyproof(&["version"]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("keyproof {}\n", env!("CARGO_PKG_VERSION"))
    );
    let schema = keyproof(&["schema"]);
    assert_eq!(String::from_utf8(schema.stdout).unwrap(), keyproof::config::schema());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = String::from_utf8(keyproof(&["completions", shell]).stdout).unwrap();
        assert!(script.contains("healthcheck"), "{shell}");
    }
    let pages = String::from_utf8(keyproof(&["man"]).stdout).unwrap();
    for command in COMMANDS {
        assert!(pages.contains(&format!(".TH keyproof-{command} ")), "{command}");
    }
}

fn keyproof(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyproof"))
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .current_dir(root())
        .output()
        .unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

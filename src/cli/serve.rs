//! `keyproof serve`: the gateway.

use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  keyproof serve
  keyproof serve --config /etc/keyproof/keyproof.yaml
  keyproof serve --log text --log-level debug

Signals: SIGTERM and SIGINT stop it once the requests in flight are answered; SIGHUP reads configuration, certificates
and keys again, and keeps the old ones if the new have a problem.

Exit codes: 0 after a drained stop; 64 configuration; 70 internal; 71 cannot listen on an address.";

/// Run the gateway
///
/// Reads the configuration, listens, and forwards every request whose access token and DPoP proof pass every check.
/// All problems of the configuration are printed at once, as check prints them. Metrics, health and the effective
/// configuration are on the admin address (127.0.0.1:9901 unless configured).
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "KEYPROOF_CONFIG", default_value = "config/keyproof.yaml")]
    pub config: PathBuf,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", env = "KEYPROOF_LOG_FORMAT", default_value = "json")]
    pub log: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter as "info,keyproof::issuer=debug"
    #[arg(long, value_name = "LEVEL", env = "KEYPROOF_LOG", default_value = "info")]
    pub log_level: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object on each line
    Json,
    /// For people
    Text,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "what runs will keep them")]
pub(super) fn run(_args: ServeArgs) -> ExitCode {
    ExitCode::from(super::INTERNAL)
}

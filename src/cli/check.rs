//! `keyproof check`: every problem of a configuration file, with its place.

use super::{USAGE, printed};
use crate::config;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  keyproof check config/keyproof.yaml
  keyproof check /etc/keyproof/keyproof.yaml && systemctl restart keyproof

Exit codes: 0 fine, 64 problems.";

/// Check a configuration file, and print every problem with its place
///
/// Reads the file exactly as serve would, the files it names included, and finds every problem at once. Each is one
/// line: FILE:LINE:COLUMN: where: what is wrong; what to write instead. Warnings do not fail the check. Nothing is
/// started, and nothing is asked over the network.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// The configuration file
    #[arg(env = "KEYPROOF_CONFIG", default_value = super::DEFAULT_CONFIG)]
    file: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
    match super::configuration(&args.file, "keyproof check FILE") {
        Ok((plan, warnings)) => printed(fine(&plan, args, &warnings, out)),
        Err(problems) => {
            let count = problems.0.len();
            let words = if count == 1 { "problem" } else { "problems" };
            // The exit code says it too.
            drop(
                writeln!(out, "{problems}")
                    .and_then(|()| writeln!(err, "{}: {count} {words}", args.file.display())),
            );
            ExitCode::from(USAGE)
        }
    }
}

fn fine(
    plan: &config::Plan,
    args: &CheckArgs,
    warnings: &[config::Problem],
    out: &mut impl Write,
) -> std::io::Result<()> {
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    writeln!(
        out,
        "{}: fine ({}, {}, {}, {})",
        args.file.display(),
        count(plan.listeners.len(), "listener"),
        count(plan.issuers.len(), "issuer"),
        count(plan.upstreams.len(), "upstream"),
        count(plan.routes.len(), "route"),
    )
}

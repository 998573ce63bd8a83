//! The command line.

mod check;
mod completions;
mod demo;
mod doctor;
mod explain;
mod healthcheck;
mod man;
mod request;
mod schema;
mod serve;
mod way;

use crate::clock::Clock;
use crate::config::{self, Plan, Problem, Problems};
use crate::net::{Proxies, ProxyError};
use clap::{CommandFactory, Parser, Subcommand};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The configuration file that is read where none is named.
const DEFAULT_CONFIG: &str = "config/keyproof.yaml";
/// The exit code for arguments and configuration files that cannot be used (`EX_USAGE`).
const USAGE: u8 = 64;
/// The exit code for what should not happen (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;
/// The exit code for an address that cannot be bound (`EX_OSERR`).
const CANNOT_BIND: u8 = 71;

/// The gateway that makes a stolen access token useless
///
/// keyproof stands in front of any HTTP API and enforces DPoP (RFC 9449): every request must bring an access token
/// and a fresh proof of the key that the token is bound to. Whoever steals the token alone gets a 401. The API behind
/// stays as it is, and learns from headers who the client is.
#[derive(Debug, Parser)]
#[command(name = "keyproof", version, after_long_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  keyproof demo --once                        watch a stolen token fail, with nothing else installed
  keyproof check config/keyproof.yaml         all problems of a configuration, with their places
  keyproof serve --config config/keyproof.yaml
  keyproof doctor https://api.example.com/orders
  keyproof explain --token @token --proof @proof --method GET --url https://api.example.com/orders

Exit codes: 0 fine; 1 the answer is no; 64 usage or configuration; 70 internal; 71 cannot listen.";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for the life of the process")]
enum Command {
    Serve(serve::ServeArgs),
    Check(check::CheckArgs),
    /// Print the JSON Schema of the configuration file
    ///
    /// Editors complete and check the file with it. Save it beside the file and begin the file with
    /// "# yaml-language-server: $schema=keyproof.schema.json".
    #[command(after_long_help = schema::EXAMPLES)]
    Schema,
    Demo(demo::DemoArgs),
    Request(request::RequestArgs),
    Explain(explain::ExplainArgs),
    Doctor(doctor::DoctorArgs),
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the version
    Version,
    Completions(completions::CompletionsArgs),
    /// Print the manual pages, as roff
    ///
    /// The page of keyproof itself and then that of each command, in one stream.
    #[command(after_long_help = man::EXAMPLES)]
    Man,
}

/// Runs the command that the process's arguments name.
pub fn run() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => arguments.command.run(&mut std::io::stdout(), &mut std::io::stderr()),
        Err(error) => {
            // Where the terminal is gone there is nobody left to tell.
            drop(error.print());
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

/// The command line as clap knows it: what the commands in documents and units are tried with.
pub fn definition() -> clap::Command {
    Arguments::command()
}

impl Command {
    fn run(self, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
        match self {
            Self::Serve(args) => serve::run(&args),
            Self::Check(args) => check::run(&args, out, err),
            Self::Schema => printed(out.write_all(config::schema().as_bytes())),
            Self::Demo(args) => wait_for(demo::run(args, out, err)),
            Self::Request(args) => wait_for(request::run(args, out, err)),
            Self::Explain(args) => match explain::run(&args, Clock::system().now(), out) {
                Ok(passed) => ExitCode::from(u8::from(!passed)),
                Err(error) => unusable(&error, err),
            },
            Self::Healthcheck(args) => wait_for(healthcheck::run(&args, out, err)),
            Self::Doctor(args) => wait_for(doctor::run(args, out, err)),
            Self::Version => printed(writeln!(out, "keyproof {}", env!("CARGO_PKG_VERSION"))),
            Self::Completions(args) => printed(completions::write(&args, &mut Arguments::command(), out)),
            Self::Man => printed(man::write(Arguments::command(), out)),
        }
    }
}

/// Waits for a command that talks to others, on a runtime of its own.
fn wait_for(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(_) => ExitCode::from(INTERNAL),
    }
}

/// Reads the configuration. Where no file was named and there is none in the usual place, or where the environment names one that is not
/// there, the problem says so.
fn configuration(file: &Path, option: &str) -> Result<(Plan, Vec<Problem>), Problems> {
    let mut loaded = config::load(file);
    let missing = std::fs::metadata(file).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if let (Err(Problems(problems)), true) = (&mut loaded, missing)
        && let [problem] = problems.as_mut_slice()
    {
        if std::env::var_os("KEYPROOF_CONFIG").is_some_and(|named| named == file.as_os_str()) {
            problem.help =
                format!("the environment variable KEYPROOF_CONFIG names it: mend it, or use \"{option}\"");
        } else if file == Path::new(DEFAULT_CONFIG) {
            problem.help =
                format!("it is read where no other is named: use \"{option}\", or set KEYPROOF_CONFIG");
        }
    }
    loaded
}

/// An argument that cannot be read.
fn unusable(error: &std::io::Error, err: &mut impl Write) -> ExitCode {
    // Where not even this can be written there is nobody left to tell.
    drop(writeln!(err, "keyproof: {error}"));
    ExitCode::from(USAGE)
}

/// A reader that has seen enough (`| head`) is no failure.
fn printed(result: std::io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(INTERNAL),
        _ => ExitCode::SUCCESS,
    }
}

/// The proxies that the environment names.
fn proxies() -> Result<Proxies, ProxyError> {
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    Proxies::from_environment(&|name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}

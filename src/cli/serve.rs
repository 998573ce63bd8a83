//! `keyproof serve`: the gateway.

use crate::app::{App, AppError, Reloader};
use crate::clock::Clock;
use crate::config;
use crate::net::workers::{self, Runtimes, Workers};
use crate::observe::{self, AccessLog, LogFormat, LogWriter};
use crate::replay;
use crate::server::{Drained, HandedOver};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  keyproof serve
  keyproof serve --config /etc/keyproof/keyproof.yaml
  keyproof serve --log text --log-level debug

Signals: SIGTERM and SIGINT stop it: after limits.drain_delay it takes no more connections, and
what runs has limits.drain_timeout to end. A second one ends it at once, with exit code 70.
SIGHUP has the configuration read again, and every file that it names: whole, or not at all where
there is a problem.

Exit codes: 0 after a drained stop; 64 configuration; 70 internal; 71 cannot have what it needs: an
address, a socket of systemd, the journal.";

/// Run the gateway
///
/// Reads the configuration, listens, and forwards every request whose access token and DPoP proof pass every check.
/// All problems of the configuration are printed at once, as check prints them. Metrics, health and the effective
/// configuration are on the admin address (127.0.0.1:9901 unless configured).
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "KEYPROOF_CONFIG", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", env = "KEYPROOF_LOG_FORMAT", default_value = "json")]
    log: LogStyle,
    /// What is logged: error, warn, info, debug or trace, or a filter as "info,keyproof::issuer=debug"
    #[arg(long, value_name = "LEVEL", env = "KEYPROOF_LOG", default_value = "info")]
    log_level: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogStyle {
    /// One JSON object on each line
    Json,
    /// For people
    Text,
}

/// Runs the gateway until SIGTERM or SIGINT, then drains it. A second signal ends it at once.
pub(super) fn run(args: &ServeArgs) -> ExitCode {
    // First of all: it removes variables from the environment, which only a process without threads may do.
    let handed_over = handed_over();
    let (plan, warnings) = match super::configuration(&args.config, "--config FILE") {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(super::USAGE);
        }
    };
    let format = match args.log {
        LogStyle::Json => LogFormat::Json,
        LogStyle::Text => LogFormat::Text,
    };
    let (writer, _flush_at_the_end) = match LogWriter::stdout() {
        Ok(writer) => writer,
        Err(error) => return internal(&error),
    };
    if let Err(error) = observe::init(format, &args.log_level, &writer) {
        eprintln!("keyproof: --log-level: {error}");
        return ExitCode::from(super::USAGE);
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let workers = match Workers::start() {
        Ok(workers) => workers,
        Err(error) => return internal(&error),
    };
    // With one core, everything runs here; with more, this thread accepts connections and gives them away.
    let runtime = match workers::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return internal(&error),
    };
    let log = AccessLog::new(writer, format, &args.log_level);
    runtime.block_on(serve(plan, handed_over, log, workers.runtimes()))
}

fn handed_over() -> HandedOver {
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    HandedOver::take(std::env::var("LISTEN_FDNAMES").ok().as_deref())
}

async fn serve(plan: config::Plan, handed_over: HandedOver, log: AccessLog, runtimes: Runtimes) -> ExitCode {
    let stop = CancellationToken::new();
    // The handlers are in place before anybody can see that we are up.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return internal(&error),
    };
    let building = App::build_on(handed_over, plan, Clock::system(), Some(log));
    let built = tokio::select! {
        built = building => built,
        // Nothing was begun that would have to end first.
        () = signals.stop(None) => return ExitCode::SUCCESS,
    };
    let app = match built {
        Ok(app) => app,
        Err(error) => return refused_to_start(&error),
    };
    for address in app.addresses() {
        tracing::info!(%address, "listening");
    }
    tracing::info!(address = %app.admin_address(), "admin");

    let reloader = app.reloader();
    if signals.hung_up {
        // The file may have changed since it was read: a start may have waited for a journal, or for Redis.
        reloader.wish();
    }
    let running = app.run_on(runtimes, stop.clone());
    tokio::pin!(running);
    tokio::select! {
        _ = &mut running => return ExitCode::from(super::INTERNAL),
        () = signals.stop(Some(&reloader)) => {}
    }
    tracing::info!("stopping: what is in flight may end");
    stop.cancel();
    tokio::select! {
        drained = running => {
            if let Drained::Aborted(connections) = drained {
                tracing::warn!(connections, "the time to drain is over: connections were cut off");
            }
            ExitCode::SUCCESS
        }
        () = signals.stop(Some(&reloader)) => ExitCode::from(super::INTERNAL),
    }
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// It came while there was nothing yet that could read the configuration again.
    hung_up: bool,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hung_up: false,
        })
    }

    /// Waits to be told to stop, and passes on who wants the configuration read again.
    async fn stop(&mut self, reloader: Option<&Reloader>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                // What comes of it is logged; nobody here waits for it.
                _ = self.hangup.recv() => match reloader {
                    Some(reloader) => reloader.wish(),
                    None => self.hung_up = true,
                },
            }
        }
    }
}

fn refused_to_start(error: &AppError) -> ExitCode {
    tracing::error!(%error, "the gateway does not start");
    eprintln!("keyproof: {error}");
    match error {
        // What another process has may be free when the service is started again; a wrong configuration stays wrong.
        AppError::Bind { .. }
        | AppError::Files { .. }
        | AppError::HandedOver { .. }
        | AppError::Replay(replay::OpenError::InUse { .. }) => ExitCode::from(super::CANNOT_BIND),
        AppError::Tls { .. } | AppError::Replay(_) => ExitCode::from(super::USAGE),
    }
}

fn internal(error: &std::io::Error) -> ExitCode {
    eprintln!("keyproof: {error}");
    ExitCode::from(super::INTERNAL)
}

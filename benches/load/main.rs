//! The load generator: signs proofs ahead, drives connections, counts what comes back and what it cost the server.
//!
//! `cargo bench --bench load -- run --gateway` starts a gateway and an upstream of its own; `run --address …` measures whatever listens
//! there, on the keys and files that `scene` wrote. Only loopback is ever called.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a measuring program ends where its own scenery is broken, and counts in floating point"
)]

mod account;
mod arguments;
mod connection;
mod grpc;
mod h2;
mod mix;
mod pace;
mod pool;
mod report;
mod run;
mod scenery;
mod tls;
mod upstream;

use arguments::{Arguments, Command, RunArguments};
use clap::Parser;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Run(run)) => measure(&run),
        Some(Command::Scene(scene)) => scenery::write(&scene),
        Some(Command::Upstream(upstream)) => upstream::run(&upstream),
        // `cargo test --benches` runs every bench without arguments: quick, and no load.
        None => measure(&RunArguments::smoke()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts what is missing, measures, prints.
fn measure(arguments: &RunArguments) -> io::Result<()> {
    let stage = scenery::Stage::set(arguments)?;
    let report = run::run(arguments, &stage)?;
    drop(stage);
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    if arguments.strict && report.unexpected + report.errors > 0 {
        return Err(io::Error::other("answers other than the mix promises"));
    }
    Ok(())
}

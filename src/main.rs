//! The `keyproof` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyproof::cli::run()
}

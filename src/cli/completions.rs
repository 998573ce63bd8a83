//! `keyproof completions`: for the shells.

use clap_complete::Shell;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  keyproof completions bash > /etc/bash_completion.d/keyproof
  keyproof completions zsh > ~/.zfunc/_keyproof
  keyproof completions fish > ~/.config/fish/completions/keyproof.fish";

/// Print a shell's completions for keyproof
///
/// Put them where the shell looks for completions; then Tab completes commands, options and file names.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Writes the completions; through a buffer, because the generator panics when it cannot write.
pub(super) fn write(
    args: &CompletionsArgs,
    command: &mut clap::Command,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "keyproof", &mut script);
    out.write_all(&script)
}

//! `keyproof man`: the manual pages.

use std::io::Write;

pub(super) const EXAMPLES: &str = "\
Examples:
  keyproof man | man -l -
  keyproof man > /usr/local/share/man/man1/keyproof.1";

/// Writes the page of the program and of each of its commands.
pub(super) fn write(mut command: clap::Command, out: &mut impl Write) -> std::io::Result<()> {
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        clap_mangen::Man::new(subcommand.clone()).render(out)?;
    }
    Ok(())
}

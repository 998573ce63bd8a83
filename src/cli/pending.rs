//! Commands that are being built: each becomes a file of its own here, and this one goes.

macro_rules! pending {
    ($command:ident, $args:ident, $about:literal) => {
        pub(super) mod $command {
            use std::io::Write;
            use std::process::ExitCode;

            #[doc = $about]
            #[derive(clap::Args, Debug)]
            pub(in crate::cli) struct $args {}

            /// Runs the command.
            pub(in crate::cli) async fn run(
                _args: $args,
                _out: &mut impl Write,
                _err: &mut impl Write,
            ) -> ExitCode {
                ExitCode::from(crate::cli::INTERNAL)
            }
        }
    };
}

pending!(demo, DemoArgs, "See a stolen token fail, with nothing else installed");
pending!(explain, ExplainArgs, "Say of a token and a proof which checks they pass");
pending!(request, RequestArgs, "Send one request with a DPoP proof, and print the answer");

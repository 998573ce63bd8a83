//! What the program is told.

use crate::mix::Mix;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "load", about = "A load generator for DPoP-protected resources on loopback")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// One second of everything, to see that it works; what happens without arguments too.
    #[arg(long)]
    pub(crate) smoke: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    pub(crate) bench: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measures a server.
    Run(Box<RunArguments>),
    /// Writes keys, certificate and configuration for a run into a directory.
    Scene(Box<SceneArguments>),
    /// A trivial upstream that answers every request with the same bytes.
    Upstream(UpstreamArguments),
}

/// Which credentials good requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    /// A token and a fresh proof.
    Dpop,
    /// The token under `Bearer`: for peers that know no DPoP.
    Bearer,
    /// None.
    None,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spoken {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// As whom the server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Door {
    /// A client, whose request is forwarded.
    Proxy,
    /// nginx, which asks whether its client's request may pass.
    ForwardAuth,
    /// Envoy, which asks over gRPC, without TLS.
    Grpc,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Start a gateway and an upstream, and stop them at the end.
    #[arg(long)]
    pub(crate) gateway: bool,
    /// Which binary is the gateway.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_keyproof"))]
    pub(crate) binary: PathBuf,
    /// The server to measure; loopback only.
    #[arg(long, required_unless_present = "gateway")]
    pub(crate) address: Option<SocketAddr>,
    /// The directory that `scene` wrote.
    #[arg(long, required_unless_present = "gateway")]
    pub(crate) scene: Option<PathBuf>,
    /// Processes whose CPU time and memory are the server's.
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Cores for the server that is started here, as `taskset -c` takes them; empty: wherever.
    #[arg(long, default_value = "0")]
    pub(crate) server_cpus: String,
    /// Cores for generator and upstream; empty: wherever.
    #[arg(long, default_value = "1")]
    pub(crate) generator_cpus: String,

    /// As whom the server is asked.
    #[arg(long, value_enum, default_value = "proxy", conflicts_with_all = ["tls", "h2"])]
    pub(crate) door: Door,
    /// Speak TLS.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Speak HTTP/2 (over TLS).
    #[arg(long, requires = "tls")]
    pub(crate) h2: bool,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,
    /// Streams at a time on each connection of HTTP/2.
    #[arg(long, default_value_t = 32)]
    pub(crate) streams: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds before them.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// Requests a second, sent on time whatever the server does (open loop); absent: as fast as answers come.
    #[arg(long)]
    pub(crate) rate: Option<f64>,

    /// Take turns with other generators: say `ready`, then count for as many seconds as each line of standard input names, and answer it
    /// with `done`; what is reported are medians over the turns, and `seconds` is how long they are together.
    #[arg(long, conflicts_with = "visit")]
    pub(crate) in_turns: bool,

    /// Credentials of good requests.
    #[arg(long, value_enum, default_value = "dpop")]
    pub(crate) auth: Auth,
    /// Clients: each has its own key and token.
    #[arg(long, default_value_t = 20)]
    pub(crate) clients: usize,
    /// Let every client send one request before anything counts: a token's first use costs a signature check more.
    #[arg(long)]
    pub(crate) visit: bool,
    /// The exponent of Zipf's law, by which clients are chosen; 0: all alike.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) zipf: f64,
    /// Which requests, by weight: good, replay, bad-proof, wrong-claims, bad-token, no-token.
    #[arg(long, default_value = "good=1")]
    pub(crate) mix: Mix,
    /// Proofs signed ahead; absent: enough for `rate`, or for 20,000 good requests a second.
    #[arg(long)]
    pub(crate) pool: Option<usize>,
    /// Begin again with the first proof after the last: for servers that remember none.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// The origin that proofs name; the gateway's public one unless told.
    #[arg(long, default_value = "https://api.test")]
    pub(crate) origin: String,
    /// The path to ask for.
    #[arg(long, default_value = "/orders")]
    pub(crate) path: String,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail when an answer is not what the mix promises.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl RunArguments {
    /// Small, unpinned, and strict.
    pub(crate) fn smoke() -> Self {
        const SMOKE: &str = "load run --gateway --strict --server-cpus= --generator-cpus= --connections 4 --clients 4 --seconds 0.5 \
                             --warmup 0.2 --pool 2000 --mix good=6,replay=1,bad-proof=1,wrong-claims=1,bad-token=1,no-token=1";
        match Arguments::parse_from(SMOKE.split_whitespace()).command {
            Some(Command::Run(run)) => *run,
            _ => unreachable!("the line says `run`"),
        }
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How many proofs to sign ahead.
    pub(crate) fn pool_size(&self) -> usize {
        let per_second = self.rate.map_or(20_000.0, |rate| rate * 1.05);
        let good = if self.auth == Auth::Dpop { self.mix.share_of_good() } else { 0.0 };
        self.pool.unwrap_or((per_second * (self.seconds + self.warmup + 0.5) * good) as usize)
    }
}

#[derive(Debug, Args)]
pub(crate) struct SceneArguments {
    /// The directory; made where it does not exist.
    pub(crate) directory: PathBuf,
    /// Where the gateway will listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Where it will listen for TLS.
    #[arg(long)]
    pub(crate) listen_tls: Option<SocketAddr>,
    /// Where it will listen for fronts that ask over HTTP.
    #[arg(long)]
    pub(crate) listen_decisions: Option<SocketAddr>,
    /// Where it will listen for Envoy over gRPC.
    #[arg(long)]
    pub(crate) listen_grpc: Option<SocketAddr>,
    /// Where its admin address will be.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) admin: SocketAddr,
    /// The upstream.
    #[arg(long)]
    pub(crate) upstream: SocketAddr,
    /// What is spoken to the upstream.
    #[arg(long, value_enum, default_value = "plain")]
    pub(crate) upstream_speaks: Spoken,
    /// `dpop.max_age`, for runs that last longer than a proof lives by default.
    #[arg(long, default_value = "60s")]
    pub(crate) max_age: String,
    /// `dpop.hot_keys`.
    #[arg(long, default_value_t = 0)]
    pub(crate) hot_keys: usize,
}

#[derive(Debug, Args)]
pub(crate) struct UpstreamArguments {
    /// Where to listen; the address is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// What it speaks.
    #[arg(long, value_enum, default_value = "plain")]
    pub(crate) speaks: Spoken,
    /// The directory that `scene` wrote, whose certificate it shows where it speaks TLS.
    #[arg(long, required_if_eq("speaks", "tls"))]
    pub(crate) scene: Option<PathBuf>,
    /// Bytes of each answer's body.
    #[arg(long, default_value_t = 128)]
    pub(crate) bytes: usize,
}

//! `keyproof healthcheck`: for images without a shell.

use crate::config;
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long the gateway has to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  keyproof healthcheck
  keyproof healthcheck --admin 127.0.0.1:9901
  HEALTHCHECK CMD [\"keyproof\", \"healthcheck\"]      in a Dockerfile

Exit codes: 0 ready, 1 not.";

/// Ask a running gateway whether it is ready
///
/// Asks the admin address for /readyz, and waits at most 5 seconds. It is meant for images that have no shell and no
/// curl, as the command of a HEALTHCHECK or an exec probe.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct HealthcheckArgs {
    /// The gateway's admin address; without it that of --config, or else 127.0.0.1:9901
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Take the admin address from this configuration file
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: &HealthcheckArgs, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
    let said = match address(args) {
        Ok(address) => match tokio::time::timeout(TIMEOUT, ask(address)).await {
            Ok(Ok(StatusCode::OK)) => Ok(address),
            Ok(Ok(status)) => Err(format!("{address} is not ready: it answered {status}")),
            Ok(Err(error)) => Err(format!("{address} cannot be asked: {error}")),
            Err(_) => Err(format!("{address} did not answer within {} seconds", TIMEOUT.as_secs())),
        },
        Err(problems) => Err(problems.to_string()),
    };
    // The exit code says it too.
    match said {
        Ok(address) => {
            drop(writeln!(out, "{address} is ready"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            drop(writeln!(err, "{why}"));
            ExitCode::FAILURE
        }
    }
}

fn address(args: &HealthcheckArgs) -> Result<SocketAddr, config::Problems> {
    let address = match (&args.admin, &args.config) {
        (Some(address), _) => *address,
        (None, Some(file)) => config::load(file)?.0.admin.address,
        (None, None) => SocketAddr::from(([127, 0, 0, 1], 9901)),
    };
    Ok(reachable(address))
}

/// Where a listener on every address is asked: the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn ask(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get("/readyz")
        .header(http::header::HOST, address.to_string())
        .body(Empty::<bytes::Bytes>::new())?;
    // The connection ends when the sender is dropped, or breaks and takes the answer with it.
    let answer = async move { sender.send_request(request).await };
    let (answer, _) = tokio::join!(answer, connection);
    Ok(answer?.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn exit_of(answer: &'static str) -> (ExitCode, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = Some(listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        };
        let args = HealthcheckArgs { admin, config: None };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        tokio::join!(run(&args, &mut out, &mut err), server)
    }

    #[tokio::test]
    async fn only_200_means_ready() {
        let (code, request) = exit_of("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "SSH-2.0-x\r\n",
            "",
        ] {
            assert_eq!(exit_of(answer).await.0, ExitCode::FAILURE, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_means_not_ready() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let args = HealthcheckArgs { admin: Some(free), config: None };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&args, &mut out, &mut err).await, ExitCode::FAILURE);
        assert!(String::from_utf8(err).unwrap().contains("cannot be asked"));
    }

    #[test]
    fn a_gateway_on_every_address_is_asked_on_loopback() {
        for (address, asked) in [
            ("0.0.0.0:9901", "127.0.0.1:9901"),
            ("[::]:9901", "[::1]:9901"),
            ("10.0.0.1:9901", "10.0.0.1:9901"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), asked);
        }
    }
}

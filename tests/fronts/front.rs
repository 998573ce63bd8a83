//! A front that runs.

use super::kinds::Kind;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use support::gateway::{House, get};
use support::raw::{Answer, PATIENCE, Raw};

/// A front between clients and the API, which asks the gateway; stops when dropped.
pub(crate) struct Front {
    pub(crate) kind: &'static Kind,
    pub(crate) address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Front {
    /// Starts it; `None` with a line on stderr where it is not installed. With `CI=true` that is a failure.
    pub(crate) async fn start(kind: &'static Kind, house: &House) -> Option<Self> {
        Self::start_edited(kind, house, (kind.asks)(house), |_, text| text).await
    }

    /// The same with other text in its files, and another address of the gateway behind it.
    pub(crate) async fn start_edited(
        kind: &'static Kind,
        house: &House,
        behind: SocketAddr,
        edit: impl Fn(&str, String) -> String,
    ) -> Option<Self> {
        let Some(program) = kind.program() else {
            let why = format!("fronts: {} is not installed", kind.name);
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
            // Past the test harness, which keeps the output of tests that pass to itself.
            std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
            return None;
        };
        // Another process may take the port before the front does.
        for _ in 0..5 {
            if let Some(front) = Self::try_start(kind, &program, house, behind, &edit).await {
                return Some(front);
            }
        }
        panic!("{} does not start", kind.name);
    }

    async fn try_start(
        kind: &'static Kind,
        program: &Path,
        house: &House,
        behind: SocketAddr,
        edit: &impl Fn(&str, String) -> String,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let addresses = [address, behind, house.upstream.address];
        for name in kind.files {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/front").join(name);
            let mut text = edit(name, std::fs::read_to_string(shipped).unwrap());
            for (written, address) in kind.ports.iter().zip(addresses) {
                // Either the whole address or the port alone is what stands there.
                let port =
                    written.rsplit_once(|c: char| !c.is_ascii_digit()).map_or(*written, |(_, port)| port);
                text = text.replace(written, &written.replace(port, &address.port().to_string()));
            }
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = folder.path().join(kind.files[0]);
        let errors = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let mut command = (kind.command)(program, folder.path(), &file);
        command.stdin(Stdio::null()).stdout(errors.try_clone().unwrap()).stderr(errors);
        let mut front = Self { kind, address, child: command.spawn().unwrap(), folder };
        let begun = tokio::time::timeout(PATIENCE, async {
            // Some listen before they have read their routes.
            while !answers(address).await {
                if front.child.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            true
        });
        let begun = begun.await.expect("a front in time");
        if !begun {
            std::io::stderr().write_all(front.said().as_bytes()).unwrap();
        }
        begun.then_some(front)
    }

    /// What it wrote.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Sends a request by hand, on a connection of its own.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut connection = Raw::connect(self.address).await;
        let head = request.as_ref().starts_with(b"HEAD ");
        connection.try_send(request).await.unwrap();
        let answer = if head { connection.head_answer().await } else { connection.answer().await };
        answer.unwrap_or_else(|| panic!("no answer from {}:\n{}", self.kind.name, self.said()))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether a request that needs no token passes, or the gateway says why not.
async fn answers(address: SocketAddr) -> bool {
    if TcpStream::connect(address).is_err() {
        return false;
    }
    let mut connection = Raw::connect(address).await;
    connection.try_send(get("/public", &[("connection", "close")])).await.is_ok()
        && connection.answer().await.is_some_and(|answer| {
            answer.status == 200
                || answer.header("x-request-id").is_some()
                || answer.text().contains("\"error\":")
        })
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

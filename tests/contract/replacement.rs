//! Replacing the process: sockets that systemd hands over stay open, and what was used stays used.

use crate::load::{Caller, Load, ROUTE};
use crate::stops::rounds;
use crate::stranger::{OK, Stranger, handed, upstream};
use rustix::process::{Pid, Signal};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::h2;
use support::raw::{PATIENCE, Raw};
use support::upstream::ByHand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refuses_nobody_where_systemd_holds_the_socket() {
    let upstream = upstream().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut stranger = Stranger::starts_on(Some(socket), folder, upstream.address, "", "", ROUTE).await;
    let load = Load::begin(stranger.gateway, &[(20, Caller::KeepAlive), (20, Caller::OneShot)], false);
    for _ in 0..rounds() {
        load.goes_on(400).await;
        assert_eq!(stranger.restarts().await.code(), Some(0), "{}", stranger.log());
    }
    load.goes_on(400).await;
    let seen = load.end().await;
    let (lost, refused) = (seen.lost.lock().unwrap(), seen.refused.load(Ordering::Relaxed));
    assert_eq!((refused, lost.as_slice()), (0, &[][..]), "of {}", seen.answered.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refuses_nobody_of_http2() {
    let upstream = upstream().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificate = h2::certificate(folder.path(), "api.example.com");
    let tls = format!("    {}", h2::TLS);
    let mut stranger = Stranger::starts_on(Some(socket), folder, upstream.address, &tls, "", ROUTE).await;
    let load = Load::begin(stranger.gateway, &[(20, Caller::Http2(vec![certificate]))], false);
    for _ in 0..rounds() {
        load.goes_on(200).await;
        assert_eq!(stranger.restarts().await.code(), Some(0), "{}", stranger.log());
    }
    load.goes_on(200).await;
    let seen = load.end().await;
    let (lost, refused) = (seen.lost.lock().unwrap(), seen.refused.load(Ordering::Relaxed));
    assert_eq!((refused, lost.as_slice()), (0, &[][..]), "of {}", seen.answered.load(Ordering::Relaxed));
}

/// While somebody has yet to be told, new clients do not wait for the next process.
#[tokio::test]
async fn the_ending_process_serves_new_clients_while_idle_ones_may_send_one_more_request() {
    let upstream = upstream().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stranger = Stranger::starts_on(Some(socket), folder, upstream.address, "", "", ROUTE).await;
    let get = "GET /open HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let mut idle = Raw::connect(stranger.gateway).await;
    idle.send(get).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    stranger.terminate();
    while stranger.page("/readyz").await.status != 503 {}
    for _ in 0..3 {
        let mut new = Raw::connect(stranger.gateway).await;
        new.send(get).await;
        assert_eq!(new.answer().await.unwrap().header("connection"), Some("close"));
    }
    idle.send(get).await;
    assert_eq!(idle.answer().await.unwrap().header("connection"), Some("close"));
    drop(idle);
    let socket_is_open = Raw::connect(stranger.gateway).await;
    let (status, log) = stranger.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    drop(socket_is_open);
}

#[tokio::test]
async fn a_journal_is_waited_for_and_what_was_used_stays_used() {
    let upstream = ByHand::bind().await;
    let journal = "replay: { journal: journal, on_start: wait }\ndpop: { leeway: 0s }";
    let old = Stranger::starts(upstream.address(), journal, "").await;
    let request = old.good();
    let mut client = Raw::connect(old.gateway).await;
    client.send(&request).await;
    let mut connection = upstream.accept().await;
    connection.request().await;

    let mut next = Command::new(env!("CARGO_BIN_EXE_keyproof"));
    let log = std::fs::File::create(old.folder().join("next")).unwrap();
    next.args(["serve", "--config"]).arg(old.folder().join("keyproof.yaml"));
    let mut next = next.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let said = |text: &str| {
        let log = std::fs::read_to_string(old.folder().join("next")).unwrap();
        log.lines().find(|line| line.contains(text) && line.ends_with('}')).map(str::to_owned)
    };
    let until_said = async |text: &str| {
        let is_said = async {
            loop {
                match said(text) {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, is_said).await.unwrap_or_else(|_| panic!("it never said {text}"))
    };
    until_said("another process has the replay journal").await;
    assert!(said("listening").is_none(), "it serves beside the other");
    // The file changes while it waits, and nobody will say so again.
    old.write_configuration(&format!("{}\n# another\n", old.configuration()));
    rustix::process::kill_process(Pid::from_child(&next), Signal::HUP).unwrap();

    // The old one ends when it has answered, and not before.
    old.terminate();
    let drains = async { while old.page("/readyz").await.status != 503 {} };
    tokio::time::timeout(PATIENCE, drains).await.expect("it goes on");
    connection.send(OK).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    drop(client);
    let line = until_said(r#""message":"listening""#).await;
    let line = serde_json::from_str::<serde_json::Value>(&line).unwrap();
    let mut client = Raw::connect(line["address"].as_str().unwrap().parse().unwrap()).await;
    client.send(&request).await;
    let answer = client.answer().await.unwrap();
    assert!(answer.text().contains("the proof was used before"), "{}", answer.text());
    until_said("the configuration was reloaded").await;
    next.kill().unwrap();
    next.wait().unwrap();
    assert_eq!(old.end().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_journal_that_does_not_become_free_is_named() {
    let upstream = ByHand::bind().await;
    let journal = "replay: { journal: journal }\nlimits: { drain_timeout: 0s }";
    let old = Stranger::starts(upstream.address(), journal, "").await;
    let file = old.folder().join("keyproof.yaml");
    let (code, said) =
        ends(Command::new(env!("CARGO_BIN_EXE_keyproof")).arg("serve").arg("--config").arg(file));
    assert_eq!(code, Some(71), "{said}");
    assert!(said.contains("journal is in use by another process"), "{said}");
}

#[test]
fn sockets_that_do_not_fit_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(folder.path().join("unix")).unwrap();
    let connected = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let cases: [(&[BorrowedFd<'_>], &str, &str); 6] = [
        (&[], "", "no socket named web (none at all): write FileDescriptorName=web into its .socket unit"),
        (&[tcp.as_fd()], "api", "no socket named web (only api)"),
        (&[udp.as_fd()], "web", "named web that takes no TCP connections"),
        (&[unix.as_fd()], "web", "named web that takes no TCP connections"),
        (&[connected.as_fd()], "web", "named web that takes no TCP connections (it does not listen)"),
        (&[tcp.as_fd(), udp.as_fd()], "web:web", "named web that takes no TCP connections"),
    ];
    for (sockets, names, expected) in cases {
        let file = minimal(folder.path(), &["systemd:web"]);
        let (code, said) = ends(handed(sockets, names).arg("serve").arg("--config").arg(&file));
        assert_eq!(code, Some(71), "{said}");
        assert!(said.contains("listener l0: ") && said.contains(expected), "{said}");
        let (code, said) = ends(Command::new(env!("CARGO_BIN_EXE_keyproof")).arg("check").arg(&file));
        assert_eq!(code, Some(0), "what another process holds is no problem of the file: {said}");
    }
}

/// Two sockets of one name, of IPv4 and IPv6, are one listener; what no listener names is told; and systemd is told how it goes.
#[tokio::test]
async fn every_socket_of_a_name_is_accepted_on_and_systemd_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
    let told = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut text = [0; 512];
        let length = told.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    for (names, unused) in [("web:web", None), ("web:spare", Some("spare"))] {
        let file = minimal(folder.path(), &["systemd:web"]);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = handed(&[one.as_fd(), two.as_fd()], names);
        command.env("NOTIFY_SOCKET", folder.path().join("notify")).arg("serve").arg("--config").arg(file);
        let mut process = command.stderr(log).spawn().unwrap();
        assert_eq!(next(), "READY=1\n");
        for socket in [&one, &two].iter().take(if unused.is_some() { 1 } else { 2 }) {
            let mut client = Raw::connect(socket.local_addr().unwrap()).await;
            client.send("GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n").await;
            assert_eq!(client.answer().await.unwrap().status, 421);
        }
        let id = Pid::from_child(&process);
        rustix::process::kill_process(id, Signal::TERM).unwrap();
        // 30 s for what runs, and 10 s to spare.
        assert_eq!(next(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n");
        assert_eq!(process.wait().unwrap().code(), Some(0));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        let warned = log.lines().find(|line| line.contains("that no listener has"));
        assert_eq!(warned.map(|line| line.contains("systemd:spare")), unused.map(|_| true), "{log}");
    }
}

/// A configuration with these listeners that needs nothing else.
fn minimal(folder: &Path, addresses: &[&str]) -> std::path::PathBuf {
    let listeners: Vec<_> = (0..)
        .zip(addresses)
        .map(|(number, address)| format!("{{ name: l{number}, address: \"{address}\" }}"))
        .collect();
    let file = folder.join("keyproof.yaml");
    let text = format!(
        r#"
listeners: [{}]
admin: {{ address: "127.0.0.1:0" }}
public_origins: ["https://api.example.com"]
upstreams: [{{ name: legacy, servers: ["http://127.0.0.1:9000"] }}]
routes: [{{ name: all, match: {{ path: / }}, upstream: legacy, public: true }}]"#,
        listeners.join(", ")
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// How a process ends that is not stopped, and what it says.
fn ends(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stderr, output.stdout].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

//! What is said of an upstream: in force for the requests that begin after the reload.

use super::configuration::ROUTES;
use super::{by_itself, free, status};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::gateway::{HOST, House, OK, get};
use support::raw::Raw;
use support::tls::Terminator;
use support::upstream::{ByHand, Recording};

/// Far less than the value of before, and far more than the new one.
const SOON: Duration = Duration::from_secs(3);

/// The upstream's own time, or the route's.
const WHOSE: [(&str, &str); 2] = [
    ("name: legacy, ", "name: legacy, timeouts: { TIME }, "),
    ("name: open, ", "name: open, timeouts: { TIME }, "),
];

#[tokio::test]
async fn a_shorter_time_to_connect() {
    let full = Full::bind().await;
    for (before, after) in WHOSE {
        let house = House::with_routes(ROUTES).await;
        house.edit(&format!("http://{}", house.upstream.address), &format!("http://{}", full.address));
        house.reload_with(before, &after.replace("TIME", "connect: 20s")).await;
        house.reload_with("connect: 20s", "connect: 50ms").await;
        let answer = tokio::time::timeout(SOON, house.send(get("/open", &[]))).await;
        assert_eq!(answer.expect("50 ms").status, 504, "{after}");
    }
}

#[tokio::test]
async fn a_shorter_time_to_answer() {
    let silent = ByHand::bind().await;
    for (before, after) in WHOSE {
        let house = House::with_routes(ROUTES).await;
        house.edit(&format!("http://{}", house.upstream.address), &format!("http://{}", silent.address()));
        house.reload_with(before, &after.replace("TIME", "response: 20s")).await;
        house.reload_with("response: 20s", "response: 50ms").await;
        let answer = tokio::time::timeout(SOON, house.send(get("/open", &[]))).await;
        assert_eq!(answer.expect("50 ms").status, 504, "{after}");
    }
}

#[tokio::test]
async fn a_shorter_time_between_the_bytes_of_an_answer() {
    for (before, after) in WHOSE {
        let stuck = ByHand::bind().await;
        let house = House::with_routes(ROUTES).await;
        house.edit(&format!("http://{}", house.upstream.address), &format!("http://{}", stuck.address()));
        house.reload_with(before, &after.replace("TIME", "idle: 20s")).await;
        house.reload_with("idle: 20s", "idle: 50ms").await;
        let mut client = Raw::connect(house.gateway).await;
        client.send(get("/open", &[])).await;
        let mut connection = stuck.accept().await;
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        let cut = tokio::time::timeout(SOON, client.answer()).await;
        assert!(cut.expect("50 ms").is_none(), "{after}");
    }
}

/// Somebody whose queue is full: whoever connects to it gets no answer.
struct Full {
    address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _connected: Vec<tokio::net::TcpStream>,
}

impl Full {
    async fn bind() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut connected = Vec::new();
        let next =
            || tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address));
        while let Ok(socket) = next().await {
            connected.push(socket.unwrap());
        }
        Self { address, _listener: listener, _connected: connected }
    }
}

/// One of two servers is busy: each in its turn it gets every second request, and none where the less busy one does.
#[tokio::test]
async fn another_way_to_choose_a_server() {
    let house = House::with_routes(ROUTES).await;
    let slow = ByHand::bind().await;
    let (quick, slowly) = (format!("\"http://{}\"", house.upstream.address), slow.address());
    house.reload_with(&quick, &format!("{quick}, \"http://{slowly}\"")).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        // The slow one has one of any two, and it is its client that waits.
        let mut clients = [Raw::connect(house.gateway).await, Raw::connect(house.gateway).await];
        for client in &mut clients {
            client.send(get("/open", &[])).await;
        }
        let mut connection = slow.accept().await;
        connection.request().await;
        busy.push((connection, clients));
    }
    house.reload_with("name: legacy, ", "name: legacy, balance: least_requests, ").await;
    for _ in 0..8 {
        assert_eq!(house.send(get("/open", &[])).await.status, 200);
    }
}

#[tokio::test]
async fn another_name_that_a_server_must_prove() {
    let house = House::with_routes(ROUTES).await;
    support::h2::certificate(house.folder(), HOST);
    let secure = Terminator::before(house.upstream.address, house.folder()).await;
    house.edit(&format!("http://{}", house.upstream.address), &format!("https://{}", secure.address));
    house.reload_with("name: legacy, ", "name: legacy, tls: { ca: tls.crt }, ").await;
    assert_eq!(house.send(get("/open", &[])).await.status, 502, "127.0.0.1 is not in the certificate");
    house.reload_with("ca: tls.crt", &format!("ca: tls.crt, server_name: {HOST}")).await;
    assert_eq!(house.send(get("/open", &[])).await.status, 200);
    house.reload_with(HOST, "else.test").await;
}

/// How often a name is looked up: by a system whose names the test has, and can change.
#[tokio::test]
async fn another_time_between_look_ups() {
    let first = Recording::start(OK).await;
    let Ok(second) = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), first.address.port())).await
    else {
        panic!("the port is free at another address of loopback");
    };
    let folder = tempfile::tempdir().unwrap();
    let (gateway, admin) = (free(), free());
    let write = |resolve: &str| {
        let text = format!(
            "listeners: [{{ name: public, address: \"{gateway}\" }}]
admin: {{ address: \"{admin}\" }}
public_origins: [\"https://{HOST}\"]
upstreams: [{{ name: legacy, servers: [\"http://moves.test:{}\"], resolve: {resolve}, timeouts: {{ response: 100ms }} }}]
routes: [{{ name: open, match: {{ path: /open }}, upstream: legacy, public: true }}]",
            first.address.port()
        );
        std::fs::write(folder.path().join("keyproof.yaml"), text).unwrap();
    };
    let moves_to = |address: &str| {
        std::fs::write(folder.path().join("hosts"), format!("127.0.0.1 localhost\n{address} moves.test\n"))
            .unwrap();
    };
    moves_to("127.0.0.1");
    write("1h");
    let Some(program) = Program::start(folder.path()) else { return };
    by_itself(async || status(gateway, "/open").await == Some(200)).await;
    write("1s");
    kill_process(Pid::from_child(&program.0), Signal::HUP).unwrap();
    by_itself(async || {
        let mut client = Raw::connect(admin).await;
        client.send("GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        client.answer().await.unwrap().text().contains("\"success\"")
    })
    .await;
    assert_eq!(status(gateway, "/open").await, Some(200));
    moves_to("127.0.0.2");
    let moved = async { second.accept().await.unwrap() };
    let asked = async {
        loop {
            status(gateway, "/open").await;
        }
    };
    let moved = async {
        tokio::select! { moved = moved => moved, () = asked => unreachable!() }
    };
    tokio::time::timeout(super::PROMISED, moved)
        .await
        .expect("it was looked up again within a second or two");
}

/// The program, where `/etc/hosts` is the file `hosts` of the folder.
struct Program(Child);

impl Program {
    /// `None`, with a line on stderr, where this machine lets nobody have a name space.
    fn start(folder: &Path) -> Option<Self> {
        const ROOT: &[&str] = &["--mount"];
        const ANYBODY: &[&str] = &["--user", "--map-root-user", "--mount"];
        let in_name_space = |how: &[&str], script: &str| {
            let mut command = Command::new("unshare");
            command.args(how).args(["sh", "-c", script]).current_dir(folder);
            command
        };
        let mount = "mount --bind hosts /etc/hosts";
        let works = |how: &&&[&str]| {
            let tried = in_name_space(how, mount).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        };
        let Some(how) = [ROOT, ANYBODY].iter().find(works) else {
            use std::io::Write;
            std::io::stderr()
                .write_all(b"skipped: this machine lets nobody have a name space of files\n")
                .unwrap();
            return None;
        };
        let mut command =
            in_name_space(how, &format!("{mount} && exec \"$PROGRAM\" serve --config keyproof.yaml"));
        command.env("PROGRAM", env!("CARGO_BIN_EXE_keyproof")).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self(command.spawn().unwrap()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

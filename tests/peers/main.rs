//! Real peers that speak HTTP/2, gRPC, WebSocket and WebDAV, on both sides of the gateway: grpcio, nginx, Apache, Node, `websockets` and `ws` behind it, curl, h2load,
//! grpcio, litmus, `websockets` and `ws` in front.
//!
//! `tests/run` installs them. One that is not there is skipped, visibly; with `CI=true` that is a failure.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]
#![expect(clippy::indexing_slicing, reason = "a test that reads too far has failed")]

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod webdav;
#[cfg(test)]
mod websocket;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use support::gateway::House;

const ROUTES: &str = "
  - { name: public, match: { path: /public }, upstream: legacy, public: true }
  - { name: all, match: { path: / }, upstream: legacy, identity: { headers: { X-Auth-Subject: sub } } }";

/// A program that is there; a line on stderr where it is not.
fn found(names: &[&'static str]) -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    // A path with folders in it is one from here, as it stands.
    let is_there = |name: &str| {
        std::path::Path::new(name).components().count() > 1 && std::path::Path::new(name).exists()
            || !name.contains('/') && folders.iter().any(|folder| folder.join(name).exists())
    };
    let program = names.iter().find(|name| is_there(name)).copied();
    if program.is_none() {
        let why = format!("peers: {} is not installed", names[0]);
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
        // Past the test harness, which keeps the output of tests that pass to itself.
        std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
    }
    program
}

/// A process that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // nginx ends its workers on SIGTERM, and leaves them on SIGKILL.
        let pid = self.0.id().try_into().ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.0.wait().ok();
    }
}

/// Starts a peer that prints its port.
fn start(command: &mut Command) -> (Peer, SocketAddr) {
    let mut peer = Peer(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(peer.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (peer, SocketAddr::from(([127, 0, 0, 1], line.trim().parse().expect("a port"))))
}

/// What a program prints that is given this, while the gateway answers it.
async fn output(command: &mut Command, given: String) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    tokio::time::timeout(support::raw::PATIENCE * 2, waiting).await.expect("an end in time").unwrap()
}

/// A gateway whose upstream speaks HTTP/2 at this address.
async fn before(server: SocketAddr) -> House {
    let house = House::with_routes(ROUTES).await;
    let from = format!("servers: [\"http://{}\"]", house.upstream.address);
    house.reload_with(&from, &format!("protocol: http2, servers: [\"http://{server}\"]")).await;
    house
}

const PYTHON: &[&str] = &["target/grpc/bin/python"];
const SCRIPT: &str = "tests/peers/echo.py";

#[tokio::test]
async fn grpc_passes_end_to_end() {
    let Some(python) = found(PYTHON) else { return };
    let (_server, address) = start(Command::new(python).args([SCRIPT, "server"]));
    let house = before(address).await;
    let token = house.token(json!({}));
    let proof = |method: &str| {
        house.proof(
            &token,
            json!({ "htm": "POST", "htu": format!("https://api.test/keyproof.Echo/{method}") }),
        )
    };
    let proofs: Vec<_> = ["Unary", "Count", "Add", "Chat", "Slow", "Refuse", "Unary"].map(proof).into();
    let said = client(python, &house, &json!({ "token": token, "proofs": proofs })).await;

    assert_eq!(said["unary_call"]["answer"], "hello");
    assert_eq!(said["unary_call"]["metadata"]["x-sum"], "5", "trailers");
    assert_eq!(said["unary_call"]["metadata"]["x-subject"], "alice", "identity");
    assert_eq!(said["count_call"].as_array().unwrap().len(), 1000);
    assert_eq!(said["add_call"], "499500");
    assert_eq!(said["chat_call"][9], "you said 9");
    assert_eq!(
        (&said["slow_call"]["code"], &said["slow_call"]["soon"]),
        (&json!("DEADLINE_EXCEEDED"), &json!(true))
    );
    let refused = &said["refuse_call"];
    assert_eq!(
        (&refused["code"], &refused["details"]),
        (&json!("FAILED_PRECONDITION"), &json!("not today: 100 %"))
    );
    // Our own refusals: no credentials, and a proof that was used.
    let nobody = &said["nobody_call"];
    assert_eq!(nobody["code"], "UNAUTHENTICATED", "{nobody}");
    assert!(nobody["metadata"]["www-authenticate"].as_str().unwrap().starts_with("DPoP "), "{nobody}");
    let again = &said["again_call"];
    assert_eq!(again["code"], "UNAUTHENTICATED", "{again}");
    assert!(again["details"].as_str().unwrap().contains("used"), "{again}");
    assert!(
        again["metadata"]["www-authenticate"].as_str().unwrap().contains("invalid_dpop_proof"),
        "{again}"
    );
}

#[tokio::test]
async fn a_server_of_grpc_that_is_not_there_is_unavailable() {
    let Some(python) = found(PYTHON) else { return };
    let house = before(SocketAddr::from(([127, 0, 0, 1], 1))).await;
    let token = house.token(json!({}));
    let htu = "https://api.test/keyproof.Echo/Unary";
    let proofs: Vec<_> = (0..7).map(|_| house.proof(&token, json!({ "htm": "POST", "htu": htu }))).collect();
    let said = client(python, &house, &json!({ "token": token, "proofs": proofs })).await;
    assert_eq!(said["unary_call"]["code"], "UNAVAILABLE", "{said}");
    assert_eq!(said["unary_call"]["details"], "the upstream cannot be reached");
}

/// What the client says came of its calls.
async fn client(python: &str, house: &House, given: &Value) -> Value {
    let mut command = Command::new(python);
    let output =
        output(command.args([SCRIPT, "client", &house.gateway.to_string()]), given.to_string()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A server of Node that answers with what it got, and a trailer.
const NODE: &str = r#"
const http2 = require("node:http2");
const server = http2.createServer();
server.on("stream", (stream, headers) => {
  const parts = [];
  let got = {};
  stream.on("data", (part) => parts.push(part));
  stream.on("trailers", (trailers) => { got = { ...trailers }; });
  stream.on("end", () => {
    stream.respond({ ":status": 200, "x-authority": headers[":authority"], trailer: "x-sum" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": got["x-sum"] ?? "none" }));
    stream.end(Buffer.concat(parts));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

#[tokio::test]
async fn node_gets_requests_with_their_trailers_and_answers_curl() {
    let (Some(node), Some(curl)) = (found(&["node"]), found(&["curl"])) else { return };
    let (_server, address) = start(Command::new(node).args(["-e", NODE]));
    let house = before(address).await;
    let url = format!("http://{}/public/a", house.gateway);
    let mut command = Command::new(curl);
    command
        .args([
            "--silent",
            "--show-error",
            "--http2-prior-knowledge",
            "-H",
            "Host: api.test",
            "--data-binary",
        ])
        .args(["hello", "-w", " %{http_version} %{http_code} %header{x-authority}", &url]);
    let output = output(&mut command, String::new()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "hello 2 200 api.test", "{}", String::from_utf8_lossy(&output.stderr));

    // Trailers from HTTP/1.1 to HTTP/2 and back.
    let request = "POST /public HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Auth-Subject\r\nTE: trailers\r\n\
        Connection: close, TE\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Auth-Subject: admin\r\n\r\n";
    let mut client = support::raw::Raw::connect(house.gateway).await;
    client.send(request).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-sum: 42\r\n"), "{answer}");
}

/// nghttp sends what few clients do: padding, a head in CONTINUATION frames, an expectation, trailers; and asks for HTTP/2 by `Upgrade`.
#[tokio::test]
async fn nghttp_passes_with_all_that_it_can_send_and_h2c_is_not_followed() {
    let (Some(node), Some(nghttp)) = (found(&["node"]), found(&["nghttp"])) else { return };
    let (_server, address) = start(Command::new(node).args(["-e", NODE]));
    let house = before(address).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hello").unwrap();
    let url = format!("http://{}/public/a", house.gateway);
    let ask = async |more: &[&str]| {
        let mut command = Command::new(nghttp);
        command
            .args(["--verbose", "--header=:authority: api.test", "--header=host: api.test"])
            .args(more)
            .arg(&url);
        let output = output(&mut command, String::new()).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let data = format!("--data={}", file.path().display());
    let all = ["--continuation", "--padding=100", "--expect-continue", "--trailer=x-sum: 42", &data];
    let said = ask(&all).await;
    // No 100 comes over HTTP/2, which hyper has no way to send there: nghttp goes on by itself after a second.
    for part in [":status: 200", "x-sum: 42"] {
        assert!(said.split("recv").skip(1).any(|frame| frame.contains(part)), "{part}: {said}");
    }
    assert!(said.contains("hello"), "{said}");
    let said = ask(&["--upgrade"]).await;
    assert!(said.contains("HTTP/1.1 ") && !said.contains("HTTP/1.1 101"), "{said}");
}

#[tokio::test]
async fn nginx_may_end_its_connections_as_it_does() {
    let (Some(nginx), Some(h2load)) = (found(&["nginx"]), found(&["h2load"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // `listen … http2` is understood by every version; after 100 requests a connection gets a GOAWAY.
    let configuration = format!(
        "daemon off; pid {0}/pid; error_log stderr; worker_processes 1; events {{}}
        http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
        scgi_temp_path {0}/s; keepalive_requests 100;
        server {{ listen 127.0.0.1:{port} http2; location / {{ return 200 ok; }} }} }}",
        folder.path().display()
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let nginx = Command::new(if nginx.contains('/') { nginx } else { "/usr/sbin/nginx" })
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut nginx = Peer(nginx);
    let listens = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(nginx.0.try_wait().unwrap().is_none(), "nginx ended");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(support::raw::PATIENCE, listens).await.expect("nginx does not listen");
    let house = before(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let url = format!("http://{}/public", house.gateway);
    let mut command = Command::new(h2load);
    command.args(["-n", "2000", "-c", "4", "-m", "10", "-H", ":authority: api.test", &url]);
    let output = output(&mut command, String::new()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("status codes: 2000 2xx"), "{said}");
}

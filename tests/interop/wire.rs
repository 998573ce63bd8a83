//! Sockets: a wire that records what a client sends, an upstream that echoes, and raw requests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// No test waits longer for a peer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Passes bytes on to a server and keeps what the client sent.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    recorded: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// A wire to `server` on a port of its own.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&recorded);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let record = Arc::clone(&record);
                thread::spawn(move || {
                    pass(from, to, |bytes| record.lock().unwrap().extend_from_slice(bytes))
                });
                thread::spawn(move || pass(server, client, |_| {}));
            }
        });
        Self { address, recorded }
    }

    /// The head of the last request that went over it, to the letter.
    pub(crate) fn last_request(&self) -> String {
        let bytes = self.recorded.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let last = text.split_inclusive("\r\n\r\n").last().expect("something was sent");
        assert!(last.ends_with("\r\n\r\n"), "a body, or half a request: {last:?}");
        last.to_owned()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut record: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // Recorded before it is passed on: whoever has the answer finds the request here.
        record(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

/// An upstream that echoes method, path and headers as JSON, and counts.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    let Some(head) = read_head(&mut stream) else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    let body = echo(&head);
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                    drop(write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()));
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn echo(head: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let joined = headers.entry(name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value.trim());
    }
    serde_json::json!({ "method": first.next(), "path": first.next(), "headers": headers }).to_string()
}

/// An answer to a raw request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
}

/// Sends bytes as they are and reads the head of what comes back.
pub(crate) fn send(to: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    Response { head: read_head(&mut stream).expect("an answer") }
}

/// Everything up to the empty line.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

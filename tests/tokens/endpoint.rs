//! An introspection endpoint that answers what a test says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The endpoint; it stops when dropped.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Vec<u8>>>,
    otherwise: Mutex<Vec<u8>>,
    questions: Mutex<Vec<Question>>,
    /// While it is there, no answer is sent without one of its permits.
    gate: Mutex<Option<Arc<Semaphore>>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) head: String,
    pub(crate) form: HashMap<String, String>,
}

impl Endpoint {
    /// One that calls every token inactive.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::new(Shared::default()));
        *shared.otherwise.lock().unwrap() = json(&serde_json::json!({ "active": false }));
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { serve(socket, &shared).await });
            }
        });
        Self { address, shared, accepting }
    }

    /// From now on it answers so about this token.
    pub(crate) fn say(&self, token: &str, answer: &serde_json::Value) {
        self.say_bytes(token, json(answer));
    }

    /// The same, to the byte.
    pub(crate) fn say_bytes(&self, token: &str, answer: impl Into<Vec<u8>>) {
        self.shared.answers.lock().unwrap().insert(token.to_owned(), answer.into());
    }

    /// Every question so far.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.shared.questions.lock().unwrap().clone()
    }

    /// From now on every answer waits for a permit.
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.shared.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// How many questions there were at once, at most.
    pub(crate) fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An answer of status 200 with this JSON.
pub(crate) fn json(value: &serde_json::Value) -> Vec<u8> {
    with_type("application/json", value.to_string().as_bytes())
}

/// The same with another type and any body.
pub(crate) fn with_type(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn serve(mut socket: TcpStream, shared: &Shared) {
    let mut received = Vec::new();
    while let Some(question) = read(&mut socket, &mut received).await {
        let token = question.form.get("token").cloned().unwrap_or_default();
        shared.questions.lock().unwrap().push(question);
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        let gate = shared.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let otherwise = shared.otherwise.lock().unwrap().clone();
        let answer = shared.answers.lock().unwrap().get(&token).cloned().unwrap_or(otherwise);
        shared.now.fetch_sub(1, Ordering::SeqCst);
        if answer.is_empty() || socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The next request; `None` at the end of the connection.
async fn read(socket: &mut TcpStream, received: &mut Vec<u8>) -> Option<Question> {
    loop {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let whole = end + length.unwrap_or(0);
            if received.len() >= whole {
                let form = url::form_urlencoded::parse(&received[end..whole]).into_owned().collect();
                received.drain(..whole);
                return Some(Question { head, form });
            }
        }
        if socket.read_buf(received).await.ok()? == 0 {
            return None;
        }
    }
}

//! The admin address: health, metrics, effective configuration; and who may ask for what of it.
//!
//! A small HTTP/1 listener of its own, so that probes and scrapes are answered whatever the gateway's
//! listeners do.
//! Every connection carries one request and has ten seconds for all of it.

mod access;
mod answer;
mod doctor;
mod readiness;

pub use access::Access;
pub use readiness::Readiness;

use crate::clock::{Clock, UnixTime};
use crate::doctor::Marks;
use crate::net::{Acceptor, Sockets};
use crate::observe::Metrics;
use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many connections may be open; more are closed at once.
const MAX_CONNECTIONS: usize = 128;
/// How long a request's head may be.
const MAX_HEAD: usize = 32 * 1024;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last answers may take once the process stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The bound admin listener.
#[derive(Debug)]
pub struct Admin {
    acceptor: Acceptor,
    head_timeout: Duration,
}

/// What the admin address tells.
#[derive(Debug)]
pub struct Facts {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` asks.
    pub readiness: Readiness,
    /// Which configuration runs. Replaced by a reload.
    pub configuration: ArcSwap<Configuration>,
    /// What `keyproof doctor` is about to send.
    pub marks: Arc<Marks>,
    /// What time it is, for ages in the metrics.
    pub clock: Clock,
}

/// Which configuration runs, since when, and what came of the last attempt at another.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file.
    pub file: String,
    /// Its SHA-256 in hexadecimal.
    pub digest: String,
    /// How many configurations ran so far, this one included: the first is 1. Files that it names and that were read anew count too.
    pub number: u64,
    /// Since when it runs.
    pub since: UnixTime,
    /// Who may ask for what.
    pub access: Access,
    /// The effective configuration, without secrets.
    pub effective: serde_json::Value,
    /// What came of the last attempt to reload, if there was one.
    pub last: Option<Outcome>,
}

/// What came of an attempt to reload.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When it was made.
    pub at: UnixTime,
    /// Why it was rejected, if it was: without secrets.
    pub rejected: Option<String>,
}

impl Admin {
    /// For whoever comes here.
    pub const fn on(acceptor: Acceptor) -> Self {
        Self { acceptor, head_timeout: HEAD_TIMEOUT }
    }

    /// Where it listens: the port that port 0 became.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.acceptor.addresses().first().copied().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Its sockets, for another one.
    ///
    /// # Errors
    /// The process has no more files.
    pub fn sockets(&self) -> io::Result<Sockets> {
        self.acceptor.sockets()
    }

    /// Answers until `stop`, and whoever is connected by then; requests that have begun have a second to end.
    pub async fn run(self, facts: Arc<Facts>, stop: CancellationToken) {
        let Self { acceptor, head_timeout } = self;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let tasks = TaskTracker::new();
        let admit = |stream: TcpStream, peer: SocketAddr| {
            if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
                tasks.spawn(serve(stream, peer.ip(), Arc::clone(&facts), head_timeout, place));
            }
        };
        acceptor.accept_until(stop.cancelled(), &admit).await;
        if !acceptor.is_released() {
            acceptor.close(LAST_ANSWERS, &admit).await;
        }
        tasks.close();
        // Whoever is not done by then loses an answer about a process that ends.
        let _late = tokio::time::timeout(LAST_ANSWERS, tasks.wait()).await;
    }
}

/// One connection, one request. What goes wrong on it is the other side's to notice.
async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    facts: Arc<Facts>,
    head_timeout: Duration,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(|request| async {
        let refusal = facts.configuration.load().access.refusal(&request, peer);
        let response = match (refusal, request.uri().path()) {
            (Some(refusal), _) => refusal,
            (None, "/doctor") => doctor::answer(request, &facts).await,
            (None, _) => answer::answer(&request, &facts),
        };
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _broken = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

#[cfg(test)]
mod tests;

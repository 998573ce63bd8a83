//! The idle connections to one server.

use super::RequestBody;
use super::http1::Connection;
use super::room::Room;
use super::socket::Socket;
use crate::clock::Stopwatch;
use crate::net::workers;
use http::HeaderMap;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How many idle connections one server may have.
const MAX_IDLE: usize = 512;
/// How long a connection may be idle before we no longer trust the server to keep it open.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a connection may take, after its last body, until it can be used again.
pub(super) const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The idle connections to one server, apart for each worker: a connection is driven by the runtime that opened it. The one used last
/// is used next.
#[derive(Debug)]
pub(super) struct Pool {
    room: Arc<Room>,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
    elsewhere: Mutex<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Stopwatch,
    limit: Duration,
}

impl Pool {
    pub(super) fn new(room: Arc<Room>) -> Self {
        let idle = (0..workers::most()).map(|_| Mutex::default()).collect();
        Self { room, idle, elsewhere: Mutex::default() }
    }

    /// A connection that seems usable.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        // Those used last may not have settled yet: they stay.
        while let Some(place) = idle.iter().rposition(Idle::is_over_or_ready) {
            let candidate = idle.remove(place)?;
            if candidate.usable() {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// A connection that is, or soon may be, usable, whichever worker has it: where there may be no more of them it is better than none.
    pub(super) fn take_any(&self) -> Option<Connection> {
        let own = self.idle.get(workers::number());
        own.into_iter().chain(&self.idle).chain([&self.elsewhere]).find_map(|idle| {
            let mut idle = locked(idle);
            idle.retain(|candidate| !candidate.is_over());
            idle.pop_back().map(|candidate| candidate.connection)
        })
    }

    /// Takes back a connection whose answer is read to the end.
    ///
    /// Its task may not have seen that end yet, or may still be sending the request's body. It then rests here until it is ready; to wait for
    /// it would take a task and a timer for every request.
    pub(super) fn give_back(&self, connection: Connection, limit: Duration) {
        if connection.is_closed() || limit.is_zero() {
            return;
        }
        let mut idle = self.idle();
        while idle.front().is_some_and(Idle::is_over) {
            idle.pop_front();
        }
        if idle.len() < MAX_IDLE {
            idle.push_back(Idle { connection, since: Stopwatch::start(), limit });
        }
        drop(idle);
        self.room.one_more();
    }

    /// Drives a connection on the caller's runtime until it closes. Drain does not wait for it: it waits for the requests.
    pub(super) fn carry(connection: http1::Connection<TokioIo<Socket>, RequestBody>) {
        drop(Handle::current().spawn(async move {
            // How it ends, the request on it is told; an idle one concerns nobody.
            connection.await.ok();
        }));
    }

    /// The same for a connection that may become a tunnel: whoever has the answer gets the socket.
    pub(super) fn carry_switching(connection: http1::Connection<TokioIo<Socket>, RequestBody>) {
        drop(Handle::current().spawn(async move {
            connection.with_upgrades().await.ok();
        }));
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        locked(self.idle.get(workers::number()).unwrap_or(&self.elsewhere))
    }
}

fn locked(idle: &Mutex<VecDeque<Idle>>) -> MutexGuard<'_, VecDeque<Idle>> {
    // No code that can panic runs under the lock; were it to, the list would still be whole.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    fn usable(&self) -> bool {
        self.connection.is_ready() && self.since.elapsed() < self.limit
    }

    /// Will never be usable again: closed, too old, or not settled in time.
    fn is_over(&self) -> bool {
        let limit = if self.connection.is_ready() { self.limit } else { SETTLE_TIME.min(self.limit) };
        self.connection.is_closed() || self.since.elapsed() >= limit
    }

    fn is_over_or_ready(&self) -> bool {
        self.connection.is_ready() || self.is_over()
    }
}

/// How long a connection with this response may be idle: a second less than the server says it keeps it, so
/// that a request does not meet its closing.
pub(super) fn idle_time(headers: &HeaderMap) -> Duration {
    let said = headers.get("keep-alive").and_then(|value| {
        let parameters = value.to_str().ok()?.split(',');
        let timeout = parameters.filter_map(|parameter| parameter.trim().strip_prefix("timeout=")).next()?;
        timeout.parse::<u64>().ok()
    });
    said.map_or(IDLE_TIME, |seconds| IDLE_TIME.min(Duration::from_secs(seconds.saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_less_long_than_the_server_keeps_it() {
        let idle = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", http::HeaderValue::from_static(value));
            idle_time(&headers).as_secs()
        };
        assert_eq!(idle_time(&HeaderMap::new()), IDLE_TIME);
        assert_eq!(idle("timeout=5"), 4);
        assert_eq!(idle("max=100, timeout=5"), 4);
        assert_eq!(idle("timeout=0"), 0);
        assert_eq!(idle("timeout=3600"), 30);
        assert_eq!(idle("timeout=-1"), 30);
    }
}

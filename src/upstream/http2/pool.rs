//! Which connection a request goes on.

use super::super::UpstreamError;
use super::super::connect::{Reached, Server};
use super::super::stream::Stream;
use super::connection::{Connection, Place};
use crate::net::workers;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The connections to one server, apart for each worker: a connection is driven by the runtime that opened it.
#[derive(Debug)]
pub(in super::super) struct Http2Pool {
    shelves: Box<[Arc<Shelf>]>,
    elsewhere: Arc<Shelf>,
    /// By ALPN the server chose HTTP/1.1 the last time.
    http1: AtomicBool,
}

/// Those of one worker.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    content: Mutex<Content>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Content {
    connections: Vec<Connection>,
    /// Somebody is opening another one.
    connecting: bool,
}

/// What a request that wants a place has to do.
enum Next {
    Go(Place),
    Connect,
    Wait,
}

impl Http2Pool {
    pub(in super::super) fn new() -> Self {
        Self {
            shelves: (0..workers::most()).map(|_| Arc::default()).collect(),
            elsewhere: Arc::default(),
            http1: AtomicBool::new(false),
        }
    }

    /// As far as is known, the server speaks HTTP/2.
    pub(in super::super) fn is_spoken(&self) -> bool {
        !self.http1.load(Ordering::Relaxed)
    }

    /// A place on a connection that is there, or on a new one; `None` where the server speaks HTTP/1.1. Whoever finds none while another
    /// request is connecting waits for that. `limit` is how long a new connection may take to begin.
    pub(super) async fn place(
        &self,
        server: &Server,
        limit: Duration,
    ) -> Result<Option<Place>, UpstreamError> {
        let shelf = self.shelf();
        while self.is_spoken() {
            let changed = shelf.changed.notified();
            match shelf.next() {
                Next::Go(place) => return Ok(Some(place)),
                Next::Wait => changed.await,
                Next::Connect => {
                    let _connecting = Connecting(shelf);
                    match server.reach().await? {
                        Reached::Http2(stream) => self.take_in(stream, limit).await?,
                        Reached::Http1(stream) => {
                            server.keep(stream).await?;
                            self.http1.store(true, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Begins HTTP/2 on a stream.
    pub(in super::super) async fn take_in(
        &self,
        stream: Stream,
        limit: Duration,
    ) -> Result<(), UpstreamError> {
        let shelf = self.shelf();
        let connection = Connection::begin(stream, shelf, limit).await?;
        self.http1.store(false, Ordering::Relaxed);
        shelf.content().connections.push(connection);
        Ok(())
    }

    fn shelf(&self) -> &Arc<Shelf> {
        self.shelves.get(workers::number()).unwrap_or(&self.elsewhere)
    }
}

impl Shelf {
    fn next(self: &Arc<Self>) -> Next {
        let mut content = self.content();
        content.connections.retain(|connection| !connection.is_over());
        if let Some(place) = content.connections.iter().find_map(|connection| connection.reserve(self)) {
            return Next::Go(place);
        }
        // More may come on one that has only begun, and none on another where the server takes none at all.
        let waits = |connection: &Connection| !connection.is_settled() || connection.limit() == 0;
        if content.connecting || content.connections.iter().any(waits) {
            return Next::Wait;
        }
        content.connecting = true;
        Next::Connect
    }

    /// A stream has ended.
    pub(super) fn one_place_more(&self) {
        self.changed.notify_one();
    }

    /// A connection has begun, can take more than before, or ended.
    pub(super) fn connections_changed(&self) {
        self.changed.notify_waiters();
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // No code that can panic runs under the lock; were it to, the list would still be whole.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection is being opened while this lives.
struct Connecting<'a>(&'a Shelf);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.content().connecting = false;
        self.0.connections_changed();
    }
}

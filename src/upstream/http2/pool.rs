//! Which connection a request goes on.

use super::super::UpstreamError;
use super::super::error::ConnectStage;
use super::super::room::{Room, Slot};
use super::super::server::{Manner, Server};
use super::super::stream::Stream;
use super::super::target::Reached;
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
#[derive(Debug)]
pub(super) struct Shelf {
    room: Arc<Room>,
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
    pub(in super::super) fn new(room: &Arc<Room>) -> Self {
        let shelf = || Arc::new(Shelf::new(Arc::clone(room)));
        Self {
            shelves: (0..workers::most()).map(|_| shelf()).collect(),
            elsewhere: shelf(),
            http1: AtomicBool::new(false),
        }
    }

    /// As far as is known, the server speaks HTTP/2.
    pub(in super::super) fn is_spoken(&self) -> bool {
        !self.http1.load(Ordering::Relaxed)
    }

    /// A place on a connection that is there, or on a new one; `None` where the server speaks HTTP/1.1. Whoever finds none while another
    /// request is connecting waits for that.
    pub(super) async fn place(
        &self,
        server: &Server,
        manner: Manner,
    ) -> Result<Option<Place>, UpstreamError> {
        let limit = manner.connect_timeout;
        let mut stage = UpstreamError::from(ConnectStage::Http2);
        let placed = tokio::time::timeout(limit, self.place_in_time(server, manner, &mut stage)).await;
        placed.unwrap_or(Err(stage))
    }

    /// The same; what is waited for stands in `stage`.
    async fn place_in_time(
        &self,
        server: &Server,
        manner: Manner,
        stage: &mut UpstreamError,
    ) -> Result<Option<Place>, UpstreamError> {
        let shelf = self.shelf();
        while self.is_spoken() {
            let changed = shelf.changed.notified();
            match shelf.next() {
                Next::Go(place) => return Ok(Some(place)),
                Next::Wait => changed.await,
                Next::Connect => {
                    let connecting = Connecting(shelf);
                    let slot = if server.room().is_waited_for() { None } else { server.enter() };
                    let slot = match slot {
                        Some(slot) => slot,
                        None => {
                            // Others may find a place meanwhile.
                            drop(connecting);
                            *stage = UpstreamError::NoRoom;
                            match self.room_or_place(server, manner).await? {
                                Ok(place) => return Ok(Some(place)),
                                Err(slot) => slot,
                            }
                        }
                    };
                    *stage = ConnectStage::Http2.into();
                    self.connect(server, slot, manner.connect_timeout).await?;
                }
            }
        }
        Ok(None)
    }

    /// Opens a connection, of whichever protocol.
    async fn connect(&self, server: &Server, slot: Slot, limit: Duration) -> Result<(), UpstreamError> {
        match server.reach(slot, limit).await? {
            Reached::Http2(stream) => self.take_in(stream, limit).await,
            Reached::Http1(stream) => {
                server.keep(stream).await?;
                self.http1.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// A place on the connection of any worker, or room for another one, whichever can be had first.
    async fn room_or_place(
        &self,
        server: &Server,
        manner: Manner,
    ) -> Result<Result<Place, Slot>, UpstreamError> {
        let look = || {
            let mut shelves = self.shelves.iter().chain([&self.elsewhere]);
            let place = shelves.find_map(|shelf| shelf.place());
            std::future::ready(place.map(Ok).or_else(|| server.enter().map(Err)))
        };
        if !server.room().is_waited_for()
            && let Some(found) = look().await
        {
            return Ok(found);
        }
        if !manner.waits {
            return Err(UpstreamError::NoRoom);
        }
        Ok(server.room().wait().until(look).await)
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
    fn new(room: Arc<Room>) -> Self {
        Self { room, content: Mutex::default(), changed: Notify::new() }
    }

    /// A place on a connection that there is.
    fn place(self: &Arc<Self>) -> Option<Place> {
        let mut content = self.content();
        content.connections.retain(|connection| !connection.is_over());
        content.connections.iter().find_map(|connection| connection.reserve(self))
    }

    fn next(self: &Arc<Self>) -> Next {
        if let Some(place) = self.place() {
            return Next::Go(place);
        }
        let mut content = self.content();
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
        self.room.one_more();
    }

    /// A connection has begun, can take more than before, or ended.
    pub(super) fn connections_changed(&self) {
        self.changed.notify_waiters();
        self.room.one_more();
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

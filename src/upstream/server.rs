//! One server: a request goes out on a connection that is idle, or on a new one, for which there must be room.

use super::answer::UpstreamBody;
use super::error::ConnectFailure;
use super::health::{Fleet, Member};
use super::http1::{Carry, Connection};
use super::http2::{self, Http2Pool, Routed};
use super::pool::{self, Pool};
use super::room::{Room, Slot};
use super::stream::Stream;
use super::target::{Reached, Target};
use super::tls::TlsFailure;
use super::{RequestBody, UpstreamError, again};
use crate::config::UpstreamHost;
use http::header::HOST;
use http::uri::Scheme;
use http::{Request, Response, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How an attempt failed.
pub(super) enum Attempt {
    /// Bytes of the request may be out.
    Sent(UpstreamError),
    /// None are: the request can go elsewhere.
    Unsent(Box<Request<RequestBody>>, UpstreamError),
    /// Bytes are out, but nothing was taken: the request can go elsewhere once.
    Refused(Box<Request<RequestBody>>, UpstreamError),
}

/// One address of a server.
#[derive(Debug)]
pub(super) struct Server {
    target: Arc<Target>,
    address: SocketAddr,
    lines: Arc<Lines>,
    member: Member,
    /// How many connections it may have.
    connections: usize,
}

/// The connections to a server, and what is on them: a reload keeps them, whatever it changes of how the server stands.
#[derive(Debug)]
struct Lines {
    room: Arc<Room>,
    pool: Arc<Pool>,
    /// Where HTTP/2 may be spoken.
    http2: Option<Http2Pool>,
    requests: AtomicUsize,
}

/// A request that a server has, until its answer is over.
#[derive(Debug)]
pub(super) struct Underway {
    server: Arc<Server>,
    /// What is to be told of the server when it is over.
    answered: bool,
}

impl Underway {
    pub(super) fn server(&self) -> SocketAddr {
        self.server.address
    }

    /// An answer begins: if nothing happens to it, the server is well.
    pub(super) fn begins(&mut self, status: StatusCode) {
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                self.server.member.answered_badly(status);
            }
            // How a tunnel ends says nothing, and it may take days.
            StatusCode::SWITCHING_PROTOCOLS => self.server.member.answered(),
            _ => self.answered = true,
        }
    }

    /// No answer came, or not all of it.
    pub(super) fn fails(&mut self, error: UpstreamError) {
        self.answered = false;
        self.server.member.failed(error);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.server.lines.requests.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            self.server.member.answered();
        }
    }
}

/// What a request can go out on.
enum Found {
    /// A connection that was used before.
    Kept(Connection),
    /// A new one, for which there is room.
    Room(Slot),
}

/// What decides how one request goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) host: UpstreamHost,
    /// For the connection, and before that for room for it.
    pub(super) connect_timeout: Duration,
    /// The request asks for another protocol: it goes out on a connection of its own, which becomes a tunnel.
    pub(super) upgrade: bool,
    /// Where there is no room, it is waited for.
    pub(super) waits: bool,
}

impl Server {
    /// The server at an address, with its place in the fleet.
    pub(super) fn new(target: Arc<Target>, address: SocketAddr, member: Member, connections: usize) -> Self {
        let room = Arc::<Room>::default();
        let http2 = target.may_speak_http2().then(|| Http2Pool::new(&room));
        let pool = Arc::new(Pool::new(Arc::clone(&room)));
        let lines = Arc::new(Lines { room, pool, http2, requests: AtomicUsize::new(0) });
        Self { target, address, lines, member, connections }
    }

    /// The same server on other terms.
    pub(super) fn moved(&self, member: Member, connections: usize) -> Self {
        let (target, lines) = (Arc::clone(&self.target), Arc::clone(&self.lines));
        Self { target, address: self.address, lines, member, connections }
    }

    /// Whether these are its terms.
    pub(super) fn is_on(&self, fleet: &Arc<Fleet>, connections: usize) -> bool {
        self.member.is_in(fleet) && self.connections == connections
    }

    /// How many connections to it there are.
    pub(super) fn connections(&self) -> usize {
        self.lines.room.open()
    }

    /// A place for one more connection, if it may have one.
    pub(super) fn enter(&self) -> Option<Slot> {
        self.lines.room.enter(self.connections)
    }

    /// Who has connections, and who waits for one.
    pub(super) fn room(&self) -> &Room {
        &self.lines.room
    }

    pub(super) const fn member(&self) -> &Member {
        &self.member
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It has one more request.
    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        self.lines.requests.fetch_add(1, Ordering::Relaxed);
        Underway { server: Arc::clone(self), answered: false }
    }

    /// How many requests it has.
    pub(super) fn requests(&self) -> usize {
        self.lines.requests.load(Ordering::Relaxed)
    }

    /// Whether it is an address of this server of the configuration.
    pub(super) fn is_of(&self, target: &Target) -> bool {
        self.target.plan() == target.plan()
    }

    /// Sends a request on a connection of the pool, or on a new one.
    ///
    /// A connection of the pool may close just as the request goes out on it. If hyper hands the request back, nothing of it was sent, and it
    /// goes out on another. A GET, HEAD or OPTIONS without a body that was sent goes out once more, on a new connection, unless an answer had
    /// begun (RFC 9110 section 9.2.2).
    pub(super) async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        manner: Manner,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        if manner.host == UpstreamHost::Server || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.target.host_field());
        }
        if manner.upgrade {
            // In a box, as what connects below: most requests have no use for its room.
            return Box::pin(self.switch(request, manner)).await;
        }
        if let Some(http2) = self.lines.http2.as_ref().filter(|http2| http2.is_spoken()) {
            match Box::pin(http2::send(self, http2, request, manner)).await {
                Routed::Tried(tried) => return tried,
                Routed::Http1(unsent) => request = unsent,
            }
        }
        let mut repeatable = again::is_repeatable(&request);
        let mut kept = if self.lines.room.is_waited_for() { None } else { self.lines.pool.take() };
        loop {
            let connection = match kept {
                Some(connection) => connection,
                None => match Box::pin(self.find(manner)).await {
                    Some(Found::Kept(connection)) => connection,
                    Some(Found::Room(slot)) => {
                        return Box::pin(self.send_first(slot, request, manner)).await;
                    }
                    None => return Err(Attempt::Unsent(request, UpstreamError::NoRoom)),
                },
            };
            let watch = repeatable.then(|| connection.watch());
            match connection.send(request, repeatable, &self.lines.pool).await {
                Err(Attempt::Unsent(unsent, _) | Attempt::Refused(unsent, _)) => {
                    request = unsent;
                    kept = self.lines.pool.take();
                }
                Err(Attempt::Sent(error)) => {
                    let copy = watch.and_then(|watch| watch.unanswered()).and_then(|copy| again::read(&copy));
                    request = copy.ok_or(Attempt::Sent(error))?;
                    // Others that were kept may be as dead.
                    (kept, repeatable) = (None, false);
                }
                Ok(response) => return Ok(response),
            }
        }
    }

    /// Sends a request on a new connection.
    async fn send_first(
        &self,
        slot: Slot,
        request: Box<Request<RequestBody>>,
        manner: Manner,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        match self.connect(slot, manner.connect_timeout, Pool::carry).await {
            Ok(Some(connection)) => connection.send(request, false, &self.lines.pool).await,
            // By ALPN it chose HTTP/2 this time.
            Ok(None) => match &self.lines.http2 {
                Some(http2) => http2::send(self, http2, request, manner).await.tried(),
                None => Err(Attempt::Unsent(request, ConnectFailure::Other.into())),
            },
            Err(reason) => Err(Attempt::Unsent(request, reason)),
        }
    }

    /// Room for a new connection or, where there is none, the first connection that becomes free; `None` where neither comes in time.
    async fn find(&self, manner: Manner) -> Option<Found> {
        let room = &self.lines.room;
        if !room.is_waited_for()
            && let Some(slot) = self.enter()
        {
            return Some(Found::Room(slot));
        }
        let look = || async {
            if let Some(connection) = self.lines.pool.take_any()
                && let Some(connection) = connection.settles().await
            {
                return Some(Found::Kept(connection));
            }
            self.enter().map(Found::Room)
        };
        if !manner.waits {
            return if room.is_waited_for() { None } else { look().await };
        }
        let waiting = room.wait();
        tokio::time::timeout(manner.connect_timeout, waiting.until(look)).await.ok()
    }

    /// Room for a new connection alone; `None` where it does not come in time. One that nobody uses makes room.
    async fn room_for_one(&self, manner: Manner) -> Option<Slot> {
        let look = || {
            let slot = self.enter();
            if slot.is_none() {
                drop(self.lines.pool.take_any());
            }
            std::future::ready(slot)
        };
        if !self.lines.room.is_waited_for()
            && let Some(slot) = look().await
        {
            return Some(slot);
        }
        if !manner.waits {
            return None;
        }
        let waiting = self.lines.room.wait();
        tokio::time::timeout(manner.connect_timeout, waiting.until(look)).await.ok()
    }

    /// Sends a request that asks for another protocol. Only the 101 of a server that chose among what was asked for is one.
    async fn switch(
        &self,
        request: Box<Request<RequestBody>>,
        manner: Manner,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        let Some(slot) = self.room_for_one(manner).await else {
            return Err(Attempt::Unsent(request, UpstreamError::NoRoom));
        };
        let connected = self.connect(slot, manner.connect_timeout, Pool::carry_switching).await;
        let connection = match connected {
            Ok(Some(connection)) => connection,
            // Nothing can be switched to in HTTP/2.
            Ok(None) => return Err(Attempt::Unsent(request, TlsFailure::NothingInCommon.into())),
            Err(reason) => return Err(Attempt::Unsent(request, reason)),
        };
        connection.switch(*request, &self.lines.pool).await
    }

    /// Connects, shakes hands where there is TLS, and starts HTTP/1.1; `limit` is for all of it. `None` where the server has chosen HTTP/2.
    async fn connect(
        &self,
        slot: Slot,
        limit: Duration,
        carry: Carry,
    ) -> Result<Option<Connection>, UpstreamError> {
        match self.reach(slot, limit).await? {
            Reached::Http1(stream) => Connection::start(stream, carry).await.map(Some),
            Reached::Http2(stream) => {
                if let Some(http2) = &self.lines.http2 {
                    http2.take_in(stream, limit).await?;
                }
                Ok(None)
            }
        }
    }

    /// Starts HTTP/1.1 on a stream, for the next request.
    pub(super) async fn keep(&self, stream: Stream) -> Result<(), UpstreamError> {
        self.lines.pool.give_back(Connection::start(stream, Pool::carry).await?, pool::IDLE_TIME);
        Ok(())
    }

    /// The scheme that a request has for it.
    pub(super) fn scheme(&self) -> Scheme {
        self.target.scheme()
    }

    /// Connects, and shakes hands where there is TLS, which says what is spoken. `limit` is for all of it.
    pub(super) async fn reach(&self, slot: Slot, limit: Duration) -> Result<Reached, UpstreamError> {
        self.target.reach(self.address, Some(slot), limit).await
    }
}

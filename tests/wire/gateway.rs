//! The plumbing with the shortest page there can be: everything is forwarded.

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use keyproof::clock::Clock;
use keyproof::config::{
    Balance, ConnectionPlan, HealthPlan, ServerPlan, TimeoutPlan, UpstreamHost, UpstreamPlan,
};
use keyproof::gate::Answer;
use keyproof::headers;
use keyproof::names::{ListenerId, UpstreamId};
use keyproof::proxy::{self, Origination, ResponseBody, Rider};
use keyproof::server::{Connections, Drain, Limits, Listener, Peer, Protocol, Serve, Tls};
use keyproof::upstream::{Failure, Pace, RequestBody, Upstream, UpstreamError};
use keyproof::uri::Scheme;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the gateway under test is set up.
pub struct Setup {
    pub servers: Vec<SocketAddr>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub pace: Pace,
    pub limits: Limits,
    pub tls: Option<Tls>,
    /// What the upstream is instead of `servers` and the timeouts.
    pub upstream: Option<UpstreamPlan>,
    /// By which servers rest.
    pub clock: Clock,
}

impl Setup {
    pub fn to(server: SocketAddr) -> Self {
        Self {
            servers: vec![server],
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
            pace: Pace::DEFAULT,
            limits: Limits::DEFAULT,
            tls: None,
            upstream: None,
            clock: Clock::system(),
        }
    }

    pub fn start(self) -> Gateway {
        let plan = self.upstream.unwrap_or_else(|| UpstreamPlan {
            id: UpstreamId(0),
            name: "api".into(),
            servers: self.servers.iter().map(server).collect(),
            host: UpstreamHost::Public,
            balance: Balance::RoundRobin,
            connection: ConnectionPlan::default(),
            resolve: Duration::from_secs(10),
            health: HealthPlan::default(),
            connections: 1024,
            timeouts: TimeoutPlan {
                connect: self.connect_timeout,
                response: self.response_timeout,
                idle: Duration::from_secs(300),
            },
        });
        let record = Arc::new(Record::default());
        let upstream = Arc::new(Upstream::new(&plan, &self.clock));
        let page = Page {
            upstream: Arc::clone(&upstream),
            timeouts: plan.timeouts,
            pace: self.pace,
            record: Arc::clone(&record),
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Vec::new()).unwrap();
        let address = listener.addresses()[0];
        let drain = Drain::new();
        let connections = listener.connections();
        let counts = Arc::clone(&connections);
        drain.spawn(listener.run(ListenerId(0), self.tls, page, self.limits, drain.clone()));
        let open = Box::new(move || connections.open());
        Gateway { address, drain, record, open, counts, upstream }
    }
}

fn server(address: &SocketAddr) -> ServerPlan {
    ServerPlan { tls: false, authority: address.to_string().parse().unwrap() }
}

/// A gateway that runs.
pub struct Gateway {
    pub address: SocketAddr,
    pub drain: Drain,
    pub record: Arc<Record>,
    /// What the listener has counted.
    pub counts: Arc<Connections>,
    pub upstream: Arc<Upstream>,
    /// How many connections are open.
    pub open: Box<dyn Fn() -> usize + Send + Sync>,
}

/// What became of the answers.
#[derive(Debug, Default)]
pub struct Record {
    pub begun: AtomicUsize,
    pub sent: AtomicUsize,
    pub complete: AtomicUsize,
    pub broken: AtomicUsize,
    pub over: AtomicUsize,
    pub errors: Mutex<Vec<UpstreamError>>,
}

impl Record {
    /// Waits until a count is reached.
    pub async fn reaches(&self, count: impl Fn(&Self) -> &AtomicUsize, goal: usize) {
        eventually(|| count(self).load(Ordering::SeqCst) >= goal).await;
    }
}

/// Waits until something is so, for as long as tests have patience.
pub async fn eventually(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(support::raw::PATIENCE, waiting).await.expect("it comes to be in time");
}

#[derive(Clone)]
struct Page {
    upstream: Arc<Upstream>,
    timeouts: TimeoutPlan,
    pace: Pace,
    record: Arc<Record>,
}

/// Counts one answer.
pub struct Count(Arc<Record>);

impl Rider for Count {
    fn sent(&mut self, bytes: usize) {
        self.0.sent.fetch_add(bytes, Ordering::SeqCst);
    }

    fn complete(&mut self) {
        self.0.complete.fetch_add(1, Ordering::SeqCst);
    }

    fn broken(&mut self, _why: &proxy::BodyError) {
        self.0.broken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.over.fetch_add(1, Ordering::SeqCst);
    }
}

impl Serve for Page {
    type Body = ResponseBody<Count>;

    async fn serve(&self, peer: &Peer, request: Request<Incoming>) -> Response<Self::Body> {
        self.record.begun.fetch_add(1, Ordering::SeqCst);
        let count = Count(Arc::clone(&self.record));
        assert!(request.uri().path() != "/panic", "a panic on demand");
        let host = request.headers().get(header::HOST).cloned();
        let authority =
            request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()).unwrap());
        let authority = authority.or(host).unwrap_or_else(|| HeaderValue::from_static("nobody"));
        let scheme = if peer.tls { Scheme::Https } else { Scheme::Http };
        let version = request.version();
        assert_eq!(version == http::Version::HTTP_2, peer.protocol == Protocol::Http2);

        let takes_trailers = proxy::takes_trailers(version, request.headers());
        let mut request = request.map(|body| RequestBody::new(body, self.pace));
        headers::strip_request(request.headers_mut(), headers::Keep::default());
        let from =
            Origination { peer: peer.address.ip(), trusted: false, scheme, authority: &authority, version };
        proxy::set_forwarded(request.headers_mut(), &from);
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, authority);
        }
        match self.upstream.send(Box::new(request), &self.timeouts).await {
            Ok(mut response) => {
                proxy::strip_answer(response.headers_mut(), takes_trailers);
                response.map(|body| ResponseBody::upstream(body, count))
            }
            Err(Failure { error, .. }) => {
                self.record.errors.lock().unwrap().push(error);
                let id = HeaderValue::from_static("id");
                let answer = Answer::error(error.status(), error.label(), "", id);
                let mut response = proxy::respond::carry(answer, count);
                if error.status() == StatusCode::BAD_REQUEST {
                    proxy::respond::close(response.headers_mut());
                }
                response
            }
        }
    }
}

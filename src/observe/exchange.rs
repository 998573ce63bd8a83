//! The record of one request.

use super::line::{Finding, Line};
use super::trace::{RequestId, Trace};
use super::{AccessLog, Metrics};
use crate::clock::{Stopwatch, UnixTime};
use crate::denial::Denial;
use crate::headers::X_REQUEST_ID;
use crate::jose::{Sha256, Thumbprint};
use crate::names::{ListenerId, RouteId, UpstreamId};
use crate::token::{Confirmation, VerifiedToken};
use crate::uri::CanonicalPath;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The status of a request whose client went away before there was an answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Where records are written: shared by all requests.
#[derive(Debug)]
pub struct Observer {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The access log, where there is one.
    pub log: Option<AccessLog>,
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not decided yet.
    Undecided,
    /// Verified and spent, or a public route.
    Allow(&'static str),
    /// Refused.
    Deny(Denial),
    /// Forwarded although it would have been refused.
    Observe(Denial),
}

/// How the verified token of a request is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// To a DPoP key.
    Dpop,
    /// To a client certificate.
    Mtls,
    /// Not at all.
    Bearer,
    /// No token was verified.
    None,
}

/// One request, from its head to the last byte of its answer. Written when dropped, so a cancelled request is
/// counted too, and nothing twice.
///
/// It rides in the futures and in the body of the answer, which are moved many times: so it is a pointer.
#[derive(Debug)]
pub struct Exchange(Box<Record>);

#[derive(Debug)]
struct Record {
    observer: Arc<Observer>,
    began: UnixTime,
    stopwatch: Stopwatch,
    listener: ListenerId,
    client: IpAddr,
    version: Version,
    method: Method,
    target: Option<PathAndQuery>,
    /// The canonical path, where it is not the target's.
    path: Option<Box<str>>,
    request_id: RequestId,
    trace: Option<Trace>,
    route: Option<RouteId>,
    token: Option<Arc<VerifiedToken>>,
    skew: Option<f64>,
    findings: Vec<Finding>,
    decision: Decision,
    decided: Option<Duration>,
    nonce_challenged: bool,
    upstream: Option<UpstreamId>,
    upstream_began: Duration,
    upstream_answered: Option<Duration>,
    /// How that ended, as the metric says it.
    upstream_result: Option<&'static str>,
    /// Which of its servers was asked.
    server: Option<SocketAddr>,
    error: Option<&'static str>,
    status: Option<StatusCode>,
    sent: u64,
}

impl Decision {
    /// The labels `decision` and `reason`; none before a decision.
    fn labels(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Undecided => None,
            Self::Allow(reason) => Some(("allow", reason)),
            Self::Deny(denial) => Some(("deny", denial.label())),
            Self::Observe(denial) => Some(("observe", denial.label())),
        }
    }
}

impl Binding {
    /// The metric and log label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::Bearer => "bearer",
            Self::None => "none",
        }
    }
}

impl Exchange {
    /// Begins the record of a request that came in at this listener.
    pub fn begin<B>(
        observer: Arc<Observer>,
        listener: ListenerId,
        client: IpAddr,
        request: &Request<B>,
        now: UnixTime,
    ) -> Self {
        Self(Box::new(Record {
            stopwatch: Stopwatch::start(),
            observer,
            began: now,
            listener,
            client,
            version: request.version(),
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            path: None,
            request_id: RequestId::new(request.headers()),
            trace: Trace::continued(request.headers()),
            route: None,
            token: None,
            skew: None,
            findings: Vec::new(),
            decision: Decision::Undecided,
            decided: None,
            nonce_challenged: false,
            upstream: None,
            upstream_began: Duration::ZERO,
            upstream_answered: None,
            upstream_result: None,
            server: None,
            error: None,
            status: None,
            sent: 0,
        }))
    }

    /// The name of the listener that it came in at.
    pub fn listener_name(&self) -> &str {
        self.0.observer.metrics.listener_name(self.0.listener)
    }

    /// The name of the route that it came to.
    pub fn route_name(&self) -> &str {
        self.0.observer.metrics.route_name(self.0.route)
    }

    /// Shared with every other record.
    pub fn metrics(&self) -> &Metrics {
        &self.0.observer.metrics
    }

    /// The value of `X-Request-Id` for the upstream and for the answer.
    pub fn request_id(&self) -> HeaderValue {
        self.0.request_id.to_header()
    }

    /// The value of `traceparent` for the upstream: the client's trace with a parent of our own, or a new
    /// trace.
    ///
    /// Where it is new ([`Exchange::continues_trace`] is false), a `tracestate` that came along belongs to no
    /// trace and goes.
    pub fn traceparent(&self) -> HeaderValue {
        self.0.trace.map_or_else(|| self.0.request_id.begin_trace(), Trace::to_header)
    }

    /// Whether the request came with a valid `traceparent`.
    pub fn continues_trace(&self) -> bool {
        self.0.trace.is_some()
    }

    /// The client's address.
    pub const fn from(&self) -> IpAddr {
        self.0.client
    }

    /// Who the client is, where a trusted proxy says so.
    pub fn client(&mut self, client: IpAddr) {
        self.0.client = client;
    }

    /// What is asked for, where the request only describes it.
    pub fn asks_for(&mut self, method: &Method, target: PathAndQuery) {
        self.0.method = method.clone();
        self.0.target = Some(target);
    }

    /// Which request it is, where its headers came later than the question about it.
    pub fn is_about(&mut self, headers: &HeaderMap) {
        if headers.contains_key(X_REQUEST_ID) {
            self.0.request_id = RequestId::new(headers);
        }
        self.0.trace = Trace::continued(headers).or(self.0.trace);
    }

    /// The path that was matched; until then the target's own stands in the record.
    pub fn path(&mut self, path: &CanonicalPath<'_>) {
        let path = path.as_str();
        if self.0.target.as_ref().is_none_or(|target| target.path() != path) {
            self.0.path = Some(path.into());
        }
    }

    /// The route.
    pub fn route(&mut self, route: RouteId) {
        self.0.route = Some(route);
    }

    /// The verified token: whose request it is, and how the token is bound.
    pub fn token(&mut self, token: Arc<VerifiedToken>) {
        self.0.token = Some(token);
    }

    /// Now minus `iat` of the proof, in seconds; of one that was refused too, where `iat` decides.
    pub fn skew(&mut self, seconds: f64) {
        self.0.skew = Some(seconds);
    }

    /// Whether the line of a request that ends with this status by our decision will be written: if not, nothing need be found out for it.
    pub fn is_logged_with(&self, status: StatusCode) -> bool {
        self.0.observer.log.as_ref().is_some_and(|log| log.has(status.is_server_error()))
    }

    /// What was found in a refused request and what was expected. The line cuts and escapes it.
    pub fn found(&mut self, findings: Vec<Finding>) {
        self.0.findings = findings;
    }

    /// One thing more that was found.
    pub fn also_found(&mut self, finding: Finding) {
        self.0.findings.push(finding);
    }

    /// What was decided. The first call ends the time that counts as our own work; a later one (a broken
    /// body) changes the decision alone.
    pub fn decided(&mut self, decision: Decision) {
        self.0.decision = decision;
        if self.0.decided.is_none() {
            self.0.decided = Some(self.0.stopwatch.elapsed());
        }
    }

    /// The answer asks for a nonce (`use_dpop_nonce`).
    pub fn nonce_challenged(&mut self) {
        self.0.nonce_challenged = true;
    }

    /// The request goes to this upstream: its time begins where that of the decision ended, since
    /// nothing is waited for between them.
    pub fn to_upstream(&mut self, upstream: UpstreamId) {
        self.0.upstream = Some(upstream);
        self.0.upstream_began = self.0.decided.unwrap_or_else(|| self.0.stopwatch.elapsed());
    }

    /// The head of the upstream's answer has come, from this server.
    pub fn upstream_answered(&mut self, server: Option<SocketAddr>) {
        self.upstream_ended(Some("ok"), server);
    }

    /// The upstream gave no answer: what the metric says of it, if anything, and the reason, each one of a fixed set; the server is the one
    /// that was asked last.
    pub fn upstream_failed(
        &mut self,
        result: Option<&'static str>,
        reason: &'static str,
        server: Option<SocketAddr>,
    ) {
        self.upstream_ended(result, server);
        self.0.error = Some(reason);
    }

    fn upstream_ended(&mut self, result: Option<&'static str>, server: Option<SocketAddr>) {
        self.0.upstream_result = result;
        self.0.upstream_answered = Some(self.0.stopwatch.elapsed().saturating_sub(self.0.upstream_began));
        self.0.server = server;
    }

    /// What followed the head of the answer has ended, an answer's body before its end: what the metric says of the upstream instead, where
    /// that is to blame, and the reason, each one of a fixed set.
    pub const fn cut(&mut self, result: Option<&'static str>, reason: Option<&'static str>) {
        if result.is_some() {
            self.0.upstream_result = result;
        }
        self.0.error = reason;
    }

    /// The status of the answer.
    pub fn status(&mut self, status: StatusCode) {
        self.0.status = Some(status);
    }

    /// More bytes of the answer's body were sent.
    pub fn sent(&mut self, bytes: u64) {
        self.0.sent = self.0.sent.saturating_add(bytes);
    }
}

impl Record {
    fn status_code(&self) -> u16 {
        self.status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16())
    }

    fn binding(&self) -> Binding {
        match self.token.as_ref().map(|token| token.confirmation()) {
            None => Binding::None,
            Some(Confirmation::None) => Binding::Bearer,
            Some(Confirmation::Certificate(_)) => Binding::Mtls,
            Some(Confirmation::Key(_) | Confirmation::KeyAndCertificate(..)) => Binding::Dpop,
        }
    }

    fn jkt(&self) -> Option<Thumbprint> {
        match self.token.as_ref()?.confirmation() {
            Confirmation::None | Confirmation::Certificate(_) => None,
            Confirmation::Key(jkt) | Confirmation::KeyAndCertificate(jkt, _) => Some(jkt),
        }
    }

    fn x5t(&self) -> Option<Sha256> {
        match self.token.as_ref()?.confirmation() {
            Confirmation::None | Confirmation::Key(_) => None,
            Confirmation::Certificate(x5t) | Confirmation::KeyAndCertificate(_, x5t) => Some(x5t),
        }
    }

    /// How long the upstream took, or has taken so far where the client went away first.
    fn upstream_duration(&self, total: Duration) -> Option<Duration> {
        self.upstream?;
        Some(self.upstream_answered.unwrap_or_else(|| total.saturating_sub(self.upstream_began)))
    }

    fn count(&self, total: Duration) {
        let metrics = &*self.observer.metrics;
        metrics.request(self.route, self.status_code(), total);
        metrics.token(self.route, self.binding());
        if let Some((decision, reason)) = self.decision.labels() {
            metrics.decision(self.route, decision, reason);
        }
        if let Some(decided) = self.decided {
            metrics.decided_after(decided);
        }
        if let Some(skew) = self.skew {
            metrics.skew(skew);
        }
        if self.nonce_challenged {
            metrics.nonce_challenge(self.route);
        }
        if let Some((upstream, duration)) = self.upstream.zip(self.upstream_duration(total)) {
            metrics.upstream_took(upstream, duration);
            if let Some(result) = self.upstream_result {
                metrics.upstream_ended(upstream, result);
            }
        }
    }

    fn log(&self, log: &AccessLog, total: Duration) {
        let ours = matches!(self.decision, Decision::Deny(_)) || self.error.is_some();
        let warn = ours && self.status_code() >= 500;
        if !log.has(warn) {
            return;
        }
        let metrics = &*self.observer.metrics;
        let (decision, reason) = self.decision.labels().unwrap_or(("none", "-"));
        let claim = |name| self.token.as_ref()?.claim(name)?.as_str();
        let (mut jkt, mut x5t) = ([0_u8; 43], [0_u8; 43]);
        let line = Line {
            time: self.began.saturating_add(total),
            warn,
            request_id: self.request_id.word(),
            trace_id: self.trace.as_ref().map(Trace::id),
            listener: metrics.listener_name(self.listener),
            client: self.client,
            protocol: protocol(self.version),
            method: self.method.as_str(),
            path: self.path.as_deref().or(self.target.as_ref().map(PathAndQuery::path)).unwrap_or_default(),
            route: metrics.route_name(self.route),
            status: self.status_code(),
            decision,
            reason,
            binding: self.binding().as_str(),
            sub: claim("sub"),
            client_id: claim("client_id"),
            jkt: self.jkt().and_then(|key| encode(key.as_bytes(), &mut jkt)),
            x5t: self.x5t().and_then(|certificate| encode(&certificate, &mut x5t)),
            skew: self.skew,
            findings: &self.findings,
            upstream: self.upstream.map(|upstream| metrics.upstream_name(upstream)),
            server: self.server.filter(|_| self.error.is_some()),
            error: self.error,
            bytes: self.sent,
            duration: total,
            decision_duration: self.decided,
            upstream_duration: self.upstream_duration(total),
        };
        log.write(&line);
    }
}

/// Counted and logged here and nowhere else.
impl Drop for Exchange {
    fn drop(&mut self) {
        let total = self.0.stopwatch.elapsed();
        self.0.count(total);
        if let Some(log) = &self.0.observer.log {
            self.0.log(log, total);
        }
    }
}

/// The thumbprint as clients know it, in 43 characters on the stack.
fn encode<'t>(thumbprint: &Sha256, text: &'t mut [u8; 43]) -> Option<&'t [u8]> {
    let length = URL_SAFE_NO_PAD.encode_slice(thumbprint, text).ok()?;
    text.get(..length)
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests;

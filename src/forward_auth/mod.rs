//! The doors for other proxies: they ask about each request that they have, and go by the answer.
//!
//! How they ask differs, over [HTTP](http) or over [gRPC](grpc); what they ask and what they are told does not, and is here. What the front describes
//! is what token and proof are held against, so only a trusted peer is asked for it, and nothing that it leaves out is filled in: whatever
//! a front does not set, its client may.

mod body;
mod described;
pub mod grpc;
pub mod http;
mod passage;

pub use self::body::Body;
pub use self::grpc::ExtAuthz;
pub use self::http::ForwardAuth;

use crate::authorize::Mode;
use crate::clock::UnixTime;
use crate::config::{Authorization, Plan, RoutePlan};
use crate::denial::{Denial, DescriptionError};
use crate::doctor::{Arrival, Marked};
use crate::entrance::Entrance;
use crate::gate::{Admission, Answer, Gate, Question, Refused, Understood};
use crate::headers::Protected;
use crate::names::{ById, RouteId};
use crate::observe::Exchange;
use crate::server::Sender;
use crate::uri::Scheme;
use ::http::StatusCode;
use ::http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use described::{Described, Fault};
use passage::Passage;
use std::sync::Arc;

/// What the doors for other proxies have in common: it asks the gate about the request that a front describes.
#[derive(Debug)]
pub struct Decisions {
    entrance: Arc<Entrance>,
    gate: Arc<Gate>,
    handing_on: ById<RouteId, HandingOn>,
    /// Every route's identity headers: each is in every answer that lets a request pass.
    identity: Vec<HeaderName>,
    protected: Protected,
    /// The fields in which fronts name their clients' certificates. They are the fronts' own; other spellings of them are not.
    certificates: Vec<HeaderName>,
    other_certificates: Protected,
}

/// What the front is to do with a route's credentials.
#[derive(Debug)]
struct HandingOn {
    authorization: Authorization,
    /// Nothing that an upstream may live by is taken away: it has been reached without a gateway so far.
    observes: bool,
}

/// What a front is told.
#[derive(Debug)]
enum Verdict {
    /// The request may pass, changed so.
    Pass(Passage),
    /// A preflight is answered, not let pass. A front that takes every answer for a permission at least sends it on without these.
    Preflight(Answer, Vec<HeaderName>),
    /// It may not pass, and this is the client's answer.
    Refuse(Answer),
}

impl Verdict {
    /// The status that the record has.
    fn status(&self) -> StatusCode {
        match self {
            Self::Pass(_) => StatusCode::OK,
            Self::Preflight(answer, _) | Self::Refuse(answer) => answer.status,
        }
    }
}

impl Decisions {
    /// The decisions of this plan, by this gate.
    pub fn new(plan: &Plan, gate: Arc<Gate>, entrance: Arc<Entrance>) -> Self {
        let handing_on = |route: &RoutePlan| {
            let observes = route.policy.mode == Mode::Observe;
            (route.id, HandingOn { authorization: route.authorization, observes })
        };
        let names = || plan.routes.iter().flat_map(|route| route.policy.identity.names());
        let mut identity: Vec<HeaderName> = Vec::new();
        for name in names() {
            if !identity.contains(name) {
                identity.push(name.clone());
            }
        }
        Self {
            entrance,
            gate,
            handing_on: plan.routes.iter().map(handing_on).collect(),
            identity,
            protected: Protected::new(names()),
            certificates: plan.certificate_fields().cloned().collect(),
            other_certificates: Protected::new(plan.certificate_fields()),
        }
    }

    /// What the gate says about the request that is described.
    async fn about(
        &self,
        described: &Described<'_>,
        sender: &Sender,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Verdict {
        match self.ask(described, sender, now, exchange).await {
            Ok(Admission::Forward(admitted)) => Verdict::Pass(self.passage(described.headers, admitted)),
            Ok(Admission::Preflight(answer, _)) => {
                Verdict::Preflight(answer, self.nobodys(described.headers))
            }
            Err(refused) => Verdict::Refuse(one_challenge_line(*refused)),
        }
    }

    async fn ask<'d>(
        &'d self,
        described: &'d Described<'_>,
        sender: &'d Sender,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Result<Admission<'d, 'd>, Box<Refused>> {
        exchange.asks_for(&described.method, described.target.clone());
        let origin = described.headers.get(ORIGIN);
        let question =
            self.question(described, sender).map_err(|fault| self.unclear(&fault, origin, exchange))?;
        let admission = self.gate.decide(&question, now, exchange).await;
        admission.inspect_err(|refused| told_by(described, refused, exchange))
    }

    /// Whether this is a request of `keyproof doctor`.
    fn marked(&self, headers: &HeaderMap) -> Option<Marked> {
        self.gate.marked(headers)
    }

    /// A request of `keyproof doctor`: what came of it is kept, and nothing is decided.
    fn examine(
        &self,
        marked: &Marked,
        arrival: Arrival,
        sender: &Sender,
        described: Result<Described<'_>, Fault>,
        headers: &HeaderMap,
        exchange: &mut Exchange,
    ) -> Answer {
        let arrival = Arrival { trusted: sender.trusted, tls: sender.tls, ..arrival };
        let mut examine = |understood: Understood<'_, '_>| {
            one_challenge_line(*self.gate.examine(marked, &arrival, understood, headers, exchange))
        };
        let described = match described {
            Ok(described) => described,
            Err(fault) => return examine(Understood::Nothing(fault.error.into(), &fault.fields)),
        };
        match self.question(&described, sender) {
            Ok(question) => examine(Understood::Question(&question, described.scheme)),
            Err(fault) => examine(Understood::Nothing(fault.error.into(), &fault.fields)),
        }
    }

    /// What is described, as a question to the gate.
    fn question<'q>(&self, described: &'q Described<'q>, sender: &'q Sender) -> Result<Question<'q>, Fault> {
        Ok(Question {
            method: &described.method,
            authority: Ok(described.authority),
            scheme: self.scheme(described)?,
            path: described.target.path(),
            query: described.target.query(),
            headers: described.headers,
            certificate: &sender.certificate,
        })
    }

    /// The scheme by which the client asked. It only chooses between origins that differ in it; where there are such, it must be told.
    fn scheme(&self, described: &Described<'_>) -> Result<Scheme, Fault> {
        match described.scheme {
            Some(scheme) => Ok(scheme),
            None if self.gate.needs_scheme(described.authority.first()) => {
                Err(Fault::in_field(DescriptionError::Missing, described.told_by.scheme))
            }
            None => Ok(Scheme::Https),
        }
    }

    /// The answer where a description does not say one thing.
    fn refuse(&self, fault: &Fault, origin: Option<&HeaderValue>, exchange: &mut Exchange) -> Answer {
        one_challenge_line(*self.unclear(fault, origin, exchange))
    }

    fn unclear(&self, fault: &Fault, origin: Option<&HeaderValue>, exchange: &mut Exchange) -> Box<Refused> {
        let denial = Denial::Description(fault.error);
        if !fault.fields.is_empty() && exchange.is_logged_with(denial.status()) {
            exchange.also_found(("header", fault.fields.clone()));
        }
        self.gate.refused(denial, None, origin, exchange)
    }
}

/// Where a request leads nowhere because of what describes it, the log says which field that was.
fn told_by(described: &Described<'_>, refused: &Refused, exchange: &mut Exchange) {
    let field = if matches!(refused.denial, Denial::Authority(_)) {
        described.told_by.authority
    } else if matches!(refused.denial, Denial::Path(_) | Denial::TargetTooLong) {
        described.told_by.target
    } else {
        return;
    };
    if exchange.is_logged_with(refused.denial.status()) {
        exchange.also_found(("header", field.to_owned()));
    }
}

/// The refusal as every front can pass it on: nginx keeps only the first `WWW-Authenticate` line, so all challenges stand in one, which is
/// the same (RFC 9110 section 11.6.1).
fn one_challenge_line(refused: Refused) -> Answer {
    let mut answer = refused.answer;
    let challenges: Vec<_> =
        answer.headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes).collect();
    if challenges.len() > 1
        && let Ok(line) = HeaderValue::from_bytes(&challenges.join(&b", "[..]))
    {
        answer.headers.insert(WWW_AUTHENTICATE, line);
    }
    answer
}

//! The forward-auth door: another proxy asks about each request that it has, and goes by the answer.
//!
//! nginx (`auth_request`), Traefik, Caddy and HAProxy describe the request in header fields; Envoy's `ext_authz` and the Gateway API's
//! `ExternalAuth` send its head as it is, under `/check`. What the front describes is what token and proof are held against, so only a
//! trusted peer is asked for it, and nothing that it leaves out is filled in: whatever a front does not set, its client may.

mod answer;
mod body;
mod describe;

pub use body::Body;

use crate::authorize::Mode;
use crate::clock::{Clock, UnixTime};
use crate::config::{Authorization, ListenerPlan, Plan, RoutePlan};
use crate::denial::{Denial, DescriptionError};
use crate::doctor::{Arrival, Marked};
use crate::gate::{Admission, Answer, Gate, Question, Refused, Understood};
use crate::headers::{Protected, X_FORWARDED_PROTO};
use crate::names::{ById, ListenerId, RouteId};
use crate::observe::{Exchange, Observer};
use crate::server::{Peer, Sender};
use crate::uri::Scheme;
use describe::{Described, Fault};
use http::header::{HeaderName, ORIGIN};
use http::request::Parts;
use http::{Request, Response};
use ipnet::IpNet;
use std::sync::Arc;

/// The door that answers other proxies: it asks the gate about the request that they describe.
#[derive(Debug)]
pub struct ForwardAuth {
    clock: Clock,
    gate: Arc<Gate>,
    handing_on: ById<RouteId, HandingOn>,
    /// Every route's identity headers: each is in every answer that lets a request pass.
    identity: Vec<HeaderName>,
    protected: Protected,
    observer: Arc<Observer>,
    /// Who may ask, by listener.
    trusted_proxies: ById<ListenerId, Vec<IpNet>>,
}

/// What the front is to do with a route's credentials.
#[derive(Debug)]
struct HandingOn {
    authorization: Authorization,
    /// Nothing that an upstream may live by is taken away: it has been reached without a gateway so far.
    observes: bool,
}

impl ForwardAuth {
    /// The door of this plan, before this gate.
    pub fn new(plan: &Plan, gate: Arc<Gate>, observer: Arc<Observer>, clock: Clock) -> Self {
        let handing_on = |route: &RoutePlan| {
            let observes = route.policy.mode == Mode::Observe;
            (route.id, HandingOn { authorization: route.authorization, observes })
        };
        let trusted = |listener: &ListenerPlan| (listener.id, listener.trusted_proxies.clone());
        let names = || plan.routes.iter().flat_map(|route| route.policy.identity.names());
        let mut identity: Vec<HeaderName> = Vec::new();
        for name in names() {
            if !identity.contains(name) {
                identity.push(name.clone());
            }
        }
        Self {
            clock,
            gate,
            handing_on: plan.routes.iter().map(handing_on).collect(),
            identity,
            protected: Protected::new(names()),
            observer,
            trusted_proxies: plan.listeners.iter().map(trusted).collect(),
        }
    }

    /// One question, from its head to the answer. A body says nothing about who may pass and is not read. `house` keeps the door, and all
    /// behind it, for as long as that takes.
    pub fn serve<H: AsRef<Self> + Send + Sync, B>(
        house: H,
        peer: &Peer,
        request: Request<B>,
    ) -> impl Future<Output = Response<Body>> + Send + use<H, B> {
        let door = house.as_ref();
        let now = door.clock.now();
        let trusted = door.trusted_proxies.get(peer.listener).map_or(&[][..], Vec::as_slice);
        let sender = Sender::of(peer, trusted);
        let client = sender.client(request.headers(), trusted);
        let mut exchange = Exchange::begin(Arc::clone(&door.observer), peer.listener, client, &request, now);
        let (head, _) = request.into_parts();
        async move {
            let answer = match house.as_ref().decide(&sender, &head, now, &mut exchange).await {
                Ok(answer) => answer,
                Err(refused) => answer::refusal(*refused),
            };
            exchange.status(answer.status);
            body::carry(answer, exchange)
        }
    }

    /// The straight line: who asks, what about, and what the gate says.
    async fn decide(
        &self,
        sender: &Sender,
        head: &Parts,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Result<Answer, Box<Refused>> {
        if let Some(marked) = self.gate.marked(&head.headers) {
            return Err(self.examine(&marked, sender, head, exchange));
        }
        if !sender.trusted {
            let denial = DescriptionError::Untrusted.into();
            return Err(self.gate.refused(denial, None, head.headers.get(ORIGIN), exchange));
        }
        let described = describe::read(head).map_err(|fault| self.refuse(&fault, head, exchange))?;
        exchange.asks_for(&described.method, described.target.clone());
        let question =
            self.question(&described, head).map_err(|fault| self.refuse(&fault, head, exchange))?;
        let admission = self.gate.decide(&question, now, exchange).await;
        match admission.inspect_err(|refused| told_by(&described, refused, exchange))? {
            Admission::Forward(admitted) => Ok(self.allow(head, admitted, exchange)),
            Admission::Preflight(answer) => Ok(self.preflight(head, answer)),
        }
    }

    /// A request of `keyproof doctor`: what came of it is kept, and nothing is decided.
    fn examine(
        &self,
        marked: &Marked,
        sender: &Sender,
        head: &Parts,
        exchange: &mut Exchange,
    ) -> Box<Refused> {
        let arrival = Arrival {
            trusted: sender.trusted,
            tls: sender.tls,
            ..Arrival::new("forward_auth", exchange.listener_name(), sender.peer, head.version)
        };
        let mut examine = |understood: Understood<'_, '_>| {
            self.gate.examine(marked, &arrival, understood, &head.headers, exchange)
        };
        if !sender.trusted {
            return examine(Understood::Nothing(DescriptionError::Untrusted.into(), ""));
        }
        let described = match describe::read(head) {
            Ok(described) => described,
            Err(fault) => return examine(Understood::Nothing(fault.error.into(), &fault.fields)),
        };
        match self.question(&described, head) {
            Ok(question) => examine(Understood::Question(&question, described.scheme)),
            Err(fault) => examine(Understood::Nothing(fault.error.into(), &fault.fields)),
        }
    }

    /// What is described, as a question to the gate.
    fn question<'q>(&self, described: &'q Described<'q>, head: &'q Parts) -> Result<Question<'q>, Fault> {
        Ok(Question {
            method: &described.method,
            authority: Ok(described.authority),
            scheme: self.scheme(described)?,
            path: described.target.path(),
            query: described.target.query(),
            headers: &head.headers,
        })
    }

    /// The scheme by which the client asked. It only chooses between origins that differ in it; where there are such, it must be told.
    fn scheme(&self, described: &Described<'_>) -> Result<Scheme, Fault> {
        match described.scheme {
            Some(scheme) => Ok(scheme),
            None if self.gate.needs_scheme(described.authority.first()) => {
                Err(Fault::of(DescriptionError::Missing, &X_FORWARDED_PROTO))
            }
            None => Ok(Scheme::Https),
        }
    }

    fn refuse(&self, fault: &Fault, head: &Parts, exchange: &mut Exchange) -> Box<Refused> {
        let denial = Denial::Description(fault.error);
        if exchange.is_logged_with(denial.status()) {
            exchange.also_found(("header", fault.fields.clone()));
        }
        self.gate.refused(denial, None, head.headers.get(ORIGIN), exchange)
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

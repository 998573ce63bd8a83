//! The gate: one decision for every door.
//!
//! A door reads a [`Question`] from whatever asks it, and writes down the answer: an [`Admission`] or a [`Refused`]. What lies between is
//! here and nowhere else, so that every door finds the same routes, checks the same proofs and shares the same replay store. The gate knows
//! nothing of connections, bodies and upstreams.

mod answer;
pub mod cors;
mod evidence;
mod examine;
mod findings;
mod locate;
mod question;
mod refused;

pub use answer::Answer;
pub use examine::Understood;
pub use locate::{Site, route_of};
pub use question::{Authority, Question};
pub use refused::Refused;

use crate::authorize::{Authorizer, Challenges, Permit, Policy, Refusal, Standing};
use crate::clock::{Clock, Moment, UnixTime};
use crate::config::{CorsPlan, Plan, RoutePlan};
use crate::denial::{Denial, Kind};
use crate::doctor::Marks;
use crate::dpop::NoncePolicy;
use crate::issuer::{Introspection, KeyKeeper};
use crate::names::{ById, RouteId};
use crate::net::ready_to_verify;
use crate::observe::{Decision, Exchange};
use crate::uri::CanonicalPath;
use http::{HeaderValue, Method};
use locate::{Located, Map};
use std::net::IpAddr;
use std::sync::Arc;

/// Decides about requests. One for all doors.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    map: Map,
    rules: ById<RouteId, Rule>,
    authorizer: Authorizer,
    challenges: Challenges,
    keys: Arc<KeyKeeper>,
    introspection: Arc<Introspection>,
    marks: Arc<Marks>,
}

/// What a route asks of a request, and which browser origins may read the answers.
#[derive(Debug)]
struct Rule {
    policy: Policy,
    cors: Option<CorsPlan>,
}

/// What may happen to a request that was not refused.
#[derive(Debug)]
pub enum Admission<'g, 'q> {
    /// It may be forwarded.
    Forward(Admitted<'g, 'q>),
    /// It was a CORS preflight, and this is its answer: the upstream is never asked without credentials.
    /// The route is the one that it asks about.
    Preflight(Answer, RouteId),
}

/// A request that may be forwarded: where it leads, and the permission.
#[derive(Debug)]
pub struct Admitted<'g, 'q> {
    /// Which of our origins was asked.
    pub site: &'g Site,
    /// The one path that matched the route and was compared with `htu`.
    pub path: CanonicalPath<'q>,
    /// The route.
    pub route: RouteId,
    /// The permission, with the values of the identity headers.
    pub permit: Permit,
}

/// A request that stops here, and the route that says so, once there is one.
#[derive(Debug)]
struct Stop {
    refusal: Refusal,
    route: Option<RouteId>,
    /// The methods that would have been taken, where only the method was wrong.
    allow: Option<HeaderValue>,
}

impl Gate {
    /// The gate of this plan.
    pub fn new(
        plan: &Plan,
        authorizer: Authorizer,
        keys: Arc<KeyKeeper>,
        introspection: Arc<Introspection>,
        marks: Arc<Marks>,
        clock: Clock,
    ) -> Self {
        let rule =
            |route: &RoutePlan| (route.id, Rule { policy: route.policy.clone(), cors: route.cors.clone() });
        Self {
            clock,
            map: Map::new(plan),
            rules: plan.routes.iter().map(rule).collect(),
            challenges: Challenges::new(authorizer.proofs.algorithms()),
            authorizer,
            keys,
            introspection,
            marks,
        }
    }

    /// Decides, and records what was decided and why.
    ///
    /// # Errors
    /// The refusal, ready to be sent.
    pub async fn decide<'g, 'q>(
        &'g self,
        question: &Question<'q>,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Result<Admission<'g, 'q>, Box<Refused>> {
        match self.pass(question, now, exchange).await {
            Ok(admission) => Ok(admission),
            Err(stop) => {
                if stop.route.is_none() {
                    self.explain_lost(question, &stop, exchange);
                }
                if stop.refusal.denial.cost_a_signature() {
                    // Whoever made us check a signature for nothing waits until those who are here too had their turn. And such answers go
                    // out in bunches: each by itself would wake its receiver, at up to a tenth of what the signature costs.
                    tokio::task::yield_now().await;
                }
                Err(self.refuse(&stop, question.origin(), exchange))
            }
        }
    }

    /// The refusal of a request that was refused outside the gate: before the decision, or after it.
    pub fn refused(
        &self,
        denial: Denial,
        route: Option<RouteId>,
        origin: Option<&HeaderValue>,
        exchange: &mut Exchange,
    ) -> Box<Refused> {
        self.refuse(&Stop { refusal: denial.into(), route, allow: None }, origin, exchange)
    }

    /// The straight line. Whatever fails leaves it; only a [`Permit`] reaches its end.
    async fn pass<'g, 'q>(
        &'g self,
        question: &Question<'q>,
        now: UnixTime,
        exchange: &mut Exchange,
    ) -> Result<Admission<'g, 'q>, Stop> {
        // What was asked: one authority, one path, one route.
        let place = self.map.locate(question)?;
        exchange.path(&place.path);
        if let Some((answer, route)) = self.preflight(question, &place, exchange) {
            exchange.route(route);
            exchange.decided(Decision::Allow("preflight"));
            return Ok(Admission::Preflight(answer, route));
        }
        // A preflight that is not answered is refused in the name of the route that it asks about: caches must know of its origins.
        let asks_about = |stop| Stop { route: self.asked_about(question, &place), ..stop };
        let (route, rule) = self.route(&place, question.method).map_err(asks_about)?;
        exchange.route(route);

        // Who may ask, and was this proof ever used.
        let stop = |refusal| Stop { refusal, route: Some(route), allow: None };
        let (permit, decision) = match self.permit(&rule.policy, question, &place, exchange.from(), now).await
        {
            Ok(permit) => {
                let decision = Decision::Allow(permit.label());
                (permit, decision)
            }
            Err(refusal) => {
                let denial = refusal.denial;
                self.explain(rule, question, &place, &refusal, exchange);
                (Permit::observe(&rule.policy, refusal).map_err(stop)?, Decision::Observe(denial))
            }
        };
        exchange.decided(decision);
        record(&permit, now, exchange);
        Ok(Admission::Forward(Admitted { site: place.site, path: place.path, route, permit }))
    }

    /// Verifies, brings what evidence is missing, each kind once, and spends the proof.
    async fn permit(
        &self,
        policy: &Policy,
        question: &Question<'_>,
        place: &Located<'_, '_>,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<Permit, Refusal> {
        let asked = place.asked(question);
        // Who has nothing to show costs no signature, and is not kept waiting for those who do.
        let costly = !policy.public && asked.has_credentials();
        // Time is read again after every wait: neither a token nor a proof may be judged by the time of its arrival when its end, or that of
        // the store's memory, has come meanwhile.
        let mut now = Moment::from(now);
        if costly {
            ready_to_verify().await;
            now = self.clock.moment();
        }
        let verified = self.verify(policy, &asked, client, &mut now).await;
        self.authorizer.spend(verified?, now, &self.clock).await
    }

    fn route(&self, place: &Located<'_, '_>, method: &Method) -> Result<(RouteId, &Rule), Stop> {
        match self.map.route(place, method) {
            Ok(route) => Ok((route, self.rules.get(route).ok_or(Denial::NoRoute)?)),
            Err(Denial::MethodNotAllowed) => {
                Err(Stop { allow: self.map.allow(place), ..Denial::MethodNotAllowed.into() })
            }
            Err(denial) => Err(denial.into()),
        }
    }

    /// The route that this question leads to, whether it may be asked or not.
    ///
    /// # Errors
    /// None: [`Self::decide`] will refuse it.
    pub fn route_of(&self, question: &Question<'_>) -> Result<RouteId, Denial> {
        let place = self.map.locate(question)?;
        self.map.route(&place, question.method)
    }

    /// What to ask while the answer to a permitted request runs; `None` without a verified token.
    pub fn standing(&self, permit: &Permit) -> Option<Standing> {
        self.authorizer.standing(permit)
    }

    /// Whether several of our origins have this authority, so that only the scheme tells them apart.
    pub fn needs_scheme(&self, authority: &str) -> bool {
        self.map.needs_scheme(authority)
    }

    /// A new nonce with every answer, for whoever cannot tell when the old one ends: on routes that need them.
    pub fn next_nonce(&self, route: RouteId, permit: &Permit) -> Option<HeaderValue> {
        let required = self.rules.get(route)?.policy.nonce == NoncePolicy::Required;
        if required && permit.passed() {
            return HeaderValue::try_from(self.authorizer.challenge_nonce(self.clock.moment())).ok();
        }
        self.fresh_nonce(route, permit)
    }

    /// A nonce for the answer to this request. On a route that needs nonces, a new one before the old one ends (RFC 9449 section 8.2); on
    /// others none (section 11.3: a nonce once given must be asked for from then on).
    ///
    /// Where a route only observes, nobody is challenged, and a client would never get the nonce that it lacks: it comes with the answer.
    pub fn fresh_nonce(&self, route: RouteId, permit: &Permit) -> Option<HeaderValue> {
        if permit.overlooked().is_some_and(|refusal| refusal.denial.row().kind == Kind::UseNonce) {
            return HeaderValue::try_from(self.authorizer.challenge_nonce(self.clock.moment())).ok();
        }
        let required = self.rules.get(route)?.policy.nonce == NoncePolicy::Required;
        let nonce = permit.nonce().filter(|_| required)?;
        let now = self.clock.moment();
        let due = self.authorizer.proofs.mint().due(nonce, now);
        if due { HeaderValue::try_from(self.authorizer.challenge_nonce(now)).ok() } else { None }
    }
}

/// Whose request it turned out to be.
fn record(permit: &Permit, now: UnixTime, exchange: &mut Exchange) {
    if let Some(token) = permit.token() {
        exchange.token(Arc::clone(token));
    }
    if let Some(proof) = permit.proof() {
        exchange.skew(now.seconds_after(proof.iat()));
    }
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self { refusal: denial.into(), route: None, allow: None }
    }
}

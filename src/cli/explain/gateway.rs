//! What the gateway of a configuration file would say: the route that takes the request, and each check that it makes.

use super::{Question, Row, document, wrong};
use crate::authorize::{Asked, Authorizer, Mode, PolicyCheck};
use crate::clock::{Clock, UnixTime};
use crate::config::{self, Plan, RoutePlan};
use crate::denial::{AuthorityError, Denial};
use crate::dpop::{Check, CheckOutcome, Expected, NonceMint, NoncePolicy, TargetUri, Verifier, shown};
use crate::gate::{self, Authority};
use crate::headers::DPOP;
use crate::issuer::{KeyKeeper, OnRefresh, Surroundings};
use crate::jose::sha256;
use crate::replay::{ReplayPlan, Settings, Store};
use crate::token::{Issuers, KeySet, TokenCheck};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A gateway that decides as the real one would, but for what only that one knows: which proofs were used.
pub(super) struct Rehearsal {
    plan: Plan,
    authorizer: Authorizer,
    /// Nonces can be recognised: they are made with a secret of the configuration's.
    knows_nonces: bool,
}

impl Rehearsal {
    /// The gateway of this configuration file, with keys from `jwks` where that is given, else from where the configuration says.
    ///
    /// # Errors
    /// The file has problems, or `jwks` cannot be read; in words for the user.
    pub(super) fn of(file: &Path, jwks: Option<&str>, now: UnixTime) -> std::io::Result<Self> {
        let (plan, _) = config::load(file).map_err(|problems| wrong(&format!("--config:\n{problems}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let issuers =
            Arc::new(Issuers::named(plan.issuers.iter().map(|issuer| (issuer.id, issuer.rules.clone()))));
        issuers.deny(plan.deny_list());
        match jwks {
            Some(source) => publish(&issuers, &document(source)?)?,
            None => runtime.block_on(obtain_keys(&plan, &issuers)),
        }
        let knows_nonces = !plan.nonce_secrets.is_empty();
        let mint = NonceMint::new(&plan.nonce_secrets, plan.nonce_lifetime);
        let proofs = Verifier::new(plan.proof_algorithms.clone(), plan.window, Arc::new(mint));
        let replay = Arc::new(runtime.block_on(empty_store(&plan, now))?);
        let authorizer = Authorizer { issuers, proofs, replay, on_start: plan.replay.on_start };
        Ok(Self { plan, authorizer, knows_nonces })
    }

    /// What is said before the checks: which route takes the request, and what it asks for. Then the checks.
    pub(super) fn explain(&self, question: &Question) -> std::io::Result<(String, Vec<Row>)> {
        let headers = headers(question)?;
        let url = parsed(question)?;
        let asked = gate::Question {
            method: &question.method,
            authority: url.authority().map(|one| Authority::One(one.as_str())).ok_or(AuthorityError::Invalid),
            scheme: question.origin.scheme(),
            path: url.path(),
            query: url.query(),
            headers: &headers,
            certificate: &question.certificate,
        };
        let (origin, path, route) = match gate::route_of(&self.plan, &asked) {
            Ok(found) => found,
            Err(denial) => {
                let row = Row::new("route", CheckOutcome::Failed, self.served(), refusal(denial));
                return Ok(("no route takes it".to_owned(), vec![row]));
            }
        };
        let target = TargetUri { origin: &origin, path: &path };
        let asked = Asked {
            method: asked.method,
            target,
            query: asked.query,
            headers: &headers,
            certificate: &question.certificate,
            introspected: None,
        };
        let mut rows = vec![Row::new("route", CheckOutcome::Passed, self.served(), route.name.clone())];
        rows.extend(self.checks(question, route, &asked));
        Ok((self.summary(route), rows))
    }

    fn checks(&self, question: &Question, route: &RoutePlan, asked: &Asked<'_>) -> Vec<Row> {
        let mut policy = route.policy.clone();
        let unknown_nonces = policy.nonce == NoncePolicy::Required && !self.knows_nonces;
        if unknown_nonces {
            policy.nonce = NoncePolicy::Off;
        }
        let mut rows = Vec::new();
        if !policy.public {
            rows.extend(self.proof_checks(question, asked, policy.nonce).into_iter().map(Row::from));
            if !question.proof.is_empty() {
                rows.push(question.binding());
            }
            let token = question.token.as_deref();
            let checks = token.map(|token| self.authorizer.issuers.report(token, question.now));
            rows.extend(checks.into_iter().flatten().map(Row::from));
            rows.extend(self.authorizer.report(&policy, asked, question.now).into_iter().map(Row::from));
        }
        if unknown_nonces {
            let found = "the running gateway made its secret: it is not in the configuration".to_owned();
            rows.push(Row::new(
                "route nonce",
                CheckOutcome::Skipped,
                "one of ours, still good".to_owned(),
                found,
            ));
        }
        let verdict = self.authorizer.verify(&policy, asked, question.now);
        let (outcome, found) = match verdict {
            Ok(_) => (CheckOutcome::Passed, "every check that can be made here passes".to_owned()),
            Err(refused) => (CheckOutcome::Failed, refusal(refused.denial)),
        };
        rows.push(Row::new("verdict", outcome, "the request is forwarded".to_owned(), found));
        if !policy.public && !question.proof.is_empty() {
            let found = "only the running gateway knows which were".to_owned();
            rows.push(Row::new(
                "replay",
                CheckOutcome::Skipped,
                "a proof that was never used".to_owned(),
                found,
            ));
        }
        rows
    }

    fn proof_checks(&self, question: &Question, asked: &Asked<'_>, nonce: NoncePolicy) -> Vec<Check> {
        if question.proof.is_empty() {
            return Vec::new();
        }
        let ath = question.token.as_ref().map(|token| sha256(&[token.as_bytes()]));
        let expected = Expected { method: asked.method, target: asked.target, ath: ath.as_ref(), nonce };
        self.authorizer.proofs.report(&question.proof, &expected, question.now)
    }

    fn served(&self) -> String {
        let origins: Vec<_> = self.plan.origins.iter().map(crate::uri::Origin::as_str).collect();
        format!("one route below {}", origins.join(", "))
    }

    /// The route in one line.
    fn summary(&self, route: &RoutePlan) -> String {
        let policy = &route.policy;
        let name = &route.name;
        let mode = match policy.mode {
            Mode::Enforce => "",
            Mode::Observe => "; it only observes: what is refused below is forwarded all the same",
        };
        if policy.public {
            return format!("route {name}: public, no token is asked for");
        }
        let mut accept: Vec<&str> = Vec::new();
        accept.extend(policy.accept.dpop.then_some("dpop"));
        accept.extend(policy.accept.mtls.then_some("mtls"));
        accept.extend(policy.accept.bearer.then_some("bearer"));
        let issuers = policy.issuers.iter().filter_map(|id| self.authorizer.issuers.issuer(*id));
        let issuers: Vec<_> = issuers.map(|issuer| issuer.rules.name.as_str()).collect();
        let issuers = if issuers.is_empty() { "all".to_owned() } else { issuers.join(" ") };
        let scopes = if policy.scopes.is_empty() { "none".to_owned() } else { policy.scopes.join(" ") };
        let nonce = if policy.nonce == NoncePolicy::Required { "required" } else { "off" };
        format!(
            "route {name}: accept {}; issuers {issuers}; scopes {scopes}; nonce {nonce}{mode}",
            accept.join(" ")
        )
    }
}

/// The URL as a server takes it apart; a fragment is never sent.
fn parsed(question: &Question) -> std::io::Result<Uri> {
    let url = question.url.split('#').next().unwrap_or_default();
    url.parse().map_err(|_| wrong("--url: not a URL that can be asked for"))
}

/// The refusal as the client would see it, and the reason's label in log and metrics.
fn refusal(denial: Denial) -> String {
    let row = denial.row();
    format!("{} {}: {denial} ({})", row.kind.status().as_u16(), row.kind.error(), row.label)
}

/// The request's headers, as far as they matter: with a proof the token is sent as DPoP, without one as Bearer.
fn headers(question: &Question) -> std::io::Result<HeaderMap> {
    let value = |argument: &str, text: &str| {
        HeaderValue::from_str(text).map_err(|_| wrong(&format!("{argument}: not the value of a header")))
    };
    let mut headers = HeaderMap::new();
    if let Some(token) = &question.token {
        let scheme = if question.proof.is_empty() { "Bearer" } else { "DPoP" };
        headers.insert(AUTHORIZATION, value("--token", &format!("{scheme} {token}"))?);
    }
    if !question.proof.is_empty() {
        headers.insert(DPOP, value("--proof", &question.proof)?);
    }
    Ok(headers)
}

fn publish(issuers: &Issuers, jwks: &[u8]) -> std::io::Result<()> {
    for (_, issuer) in issuers.iter() {
        issuer.publish(KeySet::parse(jwks).map_err(|error| wrong(&format!("--jwks: {error}")))?);
    }
    Ok(())
}

/// Asks for every issuer's keys once, as the gateway does at its start.
async fn obtain_keys(plan: &Plan, issuers: &Arc<Issuers>) {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let nobody: OnRefresh = Arc::new(|_, _| {});
    let surroundings = Surroundings {
        clock: &Clock::system(),
        on_refresh: &nobody,
        tasks: &tasks,
        stop: &stop,
        proxies: &plan.proxies,
    };
    let keeper = KeyKeeper::start(&plan.issuers, Arc::clone(issuers), None, surroundings);
    keeper.settled().await;
    stop.cancel();
}

/// A store in memory that nothing is put into.
async fn empty_store(plan: &Plan, now: UnixTime) -> std::io::Result<Store> {
    let replay = ReplayPlan { journal: None, redis: None, ..plan.replay.clone() };
    let settings = Settings { plan: &replay, retention: Duration::ZERO, terms: &[] };
    Store::open(&settings, &Clock::manual(now)).await.map_err(std::io::Error::other)
}

impl From<TokenCheck> for Row {
    fn from(check: TokenCheck) -> Self {
        Self::made(check.what, check.result, &check.expected, &check.found)
    }
}

impl From<PolicyCheck> for Row {
    fn from(check: PolicyCheck) -> Self {
        Self::made(check.what, check.result, &check.expected, &check.found)
    }
}

impl Row {
    fn new(what: &'static str, outcome: CheckOutcome, expected: String, found: String) -> Self {
        Self { label: String::new(), what, outcome, expected, found }
    }

    /// Where nothing was found to show, the error says it.
    fn made<E: std::fmt::Display>(
        what: &'static str,
        result: Option<Result<(), E>>,
        expected: &str,
        found: &str,
    ) -> Self {
        let (outcome, error) = match result {
            None => (CheckOutcome::Skipped, None),
            Some(Ok(())) => (CheckOutcome::Passed, None),
            Some(Err(error)) => (CheckOutcome::Failed, Some(error.to_string())),
        };
        let found = if found.is_empty() { error.unwrap_or_default() } else { shown(found) };
        Self::new(what, outcome, shown(expected), found)
    }
}

#[cfg(test)]
mod tests;

//! Asking an issuer about a token: RFC 7662, with signed answers by RFC 9701.
//!
//! Strangers choose which tokens are asked about. So each token is asked about once at a time, whoever presents it meanwhile; there is a bound
//! on all questions at once, and one on those that a single address causes; and what was answered is remembered for a while
//! ([`Issuers::remember`]). A question is a task of its own: a client that goes away takes nothing from those who wait for the same answer.

mod credentials;
mod questions;

use super::fetch::{FetchError, Fetcher};
use super::{KeyKeeper, Surroundings};
use crate::clock::Clock;
use crate::config::{IntrospectionPlan, IssuerPlan};
use crate::jose::{Sha256, sha256};
use crate::net;
use crate::token::{AnswerError, Introspected, Issuer, IssuerId, Issuers, TokenError};
use bytes::Bytes;
use credentials::question;
use http::Response;
use questions::{Place, Questions};
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// How many connections to an endpoint are kept for later.
const KEPT: usize = 16;

/// Told of every answer: the issuer's name, what came of it, and how long it took.
pub type OnAnswer = Arc<dyn Fn(&str, Answered, Duration) + Send + Sync>;

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The token is active, and one for us.
    Active,
    /// It is not.
    Inactive,
    /// No answer, or one that says nothing.
    Error,
    /// No answer in time.
    Timeout,
}

impl Answered {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Error, Self::Timeout];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }
}

/// Asks every issuer that can be asked.
#[derive(Debug, Default)]
pub struct Introspection {
    askers: Vec<(IssuerId, Arc<Asker>)>,
}

/// Asks one issuer.
struct Asker {
    issuer: IssuerId,
    name: String,
    plan: IntrospectionPlan,
    /// What `aud` of an assertion names: the issuer's identifier.
    audience: String,
    issuers: Arc<Issuers>,
    keys: Arc<KeyKeeper>,
    /// Who vouches for the endpoint, where it is not the system.
    authorities: Option<Vec<CertificateDer<'static>>>,
    client: Fetcher,
    /// Those that are on their way, whichever reading of the configuration they came by: a reload makes no room for more.
    questions: Arc<Questions>,
    clock: Clock,
    tasks: TaskTracker,
    on_answer: OnAnswer,
    /// The last question failed: said once in the log, and once when it is over.
    fails: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Answer(#[from] AnswerError),
    #[error("a value of the configuration cannot stand in a request")]
    Request,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").field("name", &self.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Introspection {
    /// Ready to ask those of these issuers that can be asked. What was asked `before` and is still asked there goes on.
    pub fn new(
        plans: &[IssuerPlan],
        before: Option<&Self>,
        issuers: &Arc<Issuers>,
        keys: &Arc<KeyKeeper>,
        on_answer: &OnAnswer,
        surroundings: Surroundings<'_>,
    ) -> Self {
        let asker = |plan: &IssuerPlan| {
            let asked = plan.introspection.clone()?;
            let same_place = |before: &&Asker| before.plan.endpoint == asked.endpoint;
            let before =
                before.and_then(|before| before.of(plan.id)).map(|asker| &**asker).filter(same_place);
            let same_tls = |before: &&Asker| {
                before.authorities == plan.authorities
                    && before.plan.authentication.identity() == asked.authentication.identity()
            };
            let client = match before.filter(same_tls) {
                Some(before) => before.client.clone(),
                None => Fetcher::with(tls(plan, &asked), surroundings.proxies, KEPT),
            };
            let asker = Asker {
                issuer: plan.id,
                name: plan.rules.name.clone(),
                audience: plan.rules.issuer.clone(),
                issuers: Arc::clone(issuers),
                keys: Arc::clone(keys),
                authorities: plan.authorities.clone(),
                client,
                questions: before.map(|before| Arc::clone(&before.questions)).unwrap_or_default(),
                plan: asked,
                clock: surroundings.clock.clone(),
                tasks: surroundings.tasks.clone(),
                on_answer: Arc::clone(on_answer),
                fails: before.map(|before| Arc::clone(&before.fails)).unwrap_or_default(),
            };
            Some((plan.id, Arc::new(asker)))
        };
        Self { askers: plans.iter().filter_map(asker).collect() }
    }

    fn of(&self, issuer: IssuerId) -> Option<&Arc<Asker>> {
        self.askers.iter().find_map(|(id, asker)| (*id == issuer).then_some(asker))
    }

    /// What this issuer says of this token; `client` is whose request asks. At most one question about a token is on its way at a time.
    ///
    /// # Errors
    /// Nobody's fault but ours: it cannot be asked, or too much is being asked.
    pub async fn ask(
        &self,
        issuer: IssuerId,
        token: &str,
        client: IpAddr,
    ) -> Result<Introspected, TokenError> {
        match self.of(issuer) {
            Some(asker) => asker.ask(token, client).await,
            None => Err(TokenError::IntrospectionUnavailable(issuer)),
        }
    }
}

/// How a connection to the endpoint is secured.
fn tls(plan: &IssuerPlan, asked: &IntrospectionPlan) -> rustls::ClientConfig {
    let roots = match &plan.authorities {
        Some(authorities) => net::tls::roots(authorities),
        None if asked.endpoint.scheme() == "http" => rustls::RootCertStore::empty(),
        None => net::tls::system_roots(),
    };
    let tls = net::tls::client(roots);
    match asked.authentication.identity() {
        Some(identity) => {
            tls.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
        }
        None => tls.with_no_client_auth(),
    }
}

impl Asker {
    async fn ask(self: &Arc<Self>, token: &str, client: IpAddr) -> Result<Introspected, TokenError> {
        let hash = sha256(&[token.as_bytes()]);
        // An answer is judged by the rules of who asks: under others the question is another one.
        let edition = self.issuers.issuer(self.issuer).map_or(0, Issuer::edition);
        let mut answer = match self.questions.place((edition, hash), client, self.plan.concurrency) {
            Some(Place::With(answer)) => answer,
            Some(Place::New(asking)) => {
                let (asker, token) = (Arc::clone(self), token.to_owned());
                let answer = asking.answer();
                self.tasks.spawn(async move { asking.end(asker.question(&token, hash).await) });
                answer
            }
            None => return Err(TokenError::IntrospectionBusy(self.issuer)),
        };
        let answered = answer.wait_for(Option::is_some).await;
        let answered = answered.ok().and_then(|answer| answer.clone());
        answered.ok_or(TokenError::IntrospectionUnavailable(self.issuer))
    }

    /// Asks, and remembers what was answered; nothing where there was no answer.
    async fn question(&self, token: &str, hash: Sha256) -> Option<Introspected> {
        let begun = self.clock.moment().steady;
        let answer = timeout(self.plan.timeout, self.exchange(token)).await;
        let now = self.clock.moment();
        let result = match &answer {
            Ok(Ok(said)) if said.is_active() => Answered::Active,
            Ok(Ok(_)) => Answered::Inactive,
            Ok(Err(_)) => Answered::Error,
            Err(_) => Answered::Timeout,
        };
        (self.on_answer)(&self.name, result, now.steady.since(begun));
        let answer = answer.map_err(|_| FetchError::Timeout.into()).flatten();
        self.note(answer.as_ref().err());
        let said = answer.ok()?;
        self.issuers.remember(hash, &said, now);
        Some(said)
    }

    async fn exchange(&self, token: &str) -> Result<Introspected, AskError> {
        let request =
            question(&self.plan, &self.audience, token, self.clock.now()).ok_or(AskError::Request)?;
        let response = self.client.exchange(request).await?;
        let read = |response: &Response<Bytes>| {
            let (body, now) = (response.body(), self.clock.now());
            if self.plan.signed {
                self.issuers.read_signed_answer(self.issuer, token, body, &self.plan.client_id, now)
            } else {
                self.issuers.read_answer(self.issuer, token, body, now)
            }
        };
        let said = read(&response);
        if said.as_ref().is_err_and(|error| *error == AnswerError::UnknownKey) {
            let signed = std::str::from_utf8(response.body()).unwrap_or_default();
            if self.keys.refresh(self.issuer, signed.trim()).await.verify_again() {
                return Ok(read(&response)?);
            }
        }
        Ok(said?)
    }

    /// Says in the log when questions begin to fail, and when they no longer do.
    fn note(&self, error: Option<&AskError>) {
        let failed_before = self.fails.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => {
                tracing::warn!(issuer = %self.name, endpoint = %self.plan.endpoint, %error, "the issuer cannot be asked about tokens: they are answered 503");
            }
            None if failed_before => {
                tracing::info!(issuer = %self.name, "the issuer answers questions about tokens again");
            }
            Some(_) | None => {}
        }
    }
}

/// The answer that several requests wait for.
type Answer = watch::Receiver<Option<Introspected>>;

//! One issuer's keys: obtained, published, kept while they cannot be obtained again.

use super::discovery::{self, DiscoveryError};
use super::fetch::{Document, FetchError, Fetcher};
use super::progress::{Advice, MissingKey, Progress};
use super::{Means, OnRefresh, Refreshed, Timing};
use crate::clock::{Clock, UnixTime};
use crate::config::{IssuerPlan, KeySource};
use crate::jose;
use crate::token::{KeySet, KeySetError, KeySlot, LeftOut, MAX_DOCUMENT};
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Obtains one issuer's keys.
pub(super) struct Keeper {
    name: String,
    issuer: String,
    source: KeySource,
    authorities: Option<Vec<CertificateDer<'static>>>,
    slot: Arc<KeySlot>,
    fetcher: Fetcher,
    clock: Clock,
    on_refresh: OnRefresh,
    timing: Timing,
    progress: watch::Sender<Progress>,
    wanted: Notify,
    changed: Notify,
}

/// What the keeper's task remembers from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Option<Kept>,
    failures: u32,
    next: Duration,
}

/// The document that is published, and when it was last seen at its source.
#[derive(Debug)]
struct Kept {
    document: Bytes,
    seen: UnixTime,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Keys(#[from] KeySetError),
}

impl Keeper {
    pub(super) fn new(
        plan: &IssuerPlan,
        slot: Arc<KeySlot>,
        means: Means,
        clock: Clock,
        on_refresh: OnRefresh,
    ) -> Self {
        Self {
            name: plan.rules.name.clone(),
            issuer: plan.rules.issuer.clone(),
            source: plan.keys.clone(),
            authorities: plan.authorities.clone(),
            slot,
            fetcher: means.fetcher,
            clock,
            on_refresh,
            timing: means.timing,
            progress: watch::Sender::new(Progress::default()),
            wanted: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// The first attempt where it needs no network: a file is read on the spot.
    pub(super) fn begin(&self) -> Memory {
        let mut memory = Memory::default();
        if let KeySource::File(path) = &self.source {
            self.mark_begun(false);
            self.settle(&mut memory, read_file(path).map_err(RefreshError::from));
        }
        memory
    }

    /// Attempts again and again, when it is time and when somebody asks for it.
    pub(super) async fn run(self: Arc<Self>, mut memory: Memory, stop: CancellationToken) {
        let life = async {
            loop {
                let asked = self.until_next(memory.next).await;
                self.attempt(&mut memory, asked).await;
            }
        };
        tokio::select! {
            () = life => {}
            () = stop.cancelled() => {}
        }
    }

    /// This token's key is not in the set: wants an attempt, and waits for its end where one may be made now.
    pub(super) async fn refresh(&self, token: &str) -> Refreshed {
        let key = MissingKey::of(token);
        let mut progress = self.progress.subscribe();
        let mut advice = Advice::ComeAgain;
        self.progress.send_if_modified(|progress| {
            advice = progress.ask(key, &self.timing);
            // Those who wait for the end of an attempt need not wake up for a wish.
            false
        });
        self.wanted.notify_one();
        let (fetched, proved) = match advice {
            Advice::LookAgain { proves } => (true, proves),
            Advice::Absent => (false, true),
            Advice::ComeAgain => (false, false),
            Advice::Wait { number, proves, absent } => {
                let end = progress.wait_for(|now| now.has_ended(number));
                let ended = timeout(self.timing.attempt, end).await;
                let fetched = ended.is_ok_and(|now| now.is_ok_and(|now| now.succeeded()));
                (fetched, absent || (fetched && proves))
            }
        };
        // Nobody knows better than a file what is in it.
        match (fetched, proved || matches!(self.source, KeySource::File(_))) {
            (true, true) => Refreshed::Fetched,
            (true, false) => Refreshed::Overtaken,
            (false, true) => Refreshed::Absent,
            (false, false) => Refreshed::Unavailable,
        }
    }

    /// Whether its keys decide the same as those that this plan would have: they are of the same issuer and from the same source, whom the same
    /// authorities vouch for, and are kept as long.
    pub(super) fn is_for(&self, plan: &IssuerPlan) -> bool {
        self.issuer == plan.rules.issuer
            && self.source == plan.keys
            && self.authorities == plan.authorities
            && self.timing.max_stale == plan.max_stale
    }

    /// Its file may have changed: looks again, now.
    pub(super) fn look_again(&self) {
        if matches!(self.source, KeySource::File(_)) {
            self.changed.notify_one();
        }
    }

    /// Waits until an attempt ends well.
    pub(super) async fn obtained(&self) {
        let mut progress = self.progress.subscribe();
        // It never ends with an error: we hold the sender.
        drop(progress.wait_for(Progress::succeeded).await);
    }

    /// Waits for the end of the first attempt.
    pub(super) async fn settled(&self) {
        let mut progress = self.progress.subscribe();
        let first = progress.wait_for(|now| now.has_ended(1));
        // An attempt always ends in time; the second bound is for one that nobody makes any more.
        drop(timeout(self.timing.attempt, first).await);
    }

    /// Why this issuer has no keys; `None` if it has.
    pub(super) fn lacks_keys(&self) -> Option<String> {
        if self.slot.keys().is_some() {
            return None;
        }
        let progress = self.progress.borrow();
        let cause = progress.failure().unwrap_or("the first answer is awaited");
        Some(format!("{} has no keys yet: {cause}", self.name))
    }

    /// Waits until it is time, or until somebody who asked may have an attempt: `true`.
    async fn until_next(&self, delay: Duration) -> bool {
        let asked = async {
            loop {
                let cooldown = {
                    let progress = self.progress.borrow();
                    progress.is_wished().then(|| progress.cools(&self.timing))
                };
                match cooldown {
                    Some(None) => return,
                    Some(Some(rest)) => sleep(rest).await,
                    None => self.wanted.notified().await,
                }
            }
        };
        tokio::select! {
            () = sleep(delay) => false,
            () = self.changed.notified() => false,
            () = asked => true,
        }
    }

    async fn attempt(&self, memory: &mut Memory, asked: bool) {
        self.mark_begun(asked);
        let obtained = timeout(self.timing.attempt, self.obtain()).await;
        let obtained = obtained.unwrap_or_else(|_| Err(FetchError::Timeout.into()));
        self.settle(memory, obtained);
    }

    async fn obtain(&self) -> Result<Document, RefreshError> {
        match &self.source {
            KeySource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                Ok(read.map_err(io::Error::other)??)
            }
            KeySource::Uri(url) => Ok(self.fetcher.get(url).await?),
            KeySource::Discovery(url) => {
                // A fifth of the time is for the keys.
                let time = self.timing.attempt * 4 / 5;
                let jwks_uri = discovery::jwks_uri(&self.fetcher, &self.issuer, url, time).await?;
                Ok(self.fetcher.get(&jwks_uri).await?)
            }
        }
    }

    fn mark_begun(&self, asked: bool) {
        self.progress.send_modify(|progress| progress.begin(asked));
    }

    /// Draws the consequences of an attempt and tells everybody.
    fn settle(&self, memory: &mut Memory, obtained: Result<Document, RefreshError>) {
        let published =
            obtained.and_then(|document| self.publish(memory, &document).map(|()| document.max_age));
        let failure = published.as_ref().err().map(ToString::to_string);
        let succeeded = failure.is_none();
        match published {
            Ok(max_age) => {
                let (least, most) = self.timing.max_age;
                memory.failures = 0;
                memory.next = jittered(max_age.map_or(self.timing.interval, |age| age.clamp(least, most)));
            }
            Err(error) => self.fail(memory, &error),
        }
        (self.on_refresh)(&self.name, succeeded);
        self.progress.send_modify(|progress| progress.end(failure));
    }

    /// Publishes the document's keys if it is another one than before: every publication makes all tokens be
    /// verified again.
    fn publish(&self, memory: &mut Memory, document: &Document) -> Result<(), RefreshError> {
        let seen = self.clock.now();
        if let Some(kept) = &mut memory.kept
            && kept.document == document.body
        {
            kept.seen = seen;
            return Ok(());
        }
        let keys = KeySet::parse(&document.body)?;
        tracing::info!(issuer = %self.name, keys = keys.len(), "new keys");
        for key in keys.left_out() {
            self.say_left_out(key);
        }
        self.slot.publish(keys);
        memory.kept = Some(Kept { document: document.body.clone(), seen });
        Ok(())
    }

    /// Names a key that is not used: one that has leaked, or that the issuer meant to be used, at `warn`.
    fn say_left_out(&self, key: &LeftOut) {
        if key.reason.is_usual() {
            tracing::info!(issuer = %self.name, "{key}");
        } else {
            tracing::warn!(issuer = %self.name, "{key}");
        }
    }

    /// Keeps the last good keys for a day: an endpoint that is down is no reason to refuse anybody (fault 7).
    fn fail(&self, memory: &mut Memory, error: &RefreshError) {
        let (first, longest) = self.timing.retry;
        memory.next = jittered(first.saturating_mul(1 << memory.failures.min(16)).min(longest));
        memory.failures = memory.failures.saturating_add(1);
        let stale = |kept: &Kept| self.clock.now().since(kept.seen) > self.timing.max_stale;
        if memory.kept.as_ref().is_some_and(stale) {
            memory.kept = None;
            self.slot.withdraw();
            tracing::error!(issuer = %self.name, "the last good keys are too old to be used");
        }
        let kept = memory.kept.is_some();
        tracing::warn!(issuer = %self.name, cause = %error, failures = memory.failures, kept, "no new keys");
    }
}

/// Reads a file of at most [`MAX_DOCUMENT`] bytes.
fn read_file(path: &Path) -> io::Result<Document> {
    let limit = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
    let mut body = Vec::new();
    std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut body)?;
    if body.len() > MAX_DOCUMENT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than a key set may be"));
    }
    Ok(Document { body: body.into(), max_age: None })
}

/// Three quarters of `delay` to all of it, so that replicas do not ask in step.
fn jittered(delay: Duration) -> Duration {
    let [byte] = jose::random::<1>();
    delay.mul_f64(0.75 + f64::from(byte) / 1024.0)
}

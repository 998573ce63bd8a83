//! One issuer's keys: obtained, published, kept while they cannot be obtained again.

use super::discovery::{self, DiscoveryError};
use super::fetch::{Document, FetchError, Fetcher, MAX_DOCUMENT};
use super::{OnRefresh, Timing};
use crate::clock::{Clock, Stopwatch, UnixTime};
use crate::config::{IssuerPlan, KeySource};
use crate::jose;
use crate::token::{IssuerId, Issuers, KeySet, KeySetError};
use bytes::Bytes;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// For how long after a successful attempt a token that was verified before it is worth another look.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Obtains one issuer's keys.
pub(super) struct Keeper {
    id: IssuerId,
    name: String,
    issuer: String,
    source: KeySource,
    issuers: Arc<Issuers>,
    fetcher: Fetcher,
    clock: Clock,
    on_refresh: OnRefresh,
    timing: Timing,
    progress: watch::Sender<Progress>,
    wanted: Notify,
}

/// How far the attempts are.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    running: bool,
    finished: u64,
    succeeded: bool,
    /// When the last attempt that an unknown key caused began.
    asked: Option<Stopwatch>,
    ended: Option<Stopwatch>,
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
        id: IssuerId,
        plan: &IssuerPlan,
        issuers: Arc<Issuers>,
        fetcher: Fetcher,
        clock: Clock,
        on_refresh: OnRefresh,
        timing: Timing,
    ) -> Self {
        Self {
            id,
            name: plan.rules.name.clone(),
            issuer: plan.rules.issuer.clone(),
            source: plan.keys.clone(),
            issuers,
            fetcher,
            clock,
            on_refresh,
            timing,
            progress: watch::Sender::new(Progress::default()),
            wanted: Notify::new(),
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

    /// Wants an attempt and waits for its end. `true` if there may be keys now that were not there before.
    pub(super) async fn refresh(&self) -> bool {
        let mut progress = self.progress.subscribe();
        let before = *progress.borrow_and_update();
        if !before.running {
            if self.cools(&before) {
                return before.succeeded && before.ended.is_some_and(|ended| ended.elapsed() < JUST_NOW);
            }
            self.wanted.notify_one();
        }
        let end = async {
            let end = progress.wait_for(|now| now.finished > before.finished).await;
            end.is_ok_and(|now| now.succeeded)
        };
        timeout(self.timing.attempt, end).await.unwrap_or(false)
    }

    /// Waits for the end of the first attempt.
    pub(super) async fn settled(&self) {
        let mut progress = self.progress.subscribe();
        let first = progress.wait_for(|now| now.finished > 0);
        // An attempt always ends in time; the second bound is for one that nobody makes any more.
        drop(timeout(self.timing.attempt, first).await);
    }

    /// Whether an unknown key may not cause an attempt yet. Failed attempts count: an endpoint that is down
    /// must not be asked for every token that a stranger makes up. Those that nobody asked for do not: a rotation
    /// just after the start must not refuse honest clients until the cooldown is over.
    fn cools(&self, progress: &Progress) -> bool {
        progress.asked.is_some_and(|asked| asked.elapsed() < self.timing.cooldown)
    }

    /// Waits until it is time, or until somebody may ask and does: `true`.
    async fn until_next(&self, delay: Duration) -> bool {
        let asked = async {
            loop {
                self.wanted.notified().await;
                // A wish from before the last attempt is fulfilled already.
                if !self.cools(&self.progress.borrow()) {
                    return;
                }
            }
        };
        tokio::select! {
            () = sleep(delay) => false,
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
                let jwks_uri = discovery::jwks_uri(&self.fetcher, &self.issuer, url).await?;
                Ok(self.fetcher.get(&jwks_uri).await?)
            }
        }
    }

    fn mark_begun(&self, asked: bool) {
        self.progress.send_modify(|progress| {
            progress.running = true;
            if asked {
                progress.asked = Some(Stopwatch::start());
            }
        });
    }

    /// Draws the consequences of an attempt and tells everybody.
    fn settle(&self, memory: &mut Memory, obtained: Result<Document, RefreshError>) {
        let published =
            obtained.and_then(|document| self.publish(memory, &document).map(|()| document.max_age));
        let succeeded = published.is_ok();
        match published {
            Ok(max_age) => {
                let (least, most) = self.timing.max_age;
                memory.failures = 0;
                memory.next = jittered(max_age.map_or(self.timing.interval, |age| age.clamp(least, most)));
            }
            Err(error) => self.fail(memory, &error),
        }
        (self.on_refresh)(&self.name, succeeded);
        self.progress.send_modify(|progress| {
            progress.running = false;
            progress.succeeded = succeeded;
            progress.finished += 1;
            progress.ended = Some(Stopwatch::start());
        });
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
        if let Some(issuer) = self.issuers.issuer(self.id) {
            issuer.publish(keys);
        }
        memory.kept = Some(Kept { document: document.body.clone(), seen });
        Ok(())
    }

    /// Keeps the last good keys for a day: an endpoint that is down is no reason to refuse anybody (fault 7).
    fn fail(&self, memory: &mut Memory, error: &RefreshError) {
        let (first, longest) = self.timing.retry;
        memory.next = jittered(first.saturating_mul(1 << memory.failures.min(16)).min(longest));
        memory.failures = memory.failures.saturating_add(1);
        let stale = |kept: &Kept| self.clock.now().since(kept.seen) > self.timing.max_stale;
        if memory.kept.as_ref().is_some_and(stale) {
            memory.kept = None;
            if let Some(issuer) = self.issuers.issuer(self.id) {
                issuer.withdraw();
            }
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

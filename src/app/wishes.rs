//! Asking for a reload, and what comes of it.

use super::AppError;
use crate::config::Problems;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Why what was read is not what runs.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The file, or one that it names, has problems.
    #[error("{}", first_of(.0))]
    Problems(Problems),
    /// A new address cannot be bound.
    #[error(transparent)]
    Start(#[from] AppError),
    /// The keys of a new issuer, or of a new source, could not be had.
    #[error("issuers: {}", .0.join("; "))]
    Keys(Vec<String>),
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

impl Rejected {
    /// Whether the same files may be good later: an address that another process has, keys that cannot be had.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Start(error) => matches!(error, AppError::Bind { .. } | AppError::Files { .. }),
            Self::Keys(_) => true,
            Self::Problems(_) | Self::Stopping => false,
        }
    }
}

/// The first problem, and how many others there are.
fn first_of(Problems(problems): &Problems) -> String {
    let Some(first) = problems.first() else { return "it cannot be read".to_owned() };
    match problems.len().saturating_sub(1) {
        0 => first.to_string(),
        1 => format!("{first} (and one more problem)"),
        more => format!("{first} (and {more} more problems)"),
    }
}

/// Asks a gateway that runs to read its configuration again. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::UnboundedSender<oneshot::Sender<Result<(), Arc<Rejected>>>>);

/// Where it is asked.
#[derive(Debug)]
pub(super) struct Wishes(mpsc::UnboundedReceiver<oneshot::Sender<Result<(), Arc<Rejected>>>>);

impl Reloader {
    pub(super) fn new() -> (Self, Wishes) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Wishes(receiver))
    }

    /// Has everything read again, and waits for nothing.
    pub fn wish(&self) {
        let (sender, _) = oneshot::channel();
        self.0.send(sender).ok();
    }

    /// Has everything read again, and waits for what comes of it.
    ///
    /// # Errors
    /// It was rejected, and what ran before runs on.
    pub async fn reload(&self) -> Result<(), Arc<Rejected>> {
        let (sender, receiver) = oneshot::channel();
        // Where nobody listens the receiver is told so.
        self.0.send(sender).ok();
        receiver.await.unwrap_or_else(|_| Err(Arc::new(Rejected::Stopping)))
    }
}

/// Who asked, and will be told.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<oneshot::Sender<Result<(), Arc<Rejected>>>>);

impl Wishes {
    /// Who asks next, and whoever else has asked by then: one reading serves them all. `None`: nobody can ask any more.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        let mut asked = vec![self.0.recv().await?];
        while let Ok(another) = self.0.try_recv() {
            asked.push(another);
        }
        Some(Asked(asked))
    }
}

impl Asked {
    /// These and those: the same comes of both.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(super) fn tell(self, outcome: &Result<(), Arc<Rejected>>) {
        for who in self.0 {
            // Who does not wait for it need not know.
            who.send(outcome.clone()).ok();
        }
    }
}

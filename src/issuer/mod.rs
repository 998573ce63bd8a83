//! Where issuers' keys come from: fetched, refreshed, kept while the endpoint is down.

mod discovery;
mod keys;

use crate::config::IssuerPlan;
use crate::token::{IssuerId, Issuers};
use std::sync::Arc;

/// Keeps every issuer's keys fresh, in background tasks of the given tracker.
#[derive(Debug)]
pub struct KeyKeeper(());

impl KeyKeeper {
    /// Starts fetching. Keys from files are read before this returns.
    pub fn start(
        _plans: &[IssuerPlan],
        _issuers: Arc<Issuers>,
        _metrics: Arc<crate::observe::Metrics>,
        _tasks: &tokio_util::task::TaskTracker,
        _stop: tokio_util::sync::CancellationToken,
    ) -> Arc<Self> {
        todo!()
    }

    /// A token named an unknown key: fetch once (single flight, at most every 30 s per issuer) and wait for it, at most 5 s.
    /// `true` if the keys were fetched and verifying again makes sense.
    pub async fn refresh(&self, _issuer: IssuerId) -> bool {
        todo!()
    }

    /// Whether every issuer has keys.
    pub fn ready(&self) -> bool {
        todo!()
    }
}

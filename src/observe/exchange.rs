//! The record of one request.

use super::Metrics;
use crate::denial::Denial;
use std::sync::Arc;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where the access log goes.
#[derive(Clone, Debug)]
pub struct AccessLog(());

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

/// One request, from its head to the last byte of its answer. Written when dropped, so a cancelled request is counted too, and nothing twice.
#[derive(Debug)]
pub struct Exchange {
    /// Shared with every other record.
    pub metrics: Arc<Metrics>,
}

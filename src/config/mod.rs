//! The configuration file: [`Document`] is what the YAML says, [`Plan`] what runs, [`Problem`] what is wrong with it and where.

mod document;
mod plan;
mod problem;

pub use document::{Document, schema};
pub use plan::{
    Authorization, CorsPlan, IssuerPlan, KeySource, ListenerPlan, OnStart, Plan, RedisPlan, ReplayPlan,
    RoutePlan, TlsPlan, UpstreamPlan,
};
pub use problem::{Problem, Problems};

use std::path::Path;

/// Reads, checks and plans the file, as `serve` and `check` both do.
///
/// # Errors
/// Every problem found, each with its place.
pub fn load(_file: &Path) -> Result<(Plan, Vec<Problem>), Problems> {
    todo!()
}

//! The configuration file: a document is what the YAML says, [`Plan`] what runs, [`Problem`] what is wrong with it and where.
//!
//! The file is read into a tree that knows its places (`tree`), environment variables are put in (`variables`), the tree is read into
//! typed sections (`read`, `value`, `document`), and those are resolved and checked (`plan`). No step stops at the first problem.
//! A plan knows what it was read from ([`Reading`]), so that it can be read again.

mod again;
mod document;
mod plan;
mod problem;
mod read;
mod reading;
mod tree;
mod value;
mod variables;

pub use again::{Attempt, Renewal, files_again, load_again};
pub use document::schema;
pub use plan::{
    AdminPlan, Authorization, Balance, CheckPlan, ClientAuthentication, ConnectionPlan, CorsPlan, DeniedPlan,
    EjectPlan, FieldPlan, HealthPlan, IntrospectionPlan, IssuerPlan, KeySource, ListenAddress, ListenerMode,
    ListenerPlan, OnStart, Plan, PrefixPlan, RedisPlan, ReplayPlan, RoutePlan, ServerPlan, StopPlan,
    TimeoutPlan, TlsIdentity, TlsPlan, UpstreamHost, UpstreamPlan, UpstreamProtocol, UpstreamTlsPlan,
};
pub use problem::{Problem, Problems};
pub use reading::{Reading, Seen};

use crate::clock::{Clock, UnixTime};
use crate::names::Names;
use crate::net::Proxies;
use document::Document;
use problem::{Findings, Position};
use read::Read;
use reading::Files;
use std::path::Path;
use tree::Node;
use variables::Environment;

/// Reads, checks and plans the file, as `serve` and `check` both do. What comes beside the plan is warnings.
///
/// # Errors
/// Every problem found, each with its place.
pub fn load(file: &Path) -> Result<(Plan, Vec<Problem>), Problems> {
    with_environment(|environment| load_with(file, Names::default(), environment, Clock::system().now()))
}

/// Does something with the environment at hand.
fn with_environment<T>(read: impl FnOnce(Environment<'_>) -> T) -> T {
    #[expect(
        clippy::disallowed_methods,
        reason = "the configuration is one of the two readers of the environment"
    )]
    read(&|name| std::env::var(name).ok())
}

/// [`load`] with names that are known already and another environment, at another time.
fn load_with(
    file: &Path,
    names: Names,
    environment: Environment<'_>,
    now: UnixTime,
) -> Result<(Plan, Vec<Problem>), Problems> {
    let mut findings = Findings::new(file.to_owned());
    let files = Files::below(folder(file));
    let circumstances = Circumstances { files: &files, names, environment, now, running: None };
    let plan = text(file, &mut findings)
        .and_then(|text| Some((plan_text(&text, circumstances, &mut findings)?, text)))
        .map(|(plan, text)| Plan { reading: files.into_reading(file, text.into()), ..plan });
    findings.finish(plan)
}

/// Where relative names begin.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// What a text is planned with.
struct Circumstances<'a> {
    files: &'a Files<'a>,
    /// Those that are known already.
    names: Names,
    environment: Environment<'a>,
    /// What certificates are judged by.
    now: UnixTime,
    /// What runs, where something does.
    running: Option<&'a Plan>,
}

fn plan_text(text: &str, circumstances: Circumstances<'_>, findings: &mut Findings) -> Option<Plan> {
    let Circumstances { files, names, environment, now, running } = circumstances;
    let mut tree = tree::parse(text, findings)?;
    let top = Position { line: tree.line, column: tree.column, given: true, ..Position::default() };
    if matches!(tree.value, Node::Null) {
        let help = "write what config/minimal.yaml of the documentation has: listeners, public_origins, issuers, upstreams, routes";
        findings.problem(&top, "the file is empty", help);
        return None;
    }
    variables::substitute(&mut tree, &top, environment, findings);
    let document = Document::read(&tree, top, findings)?;
    let proxies = Proxies::from_environment(environment).map_err(|error| {
        let help = "mend or unset it: it is set in the environment, not in the file";
        findings.problem(&Position { line: 1, column: 1, ..Position::default() }, error.to_string(), help);
    });
    let replay = running.map(|running| &running.replay);
    let plan = plan::make(&document, files, names, now, replay, findings)?;
    Some(Plan { proxies: proxies.ok()?, ..plan })
}

fn text(file: &Path, findings: &mut Findings) -> Option<String> {
    let start = Position { line: 1, column: 1, ..Position::default() };
    let mut refuse = |what: String, help: &str| {
        findings.problem(&start, what, help);
        None
    };
    let contents = match plan::contents(file) {
        Ok(Some(contents)) => contents,
        Ok(None) => return refuse("no file, or longer than 1 MiB".to_owned(), "name a YAML file"),
        Err(why) => {
            return refuse(
                format!("cannot be read: {why}"),
                "name a file that exists and that this user may read",
            );
        }
    };
    match String::from_utf8(contents) {
        Ok(text) => Some(text),
        Err(error) => {
            let line = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to())
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            findings.problem(
                &Position { line, column: 1, ..Position::default() },
                "not UTF-8",
                "save the file as UTF-8",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;

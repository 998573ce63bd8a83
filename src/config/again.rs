//! Reading a configuration again while one runs: all of it, or the files that it names.

use super::problem::Findings;
use super::reading::{Files, Seen};
use super::variables::Environment;
use super::{Circumstances, Plan, Problem, Problems, folder, plan_text, text, with_environment};
use crate::clock::UnixTime;
use std::sync::Arc;

/// What came of reading the configuration file again.
#[derive(Debug)]
pub struct Attempt {
    /// The plan and its warnings, or every problem.
    pub outcome: Result<(Plan, Vec<Problem>), Problems>,
    /// What was seen on the disk, whatever came of it.
    pub seen: Seen,
}

/// What came of reading the files again that the configuration names.
#[derive(Debug)]
pub struct Renewal {
    /// The plan with everything that is new and good, where something is; and its warnings.
    pub plan: Option<(Plan, Vec<Problem>)>,
    /// What is wrong with the others, which stay as they were.
    pub problems: Problems,
    /// What was seen on the disk.
    pub seen: Seen,
}

/// Reads the file of the plan that runs, and every file that it names now.
pub fn load_again(running: &Plan, now: UnixTime) -> Attempt {
    with_environment(|environment| load_again_with(running, environment, now))
}

fn load_again_with(running: &Plan, environment: Environment<'_>, now: UnixTime) -> Attempt {
    let file = running.reading.file();
    let mut findings = Findings::new(file.to_owned());
    let files = Files::below(folder(file));
    let text = text(file, &mut findings);
    let plan = text.as_deref().and_then(|text| again(text, &files, running, environment, now, &mut findings));
    let seen = files.seen().with_text(file, text.as_deref());
    let plan =
        plan.zip(text).map(|(plan, text)| Plan { reading: files.into_reading(file, text.into()), ..plan });
    Attempt { outcome: findings.finish(plan), seen }
}

/// Reads the files again that the running plan names; the configuration itself stays as it was read.
///
/// Each section's files are good or bad by themselves: a certificate that is half written must not keep a secret from being renewed.
pub fn files_again(running: &Plan, now: UnixTime) -> Renewal {
    with_environment(|environment| files_again_with(running, environment, now))
}

fn files_again_with(running: &Plan, environment: Environment<'_>, now: UnixTime) -> Renewal {
    let reading = &running.reading;
    let file = reading.file();
    let mut first = None;
    let mut kept = std::collections::BTreeMap::new();
    loop {
        let mut findings = Findings::new(file.to_owned());
        let files = Files::below(folder(file)).keeping(kept.clone());
        let plan = again(&reading.text, &files, running, environment, now, &mut findings);
        let seen = files.seen();
        let problems = match findings.finish(plan) {
            Ok((plan, warnings)) => {
                let plan = Plan { reading: files.into_reading(file, Arc::clone(&reading.text)), ..plan };
                let is_new = !plan.reading.has_same_files(reading);
                let plan = is_new.then_some((plan, warnings));
                return Renewal { plan, problems: first.unwrap_or_default(), seen };
            }
            Err(problems) => problems,
        };
        let way_out = files.way_out(&problems, reading);
        let problems = first.get_or_insert(problems).clone();
        if way_out.is_empty() {
            // What is wrong is in no file, as where the environment has changed.
            return Renewal { plan: None, problems, seen };
        }
        kept.extend(way_out);
    }
}

fn again(
    text: &str,
    files: &Files<'_>,
    running: &Plan,
    environment: Environment<'_>,
    now: UnixTime,
    findings: &mut Findings,
) -> Option<Plan> {
    let names = running.names.clone();
    plan_text(text, Circumstances { files, names, environment, now, running: Some(running) }, findings)
}

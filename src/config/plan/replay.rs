//! The replay store.

use super::{RedisPlan, ReplayPlan, files, proofs};
use crate::config::document::{OnFailure, Redis, Replay, ReplayStore};
use crate::config::problem::{Findings, Position};
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::replay::{BadUrl, RedisServers};
use std::time::Duration;

/// More proofs than this would need more than a few gigabytes.
const MAX_CAPACITY: usize = 100_000_000;

/// Plans the `replay` section.
pub(super) fn plan(
    replay: &Replay,
    files: &Files<'_>,
    running: Option<&ReplayPlan>,
    findings: &mut Findings,
) -> ReplayPlan {
    let used = replay.store.value == ReplayStore::Redis;
    let redis = replay.redis.as_ref().and_then(|redis| shared(redis, used, files, findings));
    if used && replay.redis.is_none() {
        let help = "add \"redis:\" with \"url: rediss://replay.internal:6379/0\" below replay";
        findings.problem(&replay.store.place, "store is redis, but nothing says where it is", help);
    }
    let capacity = count(&replay.capacity, MAX_CAPACITY, findings);
    let per_key_limit = count(&replay.per_key_limit, MAX_CAPACITY, findings);
    // A limit per key above the one per subject would never be reached.
    let least = if per_key_limit < capacity { per_key_limit } else { 1 };
    let per_subject_limit = replay.per_subject_limit.as_ref();
    let plan = ReplayPlan {
        capacity,
        per_key_limit,
        per_subject_limit: per_subject_limit
            .map_or((capacity / 4).max(least), |limit| count(limit, MAX_CAPACITY, findings)),
        on_start: replay.on_start.value,
        journal: replay.journal.as_ref().and_then(|journal| {
            let path = files.path(&journal.value);
            if journal.value.is_empty() || (path.exists() && !path.is_dir()) {
                let what = format!("{} is not a directory", journal.path());
                findings.problem(&journal.place, what, "name a directory; it is made if it does not exist");
                return None;
            }
            Some(path)
        }),
        redis: redis.filter(|_| used),
    };
    if let Some(running) = running.filter(|_| !findings.any()) {
        settled(replay, &plan, running, findings);
    }
    plan
}

/// What a store is made of when it is opened: another would remember nothing of what this one does.
fn settled(replay: &Replay, plan: &ReplayPlan, running: &ReplayPlan, findings: &mut Findings) {
    let mut refuse = |key: &str, position: &Position| {
        let help = "put back what runs, or restart the gateway";
        findings.problem(position, format!("replay.{key} cannot change without a restart"), help);
    };
    if plan.redis.is_some() != running.redis.is_some() {
        return refuse("store", &replay.store.place);
    }
    if plan.journal != running.journal {
        refuse("journal", replay.journal.as_ref().map_or(&replay.place, |journal| &journal.place));
    }
    if plan.redis != running.redis {
        refuse("redis", replay.redis.as_ref().map_or(&replay.place, |redis| &redis.place));
    }
}

fn count(number: &Spot<u64>, most: usize, findings: &mut Findings) -> usize {
    let value = usize::try_from(number.value).ok().filter(|value| (1..=most).contains(value));
    if value.is_none() {
        findings.problem(
            &number.place,
            format!("{} is out of range", number.value),
            format!("write 1 to {most}"),
        );
    }
    value.unwrap_or(1)
}

fn shared(redis: &Redis, used: bool, files: &Files<'_>, findings: &mut Findings) -> Option<RedisPlan> {
    proofs::between(&redis.timeout, Duration::from_millis(1), Duration::from_secs(10), findings);
    let file = redis.sentinel_password_file.as_ref();
    let password = file.and_then(|name| sentinel_password(name, files, findings));
    let urls = redis.url.as_ref()?;
    let texts: Vec<&str> = urls.items.iter().map(|url| url.value.as_str()).collect();
    let servers = match RedisServers::parse(&texts, password.as_deref()) {
        Ok(servers) => servers,
        Err(bad) => {
            for BadUrl { index, what, help } in bad {
                let url = index.and_then(|index| urls.items.get(index)).map_or(&urls.place, |url| &url.place);
                findings.problem(url, what, help);
            }
            return None;
        }
    };
    if let (Some(file), true, false) = (file, used, servers.have_sentinels()) {
        let help = "delete it, or write redis+sentinel://host:26379/service";
        findings.warn(&file.place, "a password for Sentinels, but the URL names none", help);
    }
    Some(RedisPlan {
        servers,
        timeout: redis.timeout.value,
        accept_on_failure: redis.on_failure.value == OnFailure::Accept,
        assume_noeviction: redis.assume_noeviction.value,
    })
}

/// The file's one line.
fn sentinel_password(name: &Spot<String>, files: &Files<'_>, findings: &mut Findings) -> Option<String> {
    let (_, contents) = files::read(name, files, findings)?;
    let text = std::str::from_utf8(&contents).ok();
    let line = text.map(|text| text.strip_suffix('\n').unwrap_or(text));
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    let password = line.filter(|line| !line.is_empty() && !line.contains(['\n', '\r']));
    if password.is_none() {
        let what = format!("{} does not hold one password", name.shown());
        findings.problem(&name.place, what, "write the password alone into the file, on one line");
    }
    password.map(str::to_owned)
}

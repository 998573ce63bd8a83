//! The replay store.

use super::{OnStart, RedisPlan, ReplayPlan, proofs};
use crate::config::document::{self, OnFailure, Redis, Replay, ReplayStore};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// More proofs than this would need more than a few gigabytes.
const MAX_CAPACITY: usize = 100_000_000;

/// Plans the `replay` section.
pub(super) fn plan(replay: &Replay, folder: &Path, findings: &mut Findings) -> ReplayPlan {
    let redis = replay.redis.as_ref().and_then(|redis| shared(redis, findings));
    let used = replay.store.value == ReplayStore::Redis;
    if used && replay.redis.is_none() {
        let help = "add \"redis:\" with \"url: rediss://replay.internal:6379/0\" below replay";
        findings.problem(&replay.store.place, "store is redis, but nothing says where it is", help);
    }
    ReplayPlan {
        capacity: count(&replay.capacity, MAX_CAPACITY, findings),
        per_key_limit: count(&replay.per_key_limit, MAX_CAPACITY, findings),
        on_start: match replay.on_start.value {
            document::OnStart::Challenge => OnStart::Challenge,
            document::OnStart::Wait => OnStart::Wait,
        },
        journal: replay.journal.as_ref().and_then(|journal| {
            let path = folder.join(&journal.value);
            if journal.value.is_empty() || (path.exists() && !path.is_dir()) {
                let what = format!("{} is not a directory", journal.shown());
                findings.problem(&journal.place, what, "name a directory; it is made if it does not exist");
                return None;
            }
            Some(path)
        }),
        redis: redis.filter(|_| used),
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

fn shared(redis: &Redis, findings: &mut Findings) -> Option<RedisPlan> {
    proofs::between(&redis.timeout, Duration::from_millis(1), Duration::from_secs(10), findings);
    let urls = redis.url.as_ref()?;
    if urls.items.is_empty() {
        findings.problem(&urls.place, "the list is empty", "name one URL, or every node of the cluster");
    }
    for url in &urls.items {
        // The URL may hold a password: it is never shown.
        let parsed = Url::parse(&url.value).ok();
        let help = "write redis://host:6379/0, rediss://… for TLS, or redis+sentinel://…";
        match parsed.as_ref().map(|url| (url.scheme(), url.has_host())) {
            Some(("redis" | "rediss" | "redis+sentinel", true)) => {}
            Some(("redis" | "rediss" | "redis+sentinel", false)) => {
                findings.problem(&url.place, "the URL names no host", help);
            }
            Some(_) => findings.problem(&url.place, "the URL's scheme is not one of Redis", help),
            None => findings.problem(&url.place, "not a URL", help),
        }
    }
    Some(RedisPlan {
        urls: urls.items.iter().map(|url| url.value.clone()).collect(),
        timeout: redis.timeout.value,
        accept_on_failure: redis.on_failure.value == OnFailure::Accept,
        assume_noeviction: redis.assume_noeviction.value,
    })
}

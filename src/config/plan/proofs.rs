//! What proofs must be, and what signs nonces.

use super::{files, names};
use crate::config::document::{Dpop, NonceSection};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::config::value::written;
use crate::dpop::AcceptanceWindow;
use crate::jose::{Algorithm, Secret};
use std::time::Duration;

/// The least a nonce secret may have, in bytes.
const MIN_SECRET: usize = 32;

/// The `dpop` section.
pub(super) struct Proofs {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) hot_keys: usize,
    pub(super) window: AcceptanceWindow,
    pub(super) nonce_lifetime: Duration,
    pub(super) nonce_secrets: Vec<Secret>,
}

/// Plans the `dpop` section.
pub(super) fn plan(dpop: &Dpop, files: &Files<'_>, findings: &mut Findings) -> Proofs {
    let seconds = Duration::from_secs;
    between(&dpop.max_age, seconds(1), seconds(600), findings);
    between(&dpop.leeway, Duration::ZERO, seconds(60), findings);
    between(&dpop.nonce.lifetime, seconds(1), seconds(3600), findings);
    Proofs {
        algorithms: names::algorithms(&dpop.algorithms, findings),
        hot_keys: hot_keys(&dpop.hot_keys, findings),
        window: AcceptanceWindow { max_age: dpop.max_age.value, leeway: dpop.leeway.value },
        nonce_lifetime: dpop.nonce.lifetime.value,
        nonce_secrets: secrets(&dpop.nonce, files, findings),
    }
}

fn hot_keys(number: &Spot<u64>, findings: &mut Findings) -> usize {
    let most = usize::try_from(number.value).ok().filter(|number| *number <= crate::hot_keys::MOST);
    most.unwrap_or_else(|| {
        let help = format!("write 0 to {}; 0: for none", crate::hot_keys::MOST);
        findings.problem(&number.place, format!("{} is out of range", number.value), &help);
        0
    })
}

/// Notes a duration that is out of range; both ends are in it.
pub(super) fn between(span: &Spot<Duration>, least: Duration, most: Duration, findings: &mut Findings) {
    if span.value < least || span.value > most {
        let what = format!("{} is out of range", written(span.value));
        let help = if least.is_zero() {
            format!("write at most {}", written(most))
        } else {
            format!("write {} to {}", written(least), written(most))
        };
        findings.problem(&span.place, what, help);
    }
}

/// The secret and the previous one, each a line of the file; a file that is no text is one secret, whole.
fn secrets(nonce: &NonceSection, files: &Files<'_>, findings: &mut Findings) -> Vec<Secret> {
    let Some(name) = &nonce.secret_file else { return Vec::new() };
    let Some((_, contents)) = files::read(name, files, findings) else { return Vec::new() };
    let lines: Vec<&[u8]> = match std::str::from_utf8(&contents) {
        Ok(text) => text.trim_ascii_end().lines().map(|line| line.trim_ascii().as_bytes()).collect(),
        Err(_) => vec![&contents],
    };
    let help = "write at least 32 bytes of chance as one line of text (openssl rand -base64 48); the previous secret may follow on a second line";
    if lines.len() > 2 {
        findings.problem(&name.place, format!("{} has more than two lines", name.path()), help);
        return Vec::new();
    }
    if let Some(short) = lines.iter().position(|line| line.len() < MIN_SECRET) {
        let what = format!("line {} of {} has fewer than {MIN_SECRET} bytes", short + 1, name.path());
        findings.problem(&name.place, what, help);
        return Vec::new();
    }
    lines.into_iter().map(Secret::new).collect()
}

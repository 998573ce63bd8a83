//! What systemd is told of the process (sd_notify(3), `Type=notify-reload`). Where nobody asks, nothing is said.

use crate::config::StopPlan;
use sd_notify::NotifyState;
use std::time::Duration;

/// How much longer than it may take a stop is given: for the last answers at the admin address, and for the journal.
const SPARE: Duration = Duration::from_secs(10);

/// Connections are taken: after a start, and after every reload, whether or not it was accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    // Without the time systemd does not know to which SIGHUP it belongs, and takes it for a failure.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd that a reload begins"),
    }
}

/// The process stops, and that may take so long: `TimeoutStopSec=` does not have to say it again.
pub(super) fn stopping(plan: StopPlan) {
    let most = plan.delay.saturating_add(plan.timeout).saturating_add(SPARE);
    let most = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(most)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd how it goes");
    }
}

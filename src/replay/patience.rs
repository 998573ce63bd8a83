//! Waiting: the only places where a store asks the runtime for time, which a simulation has none of.

use std::time::Duration;

/// The answer, if it comes in time.
pub(super) async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    #[cfg(test)]
    if crate::simulation::runs() {
        return crate::simulation::in_time(limit, answer).await;
    }
    tokio::time::timeout(limit, answer).await.ok()
}

/// Waits so long.
pub(super) async fn pause(length: Duration) {
    #[cfg(test)]
    if crate::simulation::runs() {
        return crate::simulation::pause(length).await;
    }
    tokio::time::sleep(length).await;
}

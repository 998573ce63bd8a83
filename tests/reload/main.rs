//! What changes while the gateway runs: whole or not at all, and nobody loses a request by it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers are tests too"
)]

mod certificates;
mod configuration;
mod keys;
mod tls;

use std::time::Duration;

/// What is promised: in force within five seconds of a change. A test that waits longer has failed; none waits so long for luck.
const PROMISED: Duration = Duration::from_secs(5);

/// Waits for what must come by itself.
async fn by_itself<F: AsyncFnMut() -> bool>(mut holds: F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PROMISED, wait).await.expect("it is in force within five seconds");
}

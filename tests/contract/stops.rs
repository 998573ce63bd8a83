//! Stopping under load: no request is lost that its client could not know to be late.

use crate::load::{Caller, Load, ROUTE};
use crate::stranger::{Stranger, upstream};
use std::sync::atomic::Ordering;
use support::h2;

/// How often; `KEYPROOF_STOPS` says more.
pub(crate) fn rounds() -> usize {
    std::env::var_os("KEYPROOF_STOPS").map_or(2, |text| text.into_string().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_full_speed_loses_no_request_of_http_1() {
    for round in 0..rounds() {
        let upstream = upstream().await;
        let stranger = Stranger::starts(upstream.address, "", ROUTE).await;
        stops(round, stranger, &[(20, Caller::KeepAlive), (20, Caller::OneShot)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_full_speed_loses_no_request_of_http2() {
    for round in 0..rounds() {
        let upstream = upstream().await;
        let folder = tempfile::tempdir().unwrap();
        let certificate = h2::certificate(folder.path(), "api.example.com");
        let tls = format!("    {}", h2::TLS);
        let stranger = Stranger::starts_in(folder, upstream.address, &tls, "", ROUTE).await;
        stops(round, stranger, &[(40, Caller::Http2(vec![certificate]))]).await;
    }
}

async fn stops(round: usize, stranger: Stranger, callers: &[(usize, Caller)]) {
    let load = Load::begin(stranger.gateway, callers, true);
    load.goes_on(400).await;
    stranger.terminate();
    let (status, log) = stranger.end().await;
    let seen = load.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
    let (lost, answered) = (seen.lost.lock().unwrap(), seen.answered.load(Ordering::Relaxed));
    assert!(lost.is_empty(), "round {round}: {} of {answered} are lost: {lost:?}", lost.len());
}

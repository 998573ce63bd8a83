//! `grpc.health.v1.Health`: whether decisions can be asked for, as `/readyz` of the admin address says it.

use super::call::{self, Failure};
use super::messages::{HealthCheckRequest, HealthCheckResponse};
use super::{AUTHORIZATION, HEALTH};
use crate::forward_auth::body::{Coming, Next};
use crate::server::Ending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep};

/// `HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

/// How often it is looked for those who watch.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many may watch at once: anybody may, for as long as it likes.
const WATCHERS: usize = 256;

/// Says whether the process is ready. Clones are the same.
#[derive(Clone)]
pub struct Health {
    is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What those who watch were told.
    told: Arc<watch::Sender<bool>>,
    room: Arc<Semaphore>,
}

/// One who watches.
struct Watcher {
    /// `None`: there is no such service.
    ready: Option<watch::Receiver<bool>>,
    last: Option<i32>,
    ending: Ending,
    late: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Health {
    /// As this says it.
    pub fn new(is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let room = Arc::new(Semaphore::new(WATCHERS));
        Self { is_ready: Arc::new(is_ready), told: Arc::new(watch::Sender::new(false)), room }
    }

    /// Looks again and again, for those who watch; never ends.
    pub async fn follow(&self) {
        loop {
            sleep(INTERVAL).await;
            if self.told.receiver_count() > 0 {
                self.look();
            }
        }
    }

    fn look(&self) {
        let now = (self.is_ready)();
        self.told.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    /// The status of a service.
    pub(super) fn of(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Failure> {
        if !is_ours(request) {
            return Err(Failure::NoSuchService);
        }
        Ok(HealthCheckResponse { status: if (self.is_ready)() { SERVING } else { NOT_SERVING } })
    }

    /// The status of a service, and each other one that comes after it, until the listener stops or so much time is over. A service that there
    /// is not may come, says health.proto: with a program that has another name.
    pub(super) fn watch(
        &self,
        request: &HealthCheckRequest,
        ending: Ending,
        wait: Duration,
    ) -> Result<Coming, Failure> {
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Failure::TooMany)?;
        let ready = is_ours(request).then(|| self.told.subscribe());
        self.look();
        let late = Box::pin(sleep(wait));
        Ok(Watcher { ready, last: None, ending, late, _place: place }.coming())
    }
}

/// The empty name is the whole server's.
fn is_ours(request: &HealthCheckRequest) -> bool {
    matches!(str::from_utf8(&request.service), Ok("" | AUTHORIZATION | HEALTH))
}

impl Watcher {
    fn coming(mut self) -> Coming {
        Box::pin(async move {
            match self.next().await {
                Ok(status) => {
                    self.last = Some(status);
                    Next::Message(call::framed(&HealthCheckResponse { status }), self.coming())
                }
                Err(failure) => Next::End(failure.trailers()),
            }
        })
    }

    /// The next status that is another one.
    async fn next(&mut self) -> Result<i32, Failure> {
        let Self { ready, last, ending, late, .. } = self;
        let told = *last;
        let status = |ready: bool| if ready { SERVING } else { NOT_SERVING };
        let changes = async {
            match ready {
                // Who tells lives as long as the process.
                Some(ready) => match ready.wait_for(|ready| told != Some(status(*ready))).await {
                    Ok(now) => status(*now),
                    Err(_) => NOT_SERVING,
                },
                None if told.is_none() => SERVICE_UNKNOWN,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ending.begins() => match told {
                Some(NOT_SERVING | SERVICE_UNKNOWN) => Err(Failure::Stopping),
                Some(_) | None => Ok(NOT_SERVING),
            },
            () = late => Err(Failure::Late),
            status = changes => Ok(status),
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").finish_non_exhaustive()
    }
}

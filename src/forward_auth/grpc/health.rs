//! `grpc.health.v1.Health`: whether decisions can be asked for, as `/readyz` of the admin address says it.

use super::call::Failure;
use super::messages::{HealthCheckRequest, HealthCheckResponse};
use super::{AUTHORIZATION, HEALTH};
use std::sync::Arc;

/// `HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// Says whether the process is ready.
#[derive(Clone)]
pub struct Health(Arc<dyn Fn() -> bool + Send + Sync>);

impl Health {
    /// As this says it.
    pub fn new(is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_ready))
    }

    /// The status of a service; the empty name is the whole server's.
    pub(super) fn of(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Failure> {
        match str::from_utf8(&request.service) {
            Ok("" | AUTHORIZATION | HEALTH) => {
                Ok(HealthCheckResponse { status: if (self.0)() { SERVING } else { NOT_SERVING } })
            }
            _ => Err(Failure::NoSuchService),
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").finish_non_exhaustive()
    }
}

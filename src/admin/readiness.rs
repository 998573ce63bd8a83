//! What still has to happen before requests should come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The conditions of being ready, by name. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Conditions>>);

#[derive(Default)]
struct Conditions {
    /// What is waited for, and why.
    waiting: BTreeMap<String, String>,
    checks: Vec<Box<dyn Fn() -> Vec<String> + Send>>,
}

impl Readiness {
    /// Not ready because of `name`, until [`Readiness::met`]: `/readyz` shows `name: reason`. Calling it
    /// again changes the reason.
    pub fn waiting(&self, name: &str, reason: &str) {
        self.lock().waiting.insert(name.to_owned(), reason.to_owned());
    }

    /// The condition of this name holds.
    pub fn met(&self, name: &str) {
        self.lock().waiting.remove(name);
    }

    /// Adds a check that is made whenever somebody asks: it returns a line for each reason not to be ready.
    /// It must not wait, nor touch this value.
    pub fn check(&self, check: impl Fn() -> Vec<String> + Send + 'static) {
        self.lock().checks.push(Box::new(check));
    }

    /// Why not ready, one line each; none: ready.
    pub fn reasons(&self) -> Vec<String> {
        let conditions = self.lock();
        let waiting = conditions.waiting.iter().map(|(name, reason)| format!("{name}: {reason}"));
        waiting.chain(conditions.checks.iter().flat_map(|check| check())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Readiness").field(&self.lock().waiting).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn ready_when_every_condition_is_met_and_every_check_silent() {
        let readiness = Readiness::default();
        assert!(readiness.reasons().is_empty());
        let keys = Arc::new(AtomicBool::new(false));
        let has_keys = Arc::clone(&keys);
        readiness.check(move || {
            if has_keys.load(Ordering::Relaxed) {
                vec![]
            } else {
                vec!["issuer main: no keys yet".to_owned()]
            }
        });
        readiness.clone().waiting("listeners", "not bound yet");
        readiness.waiting("replay", "waiting");
        readiness.waiting("replay", "waiting for 3 s more");
        let all = ["listeners: not bound yet", "replay: waiting for 3 s more", "issuer main: no keys yet"];
        assert_eq!(readiness.reasons(), all);
        readiness.met("listeners");
        readiness.met("replay");
        keys.store(true, Ordering::Relaxed);
        assert!(readiness.reasons().is_empty());
    }
}

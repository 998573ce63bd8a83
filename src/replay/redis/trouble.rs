//! Whether the store can be used, and what was said of it: one line when trouble begins, one for each new cause, one when it ends.

use crate::clock::Stopwatch;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many lines at most in each stretch of time, whatever a server does.
const LINES: u32 = 20;
const STRETCH: Duration = Duration::from_secs(60);
/// So many causes are told apart while trouble lasts.
const CAUSES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Episode>);

#[derive(Debug, Default)]
struct Episode {
    /// All that was wrong since trouble began.
    causes: Vec<String>,
    /// What is wrong.
    now: Option<String>,
    /// One of them was said, so the end will be.
    said: bool,
    lines: u32,
    since: Option<Stopwatch>,
}

impl Trouble {
    /// The store cannot be used, because of this. Whether it is to be said.
    pub(super) fn begin(&self, cause: &str) -> bool {
        let mut state = self.lock();
        if state.now.as_deref() != Some(cause) {
            state.now = Some(cause.to_owned());
        }
        if state.causes.iter().any(|known| known == cause) || state.causes.len() >= CAUSES {
            return false;
        }
        state.causes.push(cause.to_owned());
        let say = state.may_speak();
        state.said |= say;
        say
    }

    /// The store can be used. Whether it is to be said: that it could not was.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        state.now = None;
        state.causes.clear();
        std::mem::take(&mut state.said)
    }

    /// What is wrong.
    pub(super) fn cause(&self) -> Option<String> {
        self.lock().now.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Episode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Episode {
    fn may_speak(&mut self) -> bool {
        if self.since.as_ref().is_none_or(|since| since.elapsed() >= STRETCH) {
            self.since = Some(Stopwatch::start());
            self.lines = 0;
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_and_its_end_too() {
        let trouble = Trouble::default();
        assert!(!trouble.end(), "there was none");
        assert!(trouble.begin("a") && !trouble.begin("a"));
        assert!(trouble.begin("b") && !trouble.begin("a"), "one that comes back is not new");
        assert_eq!(trouble.cause().as_deref(), Some("a"));
        assert!(trouble.end() && !trouble.end());
        assert_eq!(trouble.cause(), None);
        assert!(trouble.begin("a"), "it begins anew");
    }

    #[test]
    fn whatever_happens_few_lines_are_written() {
        let trouble = Trouble::default();
        let said = (0..1000).filter(|n| trouble.begin(&n.to_string())).count();
        assert_eq!(said, CAUSES);
        let said = (0..1000).map(|_| u32::from(trouble.end()) + u32::from(trouble.begin("a"))).sum::<u32>();
        assert!(said <= 2 * LINES, "{said}");
    }
}

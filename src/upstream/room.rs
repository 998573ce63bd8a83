//! How many connections a server may have, and who waits for one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Counts the connections to one server.
#[derive(Debug, Default)]
pub(super) struct Room {
    open: AtomicUsize,
    waiting: AtomicUsize,
    /// A connection has closed, or one that there is can take another request.
    changed: Notify,
}

/// A connection's place: it is free again when the connection is no more.
#[derive(Debug)]
pub(super) struct Slot(Arc<Room>);

/// A request that waits. Whoever comes later waits behind it.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Room);

impl Room {
    /// A place for one more connection, if there are not so many yet.
    pub(super) fn enter(self: &Arc<Self>, limit: usize) -> Option<Slot> {
        let one_more = |open: usize| (open < limit).then_some(open.saturating_add(1));
        let entered = self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        entered.is_ok().then(|| Slot(Arc::clone(self)))
    }

    /// How many connections there are, those included that are being opened.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Waits from now on.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// Something can be had: whoever has waited for longest looks. To be said after it can be had.
    pub(super) fn one_more(&self) {
        if self.is_waited_for() {
            self.changed.notify_one();
        }
    }
}

impl Waiting<'_> {
    /// What `look` finds, once it finds something: it looks whenever something can have changed. A change is never missed: first one waits, then
    /// one looks.
    pub(super) async fn until<T, F: Future<Output = Option<T>>>(&self, look: impl Fn() -> F) -> T {
        loop {
            let changed: Notified<'_> = self.0.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look().await {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.one_more();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_so_many() {
        let room = Arc::<Room>::default();
        let (one, two) = (room.enter(2), room.enter(2));
        assert!(one.is_some() && two.is_some() && room.enter(2).is_none());
        let more = room.enter(3);
        assert!(more.is_some(), "a reload may raise the limit");
        drop(one);
        assert!(room.enter(2).is_none(), "or lower it");
        drop((two, more));
        assert_eq!(room.open(), 0);
        assert!(room.enter(1).is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_what_becomes_free() {
        let room = Arc::<Room>::default();
        let slot = room.enter(1);
        let waiting = room.wait();
        let slot = {
            let mut wait = std::pin::pin!(waiting.until(|| std::future::ready(room.enter(1))));
            tokio::select! {
                biased;
                _ = wait.as_mut() => unreachable!("there is none"),
                () = tokio::task::yield_now() => {}
            }
            drop(slot);
            wait.await
        };
        assert_eq!(room.open(), 1);
        drop((slot, waiting));
        assert!(!room.is_waited_for());
    }
}

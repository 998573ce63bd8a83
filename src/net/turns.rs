//! Whose signature is checked next.
//!
//! A check keeps its worker for longer than all else that is done for a request together, and what is ready meanwhile must wait for it: answers that
//! only have to be handed on, requests that nobody has read yet. So checks take turns, and whatever else there is to do is done between two turns.
//! A turn is for three in four of those who wait, and for one at least: where few wait, an answer is held up by a single check; where many do,
//! requests leave for the upstream in bunches, and whoever receives them is woken once for each bunch.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

thread_local! {
    static HERE: Arc<Turns> = Arc::default();
}

/// The turns of one thread.
#[derive(Debug, Default)]
struct Turns(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// Those who wait, in the order in which they came.
    waiting: VecDeque<Waker>,
    /// How many came so far: the number of the last.
    came: u64,
    /// Nobody had a turn since the thread slept.
    rested: bool,
    /// A task calls the turns.
    called: bool,
}

/// Calls the turns. When it is dropped nobody is left to wait for it.
struct Caller(Arc<Turns>);

/// Waits until this thread may check one more signature. The first request after the thread slept goes on at once. True if it waited: read
/// the clock again, since the wait has no limit.
///
/// May be dropped at any time. Must be called on a runtime of tokio.
pub async fn ready_to_verify() -> bool {
    let turns = HERE.with(Arc::clone);
    if turns.lock().is_free() {
        return false;
    }
    let mut number = None;
    poll_fn(|cx| turns.poll(&mut number, cx)).await;
    true
}

/// The thread was asleep: it had nothing to do.
pub(super) fn thread_slept() {
    HERE.with(|turns| turns.lock().rested = true);
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a number at first, and then waits until it was called.
    fn poll(self: &Arc<Self>, taken: &mut Option<u64>, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let Some(number) = *taken else {
            *taken = Some(state.join(cx.waker()));
            if !std::mem::replace(&mut state.called, true) {
                drop(state);
                // Drain does not wait for it: it waits for the requests.
                drop(Handle::current().spawn(Caller(Arc::clone(self)).call()));
            }
            return Poll::Pending;
        };
        match state.place(number) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Queue {
    fn is_free(&mut self) -> bool {
        std::mem::take(&mut self.rested) && self.waiting.is_empty()
    }

    /// Behind all others, under this number.
    fn join(&mut self, waker: &Waker) -> u64 {
        self.waiting.push_back(waker.clone());
        self.came = self.came.saturating_add(1);
        self.came
    }

    /// Where this number waits; nowhere once it was called.
    fn place(&mut self, number: u64) -> Option<&mut Waker> {
        let behind = usize::try_from(self.came.saturating_sub(number)).ok()?;
        let place = self.waiting.len().checked_sub(behind)?.checked_sub(1)?;
        self.waiting.get_mut(place)
    }

    /// It is the turn of the first so many. Who went away in the meantime is called too, and nobody comes.
    fn call(&mut self, count: usize) {
        for waker in self.waiting.drain(..count.min(self.waiting.len())) {
            waker.wake();
        }
    }
}

impl Caller {
    async fn call(self) {
        loop {
            // Comes back when everything else that was ready is done, and the sockets were asked for more.
            tokio::task::yield_now().await;
            let mut state = self.0.lock();
            let most = state.waiting.len().saturating_mul(3) / 4;
            state.call(most.max(1));
            if state.waiting.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.called = false;
        state.call(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::workers;
    use std::pin::{Pin, pin};
    use std::time::Duration;
    use tokio::task::{JoinSet, yield_now};

    /// As if this thread had a turn since it slept: a test may run on a thread that another had.
    fn had_a_ready_to_verify() {
        HERE.with(|turns| turns.lock().rested = false);
    }

    /// Whether it is done at once.
    async fn at_once(turn: Pin<&mut impl Future<Output = bool>>) -> bool {
        let mut turn = Some(turn);
        poll_fn(|cx| Poll::Ready(turn.take().is_some_and(|turn| turn.poll(cx).is_ready()))).await
    }

    #[test]
    fn between_two_turns_all_else_is_done() {
        let diary = Arc::new(Mutex::new(String::new()));
        let note = |what| {
            let diary = Arc::clone(&diary);
            move || diary.lock().unwrap().push(what)
        };
        had_a_ready_to_verify();
        workers::runtime().unwrap().block_on(async {
            let mut others = JoinSet::new();
            let other = note('.');
            others.spawn(async move {
                loop {
                    other();
                    yield_now().await;
                }
            });
            let mut checks = JoinSet::new();
            for _ in 0..9 {
                let check = note('c');
                checks.spawn(async move {
                    ready_to_verify().await;
                    check();
                });
            }
            while checks.join_next().await.is_some() {}
        });
        assert_eq!(diary.lock().unwrap().trim_end_matches('.'), "..cccccc.cc.c");
    }

    #[test]
    fn the_first_after_the_thread_slept_does_not_wait() {
        workers::runtime().unwrap().block_on(async {
            // Any wait will do, as long as the thread has nothing else.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!ready_to_verify().await);
            let mut second = pin!(ready_to_verify());
            assert!(!at_once(second.as_mut()).await);
            // Nor does anybody overtake it.
            thread_slept();
            assert!(!at_once(pin!(ready_to_verify())).await);
            assert!(second.await);
        });
    }

    #[test]
    fn who_went_away_holds_up_nobody() {
        had_a_ready_to_verify();
        workers::runtime().unwrap().block_on(async {
            let mut last = pin!(ready_to_verify());
            {
                let (mut first, mut second) = (pin!(ready_to_verify()), pin!(ready_to_verify()));
                assert!(!at_once(first.as_mut()).await && !at_once(second.as_mut()).await);
                assert!(!at_once(last.as_mut()).await);
            }
            last.await;
            ready_to_verify().await;
        });
    }

    #[test]
    fn a_runtime_that_ends_leaves_the_thread_as_it_was() {
        for _ in 0..2 {
            workers::runtime().unwrap().block_on(async {
                ready_to_verify().await;
                assert!(!at_once(pin!(ready_to_verify())).await);
            });
        }
    }

    #[test]
    fn everybody_has_a_turn_where_tasks_change_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let turns = runtime.block_on(async {
            let mut asking = JoinSet::new();
            for _ in 0..200 {
                asking.spawn(async {
                    for _ in 0..10 {
                        ready_to_verify().await;
                        yield_now().await;
                    }
                });
            }
            asking.join_all().await.len()
        });
        assert_eq!(turns, 200);
    }
}

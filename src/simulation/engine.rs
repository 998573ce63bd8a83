//! One thread and one seed: tasks, time and chance. Nothing here waits in earnest, and nothing happens that the seed does not decide.

use crate::clock::{Moment, UnixTime, simulated};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Milliseconds of true time since the simulation began.
pub(super) type Millis = i64;
/// What true clocks show at first.
pub(super) const START: i64 = 1_700_000_000_000;
/// For how long every kernel had run by then, in milliseconds.
const UP_BEFORE: i64 = 1_000_000_000;
/// More turns than this, and something turns in circles.
const MOST_TURNS: u32 = 400_000;

/// Whose clock a task reads, and what it dies with: 0 is the world, which sees the true time and never dies.
pub(super) type Owner = usize;
pub(super) const WORLD: Owner = 0;

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
    static READY: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

struct Engine {
    now: Millis,
    chance: u64,
    timers: BinaryHeap<Reverse<Timer>>,
    timers_set: u64,
    tasks: Vec<Task>,
    clocks: Vec<OwnersClock>,
    history: Option<Vec<String>>,
    calm: bool,
}

struct Task {
    owner: Owner,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Arc<TaskWaker>,
    over: bool,
}

struct Timer {
    at: Millis,
    /// The order in which they were set.
    number: u64,
    waker: Waker,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct TaskWaker {
    task: usize,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            READY.with_borrow_mut(|ready| ready.push(self.task));
        }
    }
}

/// The clocks of one machine.
#[derive(Clone, Copy, Default)]
struct OwnersClock {
    /// The wall clock less the true time.
    offset: i64,
    /// How much faster than the truth both run, in millionths, and since when.
    drift: i64,
    since: Millis,
    /// What the steady clock shows less the true time, since the process began.
    steady: i64,
    /// The same of the kernel's, for all processes one after the other.
    kernel: i64,
    /// Stopped: its tasks wait.
    stopped: Option<Stop>,
}

/// Since when a machine is stopped, and whether it sleeps: then its steady clocks stand still.
#[derive(Clone, Copy)]
struct Stop {
    since: Millis,
    sleeps: bool,
}

impl OwnersClock {
    fn drifted(&self, now: Millis) -> i64 {
        (now - self.since) * self.drift / 1_000_000
    }

    fn read(&self, now: Millis) -> Moment {
        let shows = |less: i64| UnixTime::from_millis(START + now + less + self.drifted(now));
        Moment { wall: shows(self.offset), steady: shows(self.steady) }
    }

    /// How long the kernel has run.
    fn uptime(&self, now: Millis) -> Duration {
        let millis = UP_BEFORE + now + self.kernel + self.drifted(now);
        Duration::from_millis(millis.try_into().unwrap())
    }
}

/// Runs `root` and all that it spawns, until `root` is done. The history, where it is to be kept.
pub(super) fn run(
    seed: u64,
    owners: usize,
    keep: bool,
    root: impl Future<Output = ()> + 'static,
) -> Vec<String> {
    let engine = Engine {
        now: 0,
        chance: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D,
        timers: BinaryHeap::new(),
        timers_set: 0,
        tasks: Vec::new(),
        clocks: vec![OwnersClock::default(); owners],
        history: keep.then(Vec::new),
        calm: false,
    };
    ENGINE.set(Some(engine));
    READY.with_borrow_mut(Vec::clear);
    // Also where a law is broken, which panics: nobody else is to find it running.
    let _end = End;
    let root = spawn(WORLD, root);
    let mut turns = 0;
    while !with(|engine| engine.tasks[root].over) {
        turns += 1;
        assert!(turns < MOST_TURNS, "it turns in circles");
        match next_task() {
            Some(task) => poll(task),
            None => pass_time(),
        }
    }
    with(|engine| engine.history.take()).unwrap_or_default()
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        let tasks = with(|engine| std::mem::take(&mut engine.tasks));
        drop(tasks);
        ENGINE.set(None);
        simulated::show(None);
    }
}

fn with<T>(see: impl FnOnce(&mut Engine) -> T) -> T {
    ENGINE.with_borrow_mut(|engine| see(engine.as_mut().expect("no simulation runs on this thread")))
}

/// One of those that are ready, whichever.
fn next_task() -> Option<usize> {
    let ready = READY.with_borrow(Vec::len);
    if ready == 0 {
        return None;
    }
    let chosen = if ready == 1 { 0 } else { below(ready as u64) as usize };
    Some(READY.with_borrow_mut(|ready| ready.swap_remove(chosen)))
}

fn poll(number: usize) {
    let taken = with(|engine| {
        let now = engine.now;
        let task = &mut engine.tasks[number];
        task.waker.queued.store(false, Ordering::Relaxed);
        let clock = &engine.clocks[task.owner];
        if clock.stopped.is_some() {
            // Kept for when it goes on.
            task.waker.queued.store(true, Ordering::Relaxed);
            return None;
        }
        simulated::show(Some((clock.read(now), clock.uptime(now))));
        Some((task.future.take()?, Arc::clone(&task.waker)))
    });
    let Some((mut future, waker)) = taken else { return };
    let waker = Waker::from(waker);
    let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    let left = with(|engine| {
        let task = &mut engine.tasks[number];
        task.over |= done;
        if task.over { Some(future) } else { task.future.replace(future) }
    });
    drop(left);
}

fn pass_time() {
    let waker = with(|engine| {
        let Reverse(timer) = engine.timers.pop().expect("everybody waits, and nothing will happen");
        engine.now = engine.now.max(timer.at);
        timer.waker
    });
    waker.wake();
}

/// Runs beside all others, until its owner dies.
pub(super) fn spawn(owner: Owner, future: impl Future<Output = ()> + 'static) -> usize {
    let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    let waker = with(|engine| {
        let waker = Arc::new(TaskWaker { task: engine.tasks.len(), queued: AtomicBool::new(false) });
        engine.tasks.push(Task { owner, future: Some(future), waker: Arc::clone(&waker), over: false });
        waker
    });
    let task = waker.task;
    waker.wake();
    task
}

/// All that runs for this owner is gone, wherever it was: `kill -9`.
pub(super) fn kill(owner: Owner) {
    let gone: Vec<_> = with(|engine| {
        let its = engine.tasks.iter_mut().filter(|task| task.owner == owner);
        its.filter_map(|task| {
            task.over = true;
            task.future.take()
        })
        .collect()
    });
    drop(gone);
    resume(owner);
}

/// Nothing runs for this owner: `SIGSTOP`; or the machine sleeps.
pub(super) fn stop(owner: Owner, sleeps: bool) {
    with(|engine| engine.clocks[owner].stopped = Some(Stop { since: engine.now, sleeps }));
}

/// It runs again, if it was stopped.
pub(super) fn resume(owner: Owner) {
    let waiting: Vec<_> = with(|engine| {
        let clock = &mut engine.clocks[owner];
        let stood = clock.stopped.take().filter(|stop| stop.sleeps);
        let stood = stood.map_or(0, |stop| engine.now - stop.since);
        clock.steady -= stood;
        clock.kernel -= stood;
        let its = engine.tasks.iter().enumerate().filter(|(_, task)| task.owner == owner && !task.over);
        its.filter(|(_, task)| task.waker.queued.load(Ordering::Relaxed)).map(|(number, _)| number).collect()
    });
    READY.with_borrow_mut(|ready| {
        for task in waiting {
            if !ready.contains(&task) {
                ready.push(task);
            }
        }
    });
}

/// The true time.
pub(super) fn now() -> Millis {
    with(|engine| engine.now)
}

/// Both clocks of this owner.
pub(super) fn clocks_of(owner: Owner) -> Moment {
    with(|engine| engine.clocks[owner].read(engine.now))
}

/// How far its wall clock is from the truth.
pub(super) fn offset(owner: Owner) -> i64 {
    clocks_of(owner).wall.as_millis() - START - now()
}

/// Somebody sets its wall clock to so much after the truth, and it drifts from there by so many millionths.
pub(super) fn set_clock(owner: Owner, offset: i64, drift: i64) {
    with(|engine| {
        let now = engine.now;
        let clock = &mut engine.clocks[owner];
        clock.steady += clock.drifted(now);
        clock.kernel += clock.drifted(now);
        (clock.offset, clock.drift, clock.since) = (offset, drift, now);
    });
}

/// A process begins: its steady clock begins with the wall clock.
pub(super) fn begin_process(owner: Owner) {
    with(|engine| engine.clocks[owner].steady = engine.clocks[owner].offset);
}

/// Any number below `limit`.
pub(super) fn below(limit: u64) -> u64 {
    with(|engine| {
        // SplitMix64.
        engine.chance = engine.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = engine.chance;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % limit
    })
}

/// Any number from `first` to `last`, both included.
pub(super) fn between(first: i64, last: i64) -> i64 {
    first + below((last - first + 1).unsigned_abs()) as i64
}

/// True once in so many times.
pub(super) fn one_in(times: u64) -> bool {
    below(times) == 0
}

/// One of these.
pub(super) fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[below(choices.len() as u64) as usize]
}

/// The faults end.
pub(super) fn calm_down() {
    with(|engine| engine.calm = true);
}

pub(super) fn is_calm() -> bool {
    with(|engine| engine.calm)
}

/// Writes a line of history, where it is kept.
pub(super) fn note(line: impl FnOnce() -> String) {
    if with(|engine| engine.history.is_some()) {
        let line = line();
        with(|engine| {
            let at = engine.now;
            if let Some(history) = &mut engine.history {
                history.push(format!("{:>4}.{:03} {line}", at / 1000, at % 1000));
            }
        });
    }
}

/// What was written so far.
pub(super) fn take_history() -> Vec<String> {
    with(|engine| engine.history.take()).unwrap_or_default()
}

/// Whether a simulation runs on this thread.
pub(crate) fn runs() -> bool {
    // Also where it panics while somebody looks at it.
    ENGINE.with(|engine| engine.try_borrow().map_or(true, |engine| engine.is_some()))
}

/// What would be unpredictable, from the seed. `None` where no simulation runs on this thread.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    runs().then(|| {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let chance = below(u64::MAX).to_le_bytes();
            chunk.copy_from_slice(&chance[..chunk.len()]);
        }
        bytes
    })
}

/// Waits until so much time has passed.
pub(super) fn sleep(millis: Millis) -> Sleep {
    Sleep { at: now() + millis.max(0), set: false }
}

pub(crate) fn pause(length: Duration) -> Sleep {
    sleep(length.as_millis() as i64)
}

/// The answer, if it comes in time.
pub(crate) async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let mut end = pause(limit);
    let mut answer = pin!(answer);
    std::future::poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => Pin::new(&mut end).poll(context).map(|()| None),
    })
    .await
}

pub(crate) struct Sleep {
    at: Millis,
    set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (at, set) = (self.at, std::mem::replace(&mut self.set, true));
        with(|engine| {
            if engine.now >= at {
                return Poll::Ready(());
            }
            if !set {
                engine.timers_set += 1;
                let timer = Timer { at, number: engine.timers_set, waker: context.waker().clone() };
                engine.timers.push(Reverse(timer));
            }
            Poll::Pending
        })
    }
}

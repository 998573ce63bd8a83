//! One run: warm-up, measurement, end.

use crate::account;
use crate::arguments::{Door, RunArguments};
use crate::mix::Kind;
use crate::pace::Pace;
use crate::pool::{Pool, Shot};
use crate::report::{Report, Slice, Tally};
use crate::scenery::Stage;
use crate::tls::Dialer;
use crate::{connection, h2};
use keyproof::clock::Stopwatch;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

/// Before a turn counts the server has everything to do, and after it nothing any more.
const SETTLE: Duration = Duration::from_millis(10);

/// What all connections share; one thread has them all.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) path: String,
    pub(crate) door: Door,
    pool: Pool,
    pace: Option<Pace>,
    clock: Stopwatch,
    tally: RefCell<Tally>,
    open: Cell<bool>,
    opened: Notify,
    counting: Cell<bool>,
    over: Cell<bool>,
    dry: Cell<bool>,
}

/// Signs, drives, reports.
pub(crate) fn run(arguments: &RunArguments, stage: &Stage) -> io::Result<Report> {
    let mut pool = Pool::new(arguments, &stage.issuer)?;
    stage.wait_until_proofs_count();
    let signing = Stopwatch::start();
    pool.sign(arguments);
    let signed_in = signing.elapsed();

    let alpn: Option<&[u8]> = match (arguments.tls, arguments.h2) {
        (false, _) => None,
        (true, false) => Some(b"http/1.1"),
        (true, true) => Some(b"h2"),
    };
    let dialer = Rc::new(Dialer::new(stage.address, &stage.scene, alpn)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = LocalSet::new().block_on(&runtime, measure(arguments, stage, pool, dialer))?;
    report.signed_in = signed_in.as_secs_f64();
    Ok(report)
}

async fn measure(
    arguments: &RunArguments,
    stage: &Stage,
    pool: Pool,
    dialer: Rc<Dialer>,
) -> io::Result<Report> {
    let clock = Stopwatch::start();
    let run = Rc::new(Run {
        path: arguments.path.clone(),
        door: arguments.door,
        pool,
        pace: arguments.rate.map(|rate| Pace::new(rate, clock)),
        clock,
        tally: RefCell::new(Tally::default()),
        open: Cell::new(false),
        opened: Notify::new(),
        counting: Cell::new(false),
        over: Cell::new(false),
        dry: Cell::new(false),
    });
    if !arguments.in_turns {
        run.open();
    }
    let h2 = arguments.h2 || arguments.door == Door::Grpc;
    if !h2 {
        connection::send_all(&run, &dialer, run.pool.first_uses()).await?;
    }
    for _ in 0..arguments.connections.max(1) {
        let (run, dialer) = (Rc::clone(&run), Rc::clone(&dialer));
        if h2 {
            spawn_local(h2::drive(run, dialer, arguments.streams.max(1)));
        } else {
            spawn_local(connection::drive(run, dialer));
        }
    }
    let mut slices = Vec::new();
    if arguments.in_turns {
        let mut turns = turns();
        println!("ready");
        while let Some(duration) = turns.recv().await {
            run.open();
            tokio::time::sleep(SETTLE).await;
            slices.push(run.count(duration, stage).await);
            run.close();
            tokio::time::sleep(SETTLE).await;
            println!("done");
        }
    } else {
        tokio::time::sleep(Duration::from_secs_f64(arguments.warmup)).await;
        while run.pool.is_visiting() && !run.is_over() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slices.push(run.count(arguments.duration(), stage).await);
    }
    run.over.set(true);
    run.open();

    let mut report = run.tally.borrow_mut().report(&slices);
    report.resident_kib = account::resident(&stage.processes);
    report.pool = run.pool.size();
    report.pool_ran_dry = run.dry.get();
    Ok(report)
}

/// How long each turn is, from standard input; its end is the end.
fn turns() -> UnboundedReceiver<Duration> {
    let (sender, receiver) = unbounded_channel();
    // It ends with its input; nobody waits for it.
    drop(std::thread::spawn(move || {
        let seconds = io::stdin().lines().map_while(|line| line.ok()?.trim().parse().ok());
        seconds.map(Duration::from_secs_f64).try_for_each(|turn| sender.send(turn))
    }));
    receiver
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    fn close(&self) {
        self.open.set(false);
        if let Some(pace) = &self.pace {
            pace.go(false);
        }
    }

    fn open(&self) {
        self.open.set(true);
        if let Some(pace) = &self.pace {
            pace.go(true);
        }
        self.opened.notify_waiters();
    }

    /// Counts for this long, or until there is no more to send.
    async fn count(&self, duration: Duration, stage: &Stage) -> Slice {
        let own = [std::process::id()];
        let before = self.tally.borrow().requests();
        let (began, server, generator) =
            (self.clock.elapsed(), account::cpu(&stage.processes), account::cpu(&own));
        self.counting.set(true);
        while self.clock.elapsed().saturating_sub(began) < duration && !self.is_over() {
            let rest = duration.saturating_sub(self.clock.elapsed().saturating_sub(began));
            tokio::time::sleep(rest.min(Duration::from_millis(20))).await;
        }
        self.counting.set(false);
        Slice {
            requests: self.tally.borrow().requests() - before,
            seconds: self.clock.elapsed().saturating_sub(began).as_secs_f64(),
            server: account::cpu(&stage.processes).saturating_sub(server).as_secs_f64(),
            generator: account::cpu(&own).saturating_sub(generator).as_secs_f64(),
        }
    }

    /// When the next request is due, once it is; none at the end.
    pub(crate) async fn turn(&self) -> Option<Duration> {
        while !self.open.get() {
            self.opened.notified().await;
        }
        if self.is_over() {
            return None;
        }
        match &self.pace {
            None => Some(self.clock.elapsed()),
            Some(pace) => pace.turn().await,
        }
    }

    /// The next request. Without proofs the run is over, and says so.
    pub(crate) fn shot(&self) -> Option<Shot<'_>> {
        let shot = self.pool.shot();
        if shot.is_none() {
            self.dry.set(true);
            self.over.set(true);
        }
        shot
    }

    pub(crate) fn answered(&self, kind: Kind, status: u16, due: Duration) {
        if self.counting.get() {
            let late = self.clock.elapsed().saturating_sub(due);
            self.tally.borrow_mut().answered(kind, status, due, late);
        }
    }

    pub(crate) fn failed(&self, error: &io::Error) {
        if !self.is_over() {
            self.tally.borrow_mut().failed(error);
        }
    }
}

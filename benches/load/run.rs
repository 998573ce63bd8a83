//! One run: warm-up, measurement, end.

use crate::account;
use crate::arguments::RunArguments;
use crate::mix::Kind;
use crate::pace::Pace;
use crate::pool::{Pool, Shot};
use crate::report::{Report, Tally};
use crate::scenery::Stage;
use crate::tls::Dialer;
use crate::{connection, h2};
use keyproof::clock::Stopwatch;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{LocalSet, spawn_local};

/// What all connections share; one thread has them all.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) path: String,
    pool: Pool,
    pace: Option<Pace>,
    clock: Stopwatch,
    tally: RefCell<Tally>,
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
        pool,
        pace: arguments.rate.map(|rate| Pace::begin(rate, clock)),
        clock,
        tally: RefCell::new(Tally::default()),
        counting: Cell::new(false),
        over: Cell::new(false),
        dry: Cell::new(false),
    });
    if !arguments.h2 {
        connection::send_all(&run, &dialer, run.pool.first_uses()).await?;
    }
    for _ in 0..arguments.connections.max(1) {
        let (run, dialer) = (Rc::clone(&run), Rc::clone(&dialer));
        if arguments.h2 {
            spawn_local(h2::drive(run, dialer, arguments.streams.max(1)));
        } else {
            spawn_local(connection::drive(run, dialer));
        }
    }
    tokio::time::sleep(Duration::from_secs_f64(arguments.warmup)).await;
    while run.pool.is_visiting() && !run.is_over() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    run.counting.set(true);
    let (began, server, own) =
        (clock.elapsed(), account::cpu(&stage.processes), account::cpu(&[std::process::id()]));
    while clock.elapsed().saturating_sub(began) < arguments.duration() && !run.over.get() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = clock.elapsed().saturating_sub(began).as_secs_f64();
    let server = account::cpu(&stage.processes).saturating_sub(server);
    let own = account::cpu(&[std::process::id()]).saturating_sub(own);
    run.counting.set(false);
    run.over.set(true);

    let mut report = run.tally.borrow_mut().report(seconds);
    report.cpu_us_per_request = server.as_secs_f64() * 1e6 / report.requests.max(1) as f64;
    report.server_load = server.as_secs_f64() / seconds;
    report.generator_load = own.as_secs_f64() / seconds;
    report.resident_kib = account::resident(&stage.processes);
    report.pool = run.pool.size();
    report.pool_ran_dry = run.dry.get();
    Ok(report)
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// When the next request is due, once it is; none at the end.
    pub(crate) async fn turn(&self) -> Option<Duration> {
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
            self.tally.borrow_mut().answered(kind, status, late);
        }
    }

    pub(crate) fn failed(&self, error: &io::Error) {
        if !self.is_over() {
            self.tally.borrow_mut().failed(error);
        }
    }
}

//! The listeners: those that run, and how they become those of another configuration.
//!
//! A listener goes on where its name, its address, what it is for and whether it speaks TLS stay: its connections too. In all other cases another one begins,
//! and the one until now stops accepting and lets its connections end. A socket stays where its address does, so nobody who waits in it
//! is lost.

use super::AppError;
use super::bound::{Begun, Bound, Kept, Place, own};
use super::doors::Doors;
use super::operator::{BoundAdmin, RunningAdmin, cannot_bind};
use crate::config::{ListenerPlan, Plan};
use crate::names::ListenerId;
use crate::net::workers::Runtimes;
use crate::net::{Lent, Reserved, Sockets};
use crate::observe::Metrics;
use crate::server::{Connections, Drain, Drained, HandedOver};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// One that runs.
#[derive(Debug)]
struct Life {
    kept: Kept,
    drain: Drain,
}

/// All that run.
#[derive(Debug)]
pub(super) struct Listeners {
    lives: Vec<Life>,
    runtimes: Runtimes,
    /// Who waits for the end of those that have stopped.
    ending: TaskTracker,
    doors: Doors,
    handed_over: HandedOver,
    /// What each one that ever ran has counted: it counts on when it comes again.
    known: BTreeMap<ListenerId, Arc<Connections>>,
    /// Which run.
    running: Arc<ArcSwap<Vec<ListenerId>>>,
}

/// What the listeners will be, with every address bound, and the admin address. None: the one with this identity goes on.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) listeners: Vec<Option<Bound>>,
    pub(super) admin: Option<BoundAdmin>,
}

impl Listeners {
    /// Starts accepting.
    pub(super) fn start(
        bound: Vec<Bound>,
        handed_over: HandedOver,
        doors: Doors,
        runtimes: Runtimes,
    ) -> Self {
        let mut listeners = Self {
            lives: Vec::new(),
            runtimes,
            ending: TaskTracker::new(),
            doors,
            handed_over,
            known: BTreeMap::new(),
            running: Arc::default(),
        };
        let lives = bound.into_iter().map(|bound| listeners.begin(bound)).collect();
        listeners.run(lives);
        listeners
    }

    fn begin(&self, Bound { listener, kept, .. }: Bound) -> Life {
        let drain = Drain::on(self.runtimes.clone());
        self.doors.run(kept.mode, listener, kept.id, kept.tls.clone(), &drain);
        Life { kept, drain }
    }

    fn run(&mut self, lives: Vec<Life>) {
        self.lives = lives;
        let kept = self.lives.iter().map(|life| &life.kept);
        self.known.extend(kept.clone().map(|kept| (kept.id, Arc::clone(&kept.connections))));
        self.running.store(Arc::new(kept.map(|kept| kept.id).collect()));
    }

    /// Binds what is not bound yet; nothing else happens before [`Listeners::become_next`].
    ///
    /// # Errors
    /// An address cannot be bound, or a certificate not be used.
    pub(super) fn prepare(&self, plan: &Plan, admin: &RunningAdmin) -> Result<Next, AppError> {
        let goes_on = |plan: &&ListenerPlan| self.lives.iter().any(|life| life.kept.goes_on_as(plan));
        let new: Vec<_> = plan.listeners.iter().filter(|plan| !goes_on(plan)).collect();
        let moves = !admin.goes_on_at(&plan.admin);
        let for_admin = || self.lives.iter().find_map(|life| life.kept.sockets_at(plan.admin.address));

        let ports =
            new.iter().filter(|plan| self.sockets_for(plan, admin).is_none()).filter_map(|plan| own(plan));
        let admins = (moves && for_admin().is_none()).then_some(plan.admin.address);
        let ports: Vec<u16> = ports.chain(admins).map(|address| address.port()).collect();
        // Of those that leave alone: what goes on shares its address with nobody.
        let leaves = |life: &&Life| !plan.listeners.iter().any(|plan| life.kept.goes_on_as(plan));
        let sockets = self.lives.iter().filter(leaves).map(|life| &life.kept.sockets);
        let lent = Lent::of(sockets.chain(moves.then_some(admin.sockets())), &ports);

        // First every address, then connections: what has to be given up again no client has noticed.
        let mut begun = BTreeMap::new();
        for plan in new {
            let place = Place::of(plan, self.sockets_for(plan, admin), &self.handed_over, &lent)?;
            begun.insert(plan.id, Begun::new(plan, place)?);
        }
        let place = moves.then(|| match for_admin() {
            Some(here) => here.acceptor().map(Place::Taken),
            None => Reserved::bind_beside(plan.admin.address, &lent).map(Place::Reserved),
        });
        let place = place.transpose().map_err(|source| cannot_bind(&plan.admin, source))?;

        let mut listen = |plan: &ListenerPlan| {
            begun.remove(&plan.id).map(|begun| begun.listen(self.known.get(&plan.id).cloned())).transpose()
        };
        let listeners = plan.listeners.iter().map(&mut listen).collect::<Result<_, _>>()?;
        let admin = place.map(|place| BoundAdmin::on(&plan.admin, place.listen())).transpose()?;
        Ok(Next { listeners, admin })
    }

    /// The sockets that this listener would go on with.
    fn sockets_for<'s>(&'s self, plan: &ListenerPlan, admin: &'s RunningAdmin) -> Option<&'s Sockets> {
        let here = self.lives.iter().find(|life| life.kept.is_where(plan)).map(|life| &life.kept.sockets);
        here.or_else(|| admin.sockets_at(own(plan)?))
    }

    /// Whether some that have stopped are not over yet.
    pub(super) fn are_ending(&self) -> bool {
        !self.ending.is_empty()
    }

    /// Becomes what was prepared with this plan. Those that are gone stop accepting, and have the time of a drain for what is on its way.
    pub(super) fn become_next(&mut self, next: Vec<Option<Bound>>, plan: &Plan, metrics: &Arc<Metrics>) {
        let mut before = std::mem::take(&mut self.lives);
        let goes_on = |life: &Life| {
            next.iter().zip(&plan.listeners).any(|(bound, plan)| bound.is_none() && plan.id == life.kept.id)
        };
        let gone: Vec<Life> = before.extract_if(.., |life| !goes_on(life)).collect();
        for life in &gone {
            // Before another one begins to accept on them.
            let is_taken = plan.listeners.iter().any(|plan| life.kept.is_where(plan));
            if is_taken || life.kept.sockets_at(plan.admin.address).is_some() {
                life.kept.sockets.release();
            }
        }
        let mut lives = Vec::new();
        for (bound, plan) in next.into_iter().zip(&plan.listeners) {
            let life = match bound {
                Some(bound) => {
                    tracing::info!(listener = plan.name, addresses = ?bound.addresses, "listening");
                    Some(self.begin(bound))
                }
                None => before.extract_if(.., |life| life.kept.id == plan.id).next(),
            };
            if let Some(life) = &life {
                life.kept.exchange(plan);
                life.kept.tell(metrics);
            }
            lives.extend(life);
        }
        self.run(lives);
        for life in gone {
            self.end(life, metrics, plan.stop.timeout);
        }
    }

    fn end(&self, Life { kept, drain }: Life, metrics: &Arc<Metrics>, limit: Duration) {
        let (metrics, running) = (Arc::clone(metrics), Arc::clone(&self.running));
        // Its sockets close when it accepts on them no more: here nobody keeps them.
        let Kept { id, .. } = kept;
        tracing::info!(
            listener = metrics.listener_name(id),
            "no more a listener: what is on its way may end"
        );
        if !running.load().contains(&id) {
            metrics.certificate_is_gone(id);
        }
        self.ending.spawn(async move {
            drain.stop(limit).await;
            if !running.load().contains(&id) {
                metrics.listener_is_gone(id);
            }
        });
    }

    /// Stops all of them, and waits until what is on its way has ended, or for so long.
    pub(super) async fn stop(self, limit: Duration) -> Drained {
        let mut stopping = JoinSet::new();
        for Life { drain, .. } in self.lives {
            stopping.spawn(async move { drain.stop(limit).await });
        }
        let mut cut_off = 0_usize;
        while let Some(ended) = stopping.join_next().await {
            if let Ok(Drained::Aborted(count)) = ended {
                cut_off = cut_off.saturating_add(count);
            }
        }
        self.ending.close();
        self.ending.wait().await;
        if cut_off == 0 { Drained::Finished } else { Drained::Aborted(cut_off) }
    }
}

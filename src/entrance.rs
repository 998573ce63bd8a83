//! Where every door begins: who asks, when, and the record of it.

use crate::clock::{Clock, UnixTime};
use crate::config::{ListenerPlan, Plan};
use crate::names::{ById, ListenerId};
use crate::observe::{Exchange, Observer};
use crate::server::{Peer, Sender};
use http::Request;
use ipnet::IpNet;
use std::sync::Arc;

/// What each door knows of whoever comes in. One for all doors.
#[derive(Debug)]
pub struct Entrance {
    clock: Clock,
    observer: Arc<Observer>,
    /// Whose word is taken, by listener.
    trusted_proxies: ById<ListenerId, Vec<IpNet>>,
}

/// A request that has just come in.
#[derive(Debug)]
pub struct Arrived {
    /// Who sent it.
    pub sender: Sender,
    /// When.
    pub now: UnixTime,
    /// Its record.
    pub exchange: Exchange,
}

impl Entrance {
    /// The entrance of this plan.
    pub fn new(plan: &Plan, observer: Arc<Observer>, clock: Clock) -> Self {
        let trusted = |listener: &ListenerPlan| (listener.id, listener.trusted_proxies.clone());
        Self { clock, observer, trusted_proxies: plan.listeners.iter().map(trusted).collect() }
    }

    /// Begins the record of a request.
    pub fn receive<B>(&self, peer: &Peer, request: &Request<B>) -> Arrived {
        let now = self.clock.now();
        let trusted = self.trusted(peer.listener);
        let sender = Sender::of(peer, trusted);
        let client = sender.client(request.headers(), trusted);
        let exchange = Exchange::begin(Arc::clone(&self.observer), peer.listener, client, request, now);
        Arrived { sender, now, exchange }
    }

    /// The time, for whoever has waited.
    pub fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Whose time counts.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whose word is taken at this listener.
    pub fn trusted(&self, listener: ListenerId) -> &[IpNet] {
        self.trusted_proxies.get(listener).map_or(&[][..], Vec::as_slice)
    }
}

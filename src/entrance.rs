//! Where every door begins: who asks, when, with which certificate, and the record of it.

use crate::certificate::{Absence, CertificateField, Shown};
use crate::clock::{Clock, UnixTime};
use crate::config::{ListenerMode, ListenerPlan, Plan};
use crate::names::{ById, ListenerId};
use crate::observe::{Exchange, Observer};
use crate::server::{Clients, Peer, Sender};
use http::{HeaderMap, Request};
use ipnet::IpNet;
use std::sync::Arc;

/// What each door knows of whoever comes in. One for all doors.
#[derive(Debug)]
pub struct Entrance {
    clock: Clock,
    observer: Arc<Observer>,
    trust: ById<ListenerId, Trust>,
}

/// Who is believed at a listener.
#[derive(Debug)]
struct Trust {
    /// Whose word is taken.
    proxies: Vec<IpNet>,
    /// Where they say which certificate their client has shown.
    field: Option<CertificateField>,
    /// Who judges the certificates that clients show themselves. `None`: those count for nothing.
    clients: Option<Clients>,
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
        let trust = plan.listeners.iter().map(|listener| (listener.id, Trust::at(listener)));
        Self { clock, observer, trust: trust.collect() }
    }

    /// Begins the record of a request.
    pub fn receive<B>(&self, peer: &Peer, request: &Request<B>) -> Arrived {
        let now = self.clock.now();
        let trusted = self.trusted(peer.listener);
        let mut sender = Sender::of(peer, trusted);
        if let Some(trust) = self.trust.get(peer.listener) {
            sender.certificate = trust.certificate(peer, sender.trusted, request.headers(), now);
        }
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
        self.trust.get(listener).map_or(&[][..], |trust| trust.proxies.as_slice())
    }
}

impl Trust {
    fn at(listener: &ListenerPlan) -> Self {
        // Who asks for a decision is a front, and what it shows is its own certificate, never that of its client.
        let tls = listener.tls.as_ref().filter(|_| listener.mode == ListenerMode::Proxy);
        Self {
            proxies: listener.trusted_proxies.clone(),
            field: listener.certificate_field.clone(),
            // What cannot judge takes nothing; the listener would not have begun with it.
            clients: tls.and_then(|tls| Clients::new(&tls.clients).ok()),
        }
    }

    /// The certificate of whoever sent this. Where fronts name it, their own never counts, whether they name one or not; from everybody else
    /// only the handshake counts.
    fn certificate(&self, peer: &Peer, trusted: bool, headers: &HeaderMap, now: UnixTime) -> Shown {
        if let Some(field) = self.field.as_ref().filter(|_| trusted) {
            return field.read(headers);
        }
        let clients = self.clients.as_ref().filter(|clients| clients.ask()).ok_or(Absence::NotAsked)?;
        let certificate = peer.certificate.as_ref().ok_or(Absence::NotShown)?;
        if certificate.is_taken_by(clients, now) {
            Ok(certificate.thumbprint())
        } else {
            Err(Absence::NoLongerTrusted)
        }
    }
}

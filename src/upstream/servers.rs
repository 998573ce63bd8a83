//! The servers of an upstream: each address that its names resolve to now.
//!
//! Names are looked up by the system's resolver, which knows `/etc/hosts`, search domains and whatever else this machine goes by. A server that
//! is still there after a look-up is the same one, with its connections.

use super::UpstreamState;
use super::health::Fleet;
use super::server::Server;
use super::target::Target;
use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How soon a name is looked up again that has no address yet.
const SOON: Duration = Duration::from_secs(1);
/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers, kept up to date for as long as this lives.
#[derive(Debug)]
pub(super) struct Servers {
    now: Arc<Now>,
    look_ups: Option<JoinHandle<()>>,
}

/// What counts for each of them.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) fleet: Arc<Fleet>,
    /// How many connections it may have.
    pub(super) connections: usize,
}

#[derive(Debug)]
struct Now {
    terms: Terms,
    targets: Vec<Arc<Target>>,
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Every name was looked up once, with whatever result.
    looked_up: watch::Sender<bool>,
}

impl Servers {
    /// The servers behind these targets, where there are names looked up every so often. Servers that were there before are taken over.
    pub(super) fn new(
        terms: Terms,
        targets: Vec<Arc<Target>>,
        every: Duration,
        before: &[Arc<Server>],
    ) -> Self {
        let mut found = Vec::new();
        for target in &targets {
            match address_of(target) {
                Some(address) => found.push(server(&terms, target, address, before)),
                None => found.extend(kept(&terms, target, before)),
            }
        }
        terms.fleet.consists_of(found.iter().map(|server| server.member()));
        let names = targets.iter().any(|target| address_of(target).is_none());
        let looked_up = watch::Sender::new(!names);
        let now = Arc::new(Now { terms, targets, servers: ArcSwap::from_pointee(found), looked_up });
        let look_ups = names.then(|| Handle::current().spawn(keep_up(Arc::clone(&now), every)));
        Self { now, look_ups }
    }

    /// Those there are. Only where nothing is known yet of a name is its first look-up waited for, and not longer than `limit`.
    pub(super) async fn now(&self, limit: Duration) -> Arc<Vec<Arc<Server>>> {
        let servers = self.known();
        if servers.is_empty() {
            let mut looked_up = self.now.looked_up.subscribe();
            // Whichever way it ends, what is known then is used.
            tokio::time::timeout(limit, looked_up.wait_for(|done| *done)).await.ok();
            return self.known();
        }
        servers
    }

    /// Their health: which belongs to more than this, and may be had for longer.
    pub(super) fn fleet(&self) -> &Arc<Fleet> {
        &self.now.terms.fleet
    }

    /// Says how many there are in which state, whenever it is asked.
    pub(super) fn state(&self) -> impl Fn() -> UpstreamState + Send + use<> {
        let now = Arc::clone(&self.now);
        move || now.state()
    }

    /// Those there are.
    pub(super) fn known(&self) -> Arc<Vec<Arc<Server>>> {
        self.now.servers.load_full()
    }
}

impl Now {
    /// How many servers are in which state.
    fn state(&self) -> UpstreamState {
        let servers = self.servers.load();
        let connections = servers.iter().map(|server| server.connections()).sum();
        UpstreamState { connections, ..self.terms.fleet.count(servers.iter().map(|server| server.member())) }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some(look_ups) = &self.look_ups {
            look_ups.abort();
        }
    }
}

/// The address that the configuration names instead of a name.
fn address_of(target: &Target) -> Option<SocketAddr> {
    Some(SocketAddr::new(target.host().parse::<IpAddr>().ok()?, target.port()))
}

/// The server at this address: the one that is there already, or a new one.
fn server(terms: &Terms, target: &Arc<Target>, address: SocketAddr, before: &[Arc<Server>]) -> Arc<Server> {
    match before.iter().find(|server| server.is_of(target) && server.address() == address) {
        Some(server) => on_terms(terms, target, server),
        None => {
            let member = terms.fleet.join(target, address);
            Arc::new(Server::new(Arc::clone(target), address, member, terms.connections))
        }
    }
}

/// The servers that were there already.
fn kept(terms: &Terms, target: &Arc<Target>, before: &[Arc<Server>]) -> impl Iterator<Item = Arc<Server>> {
    before.iter().filter(|server| server.is_of(target)).map(|server| on_terms(terms, target, server))
}

/// A server that may have been there on other terms.
fn on_terms(terms: &Terms, target: &Arc<Target>, server: &Arc<Server>) -> Arc<Server> {
    if server.is_on(&terms.fleet, terms.connections) {
        return Arc::clone(server);
    }
    Arc::new(server.moved(terms.fleet.join(target, server.address()), terms.connections))
}

/// Looks all names up, again and again.
async fn keep_up(now: Arc<Now>, every: Duration) {
    // Which of the names could not be looked up the last time: each change is said once.
    let mut failing = vec![false; now.targets.len()];
    loop {
        let mut looked_up = Vec::new();
        for (target, failing) in now.targets.iter().zip(&mut failing) {
            let found = match address_of(target) {
                Some(address) => Ok(vec![address]),
                None => look_up(target).await,
            };
            if let Err(error) = &found
                && !*failing
            {
                let name = target.host();
                tracing::warn!(
                    name,
                    error,
                    "an upstream's name cannot be looked up: its last addresses stay"
                );
            }
            *failing = found.is_err();
            looked_up.push(found.unwrap_or_default());
        }
        let (found, missing) = renewed(&now.terms, &now.targets, &looked_up, &now.servers.load());
        now.terms.fleet.consists_of(found.iter().map(|server| server.member()));
        now.servers.store(Arc::new(found));
        now.looked_up.send_replace(true);
        tokio::time::sleep(if missing { every.min(SOON) } else { every }).await;
    }
}

/// The servers after a look-up, and whether a target has none. Where nothing was found, the last ones stay.
fn renewed(
    terms: &Terms,
    targets: &[Arc<Target>],
    looked_up: &[Vec<SocketAddr>],
    before: &[Arc<Server>],
) -> (Vec<Arc<Server>>, bool) {
    let (mut servers, mut missing) = (Vec::new(), false);
    for (target, found) in targets.iter().zip(looked_up) {
        let count = servers.len();
        if found.is_empty() {
            servers.extend(kept(terms, target, before));
        } else {
            servers.extend(found.iter().map(|address| server(terms, target, *address, before)));
        }
        missing |= servers.len() == count;
    }
    (servers, missing)
}

/// The addresses of a name, each once, in an order that does not change with the resolver's mood.
async fn look_up(target: &Target) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((target.host(), target.port()))).await;
    let found = found.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
    let mut addresses: Vec<_> = found.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::{ConnectionPlan, HealthPlan, ServerPlan, UpstreamProtocol};

    #[test]
    fn a_look_up_changes_what_it_found_and_nothing_else() {
        let target = |text: &str| {
            Arc::new(Target::new(
                &ServerPlan { tls: false, authority: text.parse().unwrap() },
                None,
                UpstreamProtocol::Http1,
            ))
        };
        let fleet = Fleet::new("orders", HealthPlan::default(), ConnectionPlan::default(), Clock::system());
        let terms = Terms { fleet: Arc::new(fleet), connections: 1 };
        let targets = [target("a.test:1"), target("b.test:2")];
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, two, three) = (address("10.0.0.1:1"), address("10.0.0.2:1"), address("10.0.0.3:2"));
        let (first, missing) = renewed(&terms, &targets, &[vec![one, two], vec![]], &[]);
        assert!(missing, "b has no address");
        assert_eq!(first.iter().map(|server| server.address()).collect::<Vec<_>>(), [one, two]);

        let (second, missing) = renewed(&terms, &targets, &[vec![two], vec![three]], &first);
        assert!(!missing);
        assert_eq!(second.iter().map(|server| server.address()).collect::<Vec<_>>(), [two, three]);
        assert!(Arc::ptr_eq(&first[1], &second[0]), "a server that is still there is the same one");

        let (third, missing) = renewed(&terms, &targets, &[vec![], vec![]], &second);
        assert!(!missing);
        assert!(third.iter().zip(&second).all(|(after, before)| Arc::ptr_eq(after, before)));
    }
}

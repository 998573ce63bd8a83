//! The servers of an upstream: each address that its names resolve to now.
//!
//! Names are looked up by the system's resolver, which knows `/etc/hosts`, search domains and whatever else this machine goes by. A server that
//! is still there after a look-up is the same one, with its connections.

use super::connect::{Server, Target};
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

#[derive(Debug)]
struct Now {
    targets: Vec<Arc<Target>>,
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Every name was looked up once, with whatever result.
    looked_up: watch::Sender<bool>,
}

impl Servers {
    /// The servers behind these targets, where there are names looked up every so often. Servers that were there before are taken over.
    pub(super) fn new(targets: Vec<Arc<Target>>, every: Duration, before: &[Arc<Server>]) -> Self {
        let mut found = Vec::new();
        for target in &targets {
            match address_of(target) {
                Some(address) => found.push(server(target, address, before)),
                None => found.extend(before.iter().filter(|server| server.is_of(target)).cloned()),
            }
        }
        let names = targets.iter().any(|target| address_of(target).is_none());
        let looked_up = watch::Sender::new(!names);
        let now = Arc::new(Now { targets, servers: ArcSwap::from_pointee(found), looked_up });
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

    /// Those there are.
    pub(super) fn known(&self) -> Arc<Vec<Arc<Server>>> {
        self.now.servers.load_full()
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
fn server(target: &Arc<Target>, address: SocketAddr, before: &[Arc<Server>]) -> Arc<Server> {
    let same = before.iter().find(|server| server.is_of(target) && server.address() == address);
    same.cloned().unwrap_or_else(|| Arc::new(Server::new(Arc::clone(target), address)))
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
        let (found, missing) = renewed(&now.targets, &looked_up, &now.servers.load());
        now.servers.store(Arc::new(found));
        now.looked_up.send_replace(true);
        tokio::time::sleep(if missing { every.min(SOON) } else { every }).await;
    }
}

/// The servers after a look-up, and whether a target has none. Where nothing was found, the last ones stay.
fn renewed(
    targets: &[Arc<Target>],
    looked_up: &[Vec<SocketAddr>],
    before: &[Arc<Server>],
) -> (Vec<Arc<Server>>, bool) {
    let (mut servers, mut missing) = (Vec::new(), false);
    for (target, found) in targets.iter().zip(looked_up) {
        let count = servers.len();
        if found.is_empty() {
            servers.extend(before.iter().filter(|server| server.is_of(target)).cloned());
        } else {
            servers.extend(found.iter().map(|address| server(target, *address, before)));
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
    use crate::config::{ServerPlan, UpstreamProtocol};

    #[test]
    fn a_look_up_changes_what_it_found_and_nothing_else() {
        let target = |text: &str| {
            Arc::new(Target::new(
                &ServerPlan { tls: false, authority: text.parse().unwrap() },
                None,
                UpstreamProtocol::Http1,
            ))
        };
        let targets = [target("a.test:1"), target("b.test:2")];
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, two, three) = (address("10.0.0.1:1"), address("10.0.0.2:1"), address("10.0.0.3:2"));
        let (first, missing) = renewed(&targets, &[vec![one, two], vec![]], &[]);
        assert!(missing, "b has no address");
        assert_eq!(first.iter().map(|server| server.address()).collect::<Vec<_>>(), [one, two]);

        let (second, missing) = renewed(&targets, &[vec![two], vec![three]], &first);
        assert!(!missing);
        assert_eq!(second.iter().map(|server| server.address()).collect::<Vec<_>>(), [two, three]);
        assert!(Arc::ptr_eq(&first[1], &second[0]), "a server that is still there is the same one");

        let (third, missing) = renewed(&targets, &[vec![], vec![]], &second);
        assert!(!missing);
        assert!(third.iter().zip(&second).all(|(after, before)| Arc::ptr_eq(after, before)));
    }
}

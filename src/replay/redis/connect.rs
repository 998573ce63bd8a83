//! Where the primaries are: one address, Sentinel's answer, or a cluster's map.

use super::sentinel::Sentinels;
use super::slots::{self, SLOTS};
use super::unusable::{Step, Unusable, refused};
use super::url::{RedisServers, Way};
use super::wire::Wire;
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, Value, cmd};
use std::time::Duration;

/// How long connecting, and every question but a proof's, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How primaries are found.
pub(super) struct Topology {
    search: Search,
    config: AsyncConnectionConfig,
}

enum Search {
    /// A server, or any nodes of a cluster.
    Nodes(Vec<ConnectionInfo>),
    Sentinels(Box<Sentinels>),
    #[cfg(test)]
    Simulated(crate::simulation::Network),
}

/// A connection to what is said to be a primary.
pub(super) struct Node {
    pub(super) connection: Wire,
    /// All of them outside a cluster.
    pub(super) slots: Vec<(u16, u16)>,
    pub(super) place: NodeAddress,
}

/// Where a primary was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeAddress {
    address: ConnectionAddr,
    cluster: bool,
    slots: Vec<(u16, u16)>,
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses have passwords in them.
        f.write_str("Topology(…)")
    }
}

impl Topology {
    pub(super) fn new(servers: &RedisServers, timeout: Duration) -> Self {
        // A proof's own time-out is measured outside; this one is for all others.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE.max(timeout)))
            .set_response_timeout(Some(PATIENCE.max(timeout)));
        let search = match &servers.way {
            Way::Nodes(nodes) => Search::Nodes(nodes.clone()),
            Way::Sentinel(plan) => Search::Sentinels(Box::new(Sentinels::new(plan.clone(), config.clone()))),
            #[cfg(test)]
            Way::Simulated(network) => Search::Simulated(*network),
        };
        Self { search, config }
    }

    /// Connects to every primary there is.
    pub(super) async fn find(&self) -> Result<Vec<Node>, Unusable> {
        match &self.search {
            Search::Sentinels(sentinels) => {
                let info = sentinels.primary().await?;
                let address = info.addr().clone();
                Ok(vec![Node::alone(Wire::Socket(open(info, &self.config).await?), address)])
            }
            Search::Nodes(nodes) => {
                let mut last = Unusable::NoSlots;
                for info in nodes {
                    match self.start_at(info, nodes.len() > 1).await {
                        Ok(nodes) => return Ok(nodes),
                        Err(refusal) => last = refusal,
                    }
                }
                Err(last)
            }
            #[cfg(test)]
            Search::Simulated(network) => {
                let (connection, address) = network.connect().await.map_err(Unusable::Redis)?;
                Ok(vec![Node::alone(Wire::Simulated(connection), address)])
            }
        }
    }

    /// Whether the primaries are still where they were found.
    pub(super) async fn still_at(
        &self,
        places: &[NodeAddress],
        connection: Option<Wire>,
    ) -> Result<(), Unusable> {
        let Some(first) = places.first() else { return Err(Unusable::NoSlots) };
        if let Search::Sentinels(sentinels) = &self.search
            && *sentinels.primary().await?.addr() != first.address
        {
            return Err(Unusable::Moved);
        }
        #[cfg(test)]
        if let Search::Simulated(network) = &self.search
            && network.knows_another(&first.address).await.map_err(Unusable::Redis)?
        {
            return Err(Unusable::Moved);
        }
        if first.cluster {
            let mut connection = connection.ok_or(Unusable::NoSlots)?;
            let map = map(&mut connection, &first.address).await?;
            let known = |(address, slots): &(ConnectionAddr, Vec<(u16, u16)>)| {
                places.iter().any(|place| place.address == *address && place.slots == *slots)
            };
            if map.len() != places.len() || !map.iter().all(known) {
                return Err(Unusable::Moved);
            }
        }
        Ok(())
    }

    /// What was found cannot be used: other Sentinels, if there are any, may know better.
    pub(super) async fn distrust(&self, refusal: &Unusable) {
        let misled = matches!(
            refusal,
            Unusable::Redis(_)
                | Unusable::Slow
                | Unusable::NoPrimary
                | Unusable::ReadOnly
                | Unusable::PrimaryDown
        );
        if let (Search::Sentinels(sentinels), true) = (&self.search, misled) {
            sentinels.distrust().await;
        }
    }

    async fn start_at(&self, info: &ConnectionInfo, must_be_cluster: bool) -> Result<Vec<Node>, Unusable> {
        let mut connection = open(info.clone(), &self.config).await?;
        if !is_cluster(&mut connection).await? {
            if must_be_cluster {
                return Err(Unusable::NoCluster);
            }
            return Ok(vec![Node::alone(Wire::Socket(connection), info.addr().clone())]);
        }
        let mut nodes = Vec::new();
        for (address, slots) in map(&mut Wire::Socket(connection), info.addr()).await? {
            let connection = Wire::Socket(open(info.clone().set_addr(address.clone()), &self.config).await?);
            nodes.push(Node {
                connection,
                slots: slots.clone(),
                place: NodeAddress { address, cluster: true, slots },
            });
        }
        Ok(nodes)
    }
}

/// Connects, logs in and selects the database.
pub(super) async fn open(
    info: ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Unusable> {
    // The library hides why a database cannot be selected, so that is done here.
    let login = info.redis_settings().clone();
    let database = login.db();
    let client = Client::open(info.set_redis_settings(login.set_db(0))).map_err(Unusable::Redis)?;
    let connected = client.get_multiplexed_async_connection_with_config(config).await;
    let mut connection = connected.map_err(|error| refused(&error, &[]))?;
    if database != 0 {
        let selected = cmd("SELECT").arg(database).query_async::<()>(&mut connection).await;
        selected.map_err(|error| refused(&error, &[Step::plain("+select")]))?;
    }
    Ok(connection)
}

impl Node {
    fn alone(connection: Wire, address: ConnectionAddr) -> Self {
        let slots = vec![(0, SLOTS.saturating_sub(1))];
        Self { connection, slots: slots.clone(), place: NodeAddress { address, cluster: false, slots } }
    }
}

/// Whether the server says that it belongs to a cluster.
async fn is_cluster(connection: &mut MultiplexedConnection) -> Result<bool, Unusable> {
    let info = cmd("INFO").arg("cluster").query_async(connection).await;
    let info: String = info.map_err(|error| refused(&error, &[Step::plain("+info")]))?;
    Ok(info.lines().any(|line| line.trim() == "cluster_enabled:1"))
}

/// `CLUSTER SLOTS`: each primary and its slots. A primary without a name is the one asked.
async fn map(
    connection: &mut Wire,
    asked: &ConnectionAddr,
) -> Result<Vec<(ConnectionAddr, Vec<(u16, u16)>)>, Unusable> {
    let ranges = cmd("CLUSTER").arg("SLOTS").query_async(connection).await;
    let ranges: Vec<Vec<Value>> =
        ranges.map_err(|error| refused(&error, &[Step::plain("+cluster|slots")]))?;
    let mut primaries: Vec<(ConnectionAddr, Vec<(u16, u16)>)> = Vec::new();
    for range in &ranges {
        let (first, last, address) = read_range(range, asked).ok_or(Unusable::NoSlots)?;
        match primaries.iter_mut().find(|(known, _)| *known == address) {
            Some((_, slots)) => slots.push((first, last)),
            None => primaries.push((address, vec![(first, last)])),
        }
    }
    for (_, slots) in &mut primaries {
        slots.sort_unstable();
    }
    if !slots::complete(primaries.iter().flat_map(|(_, slots)| slots.clone()).collect()) {
        return Err(Unusable::NoSlots);
    }
    Ok(primaries)
}

fn read_range(range: &[Value], asked: &ConnectionAddr) -> Option<(u16, u16, ConnectionAddr)> {
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range else { return None };
    let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
    let host: Option<String> = ::redis::from_redis_value_ref(host).ok()?;
    let host = host.filter(|host| !host.is_empty());
    let port = u16::try_from(*port).ok()?;
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, at(asked, host, port)?))
}

/// An address like `like`, at another place.
fn at(like: &ConnectionAddr, host: Option<String>, port: u16) -> Option<ConnectionAddr> {
    match like {
        ConnectionAddr::Tcp(own, _) => Some(ConnectionAddr::Tcp(host.unwrap_or_else(|| own.clone()), port)),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => Some(ConnectionAddr::TcpTls {
            host: host.unwrap_or_else(|| own.clone()),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        }),
        ConnectionAddr::Unix(_) | _ => None,
    }
}

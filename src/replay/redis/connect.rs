//! Where the primaries are: one address, Sentinel's answer, or a cluster's map.

use super::slots::{self, SLOTS};
use super::vet::Refusal;
use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    TlsMode, Value, cmd,
};
use std::time::Duration;

/// How long connecting, and every question but a proof's, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What the configuration says of where Redis is.
pub(super) struct Topology {
    way: Way,
    config: AsyncConnectionConfig,
}

enum Way {
    /// A server, or any nodes of a cluster.
    Nodes(Vec<ConnectionInfo>),
    /// Sentinels, what they call the primary, and how to connect to it.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, node: SentinelNodeConnectionInfo },
}

/// A connection to what is said to be a primary.
pub(super) struct Node {
    pub(super) connection: MultiplexedConnection,
    /// All of them outside a cluster.
    pub(super) slots: Vec<(u16, u16)>,
    pub(super) place: Place,
}

/// Where a primary was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
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
    /// Reads the addresses.
    ///
    /// # Errors
    /// One of them is none.
    pub(super) fn parse(urls: &[String], timeout: Duration) -> Result<Self, RedisError> {
        // A proof's own time-out is measured outside; this one is for all others.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE.max(timeout)))
            .set_response_timeout(Some(PATIENCE.max(timeout)));
        let way = match urls {
            [] => return Err((ErrorKind::InvalidClientConfig, "no address is given").into()),
            [url] if url.contains("+sentinel://") => sentinel(url)?,
            nodes => Way::Nodes(nodes.iter().map(|url| info(url)).collect::<Result<_, _>>()?),
        };
        Ok(Self { way, config })
    }

    /// Connects to every primary there is.
    pub(super) async fn find(&self) -> Result<Vec<Node>, Refusal> {
        match &self.way {
            Way::Sentinel { .. } => {
                let client = self.ask_sentinel().await?;
                let address = client.get_connection_info().addr().clone();
                Ok(vec![Node::alone(self.connect(client).await?, address)])
            }
            Way::Nodes(nodes) => {
                let mut last = Refusal::NoSlots;
                for info in nodes {
                    match self.start_at(info, nodes.len() > 1).await {
                        Ok(nodes) => return Ok(nodes),
                        Err(refusal) => last = refusal,
                    }
                }
                Err(last)
            }
        }
    }

    /// Whether the primaries are still where they were found.
    pub(super) async fn still_at(
        &self,
        places: &[Place],
        connection: Option<MultiplexedConnection>,
    ) -> Result<(), Refusal> {
        let Some(first) = places.first() else { return Err(Refusal::NoSlots) };
        if let Way::Sentinel { .. } = &self.way {
            let client = self.ask_sentinel().await?;
            if *client.get_connection_info().addr() != first.address {
                return Err(Refusal::Moved);
            }
        }
        if first.cluster {
            let mut connection = connection.ok_or(Refusal::NoSlots)?;
            let map = map(&mut connection, &first.address).await?;
            let known = |(address, slots): &(ConnectionAddr, Vec<(u16, u16)>)| {
                places.iter().any(|place| place.address == *address && place.slots == *slots)
            };
            if map.len() != places.len() || !map.iter().all(known) {
                return Err(Refusal::Moved);
            }
        }
        Ok(())
    }

    async fn start_at(&self, info: &ConnectionInfo, must_be_cluster: bool) -> Result<Vec<Node>, Refusal> {
        let mut connection = self.connect(Client::open(info.clone())?).await?;
        if !is_cluster(&mut connection).await? {
            if must_be_cluster {
                return Err(RedisError::from((
                    ErrorKind::InvalidClientConfig,
                    "several addresses, but no cluster",
                ))
                .into());
            }
            return Ok(vec![Node::alone(connection, info.addr().clone())]);
        }
        let mut nodes = Vec::new();
        for (address, slots) in map(&mut connection, info.addr()).await? {
            let client = Client::open(info.clone().set_addr(address.clone()))?;
            let place = Place { address, cluster: true, slots: slots.clone() };
            nodes.push(Node { connection: self.connect(client).await?, slots, place });
        }
        Ok(nodes)
    }

    async fn ask_sentinel(&self) -> Result<Client, Refusal> {
        let Way::Sentinel { sentinels, service, node } = &self.way else { return Err(Refusal::NoSlots) };
        let (sentinels, node) = (sentinels.clone(), Some(node.clone()));
        let mut client = SentinelClient::build(sentinels, service, node, SentinelServerType::Master)?;
        let client = tokio::time::timeout(PATIENCE.saturating_mul(2), client.async_get_client()).await;
        Ok(client.map_err(|_| Refusal::Slow)??)
    }

    async fn connect(&self, client: Client) -> Result<MultiplexedConnection, Refusal> {
        Ok(client.get_multiplexed_async_connection_with_config(&self.config).await?)
    }
}

impl Node {
    fn alone(connection: MultiplexedConnection, address: ConnectionAddr) -> Self {
        let slots = vec![(0, SLOTS.saturating_sub(1))];
        Self { connection, slots: slots.clone(), place: Place { address, cluster: false, slots } }
    }
}

/// Whether the server says that it belongs to a cluster.
async fn is_cluster(connection: &mut MultiplexedConnection) -> Result<bool, Refusal> {
    let info: String = cmd("INFO").arg("cluster").query_async(connection).await?;
    Ok(info.lines().any(|line| line.trim() == "cluster_enabled:1"))
}

/// `CLUSTER SLOTS`: each primary and its slots. A primary without a name is the one asked.
async fn map(
    connection: &mut MultiplexedConnection,
    asked: &ConnectionAddr,
) -> Result<Vec<(ConnectionAddr, Vec<(u16, u16)>)>, Refusal> {
    let ranges: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
    let mut primaries: Vec<(ConnectionAddr, Vec<(u16, u16)>)> = Vec::new();
    for range in &ranges {
        let (first, last, address) = read_range(range, asked).ok_or(Refusal::NoSlots)?;
        match primaries.iter_mut().find(|(known, _)| *known == address) {
            Some((_, slots)) => slots.push((first, last)),
            None => primaries.push((address, vec![(first, last)])),
        }
    }
    for (_, slots) in &mut primaries {
        slots.sort_unstable();
    }
    if !slots::complete(primaries.iter().flat_map(|(_, slots)| slots.clone()).collect()) {
        return Err(Refusal::NoSlots);
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

/// `redis+sentinel://[user:password@]host:port[,host:port]/service[/database]`; `rediss+sentinel` for TLS, to
/// Sentinel and to Redis. User and password are those of Redis.
fn sentinel(url: &str) -> Result<Way, RedisError> {
    let bad = || {
        RedisError::from((
            ErrorKind::InvalidClientConfig,
            "not redis+sentinel://host:port,host:port/service/database",
        ))
    };
    let (scheme, rest) = url.split_once("+sentinel://").ok_or_else(bad)?;
    let tls = match scheme {
        "redis" => None,
        "rediss" => Some(TlsMode::Secure),
        _ => return Err(bad()),
    };
    let (authority, path) = rest.split_once('/').ok_or_else(bad)?;
    let (service, database) = path.split_once('/').unwrap_or((path, "0"));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    if service.is_empty() || hosts.is_empty() {
        return Err(bad());
    }
    let sentinels =
        hosts.split(',').map(|host| info(&format!("{scheme}://{host}"))).collect::<Result<_, _>>()?;
    let at = if user.is_empty() { "" } else { "@" };
    let like = info(&format!("{scheme}://{user}{at}placeholder/{database}"))?;
    let mut node = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(like.redis_settings().clone())
        .set_tcp_settings(like.tcp_settings().clone());
    if let Some(tls) = tls {
        node = node.set_tls_mode(tls);
    }
    Ok(Way::Sentinel { sentinels, service: service.to_owned(), node })
}

/// Small writes must not wait for each other.
fn info(url: &str) -> Result<ConnectionInfo, RedisError> {
    Ok(url.into_connection_info()?.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let parse = |urls: &[&str]| {
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            Topology::parse(&urls, Duration::from_millis(50)).is_ok()
        };
        for good in [
            &["redis://127.0.0.1:6379/0"][..],
            &["rediss://user:password@replay.internal:6379/2"],
            &["redis://a:1", "redis://b:2"],
            &["redis+sentinel://s1:26379,s2:26379/replay"],
            &["rediss+sentinel://user:p%40ss@s1:26379/replay/3"],
        ] {
            assert!(parse(good), "{good:?}");
        }
        for bad in
            [&[][..], &["http://a"], &["redis+sentinel://s1:26379"], &["x+sentinel://s1/replay"], &["a", "b"]]
        {
            assert!(!parse(bad), "{bad:?}");
        }
    }
}

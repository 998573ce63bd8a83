//! The URLs of Redis, read once: what `check` takes is what the store is opened with.
//!
//! They are read by hand, because a list of Sentinels is no URL by RFC 3986 (its authority has one host and one port), and because no
//! message may show a part of one: where a password is not percent-encoded, any part may be a piece of it.

use super::sentinel::SentinelPlan;
use crate::jose::{Sha256, sha256};
use ::redis::io::tcp::TcpSettings;
use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use url::Host;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
/// Redis counts its databases with a 32-bit integer.
const MAX_DATABASE: i64 = 2_147_483_647;

const FORMS: &str = "write redis://host:6379/0, rediss://… for TLS, redis+sentinel://host:26379,host:26379/service/0 or rediss+sentinel://…";
const ENCODE: &str =
    "write a user and a password percent-encoded: %2F for /, %3F for ?, %23 for #, %40 for @, %25 for %";
const PASSWORD: &str =
    "write redis://user:password@host, or redis://:password@host where Redis has one password for all";
const DATABASE: &str = "write one that is, such as redis://host:6379/0, or nothing for 0";

/// Where Redis is: a server, the nodes of a cluster, or Sentinels who know.
#[derive(Clone)]
pub struct RedisServers {
    pub(super) way: Way,
    /// The hash of what it was read from: addresses cannot be compared.
    digest: Sha256,
}

#[derive(Clone)]
pub(super) enum Way {
    /// A server, or any nodes of a cluster.
    Nodes(Vec<ConnectionInfo>),
    /// Sentinels, and how to connect to the primary that they name.
    Sentinel(SentinelPlan),
    #[cfg(test)]
    Simulated(crate::simulation::Network),
}

/// Why Redis cannot be where the configuration says. Nothing of the URL is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUrl {
    /// The URL's place in the list; `None`: the setting as a whole.
    pub index: Option<usize>,
    /// What is wrong.
    pub what: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

impl std::fmt::Debug for RedisServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses have passwords in them.
        f.write_str("RedisServers(…)")
    }
}

impl RedisServers {
    /// A model of servers.
    #[cfg(test)]
    pub(crate) const fn simulated(network: crate::simulation::Network) -> Self {
        Self { way: Way::Simulated(network), digest: [0; 32] }
    }

    /// Reads the URLs. `sentinel_password` is what the Sentinels ask for where it is not the password of the URL.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(urls: &[&str], sentinel_password: Option<&str>) -> Result<Self, Vec<BadUrl>> {
        let mut bad = Vec::new();
        let mut read = Vec::new();
        for (index, url) in urls.iter().enumerate() {
            match Parts::read(url) {
                Ok(parts) => read.push((index, parts)),
                Err((what, help)) => bad.push(BadUrl { index: Some(index), what, help }),
            }
        }
        if urls.is_empty() {
            let help = "name one URL, or every node of the cluster";
            bad.push(BadUrl { index: None, what: "the list is empty", help });
        }
        if urls.len() > 1 {
            bad.extend(no_cluster(&read));
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        let digest = digest(urls, sentinel_password);
        let mut parts = read.into_iter().map(|(_, parts)| parts);
        match parts.next() {
            Some(first) if first.service.is_some() => {
                Ok(Self { way: Way::Sentinel(first.sentinel(sentinel_password)), digest })
            }
            first => {
                let nodes = first.into_iter().chain(parts).flat_map(Parts::servers).collect();
                Ok(Self { way: Way::Nodes(nodes), digest })
            }
        }
    }

    /// Whether Sentinels are asked where it is.
    pub const fn have_sentinels(&self) -> bool {
        matches!(self.way, Way::Sentinel(_))
    }
}

/// Whether they were read from the same.
impl PartialEq for RedisServers {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for RedisServers {}

/// Each text by itself is hashed first, so that they cannot be cut differently.
fn digest(urls: &[&str], sentinel_password: Option<&str>) -> Sha256 {
    let texts = urls.iter().copied().chain(sentinel_password);
    let hashes: Vec<Sha256> = texts.map(|text| sha256(&[text.as_bytes()])).collect();
    sha256(&[&hashes.concat(), &[u8::from(sentinel_password.is_some())]])
}

/// What does not fit together in a list of nodes.
fn no_cluster(read: &[(usize, Parts)]) -> Vec<BadUrl> {
    let mut bad = Vec::new();
    let mut seen: Vec<&(String, u16)> = Vec::new();
    for (index, parts) in read {
        let mut problem = |what, help| bad.push(BadUrl { index: Some(*index), what, help });
        if parts.service.is_some() {
            problem(
                "a Sentinel among several URLs",
                "name all Sentinels in one URL: redis+sentinel://host:26379,host:26379/service",
            );
            continue;
        }
        if parts.database != 0 {
            problem(
                "a node of a cluster with a database",
                "delete the number: a cluster has database 0 alone",
            );
        }
        if let Some((_, first)) = read.first() {
            if parts.tls != first.tls {
                problem(
                    "TLS for some nodes only",
                    "write redis:// for every node of the cluster, or rediss:// for every node",
                );
            }
            if parts.user != first.user || parts.password != first.password {
                problem(
                    "another user or password than the first node's",
                    "give every node the same: the cluster's map names nodes without either",
                );
            }
        }
        for host in &parts.hosts {
            match seen.contains(&host) {
                true => problem("the same node twice", "delete one of them"),
                false => seen.push(host),
            }
        }
    }
    bad
}

type Wrong = (&'static str, &'static str);

/// A URL taken apart.
#[derive(Clone, PartialEq, Eq)]
struct Parts {
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, u16)>,
    /// What the Sentinels call the primary; `None`: no Sentinels.
    service: Option<String>,
    database: i64,
}

impl Parts {
    fn read(url: &str) -> Result<Self, Wrong> {
        if url.chars().any(|char| char.is_whitespace() || char.is_control()) {
            return Err((
                "the URL has white space or a control character in it",
                "delete it, or percent-encode it",
            ));
        }
        let (scheme, rest) = url.split_once("://").ok_or(("not a URL of Redis", FORMS))?;
        let (tls, sentinel) = read_scheme(scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        // Whatever is wrong before a later "@" is most likely a password that was cut in the middle.
        let cut = |wrong: Wrong| if tail.contains('@') { (wrong.0, ENCODE) } else { wrong };
        let (user, password) = user_info.map_or(Ok((None, None)), read_user).map_err(cut)?;
        let hosts = read_hosts(hosts, sentinel).map_err(cut)?;
        let (service, database) = read_tail(tail, sentinel).map_err(cut)?;
        Ok(Self { tls, user, password, hosts, service, database })
    }

    fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        match &self.password {
            Some(password) => login.set_password(password),
            None => login,
        }
    }

    fn servers(self) -> Vec<ConnectionInfo> {
        let login = self.login();
        let all = self.hosts.iter().filter_map(|(host, port)| server(host, *port, self.tls, login.clone()));
        all.collect()
    }

    fn sentinel(self, password: Option<&str>) -> SentinelPlan {
        let login = self.login();
        SentinelPlan {
            hosts: self.hosts,
            tls: self.tls,
            service: self.service.unwrap_or_default(),
            own_password: password.map(str::to_owned),
            user: self.user,
            password: self.password,
            login,
        }
    }
}

/// How to connect to a server. Small writes must not wait for each other.
pub(super) fn server(host: &str, port: u16, tls: bool, login: RedisConnectionInfo) -> Option<ConnectionInfo> {
    let host = host.to_owned();
    let address = match tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    };
    let info = address.into_connection_info().ok()?;
    Some(info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Whether TLS, and whether Sentinel. RFC 3986 section 3.1: schemes are compared without case.
fn read_scheme(scheme: &str) -> Result<(bool, bool), Wrong> {
    match scheme.to_ascii_lowercase().as_str() {
        "redis" => Ok((false, false)),
        "rediss" => Ok((true, false)),
        "redis+sentinel" => Ok((false, true)),
        "rediss+sentinel" => Ok((true, true)),
        "unix" | "redis+unix" | "valkey+unix" => Err((
            "the URL names a socket in the file system",
            "let Redis listen on 127.0.0.1, and write redis://127.0.0.1:6379/0",
        )),
        _ => Err(("the URL's scheme is not one of Redis", FORMS)),
    }
}

fn read_user(text: &str) -> Result<(Option<String>, Option<String>), Wrong> {
    match text.split_once(':') {
        Some((user, password)) if !password.is_empty() => {
            let user = Some(decode(user)?).filter(|user| !user.is_empty());
            Ok((user, Some(decode(password)?)))
        }
        Some(_) => Err(("the password is empty", PASSWORD)),
        None => Err(("a user without a password", PASSWORD)),
    }
}

fn read_hosts(text: &str, sentinel: bool) -> Result<Vec<(String, u16)>, Wrong> {
    if text.is_empty() {
        return Err(("the URL names no host", FORMS));
    }
    if !sentinel && text.contains(',') {
        return Err((
            "the URL names several hosts",
            "for Sentinels write redis+sentinel://host,host/service; for a cluster write a list, one URL for each node",
        ));
    }
    let default = if sentinel { SENTINEL_PORT } else { REDIS_PORT };
    let mut hosts = Vec::new();
    for one in text.split(',') {
        let host = read_host(one, default)?;
        if hosts.contains(&host) {
            return Err(("the same Sentinel twice", "delete one of them"));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

fn read_host(text: &str, default: u16) -> Result<(String, u16), Wrong> {
    let wrong = (
        "the host is neither a name nor an address",
        "write a name, an IPv4 address, or an IPv6 address in brackets: [::1]",
    );
    let bracketed = text.starts_with('[') && text.contains(']');
    if !bracketed && (text.contains(['[', ']']) || text.matches(':').count() > 1) {
        return Err(wrong);
    }
    let name_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match text.get(name_end..).and_then(|rest| rest.find(':')) {
        Some(colon) => text.split_at_checked(name_end + colon).unwrap_or((text, "")),
        None => (text, ""),
    };
    if host.is_empty() {
        return Err(("the URL names no host", FORMS));
    }
    let port = port.strip_prefix(':').map_or(Ok(default), read_port)?;
    // The name is the one that a certificate is compared with, so it must be one that can stand there.
    let host = match Host::parse(host).map_err(|_| wrong)? {
        Host::Domain(name) => name,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    if ServerName::try_from(host.as_str()).is_err() {
        return Err(wrong);
    }
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        return Err((
            "the host means every address of a machine",
            "write the address that Redis has, such as 127.0.0.1",
        ));
    }
    Ok((host, port))
}

fn read_port(digits: &str) -> Result<u16, Wrong> {
    let port = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let port = port.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0);
    port.ok_or((
        "the port is not a number from 1 to 65535",
        "write one that is, or leave it out with its colon",
    ))
}

/// Service and database, after the hosts.
fn read_tail(tail: &str, sentinel: bool) -> Result<(Option<String>, i64), Wrong> {
    if tail.contains('#') {
        return Err((
            "the URL has a fragment",
            "delete # and what follows; certificates are always verified (SSL_CERT_FILE names other authorities than the system's); in a \
             password write %23",
        ));
    }
    if tail.contains('?') {
        return Err((
            "the URL has query parameters, and none is known",
            "delete ? and what follows: a database is the path's last part, a Sentinel's password is sentinel_password_file; in a \
             password write %3F",
        ));
    }
    let path = tail.strip_prefix('/').unwrap_or(tail);
    if !sentinel {
        return Ok((None, read_database(path)?));
    }
    let (service, database) = path.split_once('/').unwrap_or((path, ""));
    let help =
        "write what sentinel.conf calls it after \"sentinel monitor\": redis+sentinel://host:26379/service";
    if service.is_empty() {
        return Err(("the URL names no service", help));
    }
    let service = decode(service)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // Sentinel takes no other names (`sentinel monitor`).
    if !service.bytes().all(allowed) {
        return Err((
            "the service has a name that no Sentinel takes",
            "use letters, digits, \".\", \"-\" and \"_\" alone",
        ));
    }
    Ok((Some(service), read_database(database)?))
}

fn read_database(text: &str) -> Result<i64, Wrong> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok()).filter(|number| *number <= MAX_DATABASE);
    number.ok_or(("the database is not a number from 0 to 2147483647", DATABASE))
}

/// Percent-decoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Result<String, Wrong> {
    let wrong = ("the percent-encoding is broken", ENCODE);
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(wrong);
        let value = digit()? << 4 | digit()?;
        decoded.push(u8::try_from(value).map_err(|_| wrong)?);
    }
    String::from_utf8(decoded).map_err(|_| wrong)
}

#[cfg(test)]
mod tests;

//! Who sent a request, as far as we believe it.

use super::Peer;
use crate::certificate::{Absence, Shown};
use http::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// Who sent a request, as far as we believe it.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The TCP peer is a proxy that may speak for others.
    pub trusted: bool,
    /// Whether the peer speaks TLS to us.
    pub tls: bool,
    /// The TCP peer's address.
    pub peer: IpAddr,
    /// The certificate of the client, as far as somebody who is believed says that it is the client's.
    pub certificate: Shown,
}

impl Sender {
    /// The sender behind this peer, so far without a certificate; `trusted` are the proxies of its listener.
    pub fn of(peer: &Peer, trusted: &[IpNet]) -> Self {
        let address = peer.address.ip().to_canonical();
        let trusted = trusted.iter().any(|network| network.contains(&address));
        Self { trusted, tls: peer.tls, peer: address, certificate: Err(Absence::NotAsked) }
    }

    /// The same where the peer, which is believed, names the other end of its own connection.
    #[must_use]
    pub fn behind(self, peer: IpAddr, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        Self { peer, trusted: trusted.iter().any(|network| network.contains(&peer)), ..self }
    }

    /// The client's address: the peer's, or the last one in `X-Forwarded-For` that a trusted proxy vouches for and that is no proxy itself.
    pub fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        if !self.trusted {
            return self.peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        hops.reverse();
        let mut client = self.peer;
        for hop in hops {
            match hop.parse() {
                Ok(address) if trusted.iter().any(|network| network.contains(&address)) => client = address,
                Ok(address) => return address,
                Err(_) => return client,
            }
        }
        client
    }
}

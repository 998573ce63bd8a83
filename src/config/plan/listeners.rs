//! Listeners.

use super::{ListenAddress, ListenerMode, ListenerPlan, Surroundings, client_certificates, files, names};
use crate::config::document::{Document, Listener};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::names::{ListenerId, Register};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

type Text = Spot<String>;

/// The listeners.
pub(super) fn plan(
    document: &Document,
    around: &Surroundings<'_>,
    ids: &mut Register<ListenerId>,
    findings: &mut Findings,
) -> Vec<ListenerPlan> {
    client_certificates::warn_of_none(document, findings);
    let Some(listeners) = &document.listeners else { return Vec::new() };
    if listeners.is_empty() {
        findings.problem(
            &listeners.place,
            "there is no listener",
            "add one: \"- name: public\" and \"address: 0.0.0.0:8443\"",
        );
    }
    names::check("listener", listeners.items.iter().map(|listener| &listener.name), findings);
    listeners.items.iter().filter_map(|listener| one(listener, document, around, ids, findings)).collect()
}

fn one(
    listener: &Listener,
    document: &Document,
    around: &Surroundings<'_>,
    ids: &mut Register<ListenerId>,
    findings: &mut Findings,
) -> Option<ListenerPlan> {
    let address = listener.address.as_ref().and_then(|text| Some((text, listen_address(text, findings)?)));
    let tls = listener.tls.as_ref().map(|tls| files::tls(tls, around, findings));
    let trusted_proxies: Vec<IpNet> =
        listener.trusted_proxies.items.iter().filter_map(|text| network(text, findings)).collect();
    let certificate_field = client_certificates::field(listener, document, findings);
    who_is_trusted(listener, findings);
    let (text, address) = address?;
    if listener.tls.is_none() {
        warn_of_plain_http(text, &address, findings);
    }
    let name = listener.name.as_ref()?.value.clone();
    let mode = listener.mode.value;
    Some(ListenerPlan {
        id: ids.id(&name),
        name,
        mode,
        address,
        tls: tls.flatten(),
        certificate_field,
        trusted_proxies,
    })
}

/// Who is trusted says what a client asked for, or which certificate it showed: nobody by default, and not a whole data centre.
fn who_is_trusted(listener: &Listener, findings: &mut Findings) {
    let says = match (listener.mode.value, &listener.client_certificate) {
        (ListenerMode::ForwardAuth | ListenerMode::ExtAuthzGrpc, _) => "what a client asked for",
        (ListenerMode::Proxy, Some(_)) => "which certificate a client has",
        (ListenerMode::Proxy, None) => return,
    };
    if listener.mode.value != ListenerMode::Proxy && listener.trusted_proxies.is_empty() {
        findings.problem(
            &listener.trusted_proxies.place,
            "a listener that answers other proxies trusts none of them",
            "name the networks they ask from: \"trusted_proxies: [127.0.0.1/32]\"",
        );
    }
    for text in &listener.trusted_proxies.items {
        let wide = |network: IpNet| match network {
            IpNet::V4(network) => network.prefix_len() < 24,
            IpNet::V6(network) => network.prefix_len() < 64,
        };
        if text.value.parse().is_ok_and(wide) {
            let what = format!("{} is a wide network: whoever is in it can say {says}", text.shown());
            findings.warn(
                &text.place,
                what,
                "name the front proxies alone, in networks of at least /24 (IPv6: /64)",
            );
        }
    }
}

/// Whether anything is forwarded: unless every listener is for decisions.
pub(super) fn forward(document: &Document) -> bool {
    let mut listeners = document.listeners.iter().flat_map(|list| &list.items).peekable();
    listeners.peek().is_none() || listeners.any(|listener| listener.mode.value == ListenerMode::Proxy)
}

fn warn_of_plain_http(text: &Text, address: &ListenAddress, findings: &mut Findings) {
    let (what, help) = match address {
        ListenAddress::Own(address) if address.ip().is_loopback() => return,
        ListenAddress::Own(address) => (
            format!("plain HTTP on {address}: tokens and proofs can be read on the way"),
            "add tls, or listen on 127.0.0.1 behind a front that ends TLS",
        ),
        ListenAddress::Systemd(name) => (
            format!(
                "plain HTTP on {SYSTEMD}{name}: unless systemd listens on loopback for it, tokens and proofs can be read on the way"
            ),
            "add tls, or write ListenStream=127.0.0.1:PORT behind a front that ends TLS",
        ),
    };
    findings.warn(&text.place, what, help);
}

/// What stands before the name of sockets that systemd hands over.
pub(super) const SYSTEMD: &str = "systemd:";

fn listen_address(text: &Text, findings: &mut Findings) -> Option<ListenAddress> {
    let Some(name) = text.value.strip_prefix(SYSTEMD) else {
        return socket_address(text, findings).map(ListenAddress::Own);
    };
    // What FileDescriptorName= takes (systemd.socket(5)).
    let fits = |byte: u8| byte != b':' && (byte == b' ' || byte.is_ascii_graphic());
    if !(1..=255).contains(&name.len()) || !name.bytes().all(fits) {
        let what = format!("{} names no socket of systemd", text.shown());
        let help = "write systemd:NAME with the name that FileDescriptorName= has in the .socket unit, without a colon";
        findings.problem(&text.place, what, help);
        return None;
    }
    Some(ListenAddress::Systemd(name.to_owned()))
}

pub(super) fn socket_address(text: &Text, findings: &mut Findings) -> Option<SocketAddr> {
    let address = text.value.parse();
    if address.is_err() {
        let help = match text.value.rsplit_once(':') {
            _ if text.value.parse::<IpAddr>().is_ok() => "add a port: 0.0.0.0:8443 or [::]:8443",
            Some(("localhost", _)) => "write the address: 127.0.0.1 or [::1] instead of localhost",
            Some(("" | "*", _)) => "name every address as 0.0.0.0:8443 or [::]:8443",
            _ => "write an IP address and a port: 0.0.0.0:8443 or [::]:8443",
        };
        findings.problem(&text.place, format!("{} is not an address to listen on", text.shown()), help);
    }
    address.ok()
}

/// A network; a single address is the network of itself.
fn network(text: &Text, findings: &mut Findings) -> Option<IpNet> {
    if let Ok(address) = text.value.parse::<IpAddr>() {
        return Some(address.into());
    }
    match text.value.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Some(network),
        Ok(network) => {
            let what = format!("{} has bits beyond its prefix", text.shown());
            findings.problem(
                &text.place,
                what,
                format!("write {} for the network, or the address alone", network.trunc()),
            );
            None
        }
        Err(_) => {
            let help = "write it as 10.0.0.0/8, 2001:db8::/32, or a single address";
            findings.problem(&text.place, format!("{} is not a network", text.shown()), help);
            None
        }
    }
}

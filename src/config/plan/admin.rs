//! The admin address: where it is, and for whom.

use super::listeners::{SYSTEMD, socket_address};
use super::{AdminPlan, files, names};
use crate::config::document::{Admin, Document};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::headers::is_token68;
use crate::jose::Password;
use crate::uri::{Origin, Scheme};
use std::net::{IpAddr, SocketAddr};

type Text = Spot<String>;

/// How long a token is that nobody guesses, in bytes.
const LONG: usize = 32;

/// Where it listens, which is no listener's address, and who may ask.
pub(super) fn plan(document: &Document, files: &Files<'_>, findings: &mut Findings) -> Option<AdminPlan> {
    let Admin { address, token_file, hosts, .. } = &document.admin;
    names::distinct(hosts, "delete the key: IP addresses and localhost are always taken", findings);
    let hosts = hosts.items.iter().filter_map(|text| host(text, findings)).collect();
    let token = token_file.as_ref().and_then(|name| token(name, files, findings));
    let address = free_address(address, document, findings)?;
    Some(AdminPlan { address, token, hosts })
}

/// The token that is one line of the file.
fn token(name: &Text, files: &Files<'_>, findings: &mut Findings) -> Option<Password> {
    let (_, contents) = files::read(name, files, findings)?;
    let help = "write one line of letters, digits and -._~+/ (openssl rand -hex 32)";
    let text = str::from_utf8(&contents).ok().map(str::trim_ascii).filter(|text| is_token68(text));
    let Some(text) = text else {
        let what = format!("{} holds no token that can be sent as Bearer", name.path());
        findings.problem(&name.place, what, help);
        return None;
    };
    if text.len() < LONG {
        let what =
            format!("the token in {} has fewer than {LONG} characters: it may be guessed", name.path());
        findings.warn(&name.place, what, help);
    }
    Some(Password::new(text.as_bytes()))
}

/// `host` or `host:port`, in lower case.
fn host(text: &Text, findings: &mut Findings) -> Option<String> {
    let Ok(origin) = Origin::from_authority(Scheme::Http, &text.value) else {
        let help = "write a host as gateway.internal, or with a port as gateway.internal:9901";
        findings.problem(&text.place, format!("{} is no host", text.shown()), help);
        return None;
    };
    let is_address = origin.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_address || origin.host() == "localhost" {
        let what = format!("{} need not be listed", text.shown());
        findings.warn(&text.place, what, "delete it: IP addresses and localhost are always taken");
    }
    let named_port = text.value.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    Some(if named_port { format!("{}:{}", origin.host(), origin.port()) } else { origin.host().to_owned() })
}

fn free_address(admin: &Text, document: &Document, findings: &mut Findings) -> Option<SocketAddr> {
    let mut seen: Vec<(&Text, SocketAddr)> = Vec::new();
    let listeners = document.listeners.iter().flat_map(|list| &list.items);
    let mut names: Vec<&Text> = Vec::new();
    for text in listeners.filter_map(|listener| listener.address.as_ref()) {
        if text.value.starts_with(SYSTEMD) {
            if let Some(other) = names.iter().find(|other| other.value == text.value) {
                let what = format!("{} is taken by {}", text.shown(), other.place.path);
                findings.problem(&text.place, what, "give each listener sockets of its own");
            }
            names.push(text);
        }
        let Ok(address) = text.value.parse::<SocketAddr>() else { continue };
        match seen.iter().find(|(_, other)| clash(address, *other)) {
            Some((other, _)) => {
                let what = format!("{address} is taken by {}", other.place.path);
                findings.problem(&text.place, what, "give each listener its own port");
            }
            None => seen.push((text, address)),
        }
    }
    let address = socket_address(admin, findings)?;
    if let Some((other, _)) = seen.iter().find(|(_, other)| clash(address, *other)) {
        // Where the admin address is the default, the listener's line is the one to show.
        let place = if admin.place.given { &admin.place } else { &other.place };
        let what = format!("the admin address {address} and {} cannot both listen there", other.place.path);
        findings.problem(place, what, "give one of them another port");
    }
    Some(address)
}

/// Whether the operating system would refuse the second: the same port, and the same address or every address. Port 0 is any free one.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let is_within = |inner: SocketAddr, outer: SocketAddr| {
        // `[::]` takes IPv4 too.
        outer.ip().is_unspecified() && (outer.is_ipv6() || inner.is_ipv4())
    };
    one.port() != 0
        && one.port() == other.port()
        && (one.ip().to_canonical() == other.ip().to_canonical()
            || is_within(one, other)
            || is_within(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener on `[::]` takes IPv4 too, so that another one for IPv4 could never be bound.
    #[test]
    fn addresses_clash_where_the_system_would_refuse_the_second() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((clash(one, other), clash(other, one)), (expected, expected), "{one} {other}");
        }
    }
}

//! Client certificates: which of them a listener takes, and in which field a front may name one.

use super::files;
use crate::certificate::{Authorities, CertificateField, ClientCertificates, Format};
use crate::config::document::{ClientCertificate, Document, Listener, Tls, Token};
use crate::config::plan::ListenerMode;
use crate::config::problem::Findings;
use crate::config::reading::Files;
use crate::headers::{letters_and_digits, may_carry_certificate};
use http::HeaderName;

/// Which certificates the clients of this listener may show.
pub(super) fn asked(tls: &Tls, files: &Files<'_>, findings: &mut Findings) -> Option<ClientCertificates> {
    if let (Some(any), Some(authorities)) = (&tls.client_certificates, &tls.client_ca) {
        let what = format!("client_certificates contradicts client_ca on line {}", authorities.place.line);
        let help = "keep client_ca where authorities are to vouch for clients, or client_certificates where only the thumbprint counts";
        findings.problem(&any.place, what, help);
    }
    match (&tls.client_ca, &tls.client_certificates) {
        (Some(name), _) => {
            files::authorities(name, files, findings).map(Authorities::new).map(ClientCertificates::Of)
        }
        (None, Some(_)) => Some(ClientCertificates::Any),
        (None, None) => Some(ClientCertificates::NotAsked),
    }
}

/// The field in which a front may name its client's certificate.
pub(super) fn field(
    listener: &Listener,
    document: &Document,
    findings: &mut Findings,
) -> Option<CertificateField> {
    let section = listener.client_certificate.as_ref()?;
    who_is_believed(section, listener, findings);
    let (header, format) = (&section.header, section.format.value);
    if format != Format::Rfc9440 && !header.place.given {
        let what = "only the format rfc9440 has a header of its own";
        let help = "add \"header: …\": the name under which the front sends it";
        findings.problem(&section.format.place, what, help);
    }
    let name = HeaderName::from_bytes(header.value.as_bytes()).ok();
    let name = name.filter(|name| letters_and_digits(name.as_str()).next().is_some());
    if name.is_none() {
        let help = "use letters, digits and \"-\", as Client-Cert";
        findings.problem(&header.place, format!("{} is not a header name", header.shown()), help);
    } else if !may_carry_certificate(&header.value) {
        let what = format!("{} has a meaning of its own and cannot carry a certificate", header.shown());
        findings.problem(&header.place, what, "use another name, such as Client-Cert");
    } else if let Some(route) = route_with(&header.value, document) {
        let what = format!("{} is an identity header of route \"{route}\"", header.shown());
        findings.problem(&header.place, what, "use another name for one of them");
    }
    Some(CertificateField { name: name?, format })
}

fn who_is_believed(section: &ClientCertificate, listener: &Listener, findings: &mut Findings) {
    if listener.trusted_proxies.is_empty() && listener.mode.value == ListenerMode::Proxy {
        findings.problem(
            &section.place,
            "client_certificate is believed from nobody: there are no trusted_proxies",
            "name the fronts that end TLS: \"trusted_proxies: [10.0.0.5/32]\"",
        );
    }
    if listener.mode.value == ListenerMode::ExtAuthzGrpc {
        findings.warn(
            &section.place,
            "client_certificate is not used here: Envoy sends the certificate in the question itself",
            "delete it, and tell Envoy include_peer_certificate: true",
        );
    }
}

/// A route that sets an identity header of this name, in any spelling.
fn route_with<'d>(header: &str, document: &'d Document) -> Option<&'d str> {
    let is_it = |name: &str| letters_and_digits(name).eq(letters_and_digits(header));
    let mut routes = document.routes.iter().flat_map(|routes| &routes.items);
    let route =
        routes.find(|route| route.identity.headers.items.iter().any(|(name, _)| is_it(&name.value)))?;
    Some(route.name.as_ref().map_or("", |name| &name.value))
}

/// Warns of routes that take tokens which are bound to a certificate where no request can bring one.
///
/// It is no problem: such a route may wait for its listener, and where it takes other tokens too it works. But whoever sends it a token of that
/// kind is refused for certain.
pub(super) fn warn_of_none(document: &Document, findings: &mut Findings) {
    let mut listeners = document.listeners.iter().flat_map(|list| &list.items).peekable();
    if listeners.peek().is_none() || listeners.any(brings_certificates) {
        return;
    }
    for route in document.routes.iter().flat_map(|list| &list.items) {
        if let Some(token) = route.accept.items.iter().find(|token| token.value == Token::Mtls) {
            let what =
                "no listener can bring a client certificate: every token that is bound to one is refused";
            let help = "add client_ca or client_certificates to a listener's tls, or client_certificate where a front ends TLS";
            findings.warn(&token.place, what, help);
        }
    }
}

fn brings_certificates(listener: &Listener) -> bool {
    let in_handshake =
        listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some() || tls.client_certificates.is_some());
    match listener.mode.value {
        ListenerMode::Proxy => in_handshake || listener.client_certificate.is_some(),
        ListenerMode::ForwardAuth => listener.client_certificate.is_some(),
        ListenerMode::ExtAuthzGrpc => true,
    }
}

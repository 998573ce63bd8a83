//! What is wrong with a listener's certificate: what rustls would refuse to serve, and what clients would refuse to take.
//!
//! Clients' rules are asked of webpki itself, which rustls' clients use. They are warnings: not every client is as strict, and a listener may
//! stand behind a front that does not look.

use super::Surroundings;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::uri::{Origin, Scheme};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use std::time::{Duration, SystemTime};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

type Text = Spot<String>;

const MAKE_ONE: &str = "to make one: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout tls.key -out tls.crt -subj /CN=HOST \
     -addext subjectAltName=DNS:HOST -addext basicConstraints=critical,CA:FALSE";

/// Whether the leaf can be served at all.
pub(super) fn servable(name: &Text, chain: &[CertificateDer<'_>], findings: &mut Findings) -> bool {
    let (what, help) = match chain.first().map(EndEntityCert::try_from) {
        Some(Ok(_)) => return true,
        Some(Err(Error::UnsupportedCertVersion)) => (
            "is an X.509 certificate of version 1, which TLS does not take",
            format!(
                "have it made anew with version 3 (RFC 5280), which names its hosts in subjectAltName; {MAKE_ONE}"
            ),
        ),
        _ => (
            "holds no valid certificate",
            "name a PEM file with \"-----BEGIN CERTIFICATE-----\" blocks, the listener's own first"
                .to_owned(),
        ),
    };
    findings.problem(&name.place, format!("{} {what}", name.path()), help);
    false
}

/// Why the key does not fit the leaf.
pub(super) fn foreign_key(pair: &CertifiedKey) -> (String, &'static str) {
    let fits = |certificate: &CertificateDer<'static>| {
        let alone = CertifiedKey { cert: vec![certificate.clone()], key: pair.key.clone(), ocsp: None };
        alone.keys_match().is_ok()
    };
    match pair.cert.iter().position(fits) {
        Some(place) => (
            format!(
                "the private key belongs to certificate {} of the chain: the chain is in the wrong order",
                place.saturating_add(1)
            ),
            "put the listener's own certificate first, then the one that issued it, and so on",
        ),
        None => (
            "the private key does not belong to the certificate".to_owned(),
            "name the key that the certificate was made for; the listener's own certificate comes first in the chain",
        ),
    }
}

/// Warns of what clients would refuse.
pub(super) fn note(
    name: &Text,
    chain: &[CertificateDer<'_>],
    around: &Surroundings<'_>,
    findings: &mut Findings,
) {
    let Some((first, others)) = chain.split_first() else { return };
    let Ok(leaf) = EndEntityCert::try_from(first) else { return };
    let found = [rules(&leaf, around.now), names(&leaf, around.origins), order(&leaf, others)];
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    if found.is_empty() {
        found.extend(path(&leaf, others, around.now));
    }
    for (what, help) in found {
        findings.warn(&name.place, format!("{} {what}", name.path()), help);
    }
}

type Warning = (String, String);

/// Its validity, and whether it may be a server's.
fn rules(leaf: &EndEntityCert<'_>, now: UnixTime) -> Vec<Warning> {
    let mut found = Vec::new();
    // Without anybody to trust, every rule about the certificate itself is looked at before that is noticed.
    let asked = |at| leaf.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).err();
    let mut answer = asked(now);
    if let Some(Error::CertExpired { not_after, .. }) = answer {
        found.push((format!("has expired: {}", date(not_after)), "renew it".to_owned()));
        answer = asked(not_after);
    } else if let Some(Error::CertNotValidYet { not_before, .. }) = answer {
        let what = format!("is not valid yet: from {} on", date(not_before));
        found.push((what, "wait, or mend this machine's clock".to_owned()));
        answer = asked(not_before);
    }
    match answer {
        Some(Error::CaUsedAsEndEntity) => found.push((
            "is a certification authority's own certificate, which many clients do not take from a server"
                .to_owned(),
            format!(
                "let the authority issue one for the server, or make one that is no authority's; {MAKE_ONE}"
            ),
        )),
        Some(Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension) => found.push((
            "is not meant for TLS servers: its extendedKeyUsage leaves serverAuth out".to_owned(),
            "have it made with extendedKeyUsage=serverAuth".to_owned(),
        )),
        Some(Error::InvalidCertValidity) => {
            found.push((
                "is never valid: it ends before it begins".to_owned(),
                "have it made anew".to_owned(),
            ));
        }
        _ => {}
    }
    found
}

/// Whether it is for a host that clients ask for.
fn names(leaf: &EndEntityCert<'_>, origins: &[Origin]) -> Vec<Warning> {
    let asked: Vec<_> =
        origins.iter().filter(|origin| origin.scheme() == Scheme::Https).map(Origin::host).collect();
    let fits = |host: &&str| {
        // A wildcard in an origin stands for any one label.
        let host = host.trim_matches(['[', ']']).replace('*', "any");
        ServerName::try_from(host).is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    };
    let Some(wanted) = asked.first().filter(|_| !asked.iter().any(fits)) else { return Vec::new() };
    let own: Vec<_> = leaf.valid_dns_names().take(5).collect();
    let what = if own.is_empty() {
        "fits no public origin: it has no host name in subjectAltName, where clients look (RFC 9525 section 6.3)".to_owned()
    } else {
        format!("fits no public origin: it is for {}", own.join(", "))
    };
    vec![(what, format!("have one made for {wanted}, or mend public_origins"))]
}

/// Whether each certificate is followed by the one that issued it (RFC 8446 section 4.4.2 asks for it, and many clients need it).
fn order(leaf: &EndEntityCert<'_>, others: &[CertificateDer<'_>]) -> Vec<Warning> {
    let mut issuer = leaf.issuer().to_vec();
    for (place, certificate) in (2_usize..).zip(others) {
        // An old root has version 1, and clients do not read it anyway.
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { break };
        if certificate.subject() != issuer {
            let what = format!(
                "has a certificate in the wrong place: number {place} did not issue the one before it"
            );
            let help = "put the listener's own certificate first, then the one that issued it, and so on";
            return vec![(what, help.to_owned())];
        }
        issuer = certificate.issuer().to_vec();
    }
    Vec::new()
}

/// Whether the chain holds up to its last certificate, if somebody trusts that.
fn path(leaf: &EndEntityCert<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Vec<Warning> {
    let Some((Ok(anchor), between)) =
        others.split_last().map(|(last, rest)| (anchor_from_trusted_cert(last), rest))
    else {
        return Vec::new();
    };
    let algorithms = default_provider().signature_verification_algorithms.all;
    let anchors = [anchor];
    let verified =
        leaf.verify_for_usage(algorithms, &anchors, between, now, KeyUsage::server_auth(), None, None);
    let what = match verified {
        Ok(_) => return Vec::new(),
        Err(Error::CertExpired { not_after, .. }) => {
            format!("has a certificate in its chain that has expired: {}", date(not_after))
        }
        Err(Error::CertNotValidYet { not_before, .. }) => {
            format!("has a certificate in its chain that is not valid yet: from {} on", date(not_before))
        }
        Err(error) => format!("has a chain that clients do not take ({error:?})"),
    };
    vec![(what, "get the chain anew from who issued the certificate".to_owned())]
}

fn date(time: UnixTime) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs().min(253_402_300_799)))
}

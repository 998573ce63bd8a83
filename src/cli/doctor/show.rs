//! What the user sees: both sides, then what is wrong and what mends it.

use super::answers::{ahead, answered, came_back};
use super::fronts::{ALL, Front};
use super::lines::{bytes, lengths, lines, missing};
use super::mends::{Mend, asking, forwarding, over_grpc};
use super::places::htu_matches;
use super::{Case, Cause, Finding};
use crate::headers::{DPOP, DPOP_NONCE};
use http::header::{AUTHORIZATION, DATE, WWW_AUTHENTICATE};
use std::io::{Result, Write};

/// The whole story.
pub(super) fn case(
    out: &mut impl Write,
    case: &Case,
    findings: &[Finding],
    front: Option<Front>,
) -> Result<()> {
    request(out, case)?;
    headers(out, case)?;
    answer(out, case)?;
    about(out, case)?;
    let front = front.or_else(|| Front::recognised(case));
    for (number, finding) in findings.iter().enumerate() {
        let what = if finding.stops { "" } else { "note: " };
        writeln!(out, "\n{}. {what}{}.", number.saturating_add(1), finding.text)?;
        mends(out, case, finding, front)?;
    }
    verdict(out, case, findings)
}

/// One row: what left and what came, and a mark where they differ.
fn row(out: &mut impl Write, name: &str, left: &str, came: &str, same: bool) -> Result<()> {
    let mark = if same { "" } else { "   <--" };
    writeln!(out, "{name:<16} {left:<36} {came}{mark}")
}

fn compared(out: &mut impl Write, name: &str, left: &str, came: &str) -> Result<()> {
    row(out, name, left, came, left == came)
}

fn request(out: &mut impl Write, case: &Case) -> Result<()> {
    let (sent, seen) = (&case.sent, &case.sighting);
    row(out, "", "sent", "received", true)?;
    let Some(place) = &seen.place else {
        return writeln!(out, "what was asked for  {} {}", sent.method, sent.uri);
    };
    let says = place.scheme.as_deref().unwrap_or("(not said)");
    let path = if sent.uri.path().is_empty() { "/" } else { sent.uri.path() };
    let authority = place.authority.as_deref().unwrap_or("-");
    compared(out, "method", sent.method.as_str(), &place.method)?;
    // What a connection is matters only where origins differ in it alone.
    row(
        out,
        "scheme",
        sent.scheme.as_str(),
        says,
        seen.arrival.mode == "proxy" || place.scheme.as_deref() == Some(sent.scheme.as_str()),
    )?;
    row(out, "authority", sent.origin.authority(), authority, sent.origin.is_authority(authority))?;
    compared(out, "path", path, &place.path)?;
    compared(out, "query", sent.uri.query().unwrap_or("-"), place.query.as_deref().unwrap_or("-"))?;
    row(
        out,
        "htu",
        &sent.htu,
        seen.htu.as_deref().unwrap_or("(none is expected here)"),
        htu_matches(sent, seen),
    )
}

fn headers(out: &mut impl Write, case: &Case) -> Result<()> {
    for name in [AUTHORIZATION, DPOP] {
        let came: Vec<_> = lines(&case.sighting, name.as_str()).iter().map(|line| line.length).collect();
        compared(out, super::lines::title(&name), &bytes(&lengths(&case.sent, &name)), &bytes(&came))?;
    }
    Ok(())
}

fn answer(out: &mut impl Write, case: &Case) -> Result<()> {
    writeln!(out)?;
    row(out, "", "answered", "came back", true)?;
    compared(out, "status", &case.sighting.answered.status.to_string(), case.answer.status.as_str())?;
    for (title, name) in [("DPoP-Nonce", DPOP_NONCE), ("WWW-Authenticate", WWW_AUTHENTICATE)] {
        let (left, came) = (answered(case, &name), came_back(case, &name));
        let told = |all: &[&str]| match all.len() {
            0 => "-".to_owned(),
            1 => "1 line".to_owned(),
            more => format!("{more} lines"),
        };
        row(out, title, &told(&left), &told(&came), left.join(", ") == came.join(", "))?;
    }
    let date = came_back(case, &DATE);
    row(out, "Date", "", date.first().copied().unwrap_or("-"), !date.is_empty())
}

fn about(out: &mut impl Write, case: &Case) -> Result<()> {
    let seen = &case.sighting;
    let arrival = &seen.arrival;
    let trust = if arrival.trusted { "one of trusted_proxies" } else { "none of trusted_proxies" };
    let tls = if arrival.tls { "TLS" } else { "no TLS" };
    writeln!(
        out,
        "\nlistener         {} ({}), from {}, {trust}; {}, {tls}",
        arrival.listener, arrival.mode, arrival.peer, arrival.protocol
    )?;
    writeln!(out, "route            {}", seen.route.as_deref().unwrap_or("-"))?;
    writeln!(out, "public_origins   {}", seen.origins.join(" "))?;
    let mut names: Vec<_> = seen.headers.iter().map(|field| field.name.as_str()).collect();
    // In the order of the alphabet: some fronts send them in another order each time.
    names.sort_unstable();
    writeln!(out, "headers          {}", names.join(", "))?;
    let missing = missing(&case.sent, seen);
    if !missing.is_empty() {
        writeln!(out, "not passed on    {}", missing.join(", "))?;
    }
    let ahead = ahead(case);
    let which = if ahead < 0.0 { "behind" } else { "ahead of" };
    writeln!(
        out,
        "clock            the gateway's is {:.1} s {which} the one here; iat may be {} s old and {} s ahead",
        ahead.abs(),
        seen.window.max_age,
        seen.window.leeway
    )
}

/// What to change, for the front that it is, or for each.
fn mends(out: &mut impl Write, case: &Case, finding: &Finding, front: Option<Front>) -> Result<()> {
    if let Some(line) = own(case, finding.cause) {
        writeln!(out, "   keyproof: {line}")?;
    }
    let mode = case.sighting.arrival.mode.as_str();
    let mend = |front| match mode {
        "proxy" => forwarding(finding.cause, front),
        "ext_authz_grpc" => over_grpc(finding.cause),
        _ => asking(finding.cause, front),
    };
    // Nobody else asks over gRPC.
    let front = if mode == "ext_authz_grpc" { Some(Front::Envoy) } else { front };
    let fronts = front.as_ref().map_or(&ALL[..], std::slice::from_ref);
    for front in fronts {
        let name = front.name();
        match mend(*front) {
            Some(Mend::Write(place, line)) => writeln!(out, "   {name}, {place}: {line}")?,
            Some(Mend::Without(place, line)) => writeln!(out, "   {name}, {place}: without {line}")?,
            Some(Mend::Know(text)) => writeln!(out, "   {name}: {text}")?,
            None => {}
        }
    }
    Ok(())
}

/// What to change in keyproof's own configuration.
fn own(case: &Case, cause: Cause) -> Option<String> {
    let seen = &case.sighting;
    let forwards = seen.arrival.mode == "proxy";
    match cause {
        Cause::Untrusted => {
            let width = if seen.arrival.peer.contains(':') { 128 } else { 32 };
            Some(format!("trusted_proxies: [{}/{width}]    # of the listener {}", seen.arrival.peer, seen.arrival.listener))
        }
        Cause::Origin => Some(format!("public_origins: [\"{}\"]", case.sent.origin)),
        Cause::PrefixStripped if forwards => {
            Some("strip_prefix of the route takes it off after the proof was checked".to_owned())
        }
        Cause::Scheme if forwards => {
            Some(format!("public_origins: [\"{}\"]    # without the one that differs in scheme alone", case.sent.origin))
        }
        Cause::Host if forwards => Some(
            "or, where the front must rewrite it, trusted_proxies of the listener and X-Forwarded-Host by the front".to_owned(),
        ),
        Cause::Host
        | Cause::Port
        | Cause::PrefixStripped
        | Cause::PrefixAdded
        | Cause::Path
        | Cause::Scheme
        | Cause::Method
        | Cause::Query
        | Cause::ProofLost
        | Cause::ProofJoined
        | Cause::AuthorizationLost
        | Cause::NonceLost
        | Cause::ChallengeLost
        | Cause::ExposedLost
        | Cause::DateLost
        | Cause::Obeyed
        | Cause::Status
        | Cause::AskedTwice
        | Cause::Described
        | Cause::Route
        | Cause::Token
        | Cause::Clock => None,
    }
}

fn verdict(out: &mut impl Write, case: &Case, findings: &[Finding]) -> Result<()> {
    let text = if !htu_matches(&case.sent, &case.sighting) {
        "htu cannot match: as it is, no proof can pass."
    } else if findings.iter().any(|finding| finding.stops) {
        "htu could match, but as it is no proof can pass."
    } else {
        "htu can match."
    };
    writeln!(out, "\n{text}")?;
    if case.sighting.arrival.mode != "proxy" && case.sent.method == http::Method::GET {
        writeln!(
            out,
            "A front that says GET whatever the client asks shows with another method: --method POST."
        )?;
    }
    Ok(())
}

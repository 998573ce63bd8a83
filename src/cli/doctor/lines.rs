//! Which header lines came, and which were joined, renamed or lost.

use super::sent::Sent;
use super::{Cause, Finding};
use crate::doctor::{Field, Line, Sighting};
use crate::headers::{DPOP, letters_and_digits};
use http::HeaderName;
use http::header::AUTHORIZATION;

/// What is wrong with the two header fields that a proof needs.
pub(super) fn findings(sent: &Sent, seen: &Sighting) -> Vec<Finding> {
    let proof = proof(sent, seen);
    let token = lost(sent, seen, &AUTHORIZATION, Cause::AuthorizationLost).or_else(|| token(sent, seen));
    proof.into_iter().chain(token).collect()
}

/// The lines of a field, as they came.
pub(super) fn lines<'s>(seen: &'s Sighting, name: &str) -> &'s [Line] {
    seen.headers.iter().find(|field| field.name == name).map_or(&[], |field| &field.lines)
}

/// How long the lines of a field were when they left.
pub(super) fn lengths(sent: &Sent, name: &HeaderName) -> Vec<usize> {
    sent.headers.get_all(name).iter().map(|line| line.len()).collect()
}

/// The names of the fields that were sent and did not come, but for those that have a finding of their own.
pub(super) fn missing(sent: &Sent, seen: &Sighting) -> Vec<String> {
    let names = sent.headers.keys().filter(|name| **name != DPOP && **name != AUTHORIZATION);
    names.filter(|name| lines(seen, name.as_str()).is_empty()).map(ToString::to_string).collect()
}

fn lost(sent: &Sent, seen: &Sighting, name: &HeaderName, cause: Cause) -> Option<Finding> {
    if !lines(seen, name.as_str()).is_empty() {
        return None;
    }
    let title = title(name);
    let text = match renamed(sent, seen, name) {
        Some(other) => format!("{title} is renamed on the way: it came as {other}"),
        None => format!("{title} is dropped on the way"),
    };
    Some(Finding { cause, stops: true, text })
}

/// The field that looks like the one that was lost: of the same length, or with its name in its own.
fn renamed<'s>(sent: &Sent, seen: &'s Sighting, name: &HeaderName) -> Option<&'s str> {
    let expected = lengths(sent, name);
    let own: Vec<u8> = letters_and_digits(name.as_str()).collect();
    let is_new = |field: &&Field| !sent.headers.contains_key(field.name.as_str());
    let is_it = |field: &&Field| {
        let letters: Vec<u8> = letters_and_digits(&field.name).collect();
        letters.windows(own.len()).any(|part| part == own)
            || field.lines.iter().any(|line| expected.contains(&line.length) && line.length > 64)
    };
    seen.headers.iter().filter(is_new).find(is_it).map(|field| field.name.as_str())
}

/// What became of the two lines.
fn proof(sent: &Sent, seen: &Sighting) -> Option<Finding> {
    if let Some(lost) = lost(sent, seen, &DPOP, Cause::ProofLost) {
        return Some(lost);
    }
    let expected = lengths(sent, &DPOP);
    let came = lines(seen, DPOP.as_str());
    let lengths: Vec<_> = came.iter().map(|line| line.length).collect();
    let (&[first, second], came) = (expected.as_slice(), came) else { return None };
    let joined = |line: &Line| {
        line.length > first.saturating_add(second)
            && (line.commas.contains(&first) || line.commas.contains(&second))
    };
    let (stops, text) = match lengths.as_slice() {
        same if *same == [first, second] || *same == [second, first] => return None,
        _ if came.iter().any(joined) => {
            let text = "two DPoP lines are joined into one on the way, with a comma: the gateway refuses it as more than one proof, as it would refuse two. A client that sends one is not concerned";
            (false, text.to_owned())
        }
        [one] if *one == first || *one == second => {
            let which = if *one == first { "first" } else { "second" };
            let text = format!(
                "of two DPoP lines only the {which} arrives: what the gateway would refuse is hidden from it. A client that sends one is not concerned"
            );
            (false, text)
        }
        more if more.len() > 2 => (true, format!("a DPoP line is added on the way: {} came", more.len())),
        _ => {
            (true, format!("DPoP is changed on the way: {}, and {} left", bytes(&lengths), bytes(&expected)))
        }
    };
    Some(Finding { cause: if stops { Cause::ProofLost } else { Cause::ProofJoined }, stops, text })
}

fn token(sent: &Sent, seen: &Sighting) -> Option<Finding> {
    let expected = lengths(sent, &AUTHORIZATION);
    let came: Vec<_> = lines(seen, AUTHORIZATION.as_str()).iter().map(|line| line.length).collect();
    let text =
        format!("Authorization is changed on the way: {} came, and {} left", bytes(&came), bytes(&expected));
    (came != expected).then_some(Finding { cause: Cause::AuthorizationLost, stops: true, text })
}

/// Lengths in words.
pub(super) fn bytes(lengths: &[usize]) -> String {
    let each: Vec<_> = lengths.iter().map(ToString::to_string).collect();
    match each.as_slice() {
        [] => "nothing".to_owned(),
        [one] => format!("{one} bytes"),
        all => format!("{} lines, {} bytes", all.len(), all.join(" and ")),
    }
}

/// The name as people write it.
pub(super) fn title(name: &HeaderName) -> &'static str {
    if *name == DPOP { "DPoP" } else { "Authorization" }
}

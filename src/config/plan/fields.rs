//! Header fields that a route removes and sets: which those may be, and what they are set to.

use super::{FieldPlan, files};
use crate::config::document::{Document, FieldChanges};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::headers::letters_and_digits;
use http::{HeaderName, HeaderValue};

type Text = Spot<String>;

/// Fields that say where a message ends, whom it is for, or what becomes of the connection, by their letters.
const NEVER: [&[u8]; 13] = [
    b"connection",
    b"contentlength",
    b"host",
    b"http2settings",
    b"keepalive",
    b"proxyauthenticate",
    b"proxyauthenticationinfo",
    b"proxyauthorization",
    b"proxyconnection",
    b"te",
    b"trailer",
    b"transferencoding",
    b"upgrade",
];

/// The changes that a route makes to the fields of its requests or answers.
pub(super) fn plan(
    changes: &FieldChanges,
    document: &Document,
    files: &Files<'_>,
    findings: &mut Findings,
) -> FieldPlan {
    let mut plan = FieldPlan::default();
    for text in &changes.remove.items {
        plan.remove.extend(name(text, document, findings));
    }
    for (field, text) in &changes.set.0.items {
        let help = "write visible characters, spaces between them, and no line ends";
        let value =
            value(text.value.as_bytes()).ok_or_else(|| format!("{} cannot be a field's value", text.shown()));
        set(&mut plan, field, value, &text.place, help, document, findings);
    }
    for (field, file) in &changes.set_file.items {
        let Some((_, contents)) = files::read(file, files, findings) else { continue };
        let line = contents.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        let value =
            value(line).ok_or_else(|| format!("the first line of {} cannot be a field's value", file.path()));
        set(
            &mut plan,
            field,
            value,
            &file.place,
            "write it as one line of visible characters",
            document,
            findings,
        );
    }
    plan
}

fn set(
    plan: &mut FieldPlan,
    field: &Text,
    value: Result<HeaderValue, String>,
    place: &crate::config::problem::Position,
    help: &str,
    document: &Document,
    findings: &mut Findings,
) {
    let name = name(field, document, findings);
    match (name, value) {
        (Some(name), Ok(_)) if plan.set.iter().any(|(other, _)| *other == name) => {
            findings.problem(&field.place, format!("{} is set twice", field.shown()), "delete one of them");
        }
        (Some(name), Ok(value)) => plan.set.push((name, value)),
        (_, Err(what)) => findings.problem(place, what, help),
        (None, Ok(_)) => {}
    }
}

/// A value that is none of anybody's business but the receiver's. An empty one is a missing secret.
fn value(text: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text).ok().filter(|_| !text.trim_ascii().is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

fn name(text: &Text, document: &Document, findings: &mut Findings) -> Option<HeaderName> {
    let letters: Vec<u8> = letters_and_digits(&text.value).collect();
    let routes = document.routes.iter().flat_map(|routes| &routes.items);
    let is_identity = routes
        .flat_map(|route| &route.identity.headers.items)
        .any(|(name, _)| letters_and_digits(&name.value).eq(letters.iter().copied()));
    let Ok(name) = HeaderName::from_bytes(text.value.as_bytes()) else {
        let help = "use letters, digits and \"-\", as X-Api-Key";
        findings.problem(&text.place, format!("{} is not a header name", text.shown()), help);
        return None;
    };
    if is_identity {
        let what = format!("{} is an identity header: the token alone says what stands there", text.shown());
        findings.problem(&text.place, what, "delete it");
        return None;
    }
    if NEVER.contains(&letters.as_slice()) {
        let what = format!("{} frames the message or speaks for the connection", text.shown());
        findings.problem(&text.place, what, "delete it: the gateway says what stands there");
        return None;
    }
    Some(name)
}

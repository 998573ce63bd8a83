//! Names: what they may be, that each is given once, and that those referred to exist.

use crate::config::problem::Findings;
use crate::config::read::{Spot, did_you_mean};
use crate::jose::Algorithm;

type Text = Spot<String>;

/// The longest name.
const MAX_NAME: usize = 64;

/// Checks that every name is a name and given once. Of `kind`, as "route".
pub(super) fn check<'a>(kind: &str, names: impl Iterator<Item = &'a Option<Text>>, findings: &mut Findings) {
    let mut seen: Vec<&Text> = Vec::new();
    for name in names.flatten() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.value.is_empty() || name.value.len() > MAX_NAME || !name.value.bytes().all(allowed) {
            let what = format!("{} cannot be a name", name.shown());
            findings.problem(&name.place, what, "use 1 to 64 letters, digits, \".\", \"_\" and \"-\"");
        } else if let Some(first) = seen.iter().find(|first| first.value == name.value) {
            let what =
                format!("a second {kind} named {}, the first is on line {}", name.shown(), first.place.line);
            findings.problem(&name.place, what, "give each its own name");
        } else {
            seen.push(name);
        }
    }
}

/// The place of `name` among `names`.
pub(super) fn find<'a>(
    kind: &str,
    name: &Text,
    names: impl Iterator<Item = &'a Option<Text>>,
    findings: &mut Findings,
) -> Option<usize> {
    let names: Vec<Option<&str>> = names.map(|name| name.as_ref().map(|name| name.value.as_str())).collect();
    let found = names.iter().position(|known| *known == Some(name.value.as_str()));
    if found.is_none() {
        let known: Vec<&str> = names.into_iter().flatten().collect();
        let help = match known.is_empty() {
            true => format!("define it under {kind}s"),
            false => did_you_mean(&name.value, &known),
        };
        findings.problem(&name.place, format!("no {kind} is named {}", name.shown()), help);
    }
    found
}

/// Checks that a list which was written has something in it, and nothing twice.
pub(super) fn distinct(list: &crate::config::read::List<Text>, empty_help: &str, findings: &mut Findings) {
    if list.is_empty() && list.place.given {
        findings.problem(&list.place, "the list is empty", empty_help);
    }
    for (index, item) in list.items.iter().enumerate() {
        if item.value.trim().is_empty() {
            findings.problem(&item.place, "the text is empty", "give it a value, or delete the item");
        } else if list.items.iter().take(index).any(|earlier| earlier.value == item.value) {
            findings.problem(&item.place, format!("{} is listed twice", item.shown()), "delete one of them");
        }
    }
}

/// Checks that this can be the name of a claim, or a path to a member of one.
pub(super) fn claim(text: &Text, findings: &mut Findings) {
    if text.value.is_empty()
        || text.value.split('.').any(|member| member.trim() != member || member.is_empty())
    {
        let help = "write a claim's name, as sub, or a path to a member of it, as cnf.jkt";
        findings.problem(&text.place, format!("{} is no claim", text.shown()), help);
    }
}

/// The algorithms of these names.
pub(super) fn algorithms(list: &crate::config::read::List<Text>, findings: &mut Findings) -> Vec<Algorithm> {
    if list.is_empty() {
        findings.problem(&list.place, "the list is empty", "name at least one, such as ES256");
    }
    let mut algorithms = Vec::new();
    for name in &list.items {
        match Algorithm::from_name(&name.value) {
            Some(algorithm) if algorithms.contains(&algorithm) => {
                findings.problem(
                    &name.place,
                    format!("{} is listed twice", algorithm.name()),
                    "delete one of them",
                );
            }
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let known = Algorithm::ALL.map(Algorithm::name);
                let upper = name.value.to_ascii_uppercase();
                let help = if upper == "NONE" || upper.starts_with("HS") {
                    format!(
                        "unsigned and symmetric ones are never accepted; known here: {}",
                        known.join(", ")
                    )
                } else {
                    did_you_mean(&name.value, &known)
                };
                findings.problem(&name.place, format!("{} is not a known algorithm", name.shown()), help);
            }
        }
    }
    algorithms
}

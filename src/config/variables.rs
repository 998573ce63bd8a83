//! `${NAME}` and `${NAME:-default}` in values.

use super::problem::{Findings, Place};
use super::tree::{Node, Placed, Text};

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts the environment's values into every text of the tree; keys stay as they are.
pub(super) fn substitute(
    node: &mut Placed<Node>,
    place: &Place,
    environment: Environment<'_>,
    findings: &mut Findings,
) {
    match &mut node.value {
        Node::Text(text) if text.text.contains("${") => {
            node.value = match expand(&text.text, environment) {
                Ok(expanded) => Node::Text(expanded),
                Err(problem) => {
                    findings.problem(place, problem.what, problem.help);
                    Node::Unusable
                }
            };
        }
        Node::List(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                let place = place.element(index, node.line, node.column);
                substitute(node, &place, environment, findings);
            }
        }
        Node::Map(entries) => {
            for (key, node) in entries {
                let place = place.key(&key.value, node.line, node.column);
                substitute(node, &place, environment, findings);
            }
        }
        Node::Text(_) | Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Fraction | Node::Unusable => {}
    }
}

struct Unset {
    what: String,
    help: String,
}

fn expand(text: &str, environment: Environment<'_>) -> Result<Text, Unset> {
    let mut expanded = String::new();
    let mut substituted = false;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let Some((variable, after)) = after.split_once('}') else {
            return Err(Unset {
                what: "\"${\" without a \"}\"".to_owned(),
                help: "close it, or write \"$${\" for a literal \"${\"".to_owned(),
            });
        };
        expanded.push_str(&value(variable, environment)?);
        substituted = true;
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Text { text: expanded, substituted })
}

/// As in a shell: the default takes the place of a variable that is unset or empty.
fn value(variable: &str, environment: Environment<'_>) -> Result<String, Unset> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let valid = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
        && name.bytes().next().is_some_and(letter);
    if !valid {
        return Err(Unset {
            what: "\"${…}\" does not name an environment variable".to_owned(),
            help: "write ${NAME} or ${NAME:-default}, or \"$${\" for a literal \"${\"".to_owned(),
        });
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Unset {
            what: format!("the environment variable {name} is not set"),
            help: format!("set it, or give a default: ${{{name}:-default}}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_the_escape() {
        let environment = |name: &str| match name {
            "HOST" => Some("api".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("https://${HOST}.example.com", Some("https://api.example.com")),
            ("${HOST}${HOST}", Some("apiapi")),
            ("${MISSING:-there}", Some("there")),
            ("${EMPTY:-there}", Some("there")),
            ("${EMPTY}", Some("")),
            ("${MISSING:-}", Some("")),
            ("$${HOST} costs $5", Some("${HOST} costs $5")),
            ("${MISSING}", None),
            ("${HOST", None),
            ("${}", None),
            ("${9}", None),
            ("${HOST:x}", None),
        ] {
            let expanded = expand(text, &environment).ok().map(|text| text.text);
            assert_eq!(expanded.as_deref(), expected, "{text}");
        }
    }
}

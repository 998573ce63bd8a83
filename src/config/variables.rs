//! `${NAME}` and `${NAME:-default}` in values.

use super::problem::{Findings, Position};
use super::tree::{Node, Placed, Text};

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts the environment's values into every text of the tree; keys stay as they are.
pub(super) fn substitute(
    node: &mut Placed<Node>,
    place: &Position,
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

/// The line and column, from 1, of the first variable that stands inside `[ ]` or `{ }` without quotes, where YAML cannot read it.
///
/// It is asked only where the file could not be read: then a guess about what was meant helps.
pub(super) fn unquoted(text: &str) -> Option<(usize, usize)> {
    let (mut depth, mut quote) = (0_usize, None);
    for (line, content) in (1..).zip(text.lines()) {
        let mut before = None;
        let mut letters = (1..).zip(content.chars()).peekable();
        while let Some((column, letter)) = letters.next() {
            let begins = before.is_none_or(|before: char| before.is_whitespace() || "[{,:-".contains(before));
            match (quote, letter) {
                (Some('"'), '\\') => drop(letters.next()),
                (Some(open), close) if open == close => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if begins => quote = Some(letter),
                (None, '#') if before.is_none_or(char::is_whitespace) => break,
                (None, '$') if depth > 0 && letters.peek().is_some_and(|(_, next)| *next == '{') => {
                    return Some((line, column));
                }
                (None, '[' | '{') if depth > 0 || begins => depth += 1,
                (None, ']' | '}') => depth = depth.saturating_sub(1),
                (None, _) => {}
            }
            before = Some(letter);
        }
    }
    None
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
    fn a_variable_without_quotes_is_found_where_yaml_cannot_read_it() {
        for (text, place) in [
            ("a: [${URL}]", Some((1, 5))),
            ("a:\n  - { b: c, d: ${URL} }", Some((2, 16))),
            ("a: [\n  x, # [ \"\n  http://${HOST}/]", Some((3, 10))),
            ("a: ['x', \"${URL}\", '${URL}', \"\\\"${URL}\"]", None),
            ("a: ${URL}\nb: x[${URL}", None),
            ("a: it's ${URL}\nb: [c, ${URL}]", Some((2, 8))),
            ("# [${URL}]\na: [b]", None),
        ] {
            assert_eq!(unquoted(text), place, "{text}");
        }
    }

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

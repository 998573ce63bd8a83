//! The kinds of single values: text, numbers, booleans, durations, and the words of a choice.

use super::problem::{Findings, Position};
use super::read::{List, Read, Spot, mismatch, quoted};
use super::tree::{Node, Placed};
use serde_json::{Value, json};
use std::time::Duration;

impl Read for Spot<String> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        let Node::Text(text) = &node.value else {
            let help = "put it in quotes if it is meant as text";
            mismatch(&node.value, "text", help, &place, findings);
            return None;
        };
        Some(Self::from_text(text.text.clone(), text.substituted, place))
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn effective(&self) -> Value {
        self.value.as_str().into()
    }
}

impl Read for Spot<bool> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        if let Node::Bool(value) = &node.value {
            return Some(Self::new(*value, place));
        }
        if let Node::Text(text) = &node.value
            && text.substituted
            && matches!(text.text.as_str(), "true" | "false")
        {
            return Some(Self::new(text.text == "true", place));
        }
        let help = "write true or false; yes, no, on and off are text in YAML 1.2";
        mismatch(&node.value, "true or false", help, &place, findings);
        None
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn effective(&self) -> Value {
        self.value.into()
    }
}

impl Read for Spot<u64> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        const HELP: &str = "write digits only, such as 20000";
        let number = if let Node::Integer(number) = &node.value {
            u64::try_from(*number).ok()
        } else if let Node::Text(text) = &node.value
            && text.substituted
        {
            text.text.parse().ok()
        } else {
            mismatch(&node.value, "a whole number", HELP, &place, findings);
            return None;
        };
        if number.is_none() {
            findings.problem(&place, "not a whole number that is zero or more", HELP);
        }
        number.map(|number| Self::new(number, place))
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }

    fn effective(&self) -> Value {
        self.value.into()
    }
}

impl Read for Spot<Duration> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        const HELP: &str = "write a whole number and a unit: 250ms, 60s, 5m or 1h";
        if let Node::Integer(number) = &node.value {
            findings.problem(&place, format!("the duration {number} has no unit"), HELP);
            return None;
        }
        let Node::Text(text) = &node.value else {
            mismatch(&node.value, "a duration", HELP, &place, findings);
            return None;
        };
        let duration = duration(&text.text);
        if duration.is_none() {
            let text = Spot::from_text(text.text.clone(), text.substituted, place.clone());
            findings.problem(&place, format!("{} is not a duration", text.shown()), HELP);
        }
        duration.map(|duration| Self::new(duration, place))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["250ms", "60s", "5m", "1h"] })
    }

    fn effective(&self) -> Value {
        written(self.value).into()
    }
}

/// Reads `250ms`, `60s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// A duration as the file would have it.
pub(super) fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    [("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit))
        .map_or_else(|| format!("{milliseconds}ms"), |(name, unit)| format!("{}{name}", milliseconds / unit))
}

/// One text or several: a Redis URL, or those of a cluster's nodes. They may hold a password.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    pub(super) items: Vec<Spot<String>>,
    pub(super) place: Position,
}

impl Read for Urls {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Node::List(_)) {
            let List { items, .. } = List::read(node, place.clone(), findings)?;
            return Some(Self { items, place });
        }
        let items = vec![Spot::read(node, place.clone(), findings)?];
        Some(Self { items, place })
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }

    fn effective(&self) -> Value {
        self.items.iter().map(|url| without_password(&url.value)).collect()
    }
}

/// The URL with its password, and any in its query, replaced.
fn without_password(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?***"));
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let masked = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => format!("***@{host}"),
        },
        None => rest.to_owned(),
    };
    format!("{scheme}://{masked}{query}")
}

/// Names and values that the file chooses itself: header names and claims.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    pub(super) items: Vec<(Spot<String>, Spot<String>)>,
}

impl Read for Pairs {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        let Node::Map(entries) = &node.value else {
            mismatch(&node.value, "a section", "write it as \"Header-Name: claim\" lines", &place, findings);
            return None;
        };
        let items = entries.iter().filter_map(|(key, node)| {
            let name = Spot::new(key.value.clone(), place.key(&key.value, key.line, key.column));
            let place = place.key(&key.value, node.line, node.column);
            Some((name, Spot::read(node, place, findings)?))
        });
        Some(Self { items: items.collect() })
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "propertyNames": { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
        })
    }

    fn effective(&self) -> Value {
        let member = |(name, claim): &(Spot<String>, Spot<String>)| (name.value.clone(), claim.effective());
        Value::Object(self.items.iter().map(member).collect())
    }
}

/// A section, or the word `off`.
#[derive(Clone, Debug)]
pub(super) enum OrOff<T> {
    On(T),
    Off,
}

impl<T: Read> Read for OrOff<T> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        if let Node::Text(text) = &node.value
            && text.text == "off"
        {
            return Some(Self::Off);
        }
        if matches!(node.value, Node::Map(_)) {
            return T::read(node, place, findings).map(Self::On);
        }
        mismatch(&node.value, "a section, or off", "write \"key: value\" lines, or off", &place, findings);
        None
    }

    fn schema() -> Value {
        json!({ "anyOf": [T::schema(), { "const": "off" }] })
    }

    fn effective(&self) -> Value {
        match self {
            Self::On(section) => section.effective(),
            Self::Off => "off".into(),
        }
    }
}

/// Header fields and their values, which may be secrets.
#[derive(Clone, Debug)]
pub(super) struct Fields(pub(super) Pairs);

impl Read for Fields {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        Pairs::read(node, place, findings).map(Self)
    }

    fn schema() -> Value {
        Pairs::schema()
    }

    fn effective(&self) -> Value {
        let member = |(name, value): &(Spot<String>, Spot<String>)| {
            (name.value.clone(), if value.is_substituted() { "***".into() } else { value.effective() })
        };
        Value::Object(self.0.items.iter().map(member).collect())
    }
}

/// Reads a word of a choice; a boolean is what a reader used to YAML 1.1 may have meant by it.
pub(super) fn word(
    node: &Placed<Node>,
    words: &[&str],
    place: Position,
    findings: &mut Findings,
) -> Option<Spot<String>> {
    if let Node::Text(text) = &node.value {
        return Some(Spot::from_text(text.text.clone(), text.substituted, place));
    }
    let expected = format!("one of {}", words.join(", "));
    let help = format!("write {}", quoted(words.first().unwrap_or(&"")));
    mismatch(&node.value, &expected, &help, &place, findings);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        for (text, milliseconds) in
            [("250ms", Some(250)), ("60s", Some(60_000)), ("5m", Some(300_000)), ("1h", Some(3_600_000))]
        {
            assert_eq!(duration(text).map(|duration| duration.as_millis()), milliseconds, "{text}");
        }
        for text in
            ["", "5", "s", "1.5s", "-1s", "1 s", "1d", "1S", "18446744073709551615h", "99999999999999999999s"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_whole_unit() {
        for text in ["0ms", "250ms", "1500ms", "60001ms", "59s", "2m", "90s", "1h", "25h"] {
            assert_eq!(duration(text).map(written).as_deref(), Some(text));
        }
        assert_eq!(duration("3600s").map(written).as_deref(), Some("1h"));
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("redis://replay:6379/0", "redis://replay:6379/0"),
            ("rediss://user:secret@replay:6379", "rediss://user:***@replay:6379"),
            ("redis://:sec@ret@replay", "redis://:***@replay"),
            ("redis://secret@replay", "redis://***@replay"),
            ("redis+sentinel://replay/0?sentinel_password=secret", "redis+sentinel://replay/0?***"),
            ("secret", "***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}

//! From the tree to typed settings, and from the types to the schema: each is described once, by [`section!`] or [`choice!`].

use super::problem::{Findings, Position};
use super::tree::{Node, Placed, Text};
use serde_json::{Map, Value, json};

/// A kind of setting.
pub(super) trait Read: Sized {
    /// Reads it; what is wrong is noted in `findings`, and `None` says that nothing can be made of it.
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self>;
    /// Its JSON Schema.
    fn schema() -> Value;
    /// Its value, for the effective configuration.
    fn effective(&self) -> Value;
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) place: Position,
    /// It has an environment variable's value in it.
    substituted: bool,
}

impl<T> Spot<T> {
    pub(super) const fn new(value: T, place: Position) -> Self {
        Self { value, place, substituted: false }
    }

    /// Another value at the same place.
    pub(super) fn with<U>(&self, value: U) -> Spot<U> {
        Spot { value, place: self.place.clone(), substituted: self.substituted }
    }
}

impl Spot<String> {
    /// Whether something from the environment is in it.
    pub(super) const fn is_substituted(&self) -> bool {
        self.substituted
    }

    pub(super) const fn from_text(text: String, substituted: bool, place: Position) -> Self {
        Self { value: text, place, substituted }
    }

    /// The value for a message: quoted and short, and never what came from the environment.
    pub(super) fn shown(&self) -> String {
        if self.substituted { "the value from the environment".to_owned() } else { quoted(&self.value) }
    }

    /// The name of a file for a message: whole, and with what came from the environment. Only so can it be seen where it points.
    pub(super) fn path(&self) -> String {
        format!("\"{}\"", self.value.escape_debug())
    }
}

/// A text for a message: in quotes, without control characters, at most 60 characters of its first line.
pub(super) fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", short.escape_debug())
}

/// A list of settings.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    /// Those that could be read.
    pub(super) items: Vec<T>,
    pub(super) place: Position,
    length: usize,
}

impl<T> List<T> {
    /// Whether nothing was written in it; an item that could not be read is a problem of its own.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<T: Read> Read for List<T> {
    fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
        let Node::List(nodes) = &node.value else {
            mismatch(
                &node.value,
                "a list",
                "write it as [a, b], or one \"- item\" on each line",
                &place,
                findings,
            );
            return None;
        };
        let items = nodes.iter().enumerate().filter_map(|(index, node)| {
            T::read(node, place.element(index, node.line, node.column), findings)
        });
        Some(Self { items: items.collect(), length: nodes.len(), place: place.clone() })
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }

    fn effective(&self) -> Value {
        self.items.iter().map(T::effective).collect()
    }
}

/// Notes that something of another kind stands where `expected` should.
pub(super) fn mismatch(found: &Node, expected: &str, help: &str, place: &Position, findings: &mut Findings) {
    if matches!(found, Node::Null) {
        findings.problem(place, "has no value", format!("give it one ({expected}), or delete the key"));
    } else if !matches!(found, Node::Unusable) {
        findings.problem(place, format!("expected {expected}, found {}", found.kind()), help);
    }
}

/// The entries of a section: each known key once; the others are noted.
pub(super) struct Entries<'a> {
    entries: Vec<(&'a Placed<String>, &'a Placed<Node>)>,
    place: Position,
}

impl<'a> Entries<'a> {
    /// Takes a section apart and notes unknown and duplicate keys.
    pub(super) fn of(
        node: &'a Placed<Node>,
        known: &[&str],
        place: &Position,
        findings: &mut Findings,
    ) -> Option<Self> {
        let Node::Map(entries) = &node.value else {
            let help = format!("write it as \"key: value\" lines; the keys are {}", known.join(", "));
            mismatch(&node.value, "a section", &help, place, findings);
            return None;
        };
        let mut kept: Vec<(&Placed<String>, &Placed<Node>)> = Vec::new();
        for (key, node) in entries {
            let here = place.key(&key.value, key.line, key.column);
            if let Some((first, _)) = kept.iter().find(|(earlier, _)| earlier.value == key.value) {
                findings.problem(
                    &here,
                    format!("duplicate key, first on line {}", first.line),
                    "keep one of them",
                );
            } else if known.contains(&key.value.as_str()) {
                kept.push((key, node));
            } else {
                let here = Position { path: place.path.clone(), ..here };
                findings.problem(
                    &here,
                    format!("unknown key {}", quoted(&key.value)),
                    did_you_mean(&key.value, known),
                );
            }
        }
        Some(Self { entries: kept, place: place.clone() })
    }

    /// Reads a key if it was written.
    pub(super) fn optional<T: Read>(&self, key: &str, findings: &mut Findings) -> Option<T> {
        let (_, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        T::read(node, self.place.key(key, node.line, node.column), findings)
    }

    /// Reads a key that must be written.
    pub(super) fn required<T: Read>(&self, key: &str, about: &str, findings: &mut Findings) -> Option<T> {
        if !self.entries.iter().any(|(name, _)| name.value == key) {
            let first = about.split(". ").next().unwrap_or(about).trim_end_matches('.');
            let help = format!("add \"{key}: …\" ({first})");
            findings.problem(&self.place, format!("the key \"{key}\" is missing"), help);
            return None;
        }
        self.optional(key, findings)
    }

    /// Reads a key that has a default.
    pub(super) fn defaulted<T: Read>(
        &self,
        key: &str,
        default: &Value,
        findings: &mut Findings,
    ) -> Option<T> {
        let read = self.optional(key, findings);
        let place = self.place.absent(key);
        let node = Placed { value: node(default, &place), line: place.line, column: place.column };
        read.or_else(|| T::read(&node, place, findings))
    }
}

/// The nearest of the known words, or all of them.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    let fold = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let near = known
        .iter()
        .map(|candidate| (distance(&fold(word), &fold(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min();
    match near {
        Some((_, candidate)) => format!("did you mean \"{candidate}\"?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// How many letters to add, remove, change, or swap with their neighbour (Damerau and Levenshtein, optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.chars().count()).collect();
    let mut previous = None;
    for (row, x) in a.chars().enumerate() {
        let mut next = vec![row + 1];
        let mut left = None;
        for (column, y) in b.chars().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&last, column) + usize::from(x != y))
                .min(at(&last, column + 1) + 1)
                .min(at(&next, column) + 1);
            if column > 0 && previous == Some(y) && left == Some(x) {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            next.push(cost);
            left = Some(y);
        }
        before = std::mem::replace(&mut last, next);
        previous = Some(x);
    }
    last.last().copied().unwrap_or(0)
}

/// A default, written as JSON in the description of a section, as a node of the tree.
fn node(default: &Value, place: &Position) -> Node {
    let placed = |value| Placed { value: node(value, place), line: place.line, column: place.column };
    match default {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or(Node::Fraction, |number| Node::Integer(number.into()))
        }
        Value::String(text) => Node::Text(Text { text: text.clone(), substituted: false }),
        Value::Array(values) => Node::List(values.iter().map(placed).collect()),
        Value::Object(members) => {
            let key = |key: &String| Placed { value: key.clone(), line: place.line, column: place.column };
            Node::Map(members.iter().map(|(name, value)| (key(name), placed(value))).collect())
        }
    }
}

/// The schema of one key.
pub(super) fn property(mut schema: Value, about: &str, default: Option<Value>) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert("description".to_owned(), about.into());
        if let Some(default) = default {
            members.insert("default".to_owned(), default);
        }
    }
    schema
}

/// The schema of a section.
pub(super) fn object(about: &str, properties: &Map<String, Value>, required: &[&str]) -> Value {
    let mut schema = json!({
        "description": about,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if let (Value::Object(members), false) = (&mut schema, required.is_empty()) {
        members.insert("required".to_owned(), required.into());
    }
    schema
}

/// Joins the lines of a documentation comment.
pub(super) fn about(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares a section of the file: its keys, their kinds, their defaults, and what they mean.
///
/// `required(T)` and `optional(T)` become `Option<T>`, `default(T, json)` becomes `T`. A section that lacks a required key is read all
/// the same, so that its other problems are found. The documentation comments are the schema's descriptions.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $section:ident {
            $( $(#[doc = $doc:literal])+ $field:ident $(as $key:literal)? : $kind:ident($type:ty $(, $default:expr)?), )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub(super) struct $section {
            $( $(#[doc = $doc])+ pub(super) $field: section!(@type $kind $type), )+
            pub(super) place: Position,
        }

        // Not every section's own place is asked for.
        const _: fn(&$section) -> &Position = |section| &section.place;

        impl Read for $section {
            fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
                let keys = [$( section!(@key $field $($key)?) ),+];
                let entries = Entries::of(node, &keys, &place, findings)?;
                // All keys are read before any default that cannot be gives up, so that all problems are found.
                $( let $field = section!(@read $kind entries findings, section!(@key $field $($key)?),
                    &about(&[$($doc),+]) $(, $default)?); )+
                Some(Self { $( $field: section!(@take $kind $field), )+ place })
            }

            fn schema() -> Value {
                let mut properties = Map::new();
                let mut required: Vec<&str> = Vec::new();
                $(
                    let key = section!(@key $field $($key)?);
                    if section!(@required $kind) {
                        required.push(key);
                    }
                    let default: Option<Value> = section!(@default $($default)?);
                    let schema = property(<$type as Read>::schema(), &about(&[$($doc),+]), default);
                    properties.insert(key.to_owned(), schema);
                )+
                object(&about(&[$($section_doc),+]), &properties, &required)
            }

            fn effective(&self) -> Value {
                let mut members = Map::new();
                $( section!(@effective $kind members, section!(@key $field $($key)?), &self.$field); )+
                Value::Object(members)
            }
        }
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@type required $type:ty) => { Option<$type> };
    (@type optional $type:ty) => { Option<$type> };
    (@type default $type:ty) => { $type };

    (@read required $entries:ident $findings:ident, $key:expr, $about:expr) => {
        $entries.required($key, $about, $findings)
    };
    (@read optional $entries:ident $findings:ident, $key:expr, $about:expr) => { $entries.optional($key, $findings) };
    (@read default $entries:ident $findings:ident, $key:expr, $about:expr, $default:expr) => {
        $entries.defaulted($key, &$default, $findings)
    };

    (@take required $field:ident) => { $field };
    (@take optional $field:ident) => { $field };
    (@take default $field:ident) => { $field? };

    (@required required) => { true };
    (@required optional) => { false };
    (@required default) => { false };

    (@default) => { None };
    (@default $default:expr) => { Some($default) };

    (@effective default $members:ident, $key:expr, $value:expr) => {
        $members.insert($key.to_owned(), $value.effective());
    };
    (@effective $kind:ident $members:ident, $key:expr, $value:expr) => {
        if let Some(value) = $value {
            $members.insert($key.to_owned(), value.effective());
        }
    };
}
pub(super) use section;

/// Declares a setting that is one of a few words.
macro_rules! choice {
    (
        $(#[doc = $choice_doc:literal])+
        $choice:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $choice_doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $choice {
            $( $(#[doc = $doc])+ $variant, )+
        }

        words! { $choice { $( $variant = $word, )+ } }
    };
}
pub(super) use choice;

/// The words for the variants of an enum of another room: the document and what runs share one declaration.
macro_rules! words {
    ($choice:ident { $( $variant:ident = $word:literal, )+ }) => {
        impl Read for Spot<$choice> {
            fn read(node: &Placed<Node>, place: Position, findings: &mut Findings) -> Option<Self> {
                let words = [$( $word ),+];
                let word = word(node, &words, place, findings)?;
                match word.value.as_str() {
                    $( $word => Some(word.with($choice::$variant)), )+
                    _ => {
                        let what = format!("{} is none of {}", word.shown(), words.join(", "));
                        findings.problem(&word.place, what, did_you_mean(&word.value, &words));
                        None
                    }
                }
            }

            fn schema() -> Value {
                json!({ "type": "string", "enum": [$( $word ),+] })
            }

            fn effective(&self) -> Value {
                match self.value { $( $choice::$variant => $word.into(), )+ }
            }
        }
    };
}
pub(super) use words;

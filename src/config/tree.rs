//! The YAML as a tree whose every node knows its place, so that one reading finds every problem.

use super::problem::{Findings, Position};
use super::variables;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 20_000;
const MAX_ALIASES: usize = 100;

/// A node of the document.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction, which no setting takes.
    Fraction,
    Text(Text),
    List(Vec<Placed<Self>>),
    Map(Vec<(Placed<String>, Placed<Self>)>),
    /// A value whose problem is noted already.
    Unusable,
}

/// A text, which may have come from the environment.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// It has the value of an environment variable in it, so it is never shown and may mean a number or a boolean.
    pub(super) substituted: bool,
}

/// A node and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Node {
    /// What it is, for "expected this, found that".
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Fraction => "a number with a fraction",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a section",
            Self::Unusable => "an unusable value",
        }
    }
}

/// Parses YAML 1.2; a problem with the syntax is the only one then, and gives `None`.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Option<Placed<Node>> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        // Both come to us as ordinary entries, to be reported with all other problems.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_aliases: MAX_ALIASES, max_documents: 1 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
    };
    match serde_saphyr::from_str_with_options::<Placed<Node>>(text, options) {
        Ok(node) => Some(node),
        Err(error) => {
            let at = error.location().filter(|location| location.line() > 0);
            let (line, column) = at.map_or((1, 1), |at| (number(at.line()), number(at.column())));
            if let Some((line, column)) = variables::unquoted(text).filter(|(at, _)| *at <= line) {
                let what = "a variable inside [ ] or { } without quotes: YAML reads its \"{\" as the beginning of a section";
                findings.problem(
                    &Position { line, column, ..Position::default() },
                    what,
                    "quote it: \"${NAME}\"",
                );
                return None;
            }
            let place = Position { line, column, ..Position::default() };
            findings.problem(&place, syntax(&error), "mend the YAML here; nothing after it was read");
            None
        }
    }
}

/// What is wrong, without the position that the parser adds and without any line break.
fn syntax(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    if let Yaml::Budget { breach, .. } = error {
        return too_much(breach);
    }
    let words = error.to_string();
    // The parser wraps this one in another, as text.
    if words.contains("alias replay limit") {
        return format!("aliases that grow into more than {MAX_NODES} values");
    }
    let words = words.replace(['\n', '\r'], " ");
    let words = words.split(" at line ").next().unwrap_or_default();
    let words = words.strip_prefix("error: ").unwrap_or(words).trim();
    format!("not valid YAML: {words}")
}

fn too_much(breach: &BudgetBreach) -> String {
    if matches!(breach, BudgetBreach::Depth { .. }) {
        format!("more than {MAX_DEPTH} levels deep")
    } else if matches!(breach, BudgetBreach::Nodes { .. }) {
        format!("more than {MAX_NODES} values")
    } else if matches!(breach, BudgetBreach::Aliases { .. }) {
        format!("more than {MAX_ALIASES} aliases")
    } else if matches!(breach, BudgetBreach::Documents { .. }) {
        "a second document begins, and the file may have one".to_owned()
    } else {
        "more than a configuration could need".to_owned()
    }
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { value, line: number(referenced.line()), column: number(referenced.column()) })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<Node, E> {
        Ok(Node::Fraction)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Text { text: text.to_owned(), substituted: false }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

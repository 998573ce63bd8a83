//! The reader: serde_json finds the tokens, and this decides what they may be.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{JsonError, MAX_DEPTH, Object, Value};

/// Reads an object with at most `max_nodes` members and items.
pub(super) fn read(text: &[u8], max_nodes: usize) -> Result<Object<'_>, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    let limits = Limits { nodes_left: Cell::new(max_nodes), refused: Cell::new(JsonError::Syntax) };
    let mut tokens = serde_json::Deserializer::from_str(text);
    let top = Reader { limits: &limits, depth: 0 };
    let object = tokens.deserialize_map(Top(top)).map_err(|_| limits.refused.get())?;
    tokens.end().map_err(|_| JsonError::Syntax)?;
    Ok(object)
}

/// Objects of at most this many members are searched for duplicates pair by pair, which allocates nothing.
const FEW: usize = 16;
/// What the first member of an object makes room for: most objects of a token or a key need no more.
const ROOM: usize = 8;

/// What one document may still use, and why it was refused if not for its syntax.
struct Limits {
    nodes_left: Cell<usize>,
    refused: Cell<JsonError>,
}

/// Reads one value at `depth`; an object or array in it would be one deeper.
#[derive(Clone, Copy)]
struct Reader<'l> {
    limits: &'l Limits,
    depth: usize,
}

/// Takes an object and nothing else.
struct Top<'l>(Reader<'l>);

/// Reads a member name.
struct Name;

impl<'l> Reader<'l> {
    /// The reader of what is inside the container that starts here.
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse(JsonError::TooLarge));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// Counts a member or an item.
    fn count<E: Error>(self) -> Result<(), E> {
        let left =
            self.limits.nodes_left.get().checked_sub(1).ok_or_else(|| self.refuse(JsonError::TooLarge))?;
        self.limits.nodes_left.set(left);
        Ok(())
    }

    fn refuse<E: Error>(self, why: JsonError) -> E {
        self.limits.refused.set(why);
        E::custom(why)
    }

    fn object<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let inside = self.inside()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            inside.count()?;
            if members.is_empty() {
                members.reserve_exact(ROOM);
            }
            members.push((name, map.next_value_seed(inside)?));
        }
        if has_duplicate(&members) {
            return Err(self.refuse(JsonError::Duplicate));
        }
        Ok(Object { members })
    }
}

/// Whether a name occurs twice; sorts where comparing all pairs would let a sender make us work.
fn has_duplicate(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    if members.len() > FEW {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        return names.windows(2).any(|pair| matches!(pair, [one, next] if one == next));
    }
    let mut rest = members;
    while let [(name, _), others @ ..] = rest {
        if others.iter().any(|(other, _)| other == name) {
            return true;
        }
        rest = others;
    }
    false
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.object(map)
    }
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        #[expect(
            clippy::as_conversions,
            reason = "a whole number too large for i64 is a double like any other"
        )]
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.is_finite() { Ok(Value::Float(number)) } else { Err(self.refuse(JsonError::Syntax)) }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Counted(inside))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.object(map).map(Value::Object)
    }
}

/// Reads an array's item, counting it before it is read.
struct Counted<'l>(Reader<'l>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.count()?;
        self.0.deserialize(deserializer)
    }
}

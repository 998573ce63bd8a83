//! The reader: serde_json finds the tokens, and this decides what they may be.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{JsonError, Limits, Object, Value};

/// Reads an object within these limits.
pub(super) fn read(text: &[u8], limits: Limits) -> Result<Object<'_>, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    let budget = Budget { items_left: Cell::new(limits.items), refused: Cell::new(JsonError::Syntax) };
    let mut tokens = serde_json::Deserializer::from_str(text);
    let top = Reader { budget: &budget, levels_left: limits.levels, room: ROOM };
    let object = tokens.deserialize_map(Top(top)).map_err(|_| budget.refused.get())?;
    tokens.end().map_err(|_| JsonError::Syntax)?;
    Ok(object)
}

/// Objects of at most this many members are searched for duplicates pair by pair, which allocates nothing.
const FEW: usize = 16;
/// What the first member of the outermost object makes room for: most tokens and keys need no more.
const ROOM: usize = 8;
/// The same for an object inside another one, of which a small text may have thousands.
const ROOM_INSIDE: usize = 1;

/// What one document may still use, and why it was refused if not for its syntax.
struct Budget {
    items_left: Cell<usize>,
    refused: Cell<JsonError>,
}

/// Reads one value, which may have so many levels.
#[derive(Clone, Copy)]
struct Reader<'l> {
    budget: &'l Budget,
    levels_left: usize,
    room: usize,
}

/// Takes an object and nothing else.
struct Top<'l>(Reader<'l>);

/// Reads a member name.
struct Name;

/// A member name, borrowed where nothing is escaped.
pub(super) struct MemberName<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for MemberName<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name.deserialize(deserializer).map(Self)
    }
}

impl<'l> Reader<'l> {
    /// The reader of what is inside the container that starts here.
    fn inside<E: Error>(self) -> Result<Self, E> {
        let Some(levels_left) = self.levels_left.checked_sub(1) else {
            return Err(self.refuse(JsonError::TooDeep));
        };
        Ok(Self { levels_left, room: ROOM_INSIDE, ..self })
    }

    /// Counts a member or an item.
    fn count<E: Error>(self) -> Result<(), E> {
        let left =
            self.budget.items_left.get().checked_sub(1).ok_or_else(|| self.refuse(JsonError::TooMany))?;
        self.budget.items_left.set(left);
        Ok(())
    }

    fn refuse<E: Error>(self, why: JsonError) -> E {
        self.budget.refused.set(why);
        E::custom(why)
    }

    fn object<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let inside = self.inside()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            inside.count()?;
            if members.is_empty() {
                members.reserve_exact(self.room);
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

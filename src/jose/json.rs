//! JSON, read once and strictly: duplicate names are an error at any depth (RFC 7515 section 4, RFC 7519 section 4),
//! depth and size are bounded, the top is an object, and strings are borrowed where nothing is escaped.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep a document may nest.
pub const MAX_DEPTH: usize = 8;
/// How many members and array items a document may have in all, where nobody says otherwise.
pub const MAX_NODES: usize = 256;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number that is whole and fits.
    Integer(i64),
    /// Any other finite number.
    Float(f64),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// A JSON object: its members in the order they were written, every name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// Why a text is no acceptable JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8, not JSON, something after the end, a number out of range, or the top is no object.
    #[error("not a JSON object")]
    Syntax,
    /// A member name occurs twice in one object.
    #[error("a duplicate member name")]
    Duplicate,
    /// Deeper than [`MAX_DEPTH`] or more nodes than allowed.
    #[error("too deep or too many members")]
    TooLarge,
}

impl<'a> Object<'a> {
    /// Reads `text` with at most [`MAX_NODES`] nodes.
    ///
    /// # Errors
    /// [`JsonError`], as its variants say.
    pub fn parse(text: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_bounded(text, MAX_NODES)
    }

    /// Reads `text` with at most `max_nodes` nodes (a key set has more than a token).
    ///
    /// # Errors
    /// [`JsonError`], as its variants say.
    pub fn parse_bounded(text: &'a [u8], max_nodes: usize) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
        let limits = Limits { nodes_left: Cell::new(max_nodes), refused: Cell::new(JsonError::Syntax) };
        let mut tokens = serde_json::Deserializer::from_str(text);
        let top = Reader { limits: &limits, depth: 0 };
        let object = tokens.deserialize_map(Top(top)).map_err(|_| limits.refused.get())?;
        tokens.end().map_err(|_| JsonError::Syntax)?;
        Ok(object)
    }

    /// The member of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The members in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The same object, borrowing nothing.
    pub fn into_owned(self) -> Object<'static> {
        let owned =
            |(name, value): (Cow<'a, str>, Value<'a>)| (Cow::Owned(name.into_owned()), value.into_owned());
        Object { members: self.members.into_iter().map(owned).collect() }
    }
}

impl<'a> Value<'a> {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            #[expect(
                clippy::as_conversions,
                reason = "a double is what a number means in JSON (RFC 8259 section 6)"
            )]
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items, if this is an array.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The same value, borrowing nothing; goes no deeper than [`MAX_DEPTH`].
    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Integer(number) => Value::Integer(number),
            Value::Float(number) => Value::Float(number),
            Value::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(object) => Value::Object(object.into_owned()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_object_is_refused() {
        let cases: [(&[u8], JsonError); 26] = [
            (b"", JsonError::Syntax),
            (b"null", JsonError::Syntax),
            (b"[]", JsonError::Syntax),
            (b"\"a\"", JsonError::Syntax),
            (b"{", JsonError::Syntax),
            (b"{}x", JsonError::Syntax),
            (b"{}{}", JsonError::Syntax),
            (b"{\"a\":1,}", JsonError::Syntax),
            (b"{a:1}", JsonError::Syntax),
            (b"{'a':1}", JsonError::Syntax),
            (b"{1:1}", JsonError::Syntax),
            (b"{\"a\":01}", JsonError::Syntax),
            (b"{\"a\":NaN}", JsonError::Syntax),
            (b"{\"a\":1e400}", JsonError::Syntax),
            (b"{\"a\":\"\\ud800\"}", JsonError::Syntax),
            (b"{\"a\":\"\n\"}", JsonError::Syntax),
            (b"{\"a\":\"\xff\"}", JsonError::Syntax),
            (b"\xef\xbb\xbf{}", JsonError::Syntax),
            (b"{/**/}", JsonError::Syntax),
            (b"{\"a\":1,\"a\":1}", JsonError::Duplicate),
            (b"{\"a\":1,\"\\u0061\":2}", JsonError::Duplicate),
            (b"{\"b\":{\"a\":1,\"c\":0,\"a\":1}}", JsonError::Duplicate),
            (b"{\"b\":[[{\"a\":1,\"a\":null}]]}", JsonError::Duplicate),
            (b"{\"a\":[[[[[[[[]]]]]]]]}", JsonError::TooLarge),
            (b"{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{}}}}}}}}}", JsonError::TooLarge),
            (b"{\"a\":[[[[[[[[[[[[[[[[", JsonError::TooLarge),
        ];
        for (text, error) in cases {
            assert_eq!(Object::parse(text), Err(error), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn values_are_what_they_say() {
        let text = br#" {"n":null,"t":true,"i":-7,"m":9223372036854775807,"u":9223372036854775808,"f":1.0,"e":1e3,"s":"a\"b","a":[1,{"x":""}],"o":{}} "#;
        let object = Object::parse(text).unwrap();
        let expected = [
            ("n", Value::Null),
            ("t", Value::Bool(true)),
            ("i", Value::Integer(-7)),
            ("m", Value::Integer(i64::MAX)),
            ("u", Value::Float(9_223_372_036_854_775_808.0)),
            ("f", Value::Float(1.0)),
            ("e", Value::Float(1000.0)),
            ("s", Value::String("a\"b".into())),
        ];
        for (name, value) in &expected {
            assert_eq!(object.get(name), Some(value), "{name}");
        }
        assert_eq!(object.get("i").and_then(Value::as_number), Some(-7.0));
        assert_eq!(object.get("f").and_then(Value::as_number), Some(1.0));
        assert_eq!(object.get("s").and_then(Value::as_number), None);
        assert_eq!(object.get("a").and_then(Value::as_array).map(<[_]>::len), Some(2));
        assert_eq!(object.get("o").and_then(Value::as_object), Some(&Object::default()));
        assert_eq!(object.get("absent"), None);
        assert_eq!(object.iter().map(|(name, _)| name).collect::<String>(), "ntimufesao");
        assert_eq!(object.clone().into_owned(), object);
    }

    #[test]
    fn plain_strings_are_borrowed() {
        let object = Object::parse(br#"{"plain":"text","esc\u0061ped":"\n"}"#).unwrap();
        let borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
        let kinds = object.members.iter().map(|(name, value)| match value {
            Value::String(text) => (borrowed(name), borrowed(text)),
            other => panic!("{other:?} is no string"),
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [(true, true), (false, false)]);
    }

    #[test]
    fn limits_are_exact() {
        assert!(Object::parse(br#"{"a":[[[[[[[]]]]]]]}"#).is_ok(), "eight deep");
        let items = |count: usize| format!(r#"{{"a":[{}]}}"#, vec!["0"; count].join(","));
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|number| format!(r#""{number}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        for (text, accepted) in
            [(items(255), true), (items(256), false), (members(256), true), (members(257), false)]
        {
            assert_eq!(Object::parse(text.as_bytes()).is_ok(), accepted);
        }
        assert!(Object::parse_bounded(members(5000).as_bytes(), 5000).is_ok());
        assert_eq!(Object::parse_bounded(b"{\"a\":0}", 0), Err(JsonError::TooLarge));
    }

    #[test]
    fn a_duplicate_is_found_among_few_and_among_many() {
        for count in 2..40 {
            for twin in 0..count - 1 {
                let mut names: Vec<String> = (0..count).map(|number| format!(r#""{number}":0"#)).collect();
                assert!(Object::parse(format!("{{{}}}", names.join(",")).as_bytes()).is_ok());
                names[count - 1] = names[twin].clone();
                let text = format!("{{{}}}", names.join(","));
                assert_eq!(Object::parse(text.as_bytes()), Err(JsonError::Duplicate), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _unused = Object::parse(&text);
        }

        #[test]
        fn what_looks_like_json_never_panics_and_is_no_laxer_than_serde(text in r#"\{"a":[\[\]{}",:0-9.eE+\\u -]{0,24}\}?"#) {
            if Object::parse(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok());
            }
        }
    }
}

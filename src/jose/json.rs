//! JSON, read once and strictly: duplicate names are an error at any depth (RFC 7515 section 4, RFC 7519 section 4),
//! depth and size are bounded, the top is an object, and strings are borrowed where nothing is escaped.

use std::borrow::Cow;

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
    pub fn parse_bounded(_text: &'a [u8], _max_nodes: usize) -> Result<Self, JsonError> {
        todo!()
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
        todo!()
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
        todo!()
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
}

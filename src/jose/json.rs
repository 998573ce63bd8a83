//! JSON, read once and strictly: duplicate names are an error at any depth (RFC 7515 section 4, RFC 7519
//! section 4), depth and size are bounded, the top is an object, and strings are borrowed where nothing is
//! escaped.

mod reader;

use std::borrow::Cow;

/// How deep a document may nest.
pub const MAX_DEPTH: usize = 8;
/// How many members and array items a document may have in all, where nobody says otherwise.
pub const MAX_NODES: usize = 1024;

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
    Array(Vec<Self>),
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
        reader::read(text, max_nodes)
    }

    /// The member of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The members in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The same object, borrowing nothing but names that everybody has.
    pub fn into_owned(self) -> Object<'static> {
        let owned = |(name, value): (Cow<'a, str>, Value<'a>)| (owned_name(name), value.into_owned());
        Object { members: self.members.into_iter().map(owned).collect() }
    }
}

/// What nearly every access token has (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 7800 section 3.1, RFC 9449 section 6.1): kept once
/// and not for each of a hundred thousand tokens.
const COMMON_NAMES: [&str; 12] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "cnf", "jkt", "auth_time"];

fn owned_name(name: Cow<'_, str>) -> Cow<'static, str> {
    let common = COMMON_NAMES.iter().find(|common| **common == name);
    common.map_or_else(|| Cow::Owned(name.into_owned()), |common| Cow::Borrowed(*common))
}

impl<'a> Value<'a> {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
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
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The items, if this is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
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

#[cfg(test)]
mod tests;

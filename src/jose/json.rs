//! JSON, read once and strictly: duplicate names are an error at any depth (RFC 7515 section 4, RFC 7519
//! section 4), depth and size are bounded, the top is an object, and strings are borrowed where nothing is
//! escaped.
//!
//! A member that is `null` is absent: [`Object::get`] and [`Object::iter`] pass it over. Issuers that write every
//! member of a class (.NET does) mean just that.

mod outline;
mod reader;

pub use outline::Outline;
use std::borrow::Cow;

/// Whether this is one JSON object, whatever is in it.
pub fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// How large a document may be, beside its length in bytes, which the caller bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many objects and arrays may be inside one another; the outermost counts.
    pub levels: usize,
    /// How many members and array items there may be in all.
    pub items: usize,
}

impl Limits {
    /// An access token's header and claims. Authorization details (RFC 9396) nest deeply and have many members.
    pub const TOKEN: Self = Self { levels: 32, items: 4096 };
    /// What is small by its nature: a proof's header, a key, an issuer's metadata.
    pub const SMALL: Self = Self { levels: 8, items: 1024 };
}

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
    /// More levels than [`Limits::levels`].
    #[error("too many levels of objects and arrays")]
    TooDeep,
    /// More members and array items than [`Limits::items`].
    #[error("too many members and array items")]
    TooMany,
}

impl<'a> Object<'a> {
    /// Reads `text` within these limits.
    ///
    /// # Errors
    /// [`JsonError`], as its variants say.
    pub fn parse(text: &'a [u8], limits: Limits) -> Result<Self, JsonError> {
        reader::read(text, limits)
    }

    /// The member of this name, if there is one that is not `null`.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let (_, value) = self.members.iter().find(|(n, _)| n == name)?;
        (!matches!(value, Value::Null)).then_some(value)
    }

    /// Whether a member of this name was written, be it `null`.
    pub fn is_written(&self, name: &str) -> bool {
        self.members.iter().any(|(n, _)| n == name)
    }

    /// The members that are not `null`, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        let members = self.members.iter().filter(|(_, value)| !matches!(value, Value::Null));
        members.map(|(name, value)| (name.as_ref(), value))
    }

    /// Puts `value` in place of the member of this name, or at the end where there is none.
    pub fn set(&mut self, name: &'a str, value: Value<'a>) {
        match self.members.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
    }

    /// How many members and array items there are in all.
    pub fn items(&self) -> usize {
        self.members.iter().map(|(_, value)| value.items().saturating_add(1)).sum()
    }

    /// The same object, borrowing nothing but names that everybody has.
    pub fn into_owned(self) -> Object<'static> {
        let owned = |(name, value): (Cow<'a, str>, Value<'a>)| (owned_name(name), value.into_owned());
        let mut members: Vec<_> = self.members.into_iter().map(owned).collect();
        // It is kept for as long as the token lives, and most objects have fewer members than there was room for.
        members.shrink_to_fit();
        Object { members }
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

    /// How many members and array items are in it.
    fn items(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::String(_) => 0,
            Self::Array(items) => items.iter().map(|item| item.items().saturating_add(1)).sum(),
            Self::Object(object) => object.items(),
        }
    }

    /// The same value, borrowing nothing; goes no deeper than what was read.
    pub fn into_owned(self) -> Value<'static> {
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

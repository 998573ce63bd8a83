//! Identity headers: which claims go into them, and how a claim becomes a value.

use crate::jose::json::Value;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

/// The longest value that becomes a header, in bytes.
pub const MAX_VALUE: usize = 4096;
/// Most values are shorter: a thumbprint has 43 bytes.
const USUAL_VALUE: usize = 48;

/// A route's identity headers: which claim goes into which header.
#[derive(Clone, Debug)]
pub struct IdentityMap {
    /// Header and claim path (`sub`, `cnf.jkt`), in the configuration's order.
    pub headers: Vec<(HeaderName, String)>,
}

/// The values of one token for one route, ready to be set.
pub type Rendered = Vec<(HeaderName, HeaderValue)>;

/// A claim cannot be a header value: it has a control or non-ASCII character, a space at an end, is too long, or is an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a claim cannot be a header value")]
pub struct Unrepresentable;

impl IdentityMap {
    /// The names of its headers.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _)| name)
    }

    /// The header values for the claims of a token; a claim that is absent or `null` has no header.
    ///
    /// # Errors
    /// [`Unrepresentable`]: never an omission, which an upstream could take for "nobody".
    pub fn render<'c>(
        &self,
        claim: impl Fn(&str) -> Option<&'c Value<'static>>,
    ) -> Result<Rendered, Unrepresentable> {
        let mut rendered = Rendered::with_capacity(self.headers.len());
        // One allocation for all of them: each value is a part of it.
        let mut text = BytesMut::with_capacity(self.headers.len().saturating_mul(USUAL_VALUE));
        for (name, path) in &self.headers {
            match claim(path) {
                None | Some(Value::Null) => {}
                Some(value) => rendered.push((name.clone(), header_value(value, &mut text)?)),
            }
        }
        Ok(rendered)
    }

    /// The first claim that [`IdentityMap::render`] cannot make a header of, for the log.
    pub fn unrepresentable<'c>(&self, claim: impl Fn(&str) -> Option<&'c Value<'static>>) -> Option<&str> {
        let is_one = |path: &&str| match claim(path) {
            None | Some(Value::Null) => false,
            Some(value) => header_value(value, &mut BytesMut::new()).is_err(),
        };
        self.headers.iter().map(|(_, path)| path.as_str()).find(is_one)
    }
}

/// Writes a claim to the end of `text` and takes it off again as a value.
fn header_value(claim: &Value<'static>, text: &mut BytesMut) -> Result<HeaderValue, Unrepresentable> {
    match claim {
        Value::String(words) => text.extend_from_slice(words.as_bytes()),
        Value::Integer(number) => return Ok(HeaderValue::from(*number)),
        Value::Float(number) => text.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(truth) => return Ok(HeaderValue::from_static(if *truth { "true" } else { "false" })),
        Value::Array(items) => write_list(items, text)?,
        Value::Object(_) | Value::Null => return Err(Unrepresentable),
    }
    text_value(text.split().freeze())
}

/// A list becomes its items with commas between; an item with a comma of its own would be two.
fn write_list(items: &[Value<'static>], text: &mut BytesMut) -> Result<(), Unrepresentable> {
    for (place, item) in items.iter().enumerate() {
        let item = item.as_str().filter(|item| !item.is_empty() && !item.contains(','));
        if place > 0 {
            text.extend_from_slice(b",");
        }
        text.extend_from_slice(item.ok_or(Unrepresentable)?.as_bytes());
    }
    Ok(())
}

fn text_value(text: Bytes) -> Result<HeaderValue, Unrepresentable> {
    let printable = text.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    let trimmed = !text.starts_with(b" ") && !text.ends_with(b" ");
    if !printable || !trimmed || text.len() > MAX_VALUE {
        return Err(Unrepresentable);
    }
    HeaderValue::from_maybe_shared(text).map_err(|_| Unrepresentable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn map() -> IdentityMap {
        let headers = [("x-auth-subject", "sub"), ("x-auth-key", "cnf.jkt")];
        let headers = headers.map(|(name, claim)| (HeaderName::from_static(name), claim.to_owned()));
        IdentityMap { headers: headers.to_vec() }
    }

    fn text(value: &'static str) -> Value<'static> {
        Value::String(Cow::Borrowed(value))
    }

    #[test]
    fn only_what_a_header_can_hold_unchanged_becomes_one() {
        let ok: [(Value<'static>, &str); 7] = [
            (text("alice"), "alice"),
            (text("a b"), "a b"),
            (text(""), ""),
            (Value::Integer(-7), "-7"),
            (Value::Bool(true), "true"),
            (Value::Array(vec![text("ops"), text("dev")]), "ops,dev"),
            (Value::Array(vec![]), ""),
        ];
        for (claim, expected) in ok {
            assert_eq!(header_value(&claim, &mut BytesMut::new()).unwrap(), expected, "{claim:?}");
        }
        let long = Value::String(Cow::Owned("x".repeat(MAX_VALUE + 1)));
        let bad = [
            text("a\r\nX-Auth-Subject: root"),
            text("a\0"),
            text("a\tb"),
            text("é"),
            text(" root"),
            text("root "),
            long,
            Value::Object(crate::jose::json::Object::default()),
            Value::Array(vec![text("a,b")]),
            Value::Array(vec![Value::Integer(1)]),
        ];
        for claim in bad {
            assert_eq!(header_value(&claim, &mut BytesMut::new()), Err(Unrepresentable), "{claim:?}");
        }
    }

    #[test]
    fn an_absent_claim_has_no_header() {
        let subject = text("alice");
        let rendered = map().render(|path| (path == "sub").then_some(&subject)).unwrap();
        assert_eq!(
            rendered,
            [(HeaderName::from_static("x-auth-subject"), HeaderValue::from_static("alice"))]
        );
    }
}

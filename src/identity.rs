//! Identity headers: strip every spelling of them, then set them from a verified token.
//!
//! Applications behind CGI, WSGI, Rack or PHP see `X-Auth-Subject`, `X_Auth_Subject` and `X.Auth.Subject` under one name, so names are
//! compared by their letters and digits alone, without case (RFC 9700 section 4.13; CVE-2025-64484,
//! CVE-2026-30851).

use crate::jose::json::Value;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashSet;

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

/// The names that no client may send, in any spelling: the identity headers of every route.
#[derive(Debug, Default)]
pub struct Protected {
    names: HashSet<Box<[u8]>>,
    longest: usize,
    /// By a name's first letter or digit: whether any of them begins so. Hardly any other header does.
    beginnings: Beginnings,
}

#[derive(Clone, Copy, Debug)]
struct Beginnings([bool; 256]);

/// The values of one token for one route, ready to be set.
pub type Rendered = Vec<(HeaderName, HeaderValue)>;

/// A claim cannot be a header value: it has a control or non-ASCII character, a space at an end, is too long, or is an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a claim cannot be a header value")]
pub struct Unrepresentable;

impl IdentityMap {
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
}

impl Protected {
    /// Protects the headers of all routes' maps.
    pub fn new<'a>(maps: impl Iterator<Item = &'a IdentityMap>) -> Self {
        let names: HashSet<Box<[u8]>> = maps
            .flat_map(|map| &map.headers)
            .map(|(name, _)| letters_and_digits(name.as_str()).collect())
            .collect();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let beginnings = Beginnings::of(names.iter().filter_map(|name| name.first().copied()));
        Self { names, longest, beginnings }
    }

    /// Whether a header of this name aliases a protected one.
    pub fn covers(&self, name: &str) -> bool {
        if !letters_and_digits(name).next().is_some_and(|first| self.beginnings.have(first)) {
            return false;
        }
        let mut folded = [0_u8; 64];
        let mut length = 0;
        for byte in letters_and_digits(name) {
            if length == self.longest {
                return false;
            }
            match folded.get_mut(length) {
                Some(slot) => *slot = byte,
                None => return self.covers_long(name),
            }
            length += 1;
        }
        folded.get(..length).is_some_and(|folded| self.names.contains(folded))
    }

    fn covers_long(&self, name: &str) -> bool {
        self.names.contains(&letters_and_digits(name).collect::<Box<[u8]>>())
    }

    /// Removes every header that aliases a protected one.
    pub fn strip(&self, headers: &mut HeaderMap) {
        // Names are few and mostly standard: collect only those that must go.
        let aliases: Vec<HeaderName> =
            headers.keys().filter(|name| self.covers(name.as_str())).cloned().collect();
        for name in aliases {
            headers.remove(name);
        }
    }
}

impl Default for Beginnings {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Beginnings {
    fn of(firsts: impl Iterator<Item = u8>) -> Self {
        let mut all = Self::default();
        for first in firsts {
            if let Some(has) = all.0.get_mut(usize::from(first)) {
                *has = true;
            }
        }
        all
    }

    fn have(&self, first: u8) -> bool {
        self.0.get(usize::from(first)).copied().unwrap_or(false)
    }
}

/// A header name as the sloppiest application would read it.
fn letters_and_digits(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
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
    use proptest::prelude::*;
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

    proptest! {
        /// No spelling of an identity header survives, and nothing else is touched.
        #[test]
        fn no_spelling_survives(marks in prop::collection::vec("[-_.!#$%&'*+^`|~]{0,2}", 16), upper in any::<u32>()) {
            let protected = Protected::new([map()].iter());
            let mut spelled = String::new();
            for (place, letter) in "xauthsubject".chars().enumerate() {
                let letter = if upper >> place & 1 == 1 { letter.to_ascii_uppercase() } else { letter };
                spelled.push(letter);
                spelled.push_str(&marks[place]);
            }
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_bytes(spelled.as_bytes()).unwrap(), HeaderValue::from_static("root"));
            headers.append("x-auth-subjects", HeaderValue::from_static("other"));
            headers.append("accept", HeaderValue::from_static("*/*"));
            protected.strip(&mut headers);
            let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            prop_assert_eq!(left, ["accept", "x-auth-subjects"]);
        }

        /// Names longer than any buffer are compared all the same.
        #[test]
        fn long_names_too(name in "[a-z]{60,80}") {
            let headers = vec![(HeaderName::from_bytes(name.as_bytes()).unwrap(), "sub".to_owned())];
            let protected = Protected::new([IdentityMap { headers }].iter());
            let (alias, longer) = (name.to_ascii_uppercase() + "_", name + "x");
            prop_assert!(protected.covers(&alias));
            prop_assert!(!protected.covers(&longer));
        }
    }
}

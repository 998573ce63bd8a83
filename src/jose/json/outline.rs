//! An object whose members are left unread, for documents in which one bad member must not cost the others.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonError;

/// A JSON object by its member names, each once; the values are texts that are known to be JSON and nothing more.
#[derive(Debug)]
pub struct Outline<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Outline<'a> {
    /// Reads the outermost level of `text`. What its length allows is the only limit: nothing below that level is kept but as text.
    ///
    /// # Errors
    /// [`JsonError::Syntax`], and [`JsonError::Duplicate`] for names of the outermost level.
    pub fn parse(text: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
        let outline: Self = serde_json::from_str(text).map_err(|_| JsonError::Syntax)?;
        let mut names: Vec<&str> = outline.members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| matches!(pair, [one, next] if one == next));
        if twice { Err(JsonError::Duplicate) } else { Ok(outline) }
    }

    /// The items of the array of this name, each as its text; `None` if there is no such array.
    pub fn items(&self, name: &str) -> Option<Vec<&'a str>> {
        let (_, array) = self.members.iter().find(|(n, _)| n == name)?;
        let items: Vec<&'a RawValue> = serde_json::from_str(array).ok()?;
        Some(items.into_iter().map(RawValue::get).collect())
    }

    /// The object with these texts in place of what the members of these names are, or at the end where there are none; every other member as
    /// it was written.
    pub fn with_texts(&self, texts: &[(&str, &str)]) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut members = Vec::with_capacity(self.members.len());
        for (name, written) in &self.members {
            let new = texts.iter().find(|(n, _)| n == name).map(|(_, text)| quoted(text));
            members.push(format!("{}:{}", quoted(name), new.as_deref().unwrap_or(written)));
        }
        for (name, text) in texts {
            if !self.members.iter().any(|(n, _)| n == name) {
                members.push(format!("{}:{}", quoted(name), quoted(text)));
            }
        }
        format!("{{{}}}", members.join(","))
    }
}

impl<'de> Deserialize<'de> for Outline<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((super::reader::MemberName(name), value)) = map.next_entry::<_, &'de RawValue>()? {
            members.push((name, value.get()));
        }
        Ok(Outline { members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_costs_nothing_but_itself() {
        let text = br#" {"a\u0062":[{"x":1,"x":2}, 7 ,"\u0000",[[[[[[[[[[]]]]]]]]]],null],"c":{"d":1,"d":1},"e":1e999} "#;
        let outline = Outline::parse(text).unwrap();
        let items = outline.items("ab").unwrap();
        assert_eq!(items, [r#"{"x":1,"x":2}"#, "7", r#""\u0000""#, "[[[[[[[[[[]]]]]]]]]]", "null"]);
        for none in ["c", "e", "a", ""] {
            assert_eq!(outline.items(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_object_or_has_a_name_twice_is_refused() {
        let cases: [(&[u8], JsonError); 12] = [
            (b"", JsonError::Syntax),
            (b"null", JsonError::Syntax),
            (b"[]", JsonError::Syntax),
            (b"[[],[]]", JsonError::Syntax),
            (b"{} {}", JsonError::Syntax),
            (b"{\"keys\":[}", JsonError::Syntax),
            (b"{\"keys\":[1,]}", JsonError::Syntax),
            (b"{\"keys\":[{\"a\":\"\xff\"}]}", JsonError::Syntax),
            (b"{\"keys\":[{\"a\":tru}]}", JsonError::Syntax),
            (b"{1:2}", JsonError::Syntax),
            (b"{\"keys\":[],\"keys\":[]}", JsonError::Duplicate),
            (b"{\"keys\":[],\"x\":1,\"\\u0078\":null}", JsonError::Duplicate),
        ];
        for (text, error) in cases {
            assert_eq!(Outline::parse(text).unwrap_err(), error, "{}", text.escape_ascii());
        }
    }
}

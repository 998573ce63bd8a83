//! Identity headers: strip every spelling of them.

use super::letters_and_digits;
use http::{HeaderMap, HeaderName};
use std::collections::HashSet;

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

impl Protected {
    /// Protects these names.
    pub fn new<'a>(names: impl Iterator<Item = &'a HeaderName>) -> Self {
        let names: HashSet<Box<[u8]>> =
            names.map(|name| letters_and_digits(name.as_str()).collect()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    proptest! {
        /// No spelling of an identity header survives, and nothing else is touched.
        #[test]
        fn no_spelling_survives(marks in prop::collection::vec("[-_.!#$%&'*+^`|~]{0,2}", 16), upper in any::<u32>()) {
            let protected = Protected::new([HeaderName::from_static("x-auth-subject"), HeaderName::from_static("x-auth-key")].iter());
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
            let protected = Protected::new([HeaderName::from_bytes(name.as_bytes()).unwrap()].iter());
            let (alias, longer) = (name.to_ascii_uppercase() + "_", name + "x");
            prop_assert!(protected.covers(&alias));
            prop_assert!(!protected.covers(&longer));
        }
    }
}

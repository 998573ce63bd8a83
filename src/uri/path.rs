//! The one canonical path.

use std::borrow::Cow;

/// A path that has one meaning: percent-encoding normalised (RFC 3986 section 6.2.2), nothing ambiguous in it (D28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    encoded_slash: bool,
}

/// What makes a request's path ambiguous (contract section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// Does not begin with `/`.
    #[error("the request target is not an absolute path")]
    NotAbsolute,
    /// `.` or `..`, encoded or not, or `..;`.
    #[error("the path has dot segments")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// `%2F` on a route that does not keep it.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// A control character, encoded or not (`%00`), a space, or one that is not ASCII.
    #[error("the path has a control or non-ASCII character")]
    Character,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path has a broken percent-encoding")]
    Percent,
}

impl<'a> CanonicalPath<'a> {
    /// Reads a request's path; borrows it where it is canonical already.
    ///
    /// An encoded slash is noted, not refused: whether it may stand is the route's to say.
    ///
    /// # Errors
    /// [`PathError`], as its variants say.
    pub fn parse(_path: &'a str) -> Result<Self, PathError> {
        todo!()
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `%2F` stands in it.
    pub const fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }
}

/// Normalises the path of an `htu` (RFC 3986 sections 6.2.2 and 5.2.4): hexadecimal digits in upper case, unreserved characters decoded,
/// dot segments removed, an empty path is `/`. `None` where it has a character no URI may have or a broken percent-encoding.
pub fn normalize_path(_path: &str) -> Option<Cow<'_, str>> {
    todo!()
}

//! The one canonical path.

mod readings;

use std::borrow::Cow;

/// A path that has one meaning: percent-encoding normalised (RFC 3986 section 6.2.2), nothing ambiguous in it.
///
/// The same path is matched against routes, compared with `htu` and forwarded, so that no two of them can differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    encoded_slash: bool,
}

/// What makes a request's path ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// Does not begin with `/`.
    #[error("the request target is not an absolute path")]
    NotAbsolute,
    /// `.` or `..`, encoded or not, alone or with parameters (`..;`), also between encoded slashes.
    #[error("the path has dot segments")]
    DotSegment,
    /// `//`, or the same with parameters (`/;x/`).
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// `%2F` on a route that does not keep it.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// A control character, encoded or not (`%00`), a space, one that is not ASCII, or another that no path
    /// may have.
    #[error("the path has a control or non-ASCII character")]
    Character,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path has a broken percent-encoding")]
    Percent,
    /// An upstream may read it as the path of another route, or of none.
    #[error("the path may be read as another one")]
    ReadDifferently,
}

impl<'a> CanonicalPath<'a> {
    /// Reads a request's path; borrows it where it is canonical already.
    ///
    /// An encoded slash is noted, not refused: whether it may stand is the route's to say.
    ///
    /// # Errors
    /// [`PathError`], as its variants say.
    pub fn parse(path: &'a str) -> Result<Self, PathError> {
        let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let mut segment = Segment::Start;
        let mut encoded_slash = false;
        let text = normalize_encoding(path, rest, |unit| {
            encoded_slash |= unit == Unit::Encoded(b'/');
            segment = segment.after(unit)?;
            Ok(())
        })?;
        segment.end()?;
        Ok(Self { text, encoded_slash })
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `%2F` stands in it.
    pub const fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Whether this holds for every way in which upstreams are known to read the path, in canonical spelling: with `;…` cut from its
    /// segments, with encoded slashes decoded (twice, too), with slashes merged, with dots and spaces at the end of a name forgotten.
    ///
    /// `holds` is asked for nothing but other readings than the path itself. A path without any of these characters has none, and costs one
    /// look at each byte. It does not hold for a path that can be read in more than 64 ways, or whose
    /// readings have more than 32 KiB.
    pub fn every_reading(&self, holds: impl Fn(&str) -> bool) -> bool {
        if !readings::may_differ(&self.text) {
            return true;
        }
        readings::of(&self.text).is_some_and(|all| all.iter().skip(1).all(|reading| holds(reading)))
    }
}

/// Normalises the path of an `htu` (RFC 3986 sections 6.2.2 and 5.2.4): hexadecimal digits in upper case,
/// unreserved characters decoded, dot segments removed, an empty path is `/`. `None` where it has a character
/// no URI may have or a broken percent-encoding.
pub fn normalize_path(path: &str) -> Option<Cow<'_, str>> {
    if path.is_empty() {
        return Some(Cow::Borrowed("/"));
    }
    let rest = path.strip_prefix('/')?;
    let text = normalize_encoding(path, rest, |_| Ok(())).ok()?;
    let dots = text.split('/').any(|segment| matches!(segment, "." | ".."));
    Some(if dots { Cow::Owned(without_dot_segments(&text)) } else { text })
}

/// One character of a path, after its percent-encoding was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// It stands for itself.
    Plain(u8),
    /// It has to stay encoded.
    Encoded(u8),
}

/// What the current segment is so far. An encoded slash begins one too: whoever decodes it would see one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    /// Nothing, after `/`.
    Start,
    /// Nothing, after `%2F`.
    StartEncoded,
    /// Nothing but parameters.
    Parameters,
    /// `.` or `..`
    Dots(u8),
    /// Anything else.
    Name,
}

impl Segment {
    fn after(self, unit: Unit) -> Result<Self, PathError> {
        match (self, unit) {
            (Self::Start | Self::Parameters, Unit::Plain(b'/')) => Err(PathError::EmptySegment),
            (Self::Dots(_), Unit::Plain(b'/' | b';') | Unit::Encoded(b'/' | b';')) => {
                Err(PathError::DotSegment)
            }
            (_, Unit::Plain(b'/')) => Ok(Self::Start),
            (_, Unit::Encoded(b'/')) => Ok(Self::StartEncoded),
            (Self::Start | Self::StartEncoded, Unit::Plain(b'.')) => Ok(Self::Dots(1)),
            (Self::Dots(1), Unit::Plain(b'.')) => Ok(Self::Dots(2)),
            (Self::Start, Unit::Plain(b';') | Unit::Encoded(b';')) => Ok(Self::Parameters),
            (Self::Parameters, _) => Ok(Self::Parameters),
            _ => Ok(Self::Name),
        }
    }

    fn end(self) -> Result<(), PathError> {
        if matches!(self, Self::Dots(_)) { Err(PathError::DotSegment) } else { Ok(()) }
    }
}

/// Brings the percent-encoding of `path` into its one form in one pass, and shows `each` every character of
/// `rest`, which is `path` without its first slash. Borrows as long as nothing changes.
fn normalize_encoding<'a>(
    path: &'a str,
    rest: &str,
    mut each: impl FnMut(Unit) -> Result<(), PathError>,
) -> Result<Cow<'a, str>, PathError> {
    let mut changed: Option<String> = None;
    let mut bytes = rest.bytes();
    // How much of `path` was read before the current character.
    let mut read = path.len() - rest.len();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            check_character(byte)?;
            each(Unit::Plain(byte))?;
            changed.iter_mut().for_each(|text| text.push(char::from(byte)));
            read += 1;
            continue;
        }
        let digits = (bytes.next().ok_or(PathError::Percent)?, bytes.next().ok_or(PathError::Percent)?);
        let unit = encoded(hex(digits.0)? << 4 | hex(digits.1)?)?;
        each(unit)?;
        let as_it_was = matches!(unit, Unit::Encoded(_)) && !is_lower(digits.0) && !is_lower(digits.1);
        if changed.is_none() && !as_it_was {
            let mut text = String::with_capacity(path.len());
            text.push_str(path.get(..read).unwrap_or_default());
            changed = Some(text);
        }
        changed.iter_mut().for_each(|text| push(text, unit));
        read += 3;
    }
    Ok(changed.map_or(Cow::Borrowed(path), Cow::Owned))
}

/// What may stand unencoded: `pchar` and `/` (RFC 3986 section 3.3), and the brackets, which browsers do not
/// encode.
fn check_character(byte: u8) -> Result<(), PathError> {
    match byte {
        b'\\' => Err(PathError::Backslash),
        b'"' | b'#' | b'<' | b'>' | b'?' | b'^' | b'`' | b'{' | b'|' | b'}' => Err(PathError::Character),
        _ if byte.is_ascii_graphic() => Ok(()),
        _ => Err(PathError::Character),
    }
}

/// What `%XX` with this value is: an unreserved character is decoded (RFC 3986 section 6.2.2.2), any other
/// stays.
fn encoded(value: u8) -> Result<Unit, PathError> {
    match value {
        b'\\' => Err(PathError::Backslash),
        _ if value.is_ascii_control() => Err(PathError::Character),
        b'-' | b'.' | b'_' | b'~' => Ok(Unit::Plain(value)),
        _ if value.is_ascii_alphanumeric() => Ok(Unit::Plain(value)),
        _ => Ok(Unit::Encoded(value)),
    }
}

fn hex(digit: u8) -> Result<u8, PathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathError::Percent),
    }
}

const fn is_lower(digit: u8) -> bool {
    digit.is_ascii_lowercase()
}

fn push(text: &mut String, unit: Unit) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
    match unit {
        Unit::Plain(value) => text.push(char::from(value)),
        Unit::Encoded(value) => text.extend(['%', digit(value >> 4), digit(value & 0xf)]),
    }
}

/// RFC 3986 section 5.2.4 for a path that begins with `/`.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            name => {
                kept.push(name);
                continue;
            }
        }
        // A dot segment at the end leaves the slash before it.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    out
}

#[cfg(test)]
mod tests;

//! How values are written into a byte buffer: nothing is allocated, and everything that came from outside is escaped.

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

/// A whole number in decimal. A third of a line is numbers: this is worth more than `write!`.
pub(super) fn write_whole(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut start = text.len();
    for digit in text.iter_mut().rev() {
        *digit = to_digit(number % 10);
        start = start.saturating_sub(1);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}

fn to_digit(below_ten: u64) -> u8 {
    u8::try_from(below_ten).map_or(b'0', |digit| b'0'.wrapping_add(digit))
}

pub(super) fn two_digits(number: u64) -> [u8; 2] {
    [to_digit(number / 10 % 10), to_digit(number % 10)]
}

pub(super) fn three_digits(number: u64) -> [u8; 3] {
    [to_digit(number / 100 % 10), to_digit(number / 10 % 10), to_digit(number % 10)]
}

/// Seconds with three digits after the point, as `{:.3}` writes them.
///
/// A difference of two dates is whole milliseconds, and then integers do; whatever else comes is left to the
/// formatter.
pub(super) fn write_seconds(seconds: f64, out: &mut Vec<u8>) {
    #[expect(
        clippy::as_conversions,
        reason = "one that is no whole number of milliseconds is found out below"
    )]
    let millis = (seconds * 1000.0).round() as i32;
    if (f64::from(millis) / 1000.0).to_bits() != seconds.to_bits() {
        let written = write!(out, "{seconds:.3}");
        debug_assert!(written.is_ok(), "a Vec takes everything");
        return;
    }
    if millis < 0 {
        out.push(b'-');
    }
    let millis = u64::from(millis.unsigned_abs());
    write_whole(millis / 1000, out);
    let [a, b, c] = three_digits(millis);
    out.extend_from_slice(&[b'.', a, b, c]);
}

/// The address as it is usually written (RFC 5952); an IPv4 address in IPv6 clothes as IPv4.
pub fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            write_whole(first.into(), out);
            for octet in rest {
                out.push(b'.');
                write_whole(octet.into(), out);
            }
        }
        IpAddr::V6(address) => {
            let written = write!(out, "{address}");
            debug_assert!(written.is_ok(), "a Vec takes everything");
        }
    }
}

/// Whether the text format can show this without quotation marks.
pub(super) fn is_plain(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='))
}

/// The longest text of somebody else's that a line shows of one value, in bytes.
pub(super) const SHOWN: usize = 256;

/// As much of the text as a line shows; "…" stands for the rest.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN {
        return Cow::Borrowed(text);
    }
    let end = (0..=SHOWN).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut cut = text.get(..end).unwrap_or_default().to_owned();
    cut.push('…');
    Cow::Owned(cut)
}

/// A JSON string (RFC 8259 section 7). What could break a line or steer a terminal is escaped too: all
/// control characters,
/// U+2028 and U+2029, and the marks that turn the direction of writing.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if is_bare(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(text, out);
    }
    out.push(b'"');
}

#[cold]
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(place) = rest.find(needs_escape) {
        let (clean, from) = rest.split_at(place);
        out.extend_from_slice(clean.as_bytes());
        let mut characters = from.chars();
        if let Some(character) = characters.next() {
            write_escape(character, out);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Whether all of this is printable ASCII without `"` and `\`, looked at eight bytes at a time.
///
/// In a word of bytes below 0x80, taking `n` from each sets the highest bit of the lowest byte that is less
/// than `n`; with what is to be found made zero by `^` first, `n` is one. What is borrowed from a byte above
/// can only call good text bad, and only where a bad byte was found already.
fn is_bare(text: &[u8]) -> bool {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let (words, rest) = text.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        found |= word
            | word.wrapping_sub(all(b' '))
            | (word ^ all(b'"')).wrapping_sub(all(1))
            | (word ^ all(b'\\')).wrapping_sub(all(1))
            | word.wrapping_add(all(1));
    }
    found & all(0x80) == 0
        && rest.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\')
}

const fn needs_escape(character: char) -> bool {
    matches!(character, '"' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn write_escape(character: char, out: &mut Vec<u8>) {
    let written = match character {
        '"' => out.write_all(b"\\\""),
        '\\' => out.write_all(b"\\\\"),
        '\n' => out.write_all(b"\\n"),
        '\r' => out.write_all(b"\\r"),
        '\t' => out.write_all(b"\\t"),
        other => write!(out, "\\u{:04x}", u32::from(other)),
    };
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is written, after something that was there before.
    fn appended(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn whole_numbers_are_decimal() {
        for number in [0, 7, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(appended(|out| write_whole(number, out)), number.to_string());
        }
    }

    #[test]
    fn seconds_have_three_digits() {
        for seconds in
            [0.0, -0.0, 0.001, -0.001, 0.0005, -0.0001, 59.9995, 1e9, -1e300, f64::INFINITY, f64::NAN]
        {
            assert_eq!(appended(|out| write_seconds(seconds, out)), format!("{seconds:.3}"));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let (fits, long) = ("a".repeat(SHOWN), "a".repeat(SHOWN + 1));
        assert_eq!(shown(&fits), fits);
        assert_eq!(shown(&long), format!("{fits}…"));
        assert_eq!(shown(&format!("a{}", "é".repeat(SHOWN))), format!("a{}…", "é".repeat(127)));
    }

    #[test]
    fn every_byte_is_bare_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let bare = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            for place in 0..20 {
                for fill in [b' ', b'a', b'~', b'!', b'#', b'[', b']'] {
                    let mut text = [fill; 20];
                    text[place] = byte;
                    assert_eq!(is_bare(&text), bare, "{byte:#x} at {place} among {fill:#x}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_look_as_the_formatter_writes_them(
            number in any::<u64>(), bits in 0..64_u32, millis in any::<i32>(), seconds in any::<f64>(),
        ) {
            let number = number >> bits;
            prop_assert_eq!(appended(|out| write_whole(number, out)), number.to_string());
            for seconds in [f64::from(millis) / 1000.0, seconds] {
                prop_assert_eq!(appended(|out| write_seconds(seconds, out)), format!("{seconds:.3}"));
            }
        }

        #[test]
        fn addresses_look_as_the_formatter_writes_them(address in any::<IpAddr>()) {
            prop_assert_eq!(appended(|out| write_address(address, out)), address.to_canonical().to_string());
        }
    }
}

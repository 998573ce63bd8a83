//! base64url without padding (RFC 7515 section 2), canonical: no stray bits, no white space, no other
//! alphabet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes `text`; `None` unless it is the one canonical spelling of some bytes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether `text` is the canonical spelling of `bytes`; allocates nothing.
pub fn encodes<const N: usize>(text: &str, bytes: &[u8; N]) -> bool {
    decode_array::<N>(text).as_ref() == Some(bytes)
}

/// Decodes `text` if it is the canonical spelling of exactly `N` bytes; allocates nothing.
pub(super) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

/// Whether [`decode`] would succeed; allocates nothing.
pub(super) fn is_canonical(text: &str) -> bool {
    let stray_bits = match text.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    let last = text.bytes().next_back().and_then(sextet).unwrap_or(0);
    // Without a branch for each byte: a header segment has hundreds.
    text.bytes().fold(true, |all, byte| all & is_sextet(byte)) && last & stray_bits == 0
}

/// Whether this is a character of base64url.
const fn is_sextet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_')
}

/// The six bits this character stands for (RFC 4648 section 5).
const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_every_spelling_but_the_canonical_one() {
        for text in ["A", "AA=", "AA==", "AB", "AAB", "AA A", "AA\n", "+/+/", " AAA", "AAAAA", "é"] {
            assert_eq!(decode(text), None, "{text:?}");
            assert!(!is_canonical(text), "{text:?}");
        }
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(""), Some(vec![]));
    }

    #[test]
    fn arrays_are_exactly_as_long_as_asked() {
        assert_eq!(decode_array::<32>(&encode(&[7; 32])), Some([7; 32]));
        assert_eq!(decode_array::<48>(&encode(&[7; 48])), Some([7; 48]));
        assert_eq!(decode_array::<32>(&encode(&[7; 31])), None);
        assert_eq!(decode_array::<32>(&encode(&[7; 33])), None);
    }

    #[test]
    fn a_text_encodes_bytes_in_one_spelling_only() {
        assert!(encodes(&encode(&[7; 32]), &[7; 32]));
        assert!(!encodes(&encode(&[7; 32]), &[8; 32]));
        assert!(!encodes("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd", &[7; 32]), "stray bits");
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert!(is_canonical(&text));
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn what_decodes_is_canonical(text in "[A-Za-z0-9_=+/ -]{0,9}") {
            prop_assert_eq!(is_canonical(&text), decode(&text).is_some());
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}

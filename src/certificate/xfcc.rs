//! `X-Forwarded-Client-Cert`, as Envoy documents it: elements with commas between them, of `key=value` with semicolons between them.
//!
//! Envoy writes the names in a certificate as they are, without quotes (`URI=…`): a client that chooses its own could write further keys or
//! elements with them. So a key that is there twice is a refusal, as is a second element.

/// What an element says of the certificate. There is exactly one element.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// The certificate itself.
    pub(super) cert: Option<Vec<u8>>,
    /// Its SHA-256.
    pub(super) hash: Option<Vec<u8>>,
}

impl Element {
    /// Reads the one element of a field.
    pub(super) fn read(field: &[u8]) -> Option<Self> {
        let mut element = Self::default();
        let mut rest = field;
        loop {
            let equals = rest.iter().position(|byte| *byte == b'=')?;
            let (key, after) = rest.split_at_checked(equals)?;
            let (value, after) = value(after.get(1..)?)?;
            if !key.iter().all(u8::is_ascii_alphanumeric) {
                return None;
            }
            let slot = match key.to_ascii_lowercase().as_slice() {
                b"cert" => Some(&mut element.cert),
                b"hash" => Some(&mut element.hash),
                _ => None,
            };
            if slot.is_some_and(|slot| slot.replace(value).is_some()) {
                return None;
            }
            match after {
                [] => return Some(element),
                [b';', more @ ..] => rest = more,
                _ => return None,
            }
        }
    }
}

/// A value, in quotes or without, and what follows it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(text.len());
        let (bare, after) = text.split_at_checked(end)?;
        return (!bare.contains(&b'"')).then(|| (bare.to_vec(), after));
    };
    let (mut value, mut rest) = (Vec::new(), quoted);
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

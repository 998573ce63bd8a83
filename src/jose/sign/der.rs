//! As much DER (X.690 section 10) as private keys are written in.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag of a constructed, context-specific element `[number]`.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// What is left of a sequence of elements.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The contents of the next element if it has this tag; otherwise nothing is taken.
    pub(super) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&first, rest) = self.0.split_first()?;
        if first != tag {
            return None;
        }
        let (length, rest) = length(rest)?;
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(contents)
    }

    /// The elements in the next sequence.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.element(SEQUENCE).map(Self)
    }

    /// The next integer, which is not negative, without its sign byte.
    pub(super) fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.element(INTEGER)? {
            [] | [0x80..=0xff, ..] => None,
            [0, digits @ ..] if !digits.is_empty() => Some(digits),
            digits => Some(digits),
        }
    }
}

/// A length and what comes after it; two bytes of length are enough for any key.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, long @ 0x80..=0xff, rest @ ..] => Some((usize::from(*long), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_spelling() {
        let element = |head: &[u8], length: usize| {
            let bytes = [&[OCTET_STRING], head, &vec![7; length]].concat();
            Reader::new(&bytes).element(OCTET_STRING).map(<[u8]>::len)
        };
        assert_eq!(element(&[0x7f], 0x7f), Some(0x7f));
        assert_eq!(element(&[0x81, 0x80], 0x80), Some(0x80));
        assert_eq!(element(&[0x82, 1, 0], 0x100), Some(0x100));
        for (head, length) in
            [(&[0x81, 0x7f][..], 0x7f), (&[0x82, 0, 0xff], 0xff), (&[0x80], 0), (&[5], 4), (&[], 0)]
        {
            assert_eq!(element(head, length), None, "{head:?}");
        }
    }

    #[test]
    fn integers_are_not_negative() {
        for (contents, read) in [
            (&[1, 5][..], Some(&[5][..])),
            (&[2, 0, 0x85], Some(&[0x85])),
            (&[1, 0], Some(&[0])),
            (&[1, 0x85], None),
            (&[0], None),
        ] {
            assert_eq!(Reader::new(&[&[INTEGER], contents].concat()).unsigned(), read);
        }
    }
}

//! Elements of DER, read without a parser for what is in them.

/// The tag of a sequence.
pub const SEQUENCE: u8 = 0x30;

/// The contents of the element at the front, which has this tag, and what follows it.
pub fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7F => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
            let length = octets
                .iter()
                .try_fold(0usize, |sum, octet| sum.checked_mul(256)?.checked_add((*octet).into()))?;
            (length, rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length)).flatten()
}

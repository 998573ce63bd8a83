//! The format: a header of 160 bytes, then records of 32, which divide a page evenly: no record lies across
//! two pages, and a killed process leaves none half written.

use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::time::Duration;

/// The length of a header.
pub(super) const HEADER: usize = 160;
/// The length of a record.
pub(super) const RECORD: usize = 32;
/// Raised with every change of the format or of how a key is made; files of another version vouch for
/// nothing.
const MAGIC: &[u8; 24] = b"keyproof replay journal\n";
const VERSION: u64 = 1;
/// A record's `until` counts from this long before its segment began.
const BEFORE: Duration = Duration::from_secs(86_400);

/// What a segment says of itself and of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its number; each is one more than the one before.
    pub(super) sequence: u64,
    /// The oldest segment that is needed to vouch: neither dropped nor in doubt when this one began.
    pub(super) from: u64,
    /// When it began.
    pub(super) origin: UnixTime,
    /// The moment since which the journal holds every accepted proof.
    pub(super) since: UnixTime,
    /// The latest `until` that was in a dropped segment.
    pub(super) dropped: UnixTime,
    /// A hash of what decides `until`. Under other terms a proof that was dropped may be acceptable again.
    pub(super) terms: u64,
    /// Which run of the kernel wrote it: what a process wrote survives the process, not the machine.
    pub(super) boot: [u8; 16],
    /// What the keys in the records were made with.
    pub(super) secret: [u8; 32],
}

impl Header {
    /// The bytes of the header.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let numbers = [
            VERSION,
            self.sequence,
            self.from,
            self.origin.as_millis().cast_unsigned(),
            self.since.as_millis().cast_unsigned(),
            self.dropped.as_millis().cast_unsigned(),
            self.terms,
        ];
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        let body = MAGIC.iter().copied().chain(numbers).chain(self.boot).chain(self.secret);
        let mut bytes = [0; HEADER];
        bytes.iter_mut().zip(body).for_each(|(to, from)| *to = from);
        let sum = checksum(0, bytes.get(..HEADER - 8).unwrap_or_default());
        bytes.iter_mut().skip(HEADER - 8).zip(sum.to_le_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The header, if it is one of this version and undamaged.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk()?;
        let (magic, body) = body.split_first_chunk()?;
        if magic != MAGIC || u64::from_le_bytes(*sum) != checksum(0, bytes.get(..HEADER - 8)?) {
            return None;
        }
        let mut rest = body;
        let mut number = || {
            let (first, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u64::from_le_bytes(*first))
        };
        if number()? != VERSION {
            return None;
        }
        let (sequence, from) = (number()?, number()?);
        let mut moment = || number().map(|millis| UnixTime::from_millis(millis.cast_signed()));
        let (origin, since, dropped) = (moment()?, moment()?, moment()?);
        let terms = number()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (secret, _) = rest.split_first_chunk()?;
        Some(Self { sequence, from, origin, since, dropped, terms, boot: *boot, secret: *secret })
    }

    /// The bytes of a record; `None` if `until` is too far from this segment's origin to be written down.
    pub(super) fn record(&self, key: ReplayKey, until: UnixTime) -> Option<[u8; RECORD]> {
        let from = self.origin.saturating_sub(BEFORE);
        let millis = u32::try_from(until.as_millis().saturating_sub(from.as_millis())).ok()?;
        let body =
            key.id.to_le_bytes().into_iter().chain(key.owner.to_le_bytes()).chain(millis.to_le_bytes());
        let mut bytes = [0; RECORD];
        bytes.iter_mut().zip(body).for_each(|(to, from)| *to = from);
        let sum = short(checksum(self.salt(), bytes.get(..RECORD - 4)?));
        bytes.iter_mut().skip(RECORD - 4).zip(sum).for_each(|(to, from)| *to = from);
        Some(bytes)
    }

    /// The record, if it is undamaged and this segment's.
    pub(super) fn read(&self, bytes: &[u8; RECORD]) -> Option<(ReplayKey, UnixTime)> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if *sum != short(checksum(self.salt(), body)) {
            return None;
        }
        let (id, rest) = body.split_first_chunk()?;
        let (owner, millis) = rest.split_first_chunk()?;
        let millis = u32::from_le_bytes(*millis.first_chunk()?);
        let until = self.origin.saturating_sub(BEFORE).saturating_add(Duration::from_millis(millis.into()));
        Some((ReplayKey { id: u128::from_le_bytes(*id), owner: u64::from_le_bytes(*owner) }, until))
    }

    /// A record copied into another segment is none.
    const fn salt(&self) -> u64 {
        self.sequence.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Against tears and rot, not against people: those who can write the journal own the machine.
fn checksum(salt: u64, bytes: &[u8]) -> u64 {
    let mut sum = salt ^ 0xCBF2_9CE4_8422_2325;
    for word in bytes.chunks(8) {
        let word = word.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        sum = (sum ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        sum ^= sum >> 32;
    }
    sum
}

fn short(sum: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = sum.to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            sequence: 7,
            from: 3,
            origin: UnixTime::from_secs(1_700_000_000),
            since: UnixTime::from_secs(1_699_999_000),
            dropped: UnixTime::from_secs(1_699_998_000),
            terms: 0x1234_5678_9ABC_DEF0,
            boot: [9; 16],
            secret: [8; 32],
        }
    }

    #[test]
    fn a_page_holds_whole_records() {
        assert_eq!((HEADER % RECORD, 4096 % RECORD), (0, 0));
    }

    #[test]
    fn every_damaged_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Some(header()));
        for bit in 0..HEADER * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written_and_nowhere_else(
            id: u128, owner: u64, secs in -80_000_i64..4_000_000, bit in 0_usize..RECORD * 8,
        ) {
            let until = UnixTime::from_secs(1_700_000_000 + secs);
            let key = ReplayKey { id, owner };
            let bytes = header().record(key, until).unwrap();
            prop_assert_eq!(header().read(&bytes), Some((key, until)));
            prop_assert_eq!(Header { sequence: 8, ..header() }.read(&bytes), None);
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(header().read(&damaged), None);
        }
    }

    #[test]
    fn a_moment_too_far_away_is_not_written_wrongly() {
        let key = ReplayKey { id: 1, owner: 1 };
        assert_eq!(header().record(key, UnixTime::EPOCH), None);
        assert_eq!(header().record(key, UnixTime::MAX), None);
    }

    #[test]
    fn nothing_but_zeroes_is_no_record() {
        assert_eq!(header().read(&[0; RECORD]), None);
    }
}

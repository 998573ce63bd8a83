//! The format. A segment is two files that are written by turns, so that one of them says how many records the other must have. Both
//! have their whole length from the start, [`LENGTH`]: whoever cuts one at a record's end makes it shorter than it may be.
//!
//! A file begins with a header of 224 bytes; the last 32 of them are free for its [`End`]. Then come records of 32, which divide a page
//! evenly: no record lies across two pages, and a killed process leaves none half written. Behind the last there is nothing but zeroes.

use crate::clock::UnixTime;
use crate::replay::ReplayKey;
use std::time::Duration;

/// Where the records begin.
pub(super) const HEADER: usize = 224;
/// Where the end mark is.
pub(super) const END: usize = HEADER - RECORD;
/// The length of a record, and of an end mark.
pub(super) const RECORD: usize = 32;
/// How many records have room in a file.
pub(super) const ROOM: u64 = 1 << 14;
/// The length of every file. Most of it is a hole that takes no room on the disk.
pub(super) const LENGTH: u64 = 224 + ROOM * 32;
/// Raised with every change of the format or of how a key is made; files of another version vouch for
/// nothing.
const MAGIC: &[u8; 24] = b"keyproof replay journal\n";
const VERSION: u64 = 2;
/// A record's `until` counts from this long before its segment began.
const BEFORE: Duration = Duration::from_secs(86_400);

/// Which of a segment's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The first record, the third, ...
    Even,
    /// The second, the fourth, ...
    Odd,
}

/// Where the record with this number, counted from 0, is written, and as which of that file.
pub(super) const fn place(number: u64) -> (Part, u64) {
    (if number.is_multiple_of(2) { Part::Even } else { Part::Odd }, number / 2)
}

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
    /// When it last began to hold every one anew, as milliseconds that the kernel had run for ([`crate::clock::Clock::uptime`]). Where the
    /// wall clock was behind then and has been set right, this tells how late that was.
    pub(super) begun: u64,
    /// The latest `until` that was in a dropped segment.
    pub(super) dropped: UnixTime,
    /// A hash of what decides `until`. Under other terms a proof that was dropped may be acceptable again.
    pub(super) terms: u64,
    /// How many records the segment before it has; that one says the same of the one before it, and so on.
    pub(super) before: u64,
    /// The [`super::witness::seal`] of the files of that segment after the last write to them.
    pub(super) before_seal: u64,
    /// The seal of the lock file.
    pub(super) lock: u64,
    /// Which of the two files this is.
    pub(super) part: Part,
    /// The [`super::witness::identity`] of this file: in a copy it is another one's.
    pub(super) file: u64,
    /// Whether the segment before it is finished. Until then there are no records in this one.
    pub(super) born: bool,
    /// Whether this file system's times tell who wrote last (see [`super::witness`]).
    pub(super) times_tell: bool,
    /// Which run of the kernel wrote it: what a process wrote survives the process, not the machine.
    pub(super) boot: [u8; 16],
    /// What the keys in the records were made with.
    pub(super) secret: [u8; 32],
}

/// What the last words of a segment are, in both of its files, with the number of its records in both of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// None yet: it is being written, or its process was killed.
    Open,
    /// The process ended as it should.
    Closed(u64),
    /// There is a segment after it.
    Succeeded(u64),
}

impl Header {
    /// The bytes of the header, without the end mark.
    pub(super) fn encode(&self) -> [u8; END] {
        let numbers = [
            VERSION,
            self.sequence,
            self.from,
            self.origin.as_millis().cast_unsigned(),
            self.since.as_millis().cast_unsigned(),
            self.dropped.as_millis().cast_unsigned(),
            self.terms,
            self.before,
            self.before_seal,
            self.lock,
            self.file,
            u64::from(self.part == Part::Odd) | u64::from(self.born) << 1 | u64::from(self.times_tell) << 2,
        ];
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        let body = MAGIC.iter().copied().chain(numbers).chain(self.boot).chain(self.secret);
        // Last, where a version that did not know it left zeroes.
        let body = body.chain(self.begun.to_le_bytes());
        let mut bytes = [0; END];
        bytes.iter_mut().zip(body).for_each(|(to, from)| *to = from);
        let sum = checksum(0, bytes.get(..END - 8).unwrap_or_default());
        bytes.iter_mut().skip(END - 8).zip(sum.to_le_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The header, if it is one of this version and undamaged.
    pub(super) fn decode(bytes: &[u8; END]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk()?;
        let (magic, body) = body.split_first_chunk()?;
        if magic != MAGIC || u64::from_le_bytes(*sum) != checksum(0, bytes.get(..END - 8)?) {
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
        let (terms, before, before_seal) = (number()?, number()?, number()?);
        let (lock, file, flags) = (number()?, number()?, number()?);
        let part = if flags & 1 == 0 { Part::Even } else { Part::Odd };
        let (born, times_tell) = (flags & 2 != 0, flags & 4 != 0);
        let (&boot, rest) = rest.split_first_chunk()?;
        let (&secret, rest) = rest.split_first_chunk()?;
        let (&begun, _) = rest.split_first_chunk()?;
        let begun = u64::from_le_bytes(begun);
        Some(Self {
            sequence,
            from,
            origin,
            since,
            begun,
            dropped,
            terms,
            before,
            before_seal,
            lock,
            part,
            file,
            born,
            times_tell,
            boot,
            secret,
        })
    }

    /// Whether a proof that is remembered until then can be written down in this segment.
    pub(super) fn has_room_for(&self, until: UnixTime) -> bool {
        self.millis(until).is_some()
    }

    /// The bytes of the record with this number in this file; `None` if `until` is too far from this segment's origin to be written down.
    pub(super) fn record(&self, key: ReplayKey, until: UnixTime, number: u64) -> Option<[u8; RECORD]> {
        let millis = self.millis(until)?;
        let body =
            key.id.to_le_bytes().into_iter().chain(key.owner.to_le_bytes()).chain(millis.to_le_bytes());
        let mut bytes = [0; RECORD];
        bytes.iter_mut().zip(body).for_each(|(to, from)| *to = from);
        let (part, index) = place(number);
        let sum = short(checksum(self.salt(part, index), bytes.get(..RECORD - 4)?));
        bytes.iter_mut().skip(RECORD - 4).zip(sum).for_each(|(to, from)| *to = from);
        Some(bytes)
    }

    fn millis(&self, until: UnixTime) -> Option<u32> {
        let from = self.origin.saturating_sub(BEFORE);
        u32::try_from(until.as_millis().saturating_sub(from.as_millis())).ok()
    }

    /// The record, if it is undamaged and the one in this place of this file.
    pub(super) fn read(&self, bytes: &[u8; RECORD], index: u64) -> Option<(ReplayKey, UnixTime)> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if *sum != short(checksum(self.salt(self.part, index), body)) {
            return None;
        }
        let (id, rest) = body.split_first_chunk()?;
        let (owner, millis) = rest.split_first_chunk()?;
        let millis = u32::from_le_bytes(*millis.first_chunk()?);
        let until = self.origin.saturating_sub(BEFORE).saturating_add(Duration::from_millis(millis.into()));
        Some((ReplayKey { id: u128::from_le_bytes(*id), owner: u64::from_le_bytes(*owner) }, until))
    }

    /// A record that was copied to another place, or into another file, is none.
    fn salt(&self, part: Part, index: u64) -> u64 {
        let file = self.sequence.wrapping_mul(2).wrapping_add(u64::from(part == Part::Odd));
        file.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
    }
}

impl End {
    /// The bytes of the mark, at the end of the segment with this number.
    pub(super) fn encode(self, sequence: u64) -> [u8; RECORD] {
        let (kind, count) = match self {
            Self::Open => return [0; RECORD],
            Self::Closed(count) => (1, count),
            Self::Succeeded(count) => (2, count),
        };
        let mut bytes = [0; RECORD];
        let body = [kind, count, sequence].map(u64::to_le_bytes).concat();
        let sum = checksum(0, &body).to_le_bytes();
        bytes.iter_mut().zip(body.into_iter().chain(sum)).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The mark, if it is an undamaged one of the segment with this number.
    pub(super) fn decode(bytes: &[u8; RECORD], sequence: u64) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<8>()?;
        let count = u64::from_le_bytes(*rest.first_chunk()?);
        let all = [Self::Open, Self::Closed(count), Self::Succeeded(count)];
        all.into_iter().find(|end| end.encode(sequence) == *bytes)
    }
}

/// Against tears and rot, not against people: those who can write the journal own the machine.
pub(super) fn checksum(salt: u64, bytes: &[u8]) -> u64 {
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
            begun: 86_400_000,
            dropped: UnixTime::from_secs(1_699_998_000),
            terms: 0x1234_5678_9ABC_DEF0,
            before: 41,
            before_seal: 42,
            lock: 43,
            part: Part::Odd,
            file: 44,
            born: true,
            times_tell: false,
            boot: [9; 16],
            secret: [8; 32],
        }
    }

    #[test]
    fn a_page_holds_whole_records() {
        assert_eq!((HEADER % RECORD, 4096 % RECORD), (0, 0));
        assert_eq!(LENGTH, u64::try_from(HEADER).unwrap() + ROOM * u64::try_from(RECORD).unwrap());
    }

    #[test]
    fn every_damaged_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Some(header()));
        for bit in 0..END * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn every_damaged_bit_of_an_end_is_noticed_and_it_is_no_other_segments() {
        for end in [End::Open, End::Closed(0), End::Closed(7), End::Succeeded(u64::MAX)] {
            let bytes = end.encode(7);
            assert_eq!(End::decode(&bytes, 7), Some(end));
            assert!(end == End::Open || End::decode(&bytes, 8).is_none());
            for bit in 0..RECORD * 8 {
                let mut damaged = bytes;
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(End::decode(&damaged, 7), None, "{end:?} bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written_and_nowhere_else(
            id: u128, owner: u64, secs in -80_000_i64..4_000_000, index in 0..ROOM, bit in 0_usize..RECORD * 8,
        ) {
            let until = UnixTime::from_secs(1_700_000_000 + secs);
            let key = ReplayKey { id, owner };
            let bytes = header().record(key, until, index * 2 + 1).unwrap();
            prop_assert_eq!(header().read(&bytes, index), Some((key, until)));
            prop_assert_eq!(header().read(&bytes, index + 1), None);
            prop_assert_eq!(Header { sequence: 8, ..header() }.read(&bytes, index), None);
            prop_assert_eq!(Header { part: Part::Even, ..header() }.read(&bytes, index), None);
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(header().read(&damaged, index), None);
        }
    }

    #[test]
    fn a_moment_too_far_away_is_not_written_wrongly() {
        let key = ReplayKey { id: 1, owner: 1 };
        assert_eq!(header().record(key, UnixTime::EPOCH, 0), None);
        assert_eq!(header().record(key, UnixTime::MAX, 0), None);
    }

    #[test]
    fn nothing_but_zeroes_is_no_record() {
        assert_eq!(header().read(&[0; RECORD], 0), None);
    }
}

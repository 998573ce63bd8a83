//! The slots of a cluster.

/// How many slots there are.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key without braces, or of what stands in a key's braces.
pub(super) fn slot(key: &str) -> u16 {
    let crc = key.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    });
    crc % SLOTS
}

/// Whether one of these ranges holds the slot.
pub(super) fn owns(ranges: &[(u16, u16)], slot: u16) -> bool {
    ranges.iter().any(|(first, last)| (first..=last).contains(&&slot))
}

/// A text whose slot is in one of these ranges.
pub(super) fn tag_within(ranges: &[(u16, u16)]) -> u32 {
    (0..1_000_000).find(|tag: &u32| owns(ranges, slot(&tag.to_string()))).unwrap_or(0)
}

/// Whether the ranges, taken together, are all slots, each once.
pub(super) fn complete(mut ranges: Vec<(u16, u16)>) -> bool {
    ranges.sort_unstable();
    let mut due = 0;
    ranges.iter().all(|&(first, last)| std::mem::replace(&mut due, last.saturating_add(1)) == first)
        && due == SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Redis cluster specification: CRC16 of "123456789" is 0x31C3; `CLUSTER KEYSLOT foo` is 12182.
    #[test]
    fn known_slots() {
        assert_eq!(slot("123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn every_single_slot_has_a_tag() {
        for one in [0, 1, 777, 8191, 16_383] {
            assert_eq!(slot(&tag_within(&[(one, one)]).to_string()), one);
        }
    }

    #[test]
    fn gaps_and_overlaps_are_no_map() {
        assert!(complete(vec![(8192, 16_383), (0, 8191)]));
        assert!(!complete(vec![(0, 8191), (8193, 16_383)]));
        assert!(!complete(vec![(0, 8191), (8191, 16_383)]));
        assert!(!complete(vec![(0, 16_382)]));
    }
}

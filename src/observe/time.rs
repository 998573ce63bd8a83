//! How a moment is written.

use super::text::{three_digits, two_digits};
use crate::clock::UnixTime;

/// RFC 3339 in UTC with milliseconds: `2026-11-21T23:24:25.678Z`.
pub(super) fn write_time(time: UnixTime, out: &mut Vec<u8>) {
    let mut second = Second::NONE;
    second.write(time, out);
}

/// The same as a text of its own.
pub fn rfc3339(time: UnixTime) -> String {
    let mut text = Vec::new();
    write_time(time, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The last second that was written, as text: thousands of lines share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Second {
    number: i64,
    text: [u8; 20],
}

impl Second {
    /// No second was written yet.
    pub(super) const NONE: Self = Self { number: i64::MIN, text: [0; 20] };

    pub(super) fn write(&mut self, time: UnixTime, out: &mut Vec<u8>) {
        let number = time.as_secs();
        if number != self.number {
            *self = Self { number, text: second_text(number) };
        }
        let [a, b, c] = three_digits(time.as_millis().rem_euclid(1000).unsigned_abs());
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[a, b, c, b'Z']);
    }
}

/// `2026-11-21T23:24:25.`; the gateway's time ends with the year 9999.
fn second_text(number: i64) -> [u8; 20] {
    let (days, second) = (number.div_euclid(86_400), number.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.";
    let numbers = [year / 100, year % 100, month, day, second / 3600, second / 60 % 60, second % 60];
    for (number, place) in numbers.into_iter().zip([0, 2, 5, 8, 11, 14, 17]) {
        if let Some(digits) = text.get_mut(place..).and_then(|text| text.first_chunk_mut()) {
            *digits = two_digits(u64::try_from(number).unwrap_or(0));
        }
    }
    text
}

/// Year, month and day of the day `days` after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is their last, in eras of 400 years, which all have
/// 146,097 days.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, after something that was there before.
    fn appended(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            write_time(UnixTime::from_millis(millis), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_second_that_is_kept_is_the_one_of_the_line() {
        let mut second = Second::NONE;
        for (millis, text) in [
            (1_763_767_465_678, "2025-11-21T23:24:25.678Z"),
            (1_763_767_465_009, "2025-11-21T23:24:25.009Z"),
            (1_763_767_466_000, "2025-11-21T23:24:26.000Z"),
            (1_763_767_465_999, "2025-11-21T23:24:25.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(appended(|out| second.write(UnixTime::from_millis(millis), out)), text);
        }
    }
}

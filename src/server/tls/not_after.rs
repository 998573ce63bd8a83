//! When a certificate expires (RFC 5280 section 4.1), read without a parser for the rest of it.

use crate::certificate::{SEQUENCE, element};
use crate::clock::UnixTime;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xA0;

/// `notAfter` of a DER certificate; `None` where it is not one.
pub(super) fn of(certificate: &[u8]) -> Option<UnixTime> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_signature, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let not_after = element(validity, UTC_TIME).or_else(|| element(validity, GENERALIZED_TIME))?.1;
    match element(not_after, UTC_TIME) {
        // Two digits: 1950 to 2049.
        Some((text, _)) => {
            let year = digits(text.get(..2)?)?;
            moment(if year < 50 { year.checked_add(2000)? } else { year.checked_add(1900)? }, text.get(2..)?)
        }
        None => {
            let (text, _) = element(not_after, GENERALIZED_TIME)?;
            moment(digits(text.get(..4)?)?, text.get(4..)?)
        }
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// `MMDDHHMMSSZ` of this year, in seconds since the epoch.
fn moment(year: i64, text: &[u8]) -> Option<UnixTime> {
    let part = |at: usize| digits(text.get(at..at.checked_add(2)?)?);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || text.get(10..)? != b"Z" {
        return None;
    }
    // Years that begin in March put the leap day last; 400 of them have 146,097 days.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(UnixTime::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_the_epoch() {
        let secs = |year, text: &str| moment(year, text.as_bytes()).map(UnixTime::as_secs);
        assert_eq!(secs(1970, "0101000000Z"), Some(0));
        assert_eq!(secs(2000, "0229120000Z"), Some(951_825_600));
        assert_eq!(secs(2026, "1121232347Z"), Some(1_795_303_427));
        assert_eq!(secs(2049, "1231235959Z"), Some(2_524_607_999));
        for bad in ["", "0101000000", "1301000000Z", "0100000000Z", "01010000-1Z", "0101000000+0100"] {
            assert_eq!(secs(2026, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_says_when_it_expires() {
        for (year, expected) in [(2030, 1_893_456_000), (2060, 2_840_140_800)] {
            let mut parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(of(certificate.der()).map(UnixTime::as_secs), Some(expected));
            // No prefix of it is one, and none makes the walk fall over.
            let der = certificate.der();
            for cut in 0..100 {
                assert_eq!(of(&der[..cut]), None);
            }
        }
    }
}

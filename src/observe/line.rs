//! How an access log line looks: formatted into a byte buffer, nothing allocated, everything that came from
//! outside escaped.

use super::LogFormat;
use crate::clock::UnixTime;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// What a line says. Never a token, a proof, a nonce or a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) time: UnixTime,
    pub(super) warn: bool,
    pub(super) request_id: Word<'a>,
    /// Where a trace was continued; otherwise the request's identifier is the trace's.
    pub(super) trace_id: Option<&'a [u8]>,
    pub(super) listener: &'a str,
    pub(super) client: IpAddr,
    pub(super) protocol: &'static str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) route: &'a str,
    pub(super) status: u16,
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    pub(super) binding: &'static str,
    pub(super) sub: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
    pub(super) jkt: Option<&'a [u8]>,
    pub(super) skew: Option<f64>,
    pub(super) upstream: Option<&'a str>,
    pub(super) error: Option<&'static str>,
    /// The claim of the token for which it was refused.
    pub(super) claim: Option<&'a str>,
    pub(super) bytes: u64,
    pub(super) duration: Duration,
    pub(super) decision_duration: Option<Duration>,
    pub(super) upstream_duration: Option<Duration>,
}

/// A value that may be known to need neither quotation marks nor escapes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    /// Printable ASCII without space, `"`, `\` and `=`.
    Plain(&'a [u8]),
    /// Anything.
    Text(&'a str),
}

/// What stands before a value: `,"name":` or ` name=`, ready to copy.
#[derive(Clone, Copy)]
struct Name {
    json: &'static str,
    text: &'static str,
}

macro_rules! name {
    ($name:literal) => {
        Name { json: concat!(",\"", $name, "\":"), text: concat!(" ", $name, "=") }
    };
}

impl Line<'_> {
    /// Appends the line and its end to `out`.
    pub(super) fn write(&self, format: LogFormat, second: &mut Second, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => {
                out.extend_from_slice(b"{\"time\":\"");
                second.write(self.time, out);
                out.extend_from_slice(b"\",\"level\":\"");
                out.extend_from_slice(if self.warn { b"WARN" } else { b"INFO" });
                out.extend_from_slice(b"\",\"message\":\"request\"");
                self.write_fields(&mut Fields::<true>(out));
                out.extend_from_slice(b"}\n");
            }
            LogFormat::Text => {
                second.write(self.time, out);
                out.extend_from_slice(if self.warn { b"  WARN request" } else { b"  INFO request" });
                self.write_fields(&mut Fields::<false>(out));
                out.push(b'\n');
            }
        }
    }

    /// Every field that has a value, in the order in which it is written.
    fn write_fields<const JSON: bool>(&self, to: &mut Fields<'_, JSON>) {
        to.plain(name!("method"), self.method.as_bytes());
        to.text(name!("path"), self.path);
        to.whole(name!("status"), self.status.into());
        to.text(name!("route"), self.route);
        to.plain(name!("decision"), self.decision.as_bytes());
        to.plain(name!("reason"), self.reason.as_bytes());
        if let Some(error) = self.error {
            to.text(name!("error"), error);
        }
        if let Some(claim) = self.claim {
            to.text(name!("claim"), claim);
        }
        to.plain(name!("binding"), self.binding.as_bytes());
        if let Some(sub) = self.sub {
            to.text(name!("sub"), sub);
        }
        if let Some(client_id) = self.client_id {
            to.text(name!("client_id"), client_id);
        }
        if let Some(jkt) = self.jkt {
            to.plain(name!("jkt"), jkt);
        }
        if let Some(skew) = self.skew {
            to.seconds(name!("skew"), skew);
        }
        to.micros(name!("duration_us"), self.duration);
        if let Some(duration) = self.decision_duration {
            to.micros(name!("decision_us"), duration);
        }
        if let Some(upstream) = self.upstream {
            to.text(name!("upstream"), upstream);
        }
        if let Some(duration) = self.upstream_duration {
            to.micros(name!("upstream_us"), duration);
        }
        to.whole(name!("bytes"), self.bytes);
        to.address(name!("client"), self.client);
        to.text(name!("listener"), self.listener);
        to.plain(name!("protocol"), self.protocol.as_bytes());
        match self.request_id {
            Word::Plain(id) => to.plain(name!("request_id"), id),
            Word::Text(id) => to.text(name!("request_id"), id),
        }
        if let Some(trace_id) = self.trace_id {
            to.plain(name!("trace_id"), trace_id);
        }
    }
}

/// The fields of one line, as JSON or as text.
///
/// Each is inlined where it is called: a name whose length is known is a store or two instead of a call.
struct Fields<'a, const JSON: bool>(&'a mut Vec<u8>);

impl<const JSON: bool> Fields<'_, JSON> {
    #[inline(always)]
    fn name(&mut self, name: Name) {
        self.0.extend_from_slice(if JSON { name.json.as_bytes() } else { name.text.as_bytes() });
    }

    #[inline(always)]
    fn quoted(&mut self, name: Name, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        if JSON {
            self.0.push(b'"');
        }
        write(self.0);
        if JSON {
            self.0.push(b'"');
        }
    }

    #[inline(always)]
    fn plain(&mut self, name: Name, value: &[u8]) {
        debug_assert!(is_plain(value), "{} is not plain", value.escape_ascii());
        self.quoted(name, |out| out.extend_from_slice(value));
    }

    #[inline(always)]
    fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        if !JSON && is_plain(value.as_bytes()) {
            self.0.extend_from_slice(value.as_bytes());
        } else {
            write_string(value, self.0);
        }
    }

    #[inline(always)]
    fn whole(&mut self, name: Name, value: u64) {
        self.name(name);
        write_whole(value, self.0);
    }

    #[inline(always)]
    fn micros(&mut self, name: Name, value: Duration) {
        self.whole(name, u64::try_from(value.as_micros()).unwrap_or(u64::MAX));
    }

    #[inline(always)]
    fn seconds(&mut self, name: Name, value: f64) {
        self.name(name);
        write_seconds(value, self.0);
    }

    #[inline(always)]
    fn address(&mut self, name: Name, value: IpAddr) {
        self.quoted(name, |out| write_address(value, out));
    }
}

/// A whole number in decimal. A third of a line is numbers: this is worth more than `write!`.
fn write_whole(mut number: u64, out: &mut Vec<u8>) {
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

fn two_digits(number: u64) -> [u8; 2] {
    [to_digit(number / 10 % 10), to_digit(number % 10)]
}

fn three_digits(number: u64) -> [u8; 3] {
    [to_digit(number / 100 % 10), to_digit(number / 10 % 10), to_digit(number % 10)]
}

/// Seconds with three digits after the point, as `{:.3}` writes them.
///
/// A difference of two dates is whole milliseconds, and then integers do; whatever else comes is left to the
/// formatter.
fn write_seconds(seconds: f64, out: &mut Vec<u8>) {
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
fn is_plain(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='))
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

/// RFC 3339 in UTC with milliseconds: `2026-11-21T23:24:25.678Z`.
pub(super) fn write_time(time: UnixTime, out: &mut Vec<u8>) {
    let mut second = Second::NONE;
    second.write(time, out);
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

    fn write(&mut self, time: UnixTime, out: &mut Vec<u8>) {
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
    use proptest::prelude::*;

    fn line() -> Line<'static> {
        Line {
            time: UnixTime::from_millis(1_763_767_465_678),
            warn: false,
            request_id: Word::Plain(b"0123456789abcdef0123456789abcdef"),
            trace_id: None,
            listener: "public",
            client: "::ffff:192.0.2.7".parse().unwrap(),
            protocol: "HTTP/2",
            method: "GET",
            path: "/orders/17",
            route: "orders",
            status: 200,
            decision: "allow",
            reason: "dpop",
            binding: "dpop",
            sub: Some("alice \"the\" first\n\u{2028}"),
            client_id: Some("app"),
            jkt: Some(b"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
            skew: Some(-0.25),
            upstream: Some("legacy"),
            error: None,
            claim: None,
            bytes: 512,
            duration: Duration::from_micros(1234),
            decision_duration: Some(Duration::from_nanos(98_765)),
            upstream_duration: Some(Duration::from_micros(1000)),
        }
    }

    fn written(line: &Line<'_>, format: LogFormat) -> String {
        let mut out = Vec::new();
        let mut second = Second::NONE;
        line.write(format, &mut second, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_line_looks_like_this() {
        assert_eq!(
            written(&line(), LogFormat::Json),
            concat!(
                r#"{"time":"2025-11-21T23:24:25.678Z","level":"INFO","message":"request","method":"GET","#,
                r#""path":"/orders/17","status":200,"route":"orders","decision":"allow","reason":"dpop","#,
                r#""binding":"dpop","sub":"alice \"the\" first\n\u2028","client_id":"app","#,
                r#""jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","skew":-0.250,"duration_us":1234,"#,
                r#""decision_us":98,"upstream":"legacy","upstream_us":1000,"bytes":512,"client":"192.0.2.7","#,
                r#""listener":"public","protocol":"HTTP/2","request_id":"0123456789abcdef0123456789abcdef"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_text_line_looks_like_this() {
        let refused = Line {
            warn: true,
            status: 503,
            decision: "deny",
            reason: "replay_unavailable",
            upstream: None,
            upstream_duration: None,
            error: Some("timed out"),
            claim: Some("client_id"),
            trace_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
            ..line()
        };
        assert_eq!(
            written(&refused, LogFormat::Text),
            concat!(
                "2025-11-21T23:24:25.678Z  WARN request method=GET path=/orders/17 status=503 route=orders ",
                "decision=deny reason=replay_unavailable error=\"timed out\" claim=client_id binding=dpop ",
                r#"sub="alice \"the\" first\n\u2028" client_id=app "#,
                "jkt=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I skew=-0.250 duration_us=1234 decision_us=98 ",
                "bytes=512 client=192.0.2.7 listener=public protocol=HTTP/2 ",
                "request_id=0123456789abcdef0123456789abcdef trace_id=4bf92f3577b34da6a3ce929d0e0e4736\n"
            )
        );
    }

    #[test]
    fn whole_numbers_are_decimal() {
        for number in [0, 7, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(appended(|out| write_whole(number, out)), number.to_string());
        }
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

    /// What is written, after something that was there before.
    fn appended(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
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

    #[test]
    fn seconds_have_three_digits() {
        for seconds in
            [0.0, -0.0, 0.001, -0.001, 0.0005, -0.0001, 59.9995, 1e9, -1e300, f64::INFINITY, f64::NAN]
        {
            assert_eq!(appended(|out| write_seconds(seconds, out)), format!("{seconds:.3}"));
        }
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

        #[test]
        fn any_text_survives_as_one_line_of_json(path in any::<String>(), sub in any::<Option<String>>()) {
            let text = written(&Line { path: &path, sub: sub.as_deref(), ..line() }, LogFormat::Json);
            prop_assert_eq!(text.find(|c: char| c.is_control() || c == '\u{2028}'), Some(text.len() - 1));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value["path"].as_str(), Some(path.as_str()));
            prop_assert_eq!(value["sub"].as_str(), sub.as_deref());
        }

        #[test]
        fn any_text_is_one_field_of_a_text_line(path in any::<String>()) {
            let text = written(&Line { path: &path, ..line() }, LogFormat::Text);
            prop_assert_eq!(text.find(char::is_control), Some(text.len() - 1));
            let from = text.split_once(" path=").unwrap().1;
            let value = from.split_once(" status=200").unwrap().0;
            if is_plain(path.as_bytes()) {
                prop_assert_eq!(value, path.as_str());
            } else if !path.contains(" status=200") {
                prop_assert_eq!(serde_json::from_str::<String>(value).unwrap(), path);
            }
        }
    }
}

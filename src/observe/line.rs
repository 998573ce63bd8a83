//! How an access log line looks: formatted into a byte buffer, nothing allocated, everything that came from
//! outside escaped.

use super::LogFormat;
use crate::clock::UnixTime;
use std::io::Write;
use std::time::Duration;

/// What a line says. Never a token, a proof, a nonce or a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) time: UnixTime,
    pub(super) warn: bool,
    pub(super) request_id: &'a str,
    /// Where a trace was continued; otherwise the request's identifier is the trace's.
    pub(super) trace_id: Option<&'a str>,
    pub(super) listener: &'a str,
    pub(super) client: std::net::IpAddr,
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
    pub(super) jkt: Option<&'a str>,
    pub(super) skew: Option<f64>,
    pub(super) upstream: Option<&'a str>,
    pub(super) error: Option<&'static str>,
    pub(super) bytes: u64,
    pub(super) duration: Duration,
    pub(super) decision_duration: Option<Duration>,
    pub(super) upstream_duration: Option<Duration>,
}

/// One field's value.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Whole(u64),
    Micros(Duration),
    Seconds(f64),
}

impl Line<'_> {
    /// Appends the line and its end to `out`.
    pub(super) fn write(&self, format: LogFormat, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => self.write_json(out),
            LogFormat::Text => self.write_text(out),
        }
        out.push(b'\n');
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        write_time(self.time, out);
        out.extend_from_slice(b"\",\"level\":\"");
        out.extend_from_slice(if self.warn { b"WARN" } else { b"INFO" });
        out.extend_from_slice(b"\",\"message\":\"request\"");
        self.fields(|name, value| {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match value {
                Value::Text(text) => write_string(text, out),
                Value::Whole(_) | Value::Micros(_) | Value::Seconds(_) => write_number(value, out),
            }
        });
        out.push(b'}');
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        write_time(self.time, out);
        out.extend_from_slice(if self.warn { b"  WARN request" } else { b"  INFO request" });
        self.fields(|name, value| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            match value {
                Value::Text(text) if is_plain(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(text) => write_string(text, out),
                Value::Whole(_) | Value::Micros(_) | Value::Seconds(_) => write_number(value, out),
            }
        });
    }

    /// Every field that has a value, in the order in which it is written.
    fn fields(&self, mut field: impl FnMut(&'static str, Value<'_>)) {
        let optional = |field: &mut dyn FnMut(&'static str, Value<'_>), name, text: Option<&str>| {
            if let Some(text) = text {
                field(name, Value::Text(text));
            }
        };
        field("method", Value::Text(self.method));
        field("path", Value::Text(self.path));
        field("status", Value::Whole(self.status.into()));
        field("route", Value::Text(self.route));
        field("decision", Value::Text(self.decision));
        field("reason", Value::Text(self.reason));
        optional(&mut field, "error", self.error);
        field("binding", Value::Text(self.binding));
        optional(&mut field, "sub", self.sub);
        optional(&mut field, "client_id", self.client_id);
        optional(&mut field, "jkt", self.jkt);
        if let Some(skew) = self.skew {
            field("skew", Value::Seconds(skew));
        }
        field("duration_us", Value::Micros(self.duration));
        if let Some(duration) = self.decision_duration {
            field("decision_us", Value::Micros(duration));
        }
        optional(&mut field, "upstream", self.upstream);
        if let Some(duration) = self.upstream_duration {
            field("upstream_us", Value::Micros(duration));
        }
        field("bytes", Value::Whole(self.bytes));
        write_client(self.client, |text| field("client", Value::Text(text)));
        field("listener", Value::Text(self.listener));
        field("protocol", Value::Text(self.protocol));
        field("request_id", Value::Text(self.request_id));
        optional(&mut field, "trace_id", self.trace_id);
    }
}

fn write_number(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(_) => {}
        Value::Whole(number) => write_whole(number, 1, out),
        Value::Micros(duration) => {
            write_whole(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), 1, out)
        }
        Value::Seconds(seconds) => {
            let written = write!(out, "{seconds:.3}");
            debug_assert!(written.is_ok(), "a Vec takes everything");
        }
    }
}

/// A whole number in decimal, with zeros in front up to `width` digits. Half of a line is numbers: this is
/// worth more than `write!`.
fn write_whole(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while number > 0 || out.len() < start.saturating_add(width) {
        let digit = u8::try_from(number % 10).unwrap_or(0);
        out.push(b'0'.saturating_add(digit));
        number /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// The address as text, without the heap.
fn write_client(client: std::net::IpAddr, field: impl FnOnce(&str)) {
    let mut text = [0_u8; 48];
    let mut rest = text.as_mut_slice();
    let fits = write!(rest, "{}", client.to_canonical()).is_ok();
    let left = rest.len();
    let text = text.split_at_checked(text.len().saturating_sub(left)).map_or(&[][..], |(text, _)| text);
    field(if fits { str::from_utf8(text).unwrap_or("") } else { "" });
}

/// Whether the text format can show this without quotation marks.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='))
}

/// A JSON string (RFC 8259 section 7). What could break a line or steer a terminal is escaped too: all
/// control characters,
/// U+2028 and U+2029, and the marks that turn the direction of writing.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
        rest = "";
    }
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
    out.push(b'"');
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
    let seconds = time.as_secs();
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milli = time.as_millis().rem_euclid(1000);
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (milli, 3, b'Z'),
    ] {
        write_whole(u64::try_from(number).unwrap_or(0), width, out);
        out.push(after);
    }
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
            request_id: "0123456789abcdef0123456789abcdef",
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
            jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
            skew: Some(-0.25),
            upstream: Some("legacy"),
            error: None,
            bytes: 512,
            duration: Duration::from_micros(1234),
            decision_duration: Some(Duration::from_nanos(98_765)),
            upstream_duration: Some(Duration::from_micros(1000)),
        }
    }

    fn written(line: &Line<'_>, format: LogFormat) -> String {
        let mut out = Vec::new();
        line.write(format, &mut out);
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
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            ..line()
        };
        assert_eq!(
            written(&refused, LogFormat::Text),
            concat!(
                "2025-11-21T23:24:25.678Z  WARN request method=GET path=/orders/17 status=503 route=orders ",
                "decision=deny reason=replay_unavailable error=\"timed out\" binding=dpop ",
                r#"sub="alice \"the\" first\n\u2028" client_id=app "#,
                "jkt=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I skew=-0.250 duration_us=1234 decision_us=98 ",
                "bytes=512 client=192.0.2.7 listener=public protocol=HTTP/2 ",
                "request_id=0123456789abcdef0123456789abcdef trace_id=4bf92f3577b34da6a3ce929d0e0e4736\n"
            )
        );
    }

    #[test]
    fn whole_numbers_are_decimal() {
        for (number, width, text) in
            [(0, 1, "0"), (7, 3, "007"), (10, 1, "10"), (u64::MAX, 2, "18446744073709551615")]
        {
            let mut out = b"1".to_vec();
            write_whole(number, width, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("1{text}"));
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

    proptest! {
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
            if is_plain(&path) {
                prop_assert_eq!(value, path.as_str());
            } else if !path.contains(" status=200") {
                prop_assert_eq!(serde_json::from_str::<String>(value).unwrap(), path);
            }
        }
    }
}

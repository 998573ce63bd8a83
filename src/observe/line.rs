//! How an access log line looks.

use super::LogFormat;
use super::text::{is_plain, shown, write_address, write_seconds, write_string, write_whole};
use super::time::Second;
use crate::clock::UnixTime;
use std::net::{IpAddr, SocketAddr};
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
    pub(super) x5t: Option<&'a [u8]>,
    pub(super) skew: Option<f64>,
    /// What else is said of a refusal, by name.
    pub(super) findings: &'a [Finding],
    pub(super) upstream: Option<&'a str>,
    /// Of the upstream, where there is an error.
    pub(super) server: Option<SocketAddr>,
    pub(super) error: Option<&'static str>,
    pub(super) bytes: u64,
    pub(super) duration: Duration,
    pub(super) decision_duration: Option<Duration>,
    pub(super) upstream_duration: Option<Duration>,
}

/// What was found in a refused request, or what was expected: a name of ours and a text that may be anybody's.
pub type Finding = (&'static str, String);

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
        if let Some(server) = self.server {
            to.text(name!("server"), &server.to_string());
        }
        to.plain(name!("binding"), self.binding.as_bytes());
        if let Some(sub) = self.sub {
            to.text(name!("sub"), &shown(sub));
        }
        if let Some(client_id) = self.client_id {
            to.text(name!("client_id"), &shown(client_id));
        }
        if let Some(jkt) = self.jkt {
            to.plain(name!("jkt"), jkt);
        }
        if let Some(x5t) = self.x5t {
            to.plain(name!("x5t"), x5t);
        }
        if let Some(skew) = self.skew {
            to.seconds(name!("skew"), skew);
        }
        for (name, value) in self.findings {
            to.finding(name, &shown(value));
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

    #[cold]
    fn finding(&mut self, name: &str, value: &str) {
        for part in if JSON { [",\"", name, "\":"] } else { [" ", name, "="] } {
            self.0.extend_from_slice(part.as_bytes());
        }
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
            x5t: None,
            skew: Some(-0.25),
            findings: &[],
            upstream: Some("legacy"),
            server: None,
            error: None,
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
            trace_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
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
    fn findings_stand_after_whose_request_it_was() {
        let findings = [
            ("htu", "https://other.example.com/a=\u{1b}[2J".to_owned()),
            ("htu_expected", "https://api.example.com/orders/17".to_owned()),
            ("aud", "x".repeat(300)),
        ];
        let refused = Line { findings: &findings, upstream: None, ..line() };
        let (json, text) = (written(&refused, LogFormat::Json), written(&refused, LogFormat::Text));
        let cut = format!("{}…", "x".repeat(256));
        let expected = format!(
            r#""skew":-0.250,"htu":"https://other.example.com/a=\u001b[2J","htu_expected":"https://api.example.com/orders/17","aud":"{cut}","duration_us""#
        );
        assert!(json.contains(&expected), "{json}");
        let expected = format!(
            r#" skew=-0.250 htu="https://other.example.com/a=\u001b[2J" htu_expected=https://api.example.com/orders/17 aud="{cut}" duration_us="#
        );
        assert!(text.contains(&expected), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_survives_as_one_line_of_json(path in any::<String>(), sub in any::<Option<String>>(), kid in any::<String>()) {
            let findings = [("kid", kid.clone())];
            let text = written(&Line { path: &path, sub: sub.as_deref(), findings: &findings, ..line() }, LogFormat::Json);
            prop_assert_eq!(text.find(|c: char| c.is_control() || c == '\u{2028}'), Some(text.len() - 1));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value["path"].as_str(), Some(path.as_str()));
            let sub = sub.map(|sub| shown(&sub).into_owned());
            prop_assert_eq!(value["sub"].as_str(), sub.as_deref());
            prop_assert_eq!(value["kid"].as_str(), Some(&*shown(&kid)));
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

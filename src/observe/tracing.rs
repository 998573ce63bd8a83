//! Diagnostics: what the process has to say besides its requests, in the same format and to the same output
//! as the access log.

use super::text::write_string;
use super::time::write_time;
use super::{LogFormat, LogWriter};
use crate::clock::{Clock, UnixTime};
use std::fmt;
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

/// `level` is neither a level nor a list of directives.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no log level: one of error, warn, info, debug, trace, off, or directives as info,keyproof=debug"
)]
pub struct LevelError(String);

/// Sets up logging for the process. `level` is a level, or directives as `info,keyproof::issuer=debug`.
///
/// # Errors
/// [`LevelError`]; logging is not set up then.
pub fn init(format: LogFormat, level: &str, writer: &LogWriter) -> Result<(), LevelError> {
    let filter = filter(level)?;
    // Whoever set up logging before us, a test perhaps, keeps it.
    let _already = subscriber(format, filter, writer, Clock::system()).try_init();
    Ok(())
}

/// Spaces around the directives, and a comma too many, are no mistake.
fn filter(level: &str) -> Result<Targets, LevelError> {
    let directives: Vec<_> = level.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    match directives.join(",").parse() {
        Ok(filter) if !directives.is_empty() => Ok(filter),
        _ => Err(LevelError(level.to_owned())),
    }
}

fn subscriber(
    format: LogFormat,
    filter: Targets,
    writer: &LogWriter,
    clock: Clock,
) -> Box<dyn tracing::Subscriber + Send + Sync> {
    let writer = writer.clone();
    let lines = layer().with_writer(move || writer.clone()).with_ansi(false);
    let filtered = Registry::default().with(filter);
    match format {
        LogFormat::Json => Box::new(filtered.with(lines.event_format(JsonLines(clock)))),
        LogFormat::Text => Box::new(filtered.with(lines.with_timer(Rfc3339(clock)))),
    }
}

/// The time as the access log writes it.
struct Rfc3339(Clock);

impl FormatTime for Rfc3339 {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        let now: UnixTime = self.0.now();
        write_time(now, &mut text);
        out.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The fields of an event beside those of an access log line, under the same names.
struct JsonLines(Clock);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(b"{\"time\":\"");
        write_time(self.0.now(), &mut text);
        text.extend_from_slice(b"\",\"level\":");
        write_string(event.metadata().level().as_str(), &mut text);
        let mut fields = JsonFields(text);
        event.record(&mut fields);
        let JsonFields(mut text) = fields;
        text.extend_from_slice(b",\"target\":");
        write_string(event.metadata().target(), &mut text);
        text.extend_from_slice(b"}\n");
        out.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Appends `,"name":value` for each field.
struct JsonFields(Vec<u8>);

impl JsonFields {
    fn name(&mut self, field: &Field) {
        self.0.push(b',');
        write_string(field.name(), &mut self.0);
        self.0.push(b':');
    }

    fn bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        self.name(field);
        self.0.extend_from_slice(value.to_string().as_bytes());
    }
}

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        write_string(value, &mut self.0);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn said(format: LogFormat) -> String {
        let memory = Memory::default();
        let (writer, guard) = LogWriter::to(memory.clone()).unwrap();
        let clock = Clock::manual(UnixTime::from_millis(1_763_767_465_678));
        let subscriber = subscriber(format, filter("info").unwrap(), &writer, clock);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(listener = "a\nb", port = 8443, tls = true, "listening");
            tracing::debug!("not said");
        });
        drop(guard);
        let said = memory.0.lock().unwrap().clone();
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn diagnostics_look_like_the_access_log() {
        assert_eq!(
            said(LogFormat::Text),
            concat!(
                "2025-11-21T23:24:25.678Z  INFO keyproof::observe::tracing::tests: ",
                "listening listener=\"a\\nb\" port=8443 tls=true\n"
            )
        );
        let line: serde_json::Value = serde_json::from_str(&said(LogFormat::Json)).unwrap();
        let expected = serde_json::json!({
            "time": "2025-11-21T23:24:25.678Z", "level": "INFO", "message": "listening", "listener": "a\nb",
            "port": 8443, "tls": true,
            "target": "keyproof::observe::tracing::tests",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_wrong_level_is_an_error() {
        let (writer, _guard) = LogWriter::to(std::io::sink()).unwrap();
        for wrong in ["a=b=c", "keyproof=loud", "", " , "] {
            let error = init(LogFormat::Text, wrong, &writer).unwrap_err();
            assert!(error.to_string().starts_with(&format!("\"{wrong}\" is no log level")), "{error}");
        }
    }

    #[test]
    fn directives_are_by_target_and_level() {
        use tracing::Level;
        let filter = filter("warn, keyproof::issuer=debug,").unwrap();
        for (target, level, said) in [
            ("keyproof::issuer::keys", Level::DEBUG, true),
            ("keyproof::issuer::keys", Level::TRACE, false),
            ("keyproof::proxy", Level::WARN, true),
            ("hyper", Level::INFO, false),
        ] {
            assert_eq!(filter.would_enable(target, &level), said, "{target} {level}");
        }
    }
}

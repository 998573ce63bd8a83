use super::super::{LogFormat, LogWriter};
use super::*;
use crate::names::{Names, Register};
use std::io::Write;
use std::sync::Mutex;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What one exchange wrote into log and metrics.
fn recorded(level: &str, request: &Request<()>, story: impl FnOnce(&mut Exchange)) -> (String, String) {
    let names = Names {
        listeners: ["public"].into_iter().collect(),
        routes: ["orders"].into_iter().collect(),
        upstreams: ["legacy"].into_iter().collect(),
        issuers: Register::default(),
    };
    let metrics = Metrics::new("1", &names);
    let memory = Memory::default();
    let (writer, guard) = LogWriter::to(memory.clone()).unwrap();
    let log = AccessLog::new(writer, LogFormat::Json, level);
    let observer = Arc::new(Observer { metrics: Arc::new(metrics), log: Some(log) });
    let client = IpAddr::from([192, 0, 2, 7]);
    let now = UnixTime::from_secs(1_763_767_465);
    let mut exchange = Exchange::begin(Arc::clone(&observer), ListenerId(0), client, request, now);
    story(&mut exchange);
    drop(exchange);
    drop(guard);
    let log = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    (log, String::from_utf8(observer.metrics.render(now).1).unwrap())
}

fn request() -> Request<()> {
    Request::get("https://api.example.com/orders/17?secret=1").header("traceparent", TRACE).body(()).unwrap()
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_forwarded_request_is_counted_and_logged_once() {
    let (log, metrics) = recorded("info", &request(), |exchange| {
        exchange.route(RouteId(0));
        exchange.skew(2.5);
        exchange.decided(Decision::Allow("dpop"));
        exchange.to_upstream(UpstreamId(0));
        exchange.upstream_answered(Some("10.0.0.1:9000".parse().unwrap()));
        exchange.status(StatusCode::OK);
        exchange.sent(100);
        exchange.sent(23);
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    for (field, value) in [
        ("level", "INFO"),
        ("message", "request"),
        ("method", "GET"),
        ("path", "/orders/17"),
        ("route", "orders"),
        ("decision", "allow"),
        ("reason", "dpop"),
        ("binding", "none"),
        ("upstream", "legacy"),
        ("client", "192.0.2.7"),
        ("listener", "public"),
        ("protocol", "HTTP/1.1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(line[field], value, "{field} in {log}");
    }
    assert_eq!(line["request_id"].as_str().unwrap().len(), 32);
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &123.into()));
    assert!(line["duration_us"].is_u64() && line["decision_us"].is_u64() && line["upstream_us"].is_u64());
    assert!(!log.contains("secret"), "{log}");
    for line in [
        "keyproof_requests_total{route=\"orders\",status=\"200\"} 1",
        "keyproof_decisions_total{decision=\"allow\",reason=\"dpop\",route=\"orders\"} 1",
        "keyproof_tokens_total{binding=\"none\",route=\"orders\"} 1",
        "keyproof_decision_duration_seconds_count 1",
        "keyproof_upstream_duration_seconds_count{upstream=\"legacy\"} 1",
        "keyproof_upstream_requests_total{result=\"ok\",upstream=\"legacy\"} 1",
        "keyproof_request_duration_seconds_count{route=\"orders\"} 1",
        "keyproof_proof_skew_seconds_bucket{le=\"5\"} 1",
        "keyproof_proof_skew_seconds_bucket{le=\"2\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_request_whose_client_went_away_is_499() {
    let (log, metrics) = recorded("info", &request(), |exchange| {
        exchange.route(RouteId(0));
        exchange.decided(Decision::Allow("public"));
        exchange.to_upstream(UpstreamId(0));
    });
    assert!(log.contains("\"status\":499") && log.contains("\"upstream_us\":"), "{log}");
    assert!(metrics.contains("keyproof_requests_total{route=\"orders\",status=\"499\"} 1"), "{metrics}");
    assert!(metrics.contains("keyproof_upstream_duration_seconds_count{upstream=\"legacy\"} 1"), "{metrics}");
    let (log, metrics) = recorded("info", &request(), |_| {});
    assert!(log.contains("\"decision\":\"none\",\"reason\":\"-\""), "{log}");
    assert!(!metrics.contains("keyproof_decisions_total{"), "{metrics}");
}

#[test]
fn the_level_is_warn_for_trouble_of_our_own_alone() {
    let ours = |exchange: &mut Exchange| {
        exchange.upstream_failed(Some("refused"), "refused", Some("10.0.0.1:9000".parse().unwrap()));
        exchange.status(StatusCode::BAD_GATEWAY);
    };
    let the_upstreams = |exchange: &mut Exchange| exchange.status(StatusCode::INTERNAL_SERVER_ERROR);
    let lines = |level, story: fn(&mut Exchange)| recorded(level, &request(), story).0;
    assert!(lines("info", ours).contains("\"level\":\"WARN\""));
    assert!(lines("warn", ours).contains("\"error\":\"refused\""));
    assert!(lines("info", the_upstreams).contains("\"level\":\"INFO\""));
    assert_eq!(lines("warn", the_upstreams), "");
    assert_eq!(lines("off", ours), "");
}

#[test]
fn a_thumbprint_is_written_as_clients_know_it() {
    let mut text = [0; 43];
    let encoded = encode(&[0xff; 32], &mut text).unwrap();
    assert_eq!(encoded, b"__________________________________________8");
}

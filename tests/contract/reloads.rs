//! A thousand reloads at full speed: nobody loses a request, none is judged by two configurations, what was used stays used, and the memory
//! stays as it is.

use crate::load::{Caller, Load, ROUTE};
use crate::stranger::{Stranger, WAIT, now};
use keyproof::jose::sha256;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::h2;
use support::raw::{PATIENCE, Raw};
use support::upstream::{Seen, serve};
use tokio::net::TcpStream;

/// Every other one is bad. `KEYPROOF_RELOADS=1000` takes minutes.
const RELOADS: usize = 40;
/// How often there is a certificate, of which each reload brings another.
const CERTIFICATES: usize = 3;
/// TLS for clients of HTTP/2, and a second listener without.
const LISTENERS: &str = "    tls: { certificate: tls.crt, private_key: tls.key }
  - name: plain
    address: 127.0.0.1:0";
/// Those who ask for `/open` all the time.
const HTTP1: [(usize, Caller); 2] = [(8, Caller::KeepAlive), (4, Caller::OneShot)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_at_full_speed_lose_nothing_mix_nothing_and_forget_nothing() {
    let (world, judged) = World::begin().await;
    let http2 = (6, Caller::Http2(world.certificates.all.clone()));
    let loads = [Load::begin(world.plain, &HTTP1, false), Load::begin(world.secure, &[http2], false)];
    let mut used = Vec::new();
    let (mut warm, reloads) = (0, reloads());
    for number in 1..=reloads {
        world.round(number, &mut used).await;
        if number == reloads / 2 {
            warm = world.stranger.memory();
        }
    }
    let end = world.stranger.memory();
    let mut answered = 0;
    for load in loads {
        let seen = load.end().await;
        let lost = seen.lost.lock().unwrap();
        assert!(
            lost.is_empty() && seen.refused.load(Ordering::Relaxed) == 0,
            "{} lost: {lost:?}",
            lost.len()
        );
        answered += seen.answered.load(Ordering::Relaxed);
    }
    let mixed = judged.mixed.lock().unwrap();
    assert!(mixed.is_empty(), "{} judged by two configurations: {mixed:?}", mixed.len());
    let sides = judged.sides.each_ref().map(|count| count.load(Ordering::Relaxed));
    assert!(sides.into_iter().all(|count| count > reloads), "{sides:?}");
    println!(
        "{reloads} reloads, {answered} answers to clients at full speed, {sides:?} seen by the upstream, {} proofs used; \
         memory after half of them {warm} KiB, at the end {end} KiB",
        used.len()
    );
    // Few reloads do not fill every cache and arena.
    let flat = if reloads < 1000 { warm / 4 } else { warm / 50 };
    assert!(end <= warm + flat, "{warm} KiB have become {end} KiB");
}

/// HUP in the middle of TERM, and two at once: whoever is told last of all is still answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_in_the_middle_of_a_stop_spoils_nothing() {
    for round in 0..crate::stops::rounds() {
        let (world, judged) = World::begin().await;
        let load = Load::begin(world.plain, &HTTP1, true);
        load.goes_on(200).await;
        world.stranger.write_configuration(&Side::Right.of(&world.base, round));
        let signals = [
            &[Stranger::hang_up, Stranger::hang_up, Stranger::terminate, Stranger::hang_up][..],
            &[Stranger::terminate, Stranger::hang_up, Stranger::hang_up][..],
        ];
        for signal in signals[round % 2] {
            signal(&world.stranger);
        }
        let (status, log) = world.stranger.end().await;
        let seen = load.end().await;
        assert_eq!(status.code(), Some(0), "{log}");
        let lost = seen.lost.lock().unwrap();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        let mixed = judged.mixed.lock().unwrap();
        assert!(mixed.is_empty(), "{mixed:?}");
    }
}

fn reloads() -> usize {
    std::env::var_os("KEYPROOF_RELOADS").map_or(RELOADS, |text| text.into_string().unwrap().parse().unwrap())
}

/// The gateway, and what is told to it by turns.
struct World {
    stranger: Stranger,
    certificates: Certificates,
    plain: SocketAddr,
    secure: SocketAddr,
    /// The configuration that it started with.
    base: String,
    /// Tokens that may go both ways, and one of them: always the same, so that no cache grows by them.
    both: String,
    left: String,
}

impl World {
    async fn begin() -> (Self, Arc<Judged>) {
        let (upstream, judged) = Judged::start().await;
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let stranger = Stranger::starts_in(folder, upstream, LISTENERS, WAIT, ROUTE).await;
        let [secure, plain] = stranger.listeners()[..] else { panic!("two listeners") };
        let (base, end) = (stranger.configuration(), now() + 7200);
        let token = |scope: &str| stranger.token(json!({ "scope": scope, "exp": end }));
        let (both, left) = (token("orders:left orders:right"), token("orders:left"));
        let world = Self { certificates, plain, secure, base, both, left, stranger };
        world.reload(0, Side::Left).await;
        (world, judged)
    }

    /// One reload, which is bad by turns, and what a client sees who knows it.
    async fn round(&self, number: usize, used: &mut Vec<String>) {
        let request = self.stranger.with_token(&self.both);
        assert_eq!(self.ask(&request).await, (200, false), "a good request before reload {number}");
        used.push(request);
        self.reload(number, if number % 4 < 2 { Side::Left } else { Side::Right }).await;
        for request in used.iter().rev().step_by(7).take(3) {
            assert_eq!(self.ask(request).await, (401, true), "a proof that was used, after reload {number}");
        }
        // Whoever may go one way alone never goes the other.
        let (status, _) = self.ask(&self.stranger.with_token(&self.left)).await;
        assert!(matches!(status, 200 | 403), "{status} after reload {number}");
    }

    /// Swaps the certificate, writes a configuration, and waits for what comes of it.
    async fn reload(&self, number: usize, side: Side) {
        self.certificates.swap(self.stranger.folder(), number);
        let good = side.of(&self.base, number);
        let is_bad = !number.is_multiple_of(2);
        let text = if is_bad { bad(&good, number, self.plain) } else { good };
        self.stranger.write_configuration(&text);
        self.stranger.hang_up();
        if number.is_multiple_of(10) {
            self.stranger.hang_up();
        }
        let sha256: String = sha256(&[text.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
        let is_done = async {
            loop {
                let version: Value =
                    serde_json::from_str(&self.stranger.page("/version").await.text()).unwrap();
                let why = version["last_reload"]["why"].as_str();
                let is_rejected = why.is_some_and(|why| why.contains(&format!("wrong{number}")));
                if if is_bad { is_rejected } else { version["configuration"]["sha256"] == sha256 } {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, is_done).await.unwrap_or_else(|_| panic!("reload {number}: {text}"));
        if !is_bad {
            let socket = TcpStream::connect(self.secure).await.unwrap();
            let socket = h2::secure(socket, "api.example.com", &self.certificates.all).await.unwrap();
            let shown = &socket.get_ref().1.peer_certificates().unwrap()[0];
            assert_eq!(shown, &self.certificates.all[number % CERTIFICATES]);
        }
    }

    /// The status, and whether the answer says that the proof was used before.
    async fn ask(&self, request: &str) -> (u16, bool) {
        let mut client = Raw::connect(self.plain).await;
        client.send(request).await;
        let answer = client.answer().await.expect("an answer");
        (answer.status, answer.text().contains("was used before"))
    }
}

/// Two configurations that differ in many places which show in one request: how its path is changed, which `Host` the upstream gets, who
/// is trusted to say where it comes from, which scope it needs and where its scope is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    fn of(self, base: &str, number: usize) -> String {
        let (name, host, trusted) = match self {
            Self::Left => (self.name(), "public", ""),
            Self::Right => (self.name(), "server", "127.0.0.1"),
        };
        let orders = format!(
            "    match: {{ path: /orders }}\n    scopes: [\"orders:{name}\"]\n    identity: {{ headers: {{ X-{name}: scope }} }}\n"
        );
        let text = base
            .replace("    match: { path: /orders }\n", &orders)
            .replace(
                "    upstream: legacy\n",
                &format!("    upstream: legacy\n    replace_prefix: /{name}\n"),
            )
            .replace("  - name: legacy\n", &format!("  - name: legacy\n    host: {host}\n"))
            .replace("\n    address: ", &format!("\n    trusted_proxies: [{trusted}]\n    address: "));
        // One that is told from all others.
        format!("{text}\n# {number}\n")
    }
}

/// A configuration with a fault that says its number.
fn bad(good: &str, number: usize, taken: SocketAddr) -> String {
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in {good}");
        good.replacen(from, &to.replace("NUMBER", &format!("wrong{number}")), 1)
    };
    match number / 2 % 7 {
        0 => with("issuers:", "NUMBER: 1\nissuers:"),
        1 => with("issuers:", "NUMBER: 1\nNUMBER: 2\nissuers:"),
        2 => with("jwks.json", "NUMBER.json"),
        3 => with("    upstream: legacy", "    upstream: NUMBER"),
        4 => with("listeners:\n", &format!("listeners:\n  - {{ name: NUMBER, address: \"{taken}\" }}\n")),
        5 => with("tls.crt", "NUMBER.crt"),
        _ => with("path: /open", "path: /open, NUMBER: 1"),
    }
}

/// What came to the upstream.
#[derive(Default)]
struct Judged {
    mixed: Mutex<Vec<String>>,
    sides: [AtomicUsize; 2],
}

impl Judged {
    /// An upstream that judges what comes.
    async fn start() -> (SocketAddr, Arc<Self>) {
        let judged = Arc::<Self>::default();
        let judge = Arc::clone(&judged);
        let address = serve(crate::stranger::OK, move |seen| judge.judge(&seen)).await;
        (address, judged)
    }

    fn judge(&self, seen: &Seen) {
        let is = |side: Side| {
            let other = if side == Side::Left { "x-right" } else { "x-left" };
            let forwarded = seen.header("x-forwarded-for").unwrap();
            let scope = seen.header(if side == Side::Left { "x-left" } else { "x-right" });
            let is_told = seen.header("user-agent") == Some("told");
            seen.line.starts_with(&format!("GET /{} ", side.name()))
                && (seen.header("host") == Some("api.example.com")) == (side == Side::Left)
                && (!is_told || (forwarded == "127.0.0.1") == (side == Side::Left))
                && scope.is_none_or(|scope| scope.contains(&format!("orders:{}", side.name())))
                && seen.header(other).is_none()
        };
        match [is(Side::Left), is(Side::Right)] {
            [true, false] => drop(self.sides[0].fetch_add(1, Ordering::Relaxed)),
            [false, true] => drop(self.sides[1].fetch_add(1, Ordering::Relaxed)),
            _ => self.mixed.lock().unwrap().push(format!("{seen:?}")),
        }
    }
}

/// Certificates that take turns.
struct Certificates {
    folder: tempfile::TempDir,
    all: Vec<CertificateDer<'static>>,
}

impl Certificates {
    /// Makes them, and puts the first where the listener looks for it.
    fn make(listener: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = (0..CERTIFICATES).map(|number| {
            let folder = folder.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            h2::certificate(&folder, "api.example.com")
        });
        let certificates = Self { all: made.collect(), folder };
        certificates.swap(listener, 0);
        certificates
    }

    fn swap(&self, listener: &Path, number: usize) {
        for file in ["tls.crt", "tls.key"] {
            let from = self.folder.path().join((number % CERTIFICATES).to_string()).join(file);
            std::fs::copy(from, listener.join("new")).unwrap();
            std::fs::rename(listener.join("new"), listener.join(file)).unwrap();
        }
    }
}

//! Reloads under load: nobody loses a request, and each answer is by one configuration alone.

use super::tls::Client;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::gateway::{HOST, House, get};

/// Of every four reloads one is bad, one swaps the certificate, and the others turn the configuration around. `KEYPROOF_RELOADS=1000` takes
/// longer.
const RELOADS: usize = 60;

/// Two configurations that differ in two places which show in one request: what is stripped from its path, and who is trusted to say where
/// it comes from.
const LEFT: [&str; 2] = ["strip_prefix: /a }", "trusted_proxies: []"];
const RIGHT: [&str; 2] = ["strip_prefix: /a/b }", "trusted_proxies: [127.0.0.1]"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_request_and_mix_nothing() {
    let routes = "  - { name: all, match: { path: /a/b }, upstream: legacy, public: true, strip_prefix: /a }";
    let house = House::with_tls(routes, "").await;
    house.reload_with("0\", tls:", "0\", trusted_proxies: [], tls:").await;
    let known = Arc::new(Mutex::new(vec![house.certificate.clone()]));
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            tokio::spawn(ask(
                house.gateway,
                Arc::clone(&known),
                Arc::clone(&stop),
                Arc::clone(&asked),
                number,
            ))
        })
        .collect();

    let reloads = reloads();
    let file = house.configuration();
    let texts = [LEFT, RIGHT].map(|[strip, trusted]| {
        let text = std::fs::read_to_string(&file).unwrap();
        text.replace(LEFT[0], strip).replace(LEFT[1], trusted)
    });
    let (mut taken, mut rejected) = (0, 0);
    for number in 0..reloads {
        match number % 4 {
            1 => std::fs::write(&file, "listeners: nonsense").unwrap(),
            3 => exchange_certificate(house.folder(), &known),
            _ => std::fs::write(&file, &texts[number / 2 % 2]).unwrap(),
        }
        match house.reload().await {
            Ok(()) => taken += 1,
            Err(_) => rejected += 1,
        }
        if number % 4 == 1 {
            std::fs::write(&file, &texts[number / 2 % 2]).unwrap();
        }
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let asked = asked.load(Ordering::SeqCst);
    println!("{taken} taken, {rejected} rejected, {asked} requests");
    assert_eq!(rejected, reloads / 4);
    assert!(asked > 0);
    let seen = house.upstream.seen();
    assert_eq!(seen.len(), asked, "each request came to the upstream once");
    for seen in seen {
        let forwarded = seen.header("x-forwarded-for").unwrap();
        let left = seen.line.starts_with("GET /b/c ") && forwarded == "127.0.0.1";
        let right = seen.line.starts_with("GET /c ") && forwarded == "192.0.2.7, 127.0.0.1";
        assert!(left || right, "{} with {forwarded}: a mixture of two configurations", seen.line);
    }
}

fn reloads() -> usize {
    std::env::var("KEYPROOF_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(RELOADS)
}

/// Sends requests until it is told to stop, three on each connection; each must be answered with 200.
async fn ask(
    address: std::net::SocketAddr,
    known: Arc<Mutex<Vec<CertificateDer<'static>>>>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    number: usize,
) {
    let request = get("/a/b/c", &[("x-forwarded-for", "192.0.2.7")]);
    let certificates = || known.lock().unwrap().clone();
    while !stop.load(Ordering::SeqCst) {
        let client = Client::trusting(&certificates());
        // One that was swapped in just after the list was read is learnt with the next round.
        let Ok(mut connection) = client.connect(address).await else { continue };
        for _ in 0..=number {
            assert_eq!(connection.ask(&request).await, 200);
            asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn exchange_certificate(folder: &Path, known: &Mutex<Vec<CertificateDer<'static>>>) {
    let elsewhere = tempfile::tempdir().unwrap();
    let certificate = support::h2::certificate(elsewhere.path(), HOST);
    known.lock().unwrap().push(certificate);
    for file in ["tls.crt", "tls.key"] {
        std::fs::copy(elsewhere.path().join(file), folder.join(file)).unwrap();
    }
}

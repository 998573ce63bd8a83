//! Addresses that change: in force, or refused with a reason, and nobody is refused meanwhile.

use super::configuration::ROUTES;
use super::{by_itself, free, status};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::gateway::{House, get, not_loopback};
use support::raw::Raw;
use tokio::task::JoinHandle;

const ADMIN: &str = "admin: { address: \"127.0.0.1:0\" }";
const PUBLIC: &str = "{ name: public, address: \"127.0.0.1:0\" }";

/// Clients that come again and again, each on a connection of its own, until somebody wants to know what they saw.
struct Clients {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    running: Vec<JoinHandle<Option<String>>>,
}

impl Clients {
    /// Four of them. `path` is answered with one of these statuses.
    fn begin(address: SocketAddr, path: &'static str, statuses: &'static [u16]) -> Self {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let run = |_| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            #[expect(clippy::disallowed_methods, reason = "a client is no task of the gateway")]
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let lost = ask(address, path, statuses).await;
                    if lost.is_some() {
                        return lost;
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                None
            })
        };
        let running = (0..4).map(run).collect();
        Self { over, answered, running }
    }

    /// Waits until some more were answered.
    async fn go_on(&self) {
        let goal = self.answered.load(Ordering::SeqCst) + 8;
        let is_lost = || self.running.iter().any(JoinHandle::is_finished);
        by_itself(async || self.answered.load(Ordering::SeqCst) >= goal || is_lost()).await;
    }

    /// Nobody was refused.
    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for client in self.running {
            assert_eq!(client.await.unwrap(), None);
        }
    }
}

/// What went wrong, if anything did.
async fn ask(address: SocketAddr, path: &str, statuses: &[u16]) -> Option<String> {
    let socket = match tokio::net::TcpStream::connect(address).await {
        Ok(socket) => socket,
        Err(error) => return Some(format!("{address}: {error}")),
    };
    let mut client = Raw::of(socket);
    if let Err(error) = client.try_send(get(path, &[("connection", "close")])).await {
        return Some(format!("{address}: {error}"));
    }
    match client.answer().await {
        Some(answer) if statuses.contains(&answer.status) => None,
        other => Some(format!("{address}{path}: {other:?}")),
    }
}

/// From every address to this machine's own, to every one of IPv6 too, and back: to bind the one where somebody has the other is refused by
/// the system, and used to be the end of the reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_widens_and_narrows_and_nobody_is_refused_meanwhile() {
    let house = House::with_routes(ROUTES).await;
    let port = free().port();
    let listener = |ip: &str| format!("{{ name: public, address: \"{ip}:{port}\" }}");
    house.reload_with(PUBLIC, &listener("127.0.0.1")).await;
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    let clients = Clients::begin(here, "/open", &[200]);
    let far = not_loopback().map(|own| SocketAddr::new(own, port));
    let mut last = "127.0.0.1";
    for next in ["0.0.0.0", "127.0.0.1", "[::]", "0.0.0.0", "[::]", "127.0.0.1"] {
        house.reload_with(&listener(last), &listener(next)).await;
        clients.go_on().await;
        if let Some(far) = far {
            // One that is gone may still take who is connected already.
            by_itself(async || (status(far, "/open").await == Some(200)) == (next != "127.0.0.1")).await;
        }
        last = next;
    }
    clients.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_listeners_exchange_their_addresses() {
    let house = House::with_routes(ROUTES).await;
    let (one, other) = (free(), free());
    let both = |proxy: SocketAddr, decisions: SocketAddr| {
        format!(
            "{{ name: public, address: \"{proxy}\" }}\n  - {{ name: asked, address: \"{decisions}\", mode: forward_auth, trusted_proxies: [127.0.0.1] }}"
        )
    };
    house.reload_with(PUBLIC, &both(one, other)).await;
    assert_eq!((status(one, "/open").await, status(other, "/open").await), (Some(200), Some(400)));
    let clients = [one, other].map(|address| Clients::begin(address, "/open", &[200, 400]));
    let (mut here, mut there) = (one, other);
    for _ in 0..4 {
        house.reload_with(&both(here, there), &both(there, here)).await;
        (here, there) = (there, here);
        by_itself(async || {
            (status(here, "/open").await, status(there, "/open").await) == (Some(200), Some(400))
        })
        .await;
        for clients in &clients {
            clients.go_on().await;
        }
    }
    for clients in clients {
        clients.end().await;
    }
}

/// A port goes from a listener to the admin address and back, at the same address and at a wider one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_and_the_admin_address_exchange_theirs() {
    let house = House::with_routes(ROUTES).await;
    let (one, other) = (free().port(), free().port());
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let text = std::fs::read_to_string(house.configuration()).unwrap();
    let write = |listener: &str, admin: &str| {
        let text = text.replace(PUBLIC, &format!("{{ name: public, address: \"{listener}\" }}"));
        let text = text.replace(ADMIN, &format!("admin: {{ address: \"{admin}\" }}"));
        std::fs::write(house.configuration(), text).unwrap();
    };
    write(&format!("127.0.0.1:{one}"), &format!("127.0.0.1:{other}"));
    house.reload().await.unwrap();
    // The gateway has no /version, and the admin address no /open.
    let clients = [one, other].map(|port| Clients::begin(at(port), "/open", &[200, 404, 421]));
    let (mut public, mut admin) = (one, other);
    for (public_ip, admin_ip) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("[::]", "127.0.0.1"),
    ] {
        (public, admin) = (admin, public);
        write(&format!("{public_ip}:{public}"), &format!("{admin_ip}:{admin}"));
        house.reload().await.unwrap();
        by_itself(async || {
            (status(at(public), "/open").await, status(at(admin), "/livez").await) == (Some(200), Some(200))
        })
        .await;
        for clients in &clients {
            clients.go_on().await;
        }
    }
    for clients in clients {
        clients.end().await;
    }
}

/// Without the section it is at the address of the contract, which somebody else may have.
#[tokio::test]
async fn the_admin_section_goes_and_comes() {
    let house = House::with_routes(ROUTES).await;
    house.edit(ADMIN, "");
    let default = SocketAddr::from(([127, 0, 0, 1], 9901));
    match house.reload().await {
        Ok(()) => {
            assert_eq!(status(default, "/livez").await, Some(200));
            while tokio::net::TcpStream::connect(house.admin).await.is_ok() {}
        }
        Err(why) => {
            assert!(why.to_string().contains("admin: cannot bind 127.0.0.1:9901"), "{why}");
            assert_eq!(house.admin_page("/livez").await.status, 200);
        }
    }
    let to = free();
    house.reload_with("public_origins:", &format!("admin: {{ address: \"{to}\" }}\npublic_origins:")).await;
    assert_eq!(status(to, "/livez").await, Some(200));
}

/// What somebody else has is refused with the reason, and everything goes on where it is, also what was bound for it meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_somebody_else_is_refused_and_nobody_notices() {
    let house = House::with_routes(ROUTES).await;
    let port = free().port();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = std::net::TcpListener::bind(taken).unwrap();
    let everywhere = format!("{{ name: public, address: \"0.0.0.0:{port}\" }}");
    house.reload_with(PUBLIC, &everywhere).await;
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    let clients = Clients::begin(here, "/open", &[200]);
    let narrow = format!(
        "{{ name: public, address: \"{here}\" }}\n  - {{ name: second, address: \"0.0.0.0:{}\" }}",
        taken.port()
    );
    for _ in 0..5 {
        let why = house.refuses_to_reload_with(&everywhere, &narrow).await;
        assert!(why.starts_with("listener second: cannot bind 0.0.0.0:"), "{why}");
        clients.go_on().await;
    }
    drop(holder);
    clients.end().await;
}

/// The option that lets two of our own sockets overlap for a moment is taken back: a second gateway finds the port in use.
#[tokio::test]
async fn a_port_that_was_lent_is_in_use_for_everybody_else() {
    let house = House::with_routes(ROUTES).await;
    let port = free().port();
    let listener = |ip: &str| format!("{{ name: public, address: \"{ip}:{port}\" }}");
    house.reload_with(PUBLIC, &listener("0.0.0.0")).await;
    house.reload_with(&listener("0.0.0.0"), &listener("127.0.0.1")).await;
    let another =
        |ip: &str| keyproof::server::Listener::bind(format!("{ip}:{port}").parse().unwrap(), vec![]);
    by_itself(async || another("127.0.0.2").is_ok()).await;
    for ip in ["127.0.0.1", "0.0.0.0", "[::]"] {
        assert_eq!(another(ip).unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "{ip}");
    }
    house.reload_with(&listener("127.0.0.1"), &listener("0.0.0.0")).await;
    for ip in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::]"] {
        assert_eq!(another(ip).unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "{ip}");
    }
}

/// Port 0 hides it from the check of the file: what goes on shares its address with nobody. It once did, and each got half of the connections.
#[tokio::test]
async fn an_address_that_a_listener_goes_on_with_is_refused_to_another() {
    let house = House::with_routes(ROUTES).await;
    let port = house.gateway.port();
    for ip in ["127.0.0.1", "0.0.0.0", "[::]"] {
        let second = format!("{PUBLIC}\n  - {{ name: second, address: \"{ip}:{port}\" }}");
        let why = house.refuses_to_reload_with(PUBLIC, &second).await;
        assert!(why.starts_with("listener second: cannot bind "), "{ip}: {why}");
    }
    let why =
        house.refuses_to_reload_with(ADMIN, &format!("admin: {{ address: \"127.0.0.1:{port}\" }}")).await;
    assert!(why.starts_with("listener admin: cannot bind "), "{why}");
    assert_eq!(status(house.gateway, "/open").await, Some(200));
}

//! Real failovers to a server whose clock is another than that of the one before, and is set while it serves.

use crate::redis::{CLOCK, Options, key, open, recover, spend, spend_since};
use crate::sentinel::sentinel;
use crate::server::{Server, faketime, installed};
use keyproof::clock::UnixTime;
use keyproof::replay::{FirstUse, Outcome, Store};
use std::time::Duration;

/// Two replicas of the gateway, a primary, what takes its place, and what decides that.
struct Site {
    gateways: [Store; 2],
    primary: Server,
    next: Server,
    _sentinel: Server,
}

/// The server that will be promoted is on a machine whose clock is so many seconds from the truth.
async fn site(seconds: i32) -> Option<Site> {
    let library = installed().then(faketime)??;
    let primary = Server::start(&[]);
    let port = primary.port.to_string();
    let next = Server::start_with_clock(&["--replicaof", "127.0.0.1", &port], library, seconds);
    next.wait_until("INFO replication", "master_link_status:up");
    let sentinel = sentinel(primary.port, 1, "", &[]);
    sentinel.wait_until("SENTINEL replicas replay", &next.port.to_string());
    let url = [format!("redis+sentinel://127.0.0.1:{}/replay", sentinel.port)];
    let gateways = [open(&url, Options::default()).await, open(&url, Options::default()).await];
    assert!(gateways.iter().all(Store::is_ready));
    Some(Site { gateways, primary, next, _sentinel: sentinel })
}

impl Site {
    /// Proofs that were taken: somebody has them all.
    async fn take(&self, name: &str) -> Vec<(String, UnixTime)> {
        let mut taken = Vec::new();
        for number in 0..20 {
            let (jti, first_use) = (format!("{name} {number}"), self.gateways[0].complete_since());
            let gateway = &self.gateways[number % 2];
            assert_eq!(spend_since(gateway, &jti, first_use).await, Outcome::Fresh);
            taken.push((jti, first_use));
        }
        taken
    }

    async fn resend(&self, taken: &[(String, UnixTime)]) {
        for gateway in &self.gateways {
            for (jti, first_use) in taken {
                assert_ne!(spend_since(gateway, jti, *first_use).await, Outcome::Fresh, "{jti}");
            }
        }
    }

    /// The primary dies, and the other takes its place.
    async fn fail_over(&mut self, taken: &[(String, UnixTime)]) {
        self.primary.kill();
        self.resend(taken).await;
        self.next.wait_until("INFO replication", "role:master");
    }

    /// A challenge is satisfied by what it hands out, at whichever replica; and what is taken then is taken once.
    async fn challenges_can_be_met(&self, name: &str) {
        let [one, two] = &self.gateways;
        for (maker, other, mark) in [(one, one, one.mark()), (one, two, 0), (two, one, 0)] {
            let (jti, now) = (format!("{name} {:p} {:p}", maker, other), CLOCK.moment());
            // By the wall clock it may be from before the epoch, which begins a little ahead.
            let nonce = FirstUse { moment: now.wall, mark, epoch: maker.epoch() };
            let until = now.wall.saturating_add(Duration::from_secs(60));
            let used = other.check_and_insert_since(key(other, &jti), nonce, until, now).await;
            assert_eq!(used, Outcome::Fresh, "{jti}");
            for gateway in [one, two] {
                assert_eq!(spend(gateway, &jti).await, Outcome::Replayed, "{jti}");
            }
        }
    }
}

/// The clock of the next one differs by what is borne: the loss is told by that clock, and nobody waits.
#[tokio::test]
async fn a_promoted_server_whose_clock_differs_a_little_replays_nothing_and_refuses_nobody() {
    for seconds in [-4, 4] {
        let Some(mut site) = site(seconds).await else { return };
        let taken = site.take("before").await;
        site.fail_over(&taken).await;
        site.resend(&taken).await;
        for gateway in &site.gateways {
            recover(gateway).await;
        }
        site.resend(&taken).await;
        site.challenges_can_be_met("after").await;
        site.resend(&taken).await;
    }
}

/// Its clock is minutes ahead, so that all keys have expired there, or behind. Nothing is taken, and no epoch begun, until it is set right.
#[tokio::test]
async fn a_promoted_server_whose_clock_is_wrong_is_waited_for() {
    for (seconds, said) in [(120, "behind its own"), (-120, "ahead of its own")] {
        let Some(mut site) = site(seconds).await else { return };
        let taken = site.take("before").await;
        site.fail_over(&taken).await;
        let epochs = || site.next.ask("KEYS keyproof:replay:epoch:*");
        let known = epochs();
        for gateway in &site.gateways {
            // Sentinel may name the dead one for a while.
            for _ in 0..100 {
                gateway.tend(CLOCK.moment()).await;
                if gateway.trouble().is_some_and(|why| why.contains(said)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let why = gateway.trouble().unwrap_or_default();
            assert!(why.contains(said), "{seconds}: {why}");
            assert_eq!(spend(gateway, "nobody passes").await, Outcome::Unavailable);
        }
        assert_eq!(epochs(), known, "{seconds}: a wrong clock begins no epoch");
        site.resend(&taken).await;
        site.next.set_clock(0);
        for gateway in &site.gateways {
            recover(gateway).await;
        }
        assert_ne!(epochs(), known);
        site.resend(&taken).await;
        site.challenges_can_be_met("after").await;
    }
}

/// It is promoted with one time, and shows another a moment later, while it serves: ahead, its keys expire too early; back, too late.
#[tokio::test]
async fn a_promoted_server_whose_clock_is_set_while_it_serves_replays_nothing() {
    for (first, then) in [(-4, 4), (4, -4)] {
        let Some(mut site) = site(first).await else { return };
        let before = site.take("before").await;
        site.fail_over(&before).await;
        for gateway in &site.gateways {
            recover(gateway).await;
        }
        let between = site.take("between").await;
        site.next.set_clock(then);
        for (number, gateway) in site.gateways.iter().enumerate() {
            let jti = format!("right after {number}");
            let first_use = gateway.complete_since();
            assert_ne!(spend_since(gateway, &jti, first_use).await, Outcome::Fresh, "the jump is noticed");
        }
        site.resend(&between).await;
        for gateway in &site.gateways {
            recover(gateway).await;
        }
        for taken in [&before, &between] {
            site.resend(taken).await;
        }
        site.challenges_can_be_met("after").await;
    }
}

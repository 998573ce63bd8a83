//! Who gets a table, how long it is believed, and what becomes of one that is wrong.

use super::builder::Wanted;
use super::counts::WINDOW;
use super::hot::{AGREED, Hot};
use super::*;
use crate::clock::UnixTime;
use crate::jose::PrivateKey;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// Hot keys without the thread: the test makes the tables itself, when it suits.
struct ByHand {
    hot_keys: Arc<HotKeys>,
    wanted: Receiver<Wanted>,
    clock: Clock,
}

struct Client {
    secret: PrivateKey,
    public: PublicKey,
}

impl ByHand {
    fn new(most: usize) -> Self {
        let clock = Clock::manual(NOW);
        let hot_keys = HotKeys::new(clock.clone());
        let (sender, wanted) = sync_channel(WAITING);
        let counting = Counting { most, counts: Counts::new(most), wanted: sender };
        hot_keys.counting.store(Some(Arc::new(counting)));
        Self { hot_keys, wanted, clock }
    }

    fn later(&self, duration: Duration) {
        self.clock.set(self.clock.now().saturating_add(duration));
    }

    /// Makes a table for each key that wants one, and says how many wanted one.
    fn build(&self) -> usize {
        let counting = self.hot_keys.counting.load_full();
        let wanted: Vec<_> = self.wanted.try_iter().collect();
        for wanted in &wanted {
            self.hot_keys.prepare(wanted, counting.as_ref().unwrap());
        }
        wanted.len()
    }

    fn tend(&self) {
        self.hot_keys.tend(self.clock.moment().steady);
    }

    /// So many requests of a client are admitted.
    fn admit(&self, client: &Client, times: u32) {
        for _ in 0..times {
            self.hot_keys.admitted(Algorithm::Es256, &client.public, self.clock.moment());
        }
    }

    fn has_table(&self, client: &Client) -> bool {
        self.hot_keys.tables.load().contains_key(&client.public.thumbprint())
    }

    /// The answer to a proof that says it is this client's, and is signed by that one.
    fn verify(&self, client: &Client, signer: &Client) -> bool {
        let text = signer.secret.sign("{}", "{}");
        let jws = CompactJws::split(&text).unwrap();
        self.hot_keys.verify(&jws, Algorithm::Es256, &client.public, self.clock.moment()).is_ok()
    }

    /// Puts the table of one key under the name of another: as wrong as a table can be.
    fn mistake(&self, client: &Client, table: &Client) {
        let table = table.public.prepared(|| {}).unwrap();
        let hot = Hot::new(table, EARNED, self.clock.moment().steady);
        let counting = self.hot_keys.counting.load_full().unwrap();
        self.hot_keys.put(client.public.thumbprint(), Arc::new(hot), None, &counting);
    }
}

fn client() -> Client {
    let secret = PrivateKey::generate(Algorithm::Es256).unwrap();
    let public = secret.public().clone();
    Client { secret, public }
}

#[test]
fn a_key_earns_its_table_by_requests_that_were_admitted() {
    let (house, client) = (ByHand::new(4), client());
    for _ in 0..10 * EARNED {
        // Verified and not admitted: its token may be another's, or the proof was used before.
        assert!(house.verify(&client, &client));
    }
    assert_eq!(house.build(), 0);
    house.admit(&client, EARNED - 1);
    assert_eq!(house.build(), 0);
    house.admit(&client, 1);
    assert_eq!(house.build(), 1);
    assert!(house.has_table(&client));
    house.admit(&client, 10 * EARNED);
    assert_eq!(house.build(), 0, "it has one");
}

#[test]
fn a_key_of_another_kind_has_none() {
    let house = ByHand::new(4);
    for algorithm in [Algorithm::EdDsa, Algorithm::Es384] {
        let secret = PrivateKey::generate(algorithm).unwrap();
        for _ in 0..2 * EARNED {
            house.hot_keys.admitted(algorithm, secret.public(), house.clock.moment());
        }
        assert!(secret.public().prepared(|| {}).is_none());
    }
    assert_eq!(house.build(), 0);
}

#[test]
fn a_flood_of_fresh_keys_makes_no_table_and_takes_none() {
    let (house, hot) = (ByHand::new(2), client());
    house.admit(&hot, EARNED);
    house.build();
    for number in 0..2_000 {
        // The thumbprint alone is counted, so what stands behind it need not be a point.
        let jkt = Thumbprint::new(sha256(&[&u32::to_be_bytes(number)]));
        let counting = house.hot_keys.counting.load();
        assert!(counting.as_ref().unwrap().counts.count(&jkt, NOW) < EARNED);
    }
    assert_eq!(house.build(), 0);
    assert!(house.has_table(&hot));
}

#[test]
fn a_table_is_trusted_after_a_second_and_enough_good_signatures_which_ring_took_too() {
    let (house, client, thief) = (ByHand::new(1), client(), client());
    house.admit(&client, EARNED);
    house.build();
    house.later(Duration::from_millis(999));
    for _ in 0..2 * AGREED {
        assert!(house.verify(&client, &client));
    }
    assert_eq!(house.hot_keys.state().verified, 0, "within its first second");
    house.later(Duration::from_millis(1));
    assert!(house.verify(&client, &client));
    assert_eq!(house.hot_keys.state().verified, 0, "this one was compared still");
    assert!(house.verify(&client, &client) && !house.verify(&client, &thief));
    assert_eq!(house.hot_keys.state().verified, 2);

    let house = ByHand::new(1);
    house.admit(&client, EARNED);
    house.build();
    house.later(Duration::from_secs(5));
    for _ in 1..AGREED {
        assert!(house.verify(&client, &client) && !house.verify(&client, &thief));
    }
    assert!(house.verify(&client, &client));
    assert_eq!(house.hot_keys.state().verified, 0, "bad signatures count for nothing");
    assert!(house.verify(&client, &client));
    assert_eq!(house.hot_keys.state().verified, 1);
    assert_eq!(house.hot_keys.state().differences, 0);
}

#[test]
fn a_wrong_table_changes_no_answer_and_is_the_last() {
    let (client, other) = (client(), client());
    // A good signature that the table refuses; a stranger's that it takes.
    for signer in [&client, &other] {
        let house = ByHand::new(4);
        house.mistake(&client, &other);
        assert_eq!(house.verify(&client, signer), std::ptr::eq(signer, &client), "ring's answer stands");
        let state = house.hot_keys.state();
        assert_eq!(state, State { tables: 0, most: 0, built: 1, verified: 0, differences: 1 });
        assert!(house.verify(&client, &client) && !house.verify(&client, &other));
        house.admit(&client, 10 * EARNED);
        assert_eq!(house.wanted.try_iter().count(), 0, "nobody earns one any more");
        house.hot_keys.adapt(9).unwrap();
        assert_eq!(house.hot_keys.state().most, 0, "nor does a reload switch them on");
    }
}

/// A table that was being made when another turned out to be wrong.
#[test]
fn after_a_difference_no_table_is_put_in() {
    let (house, client, other) = (ByHand::new(4), client(), client());
    house.admit(&other, EARNED);
    let counting = house.hot_keys.counting.load_full().unwrap();
    house.mistake(&client, &other);
    assert!(house.verify(&client, &client));
    let table = other.public.prepared(|| {}).unwrap();
    house.hot_keys.put(other.public.thumbprint(), Arc::new(Hot::new(table, EARNED, NOW)), None, &counting);
    house.hot_keys.prepare(&house.wanted.try_recv().unwrap(), &counting);
    assert_eq!(house.hot_keys.state().tables, 0);
}

#[test]
fn a_table_is_given_back_when_its_key_cools() {
    let (house, busy, idle) = (ByHand::new(4), client(), client());
    house.admit(&busy, EARNED);
    house.admit(&idle, EARNED);
    house.build();
    let memory = Arc::downgrade(house.hot_keys.tables.load().get(&idle.public.thumbprint()).unwrap());
    for _ in 0..2 {
        house.later(Duration::from_millis(WINDOW.unsigned_abs()));
        house.admit(&busy, 3);
        house.tend();
        house.tend();
        assert!(house.has_table(&idle), "for twenty seconds");
    }
    house.later(Duration::from_millis(WINDOW.unsigned_abs()));
    house.admit(&busy, 3);
    house.tend();
    assert!(house.has_table(&busy) && !house.has_table(&idle));
    assert!(memory.upgrade().is_none());
}

#[test]
fn a_key_that_is_twice_as_hot_takes_the_place_of_the_coldest() {
    let house = ByHand::new(2);
    let (cool, warm, hot) = (client(), client(), client());
    house.admit(&cool, EARNED);
    house.admit(&warm, EARNED);
    house.build();
    house.admit(&warm, 2 * EARNED);
    house.admit(&hot, 10 * EARNED);
    house.build();
    assert!(!house.has_table(&hot), "a table stays for thirty seconds");
    house.later(Duration::from_secs(30));
    house.admit(&cool, EARNED);
    house.admit(&warm, 2 * EARNED);
    house.admit(&hot, EARNED);
    house.build();
    assert!(!house.has_table(&hot), "it is not twice as hot");
    house.admit(&hot, 3 * EARNED);
    house.build();
    assert!(house.has_table(&hot) && house.has_table(&warm) && !house.has_table(&cool));
    assert_eq!(house.hot_keys.state().tables, 2);
}

#[test]
fn the_number_changes_while_it_runs() {
    let hot_keys = HotKeys::new(Clock::manual(NOW));
    let clients: Vec<_> = (0..3).map(|_| client()).collect();
    let admit = |client: &Client, times| {
        (0..times).for_each(|_| hot_keys.admitted(Algorithm::Es256, &client.public, NOW.into()));
    };
    let wait_for = |tables: usize| {
        while hot_keys.state().tables != tables {
            std::thread::yield_now();
        }
    };
    clients.iter().for_each(|client| admit(client, EARNED));
    assert_eq!(hot_keys.state(), State::default(), "nobody counts");
    hot_keys.adapt(3).unwrap();
    clients.iter().for_each(|client| admit(client, EARNED));
    wait_for(3);
    admit(&clients[1], 5);
    hot_keys.adapt(1).unwrap();
    assert_eq!(hot_keys.state().tables, 1);
    assert!(hot_keys.tables.load().contains_key(&clients[1].public.thumbprint()), "the hottest stays");
    hot_keys.adapt(2).unwrap();
    admit(&clients[0], EARNED);
    wait_for(2);
    hot_keys.adapt(0).unwrap();
    assert_eq!(hot_keys.state(), State { tables: 0, most: 0, built: 4, verified: 0, differences: 0 });
}

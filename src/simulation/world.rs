//! Replicas, clients and an attacker, and what befalls them in one seed.

use super::engine::{self, Millis, Owner, between, note, one_in, one_of};
use super::flaw::{self, Flaw};
use super::law::Ledger;
use super::replica::{Answer, Replica, Setting};
use super::{faults, redis};
use crate::clock::UnixTime;
use crate::dpop::{Made, NoncePolicy};
use crate::jose::Thumbprint;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Whoever follows challenges needs no more tries than these.
const TRIES: usize = 3;
/// Clients give up waiting for an answer.
const CLIENTS_PATIENCE: Millis = 4000;

/// One world, for one seed.
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) replicas: Vec<Replica>,
    clients: Vec<Client>,
    pub(super) ledger: Rc<Ledger>,
    /// Every proof that was ever sent: the attacker has them all.
    stolen: RefCell<Vec<Made>>,
}

/// A client that follows challenges.
struct Client {
    jkt: Thumbprint,
    nonce: RefCell<Option<String>>,
    /// Its clock less the true time; `None` where it follows what the gateway's answers say.
    offset: Option<i64>,
    made: Cell<u32>,
}

impl World {
    pub(super) fn new(setting: Setting) -> Rc<Self> {
        let ledger = Rc::new(Ledger::new(&setting));
        let replicas =
            (0..setting.replicas).map(|number| Replica::new(number + 1, &setting, &ledger)).collect();
        let clients = (0..between(1, 2)).map(|number| Client::new(number as u8, &setting)).collect();
        Rc::new(Self { setting, replicas, clients, ledger, stolen: RefCell::default() })
    }

    /// Everything that happens. What breaks the first law panics on the way.
    pub(super) async fn turn(self: Rc<Self>) {
        note(|| format!("{:?}", self.setting));
        redis::begin(0);
        for replica in &self.replicas {
            replica.start(match self.setting.at_the_edge {
                true if replica.owner == 1 => between(100, 3000),
                true => between(-5000, -4200),
                false => between(-2000, 2000),
            });
        }
        let end = between(10_000, 40_000);
        for client in 0..self.clients.len() {
            engine::spawn(engine::WORLD, Rc::clone(&self).live(client, end));
        }
        engine::spawn(engine::WORLD, Rc::clone(&self).attack(end));
        faults::befall(&self, end).await;
        engine::sleep(end - engine::now()).await;
        note(|| "the faults end".to_owned());
        engine::calm_down();
        faults::mend(&self).await;
        self.expect_all_to_pass().await;
    }

    /// The second law.
    async fn expect_all_to_pass(self: &Rc<Self>) {
        for number in 0..self.clients.len() {
            faults::wait_until_all_are_ready(self).await;
            let client = &self.clients[number];
            *client.nonce.borrow_mut() = None;
            let passed = self.call(client, TRIES).await;
            self.ledger.law_two(passed);
            // And what was taken now is taken once, too.
            for _ in 0..4 {
                self.resend_some().await;
            }
        }
    }

    /// A client calls now and then.
    async fn live(self: Rc<Self>, client: usize, end: Millis) {
        while engine::now() < end {
            engine::sleep(between(300, 4000)).await;
            self.call(&self.clients[client], TRIES).await;
        }
    }

    /// One call, with as many tries as that; whether it passed.
    async fn call(self: &Rc<Self>, client: &Client, tries: usize) -> bool {
        let home = engine::below(self.replicas.len() as u64) as usize;
        for _ in 0..tries {
            let replica = if self.setting.shares_memory() {
                &self.replicas[engine::below(self.replicas.len() as u64) as usize]
            } else {
                &self.replicas[home]
            };
            let proof = client.prove(replica.owner);
            if !engine::is_calm() {
                self.stolen.borrow_mut().push(proof.clone());
            }
            // The attacker may hold a client's request back and come first; while that lasts nobody can promise anything.
            if !engine::is_calm() && one_in(8) {
                self.attack_first(&proof).await;
            } else if one_in(4) {
                // Who cannot sign may still send the rest of it.
                self.send(one_of(&self.owners()), proof.clone(), true).await;
            }
            let answer = self.send(replica.owner, proof.clone(), false).await;
            if engine::is_calm() {
                self.stolen.borrow_mut().push(proof.clone());
            }
            engine::spawn(engine::WORLD, Rc::clone(self).resend_at_the_edges(proof));
            match answer {
                Some(Answer::Admitted) => return true,
                Some(Answer::Challenge(nonce)) => *client.nonce.borrow_mut() = Some(nonce),
                Some(Answer::Refused(_)) | None => {}
            }
        }
        false
    }

    pub(super) fn owners(&self) -> Vec<Owner> {
        self.replicas.iter().map(|replica| replica.owner).collect()
    }

    /// Sends a request, and waits for the answer as long as a client does. It may arrive late, and the answer never.
    async fn send(self: &Rc<Self>, to: Owner, proof: Made, forged: bool) -> Option<Answer> {
        if one_in(8) {
            engine::sleep(between(0, 300)).await;
        }
        let replica = &self.replicas[to - 1];
        let answer = replica.receive(proof, forged);
        engine::in_time(std::time::Duration::from_millis(CLIENTS_PATIENCE as u64), answer).await.flatten()
    }

    /// The attacker has what the client sent before it arrives.
    async fn attack_first(self: &Rc<Self>, proof: &Made) {
        let to = one_of(&self.owners());
        let copies = between(1, 3);
        for _ in 1..copies {
            let (world, proof) = (Rc::clone(self), proof.clone());
            engine::spawn(engine::WORLD, async move {
                world.send(to, proof, false).await;
            });
        }
        self.send(to, proof.clone(), false).await;
    }

    /// The attacker resends what it has, at any time.
    async fn attack(self: Rc<Self>, end: Millis) {
        while engine::now() < end + 10_000 {
            engine::sleep(between(200, 3000)).await;
            self.resend_some().await;
        }
    }

    /// Some of the latest, to anybody.
    pub(super) async fn resend_some(self: &Rc<Self>) {
        for _ in 0..3 {
            let chosen = {
                let stolen = self.stolen.borrow();
                let last = stolen.len();
                if last == 0 {
                    return;
                }
                stolen[last - 1 - engine::below(last.min(12) as u64) as usize].clone()
            };
            let (world, to) = (Rc::clone(self), one_of(&self.owners()));
            engine::spawn(engine::WORLD, async move {
                world.send(to, chosen, false).await;
            });
        }
    }

    /// The last moments at which somebody takes a proof are those at which somebody may have forgotten it.
    async fn resend_at_the_edges(self: Rc<Self>, proof: Made) {
        let window = self.setting.window;
        for _ in 0..between(1, 3) {
            let to = one_of(&self.owners());
            let made = UnixTime::from_millis(engine::clocks_of(to).wall.as_millis());
            let edge = match self.setting.policy {
                NoncePolicy::Off => one_of(&[
                    proof.iat.saturating_add(window.max_age),
                    proof.iat.saturating_sub(window.leeway),
                ]),
                NoncePolicy::Required => made.saturating_add(self.setting.nonce_lifetime),
            };
            let before = one_of(&[0, 0, 1, 100, 500, 999, 1500, 3000]);
            // Clocks may be set meanwhile.
            for _ in 0..3 {
                let left = edge.as_millis() - engine::clocks_of(to).wall.as_millis() - before;
                if !(1..=60_000).contains(&left) {
                    break;
                }
                engine::sleep(left).await;
            }
            for _ in 0..between(1, 2) {
                self.send(one_of(&[to, to, one_of(&self.owners())]), proof.clone(), false).await;
            }
        }
    }
}

impl Client {
    fn new(number: u8, setting: &Setting) -> Self {
        let bears = setting.bears().as_millis() as i64;
        let offset = if one_in(3) { None } else { Some(between(-bears, bears)) };
        Self { jkt: Thumbprint::new([number; 32]), nonce: RefCell::default(), offset, made: Cell::new(0) }
    }

    /// A new proof, by its own clock: `iat` is in whole seconds.
    fn prove(&self, for_whom: Owner) -> Made {
        let offset = self.offset.unwrap_or_else(|| engine::offset(for_whom));
        let secs = (engine::START + engine::now() + offset).div_euclid(1000);
        self.made.set(self.made.get() + 1);
        let jti = format!("{:?}-{}", self.jkt.as_bytes()[0], self.made.get());
        let nonce = self.nonce.borrow().clone();
        Made { jkt: self.jkt, jti, iat: UnixTime::from_secs(secs), nonce }
    }
}

/// Whether a proof is used up before anything is verified.
pub(super) fn spends_first() -> bool {
    flaw::is(Flaw::SpendBeforeVerify)
}

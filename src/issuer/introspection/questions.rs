//! The questions that are on their way: one for each token, bounded in all and for each address.

use super::Answer;
use crate::jose::Sha256;
use crate::token::Introspected;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many questions one address may cause at once.
const OF_ONE_ADDRESS: usize = 8;

/// A token, by its hash, and the edition of the rules by which an answer about it is judged.
pub(super) type About = (u64, Sha256);

/// The questions to one issuer.
#[derive(Debug, Default)]
pub(super) struct Questions {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    by_token: HashMap<About, Answer>,
    by_address: HashMap<IpAddr, usize>,
}

/// A place among them.
pub(super) enum Place {
    /// Somebody asks already.
    With(Answer),
    /// It is to be asked.
    New(Asking),
}

/// A question that counts until this is dropped.
pub(super) struct Asking {
    questions: Arc<Questions>,
    about: About,
    address: IpAddr,
    answer: watch::Sender<Option<Introspected>>,
}

impl Questions {
    /// A place for a question about this, caused by this client; `None` where there are as many as there may be.
    pub(super) fn place(self: &Arc<Self>, about: About, client: IpAddr, most: usize) -> Option<Place> {
        let address = network(client);
        let mut running = self.running();
        if let Some(answer) = running.by_token.get(&about) {
            return Some(Place::With(answer.clone()));
        }
        let of_address = running.by_address.get(&address).copied().unwrap_or(0);
        if running.by_token.len() >= most || of_address >= OF_ONE_ADDRESS {
            return None;
        }
        let (sender, answer) = watch::channel(None);
        running.by_token.insert(about, answer);
        running.by_address.insert(address, of_address.saturating_add(1));
        Some(Place::New(Asking { questions: Arc::clone(self), about, address, answer: sender }))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Counting cannot fail half-way.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// What will be answered.
    pub(super) fn answer(&self) -> Answer {
        self.answer.subscribe()
    }

    /// It was answered, or was not.
    pub(super) fn end(self, answer: Option<Introspected>) {
        self.answer.send_replace(answer);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut running = self.questions.running();
        running.by_token.remove(&self.about);
        if let Some(count) = running.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.by_address.remove(&self.address);
            }
        }
    }
}

/// Whose questions are counted together: an IPv4 address, or the 64 bits of an IPv6 address that a customer is given.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ten at most.
    fn place(questions: &Arc<Questions>, token: u8, client: &str) -> Option<Place> {
        questions.place((0, [token; 32]), client.parse().unwrap(), 10)
    }

    fn new(questions: &Arc<Questions>, token: u8, client: &str) -> Asking {
        match place(questions, token, client) {
            Some(Place::New(asking)) => asking,
            Some(Place::With(_)) | None => panic!("no new question about {token}"),
        }
    }

    #[test]
    fn one_address_causes_eight_questions_and_others_are_not_hindered() {
        let questions = Arc::new(Questions::default());
        let mut asked: Vec<_> = (0..8).map(|token| new(&questions, token, "192.0.2.1")).collect();
        assert!(place(&questions, 8, "192.0.2.1").is_none());
        assert!(place(&questions, 8, "::ffff:192.0.2.1").is_none(), "the same address");
        assert!(matches!(place(&questions, 3, "192.0.2.1"), Some(Place::With(_))), "nobody asks twice");
        asked.push(new(&questions, 9, "192.0.2.2"));
        asked.remove(0);
        asked.push(new(&questions, 8, "192.0.2.1"));
        drop(asked);
        assert!(questions.running().by_address.is_empty() && questions.running().by_token.is_empty());
    }

    #[test]
    fn there_is_a_bound_for_all_and_an_ipv6_customer_is_one() {
        let questions = Arc::new(Questions::default());
        let ipv6: Vec<_> =
            (0..8).map(|token| new(&questions, token, &format!("2001:db8::{token}"))).collect();
        assert!(place(&questions, 20, "2001:db8::ffff").is_none());
        let others = [new(&questions, 21, "2001:db8:0:1::1"), new(&questions, 22, "192.0.2.1")];
        assert!(place(&questions, 23, "192.0.2.2").is_none(), "ten in all");
        drop((ipv6, others));
        assert!(place(&questions, 23, "192.0.2.2").is_some());
    }

    #[test]
    fn whoever_waits_hears_of_a_question_that_ended_without_an_answer() {
        let questions = Arc::new(Questions::default());
        let asking = new(&questions, 1, "192.0.2.1");
        let Some(Place::With(answer)) = place(&questions, 1, "192.0.2.2") else { panic!("it is asked") };
        drop(asking);
        assert!(answer.has_changed().is_err(), "the sender is gone");
    }
}

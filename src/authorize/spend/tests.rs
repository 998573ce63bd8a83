use super::*;
use crate::clock::UnixTime;
use crate::dpop::{AcceptanceWindow, Made, NoncePolicy, Verifier};
use crate::jose::Thumbprint;
use crate::replay::{MemoryStore, Store};
use crate::token::Issuers;
use std::time::Duration;

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
const WINDOW: AcceptanceWindow =
    AcceptanceWindow { max_age: Duration::from_secs(60), leeway: Duration::from_secs(5) };

fn at(secs: u64) -> UnixTime {
    START.saturating_add(Duration::from_secs(secs))
}

/// A process that began at [`START`] and waits until it remembers everything.
fn waiting() -> Authorizer {
    let mint = Arc::new(NonceMint::new(&[], Duration::from_secs(120)));
    let store = MemoryStore::new(100, 100, mint.retention(WINDOW), START);
    Authorizer {
        issuers: Arc::new(Issuers::new(Vec::new())),
        proofs: Verifier::new(Vec::new(), WINDOW, mint),
        replay: Arc::new(Store::Memory(store)),
        on_start: OnStart::Wait,
    }
}

impl Authorizer {
    /// What becomes of a proof of which everything else is right.
    async fn take(
        &self,
        jti: &str,
        iat: UnixTime,
        nonce: Option<String>,
        clock: &Clock,
    ) -> Option<ReplayError> {
        let made = Made { jkt: Thumbprint::new([1; 32]), jti: jti.to_owned(), iat, nonce };
        let now = clock.moment();
        let proof = self.proofs.verify_dates(&made, NoncePolicy::Off, now, now).unwrap();
        self.use_up(&proof, None, now, clock).await.err()
    }
}

/// It was refused as if it were from before the start, which no client can do anything about.
#[tokio::test]
async fn what_a_step_of_the_clock_made_it_forget_is_challenged_also_where_a_start_is_waited_for() {
    let (clock, process) = (Clock::manual(START), waiting());
    assert_eq!(process.take("a", at(0), None, &clock).await, Some(ReplayError::BeforeStart));
    clock.set(at(100));
    assert_eq!(process.take("b", at(100), None, &clock).await, None);
    clock.step(at(3700));
    assert_eq!(process.take("c", at(3700), None, &clock).await, None);
    clock.step(at(101));
    assert_eq!(process.take("d", at(100), None, &clock).await, Some(ReplayError::Unknowable));
    let nonce = process.challenge_nonce(clock.moment());
    assert_eq!(process.take("e", at(100), Some(nonce), &clock).await, None);
}

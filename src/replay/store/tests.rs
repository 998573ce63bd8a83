use super::*;

fn store() -> Store {
    Store::Memory(MemoryStore::new(10, 10, Duration::from_secs(60), UnixTime::from_secs(1_700_000_000)))
}

#[test]
fn a_key_is_the_proofs_own_and_the_stores_own() {
    let (one, two) = (store(), store());
    let (alice, bob) = (Thumbprint::new([1; 32]), Thumbprint::new([2; 32]));
    assert_eq!(one.key(&alice, "a"), one.key(&alice, "a"));
    assert_eq!(one.key(&alice, "a").owner, one.key(&alice, "b").owner);
    assert_ne!(one.key(&alice, "a").id, one.key(&alice, "b").id);
    assert_ne!(one.key(&alice, "a").id, one.key(&bob, "a").id, "a stranger cannot burn a jti");
    assert_ne!(one.key(&alice, "a").owner, one.key(&bob, "a").owner);
    assert_ne!(one.key(&alice, "a").id, two.key(&alice, "a").id, "nor compute a key");
}

/// What a reload brings: the same store, which goes on with what it remembers.
#[test]
fn other_limits_are_in_force_at_once_and_nothing_is_forgotten() {
    let now = UnixTime::from_secs(1_700_000_000);
    let store = MemoryStore::new(3, 2, Duration::from_secs(60), now);
    let until = now.saturating_add(Duration::from_secs(30));
    let insert = |id: u128, owner: u64| {
        let key = ReplayKey { id: id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835), owner };
        store.check_and_insert(key, until, now)
    };
    assert_eq!(
        [1, 2, 3, 4].map(|id| insert(id, u64::try_from(id).unwrap())),
        [Outcome::Fresh, Outcome::Fresh, Outcome::Fresh, Outcome::Full]
    );
    store.limit(1000, 1);
    assert_eq!(store.capacity(), 1000);
    assert!((1..4).all(|id| insert(id, 0) == Outcome::Replayed));
    assert!((4..600).all(|id| insert(id, u64::try_from(id).unwrap()) == Outcome::Fresh));
    assert!((1..600).all(|id| insert(id, 0) == Outcome::Replayed));
    assert_eq!(insert(1000, 7), Outcome::OverQuota);
    store.limit(10, 2);
    assert_eq!((insert(1000, 7), insert(599, 7)), (Outcome::Full, Outcome::Replayed));
}

#[test]
fn complete_since_never_moves_back() {
    let store = store();
    let start = store.complete_since();
    assert_eq!(start, UnixTime::from_secs(1_700_000_000));
    store.complete_from(start.saturating_sub(Duration::from_secs(1)));
    assert_eq!(store.complete_since(), start);
    store.complete_from(start.saturating_add(Duration::from_secs(1)));
    assert_eq!(store.complete_since(), start.saturating_add(Duration::from_secs(1)));
}

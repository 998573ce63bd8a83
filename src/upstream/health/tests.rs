use super::*;
use crate::config::{EjectPlan, UpstreamProtocol};

const EJECT: EjectPlan = EjectPlan { after: 2, rest: Duration::from_secs(10) };

fn fleet(clock: &Clock) -> Arc<Fleet> {
    let plan = HealthPlan { check: None, eject: Some(EJECT) };
    Arc::new(Fleet::new("orders", plan, ConnectionPlan::default(), clock.clone()))
}

fn target() -> Arc<Target> {
    let plan = ServerPlan { tls: false, authority: "orders.test:9000".parse().unwrap() };
    Arc::new(Target::new(&plan, None, UpstreamProtocol::Http1))
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 9000))
}

fn fails(member: &Member) {
    for _ in 0..EJECT.after {
        member.failed(UpstreamError::Broken);
    }
}

#[test]
fn a_look_up_resets_nothing_not_even_where_an_address_is_missing_for_a_while() {
    let clock = Clock::manual(UnixTime::from_secs(0));
    let (fleet, target) = (fleet(&clock), target());
    let join = |number| fleet.join(&target, address(number));
    let members = [join(1), join(2)];
    fleet.consists_of(members.iter());
    fails(&members[0]);
    let state = |member: &Member| fleet.states([member, &members[1]].into_iter())[0];
    let ejected = State::Ejected { since: UnixTime::from_secs(0) };
    assert_eq!(state(&members[0]), ejected);
    assert!(!members[0].takes_all() && members[1].takes_all());

    fleet.consists_of(members[1..].iter());
    assert_eq!(state(&join(1)), ejected, "it comes back as what it was");

    fleet.consists_of(members[1..].iter());
    clock.set(UnixTime::from_secs(10));
    assert_eq!(state(&join(1)), State::Back { at_once: 1 }, "but time goes on");

    fleet.consists_of(members[1..].iter());
    clock.set(UnixTime::from_secs(10).saturating_add(MEMORY));
    fleet.consists_of(members[1..].iter());
    assert_eq!(state(&join(1)), State::Whole, "nobody remembers for ever");
    assert_eq!(fleet.known().len(), 2);
}

#[test]
fn what_is_known_of_an_address_belongs_to_the_server_that_has_it() {
    let (fleet, one) = (fleet(&Clock::manual(UnixTime::from_secs(0))), target());
    let members = [fleet.join(&one, address(1)), fleet.join(&one, address(2))];
    fleet.consists_of(members.iter());
    fails(&members[0]);
    let plan = ServerPlan { tls: false, authority: "other.test:9000".parse().unwrap() };
    let other = Arc::new(Target::new(&plan, None, UpstreamProtocol::Http1));
    assert!(fleet.join(&other, address(1)).takes_all());
    assert!(!fleet.join(&one, address(1)).takes_all());
}

#[test]
fn no_more_than_half_rest_however_many_fail() {
    let (fleet, target) = (fleet(&Clock::manual(UnixTime::from_secs(0))), target());
    let members: Vec<_> = (1..=5).map(|number| fleet.join(&target, address(number))).collect();
    fleet.consists_of(members.iter());
    for member in &members {
        fails(member);
    }
    let count = fleet.count(members.iter());
    assert_eq!((count.healthy, count.unhealthy, count.ejected), (3, 0, 2));
    // And where servers go away, others come back before their time.
    fleet.consists_of(members[..3].iter());
    assert_eq!(fleet.count(members[..3].iter()).ejected, 1);
    assert_eq!(fleet.count(members[..1].iter()).ejected, 0, "the only one never rests");
}

#[test]
fn what_is_not_the_servers_doing_does_not_count() {
    let (fleet, target) = (fleet(&Clock::manual(UnixTime::from_secs(0))), target());
    let members = [fleet.join(&target, address(1)), fleet.join(&target, address(2))];
    fleet.consists_of(members.iter());
    for error in [
        UpstreamError::ClientBody,
        UpstreamError::NoRoom,
        UpstreamError::Unhealthy,
        UpstreamError::Unresolved,
        super::super::Http2Failure::GoneAway(0).into(),
        super::super::Http2Failure::Deadline.into(),
    ] {
        for _ in 0..10 {
            members[0].failed(error);
        }
        assert!(members[0].takes_all(), "{error:?}");
    }
}

#[test]
fn an_answer_costs_a_look_unless_something_is_to_be_changed() {
    let (fleet, target) = (fleet(&Clock::manual(UnixTime::from_secs(0))), target());
    let member = fleet.join(&target, address(1));
    assert!(!member.standing.counts.load(Ordering::Relaxed));
    member.failed(UpstreamError::Broken);
    assert!(member.standing.counts.load(Ordering::Relaxed));
    member.answered();
    assert!(!member.standing.counts.load(Ordering::Relaxed));
}

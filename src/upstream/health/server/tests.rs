use super::*;
use crate::config::CheckPlan;
use http::uri::PathAndQuery;
use proptest::prelude::*;

const EJECT: EjectPlan = EjectPlan { after: 3, rest: Duration::from_secs(10) };

fn plan() -> HealthPlan {
    let check = CheckPlan {
        path: PathAndQuery::from_static("/healthz"),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        unhealthy_after: 3,
        healthy_after: 2,
    };
    HealthPlan { check: Some(check), eject: Some(EJECT) }
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
enum Event {
    Answered,
    Failed,
    Good,
    Bad,
}
use Event::{Answered, Bad, Failed, Good};

fn happens(health: &mut Health, event: Event, now: UnixTime) -> Option<Change> {
    match event {
        Answered => health.answered(&plan(), now),
        Failed => health.failed(&plan(), now).then(|| health.eject(EJECT, now)),
        Good => health.checked(&plan(), true),
        Bad => health.checked(&plan(), false),
    }
}

const REST: Change = Change::Ejected(Duration::from_secs(10));
const TWICE: Change = Change::Ejected(Duration::from_secs(20));
const WHOLE: State = State::Whole;

const fn back(at_once: u32) -> State {
    State::Back { at_once }
}

const fn ejected(since: i64) -> State {
    State::Ejected { since: UnixTime::from_secs(since) }
}

/// Each line of the table is a history: when, what, what is said of it, and how the server then is.
#[test]
#[expect(clippy::too_many_lines, reason = "a table has as many lines as rows")]
fn what_becomes_of_a_server() {
    type Line = (i64, Event, Option<Change>, State);
    let histories: &[(&str, &[Line])] = &[
        (
            "failures count in a row",
            &[
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Answered, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, Some(REST), ejected(0)),
            ],
        ),
        (
            "it comes back slowly: one request at once, then one more for each answer",
            &[
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, Some(REST), ejected(0)),
                (9, Answered, None, ejected(0)),
                (10, Answered, None, back(2)),
                (10, Answered, None, back(3)),
                (11, Answered, Some(Change::Whole), WHOLE),
            ],
        ),
        (
            "one failure then is enough, and the rest is twice as long",
            &[
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, Some(REST), ejected(0)),
                (5, Failed, None, ejected(0)),
                (500, Answered, None, back(2)),
                (500, Failed, Some(TWICE), ejected(500)),
                (519, Failed, None, ejected(500)),
                (520, Failed, Some(Change::Ejected(Duration::from_secs(40))), ejected(520)),
            ],
        ),
        (
            "who was good for as long as it rested begins anew",
            &[
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, Some(REST), ejected(0)),
                (10, Answered, None, back(2)),
                (10, Answered, None, back(3)),
                (10, Answered, Some(Change::Whole), WHOLE),
                (20, Failed, None, WHOLE),
                (20, Failed, None, WHOLE),
                (20, Failed, Some(REST), ejected(20)),
                (30, Answered, None, back(2)),
                (30, Answered, None, back(3)),
                (30, Answered, Some(Change::Whole), WHOLE),
                (39, Failed, None, WHOLE),
                (39, Failed, None, WHOLE),
                (39, Failed, Some(TWICE), ejected(39)),
            ],
        ),
        (
            "checks say it in a row, too, and requests do not gainsay them",
            &[
                (0, Bad, None, WHOLE),
                (1, Bad, None, WHOLE),
                (2, Good, None, WHOLE),
                (3, Bad, None, WHOLE),
                (4, Bad, None, WHOLE),
                (5, Bad, Some(Change::Unhealthy), State::Unhealthy),
                (5, Answered, None, State::Unhealthy),
                (6, Failed, None, State::Unhealthy),
                (7, Good, None, State::Unhealthy),
                (8, Bad, None, State::Unhealthy),
                (9, Good, None, State::Unhealthy),
                (10, Good, Some(Change::Healthy), back(1)),
                (10, Answered, None, back(2)),
            ],
        ),
        (
            "a good check ends no rest",
            &[
                (0, Failed, None, WHOLE),
                (0, Failed, None, WHOLE),
                (0, Failed, Some(REST), ejected(0)),
                (1, Good, None, ejected(0)),
                (2, Good, None, ejected(0)),
                (10, Good, None, back(1)),
            ],
        ),
    ];
    for (story, lines) in histories {
        let mut health = Health::default();
        for (number, (when, event, change, state)) in lines.iter().enumerate() {
            let said = happens(&mut health, *event, at(*when));
            assert_eq!((said, health.state(at(*when))), (*change, *state), "{story}: line {number}");
        }
    }
}

#[test]
fn rests_double_up_to_five_minutes() {
    let (mut health, mut now, mut rests) = (Health::default(), at(0), Vec::new());
    while rests.len() < 8 {
        if let Some(Change::Ejected(length)) = happens(&mut health, Failed, now) {
            rests.push(length.as_secs());
            now = now.saturating_add(length);
        }
    }
    assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn with_eject_off_nothing_rests() {
    let plan = HealthPlan { eject: None, ..plan() };
    let mut health = Health::default();
    for _ in 0..100 {
        assert!(!health.failed(&plan, at(0)));
    }
    assert_eq!(health.state(at(0)), State::Whole);
}

#[test]
fn never_more_than_half_rest() {
    let (whole, out, ill) = (WHOLE, ejected(1), State::Unhealthy);
    for (others, may) in [
        (&[][..], false),
        (&[whole], true),
        (&[out], false),
        (&[ill], false),
        (&[whole, whole], true),
        (&[whole, out], false),
        (&[whole, ill], false),
        (&[whole, whole, out], true),
        (&[whole, out, ill], false),
        (&[whole, whole, whole, out], true),
        (&[whole, whole, out, ill], false),
    ] {
        assert_eq!(may_rest(others), may, "{others:?}");
    }
}

fn states() -> impl Strategy<Value = Vec<State>> {
    let one = prop_oneof![
        Just(WHOLE),
        (1_u32..9).prop_map(back),
        (0_i64..50).prop_map(ejected),
        Just(State::Unhealthy)
    ];
    prop::collection::vec(one, 0..12)
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let event = prop_oneof![1 => Just(Answered), 4 => Just(Failed), 1 => Just(Good), 1 => Just(Bad)];
    prop::collection::vec((0_i64..40, event), 0..200)
}

proptest! {
    #[test]
    fn whatever_rests_no_more_than_half_are_out_for_it(states in states()) {
        let mut counted = states.clone();
        allowed(&mut counted);
        let count = |of: &[State], is: fn(&State) -> bool| of.iter().filter(|state| is(state)).count();
        let (rests, ill) = (|state: &State| matches!(state, State::Ejected { .. }), |state: &State| *state == State::Unhealthy);
        prop_assert!(count(&counted, rests) == 0 || count(&counted, rests) + count(&counted, ill) <= counted.len() / 2);
        prop_assert_eq!(count(&counted, ill), count(&states, ill), "what the checks say stands");
        for (before, after) in states.iter().zip(&counted) {
            prop_assert!(before == after || (rests(before) && *after == WHOLE));
        }
        if states.iter().any(|state| !ill(state)) {
            prop_assert!(counted.iter().any(|state| !ill(state) && !rests(state)), "somebody takes requests");
        }
    }

    #[test]
    fn whatever_happens_a_rest_ends_and_answers_bring_a_server_back(events in events()) {
        let (mut health, mut now) = (Health::default(), at(0));
        for (later, event) in events {
            now = now.saturating_add(Duration::from_secs(later.unsigned_abs()));
            let change = happens(&mut health, event, now);
            if let Some(Change::Ejected(length)) = change {
                prop_assert!(length >= EJECT.rest && length <= LONGEST);
            }
            prop_assert_eq!(health.takes_all(), health.state(now) == WHOLE);
        }
        now = now.saturating_add(LONGEST);
        happens(&mut health, Good, now);
        happens(&mut health, Good, now);
        let takes_requests = matches!(health.state(now), State::Whole | State::Back { .. });
        prop_assert!(takes_requests);
        for _ in 0..EJECT.after {
            happens(&mut health, Answered, now);
        }
        prop_assert_eq!(health.state(now), WHOLE);
        prop_assert!(health.is_plain());
    }
}

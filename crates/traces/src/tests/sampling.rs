use std::time::Duration;

use identity::Mono;
use proptest::prelude::*;

use super::*;
use crate::{
    context::TraceState,
    sampling::{Budget, Decision, RateLimit, Ratio, Told},
};

fn admitted(limit: &RateLimit, times: impl Iterator<Item = u64>) -> usize {
    times.filter(|at| limit.admit(Mono(*at))).count()
}

#[test]
fn a_limit_admits_its_rate_after_one_burst() {
    let limit = RateLimit::per_second(100);
    let second = 1_000_000_000;
    assert_eq!(admitted(&limit, std::iter::repeat_n(5 * second, 500)), 100, "a burst of one second");
    assert_eq!(admitted(&limit, (5 * second + 1..=6 * second).step_by(1_000_000)), 99);
    assert_eq!(admitted(&limit, std::iter::repeat_n(60 * second, 500)), 100, "a pause saves up one burst");
}

#[test]
fn a_limit_of_zero_admits_nothing_and_time_may_stand_still() {
    assert!(!RateLimit::per_second(0).admit(Mono(1)));
    let limit = RateLimit::per_second(1);
    assert!(limit.admit(Mono(10)));
    assert!(!limit.admit(Mono(9)), "a clock read a little earlier by another thread breaks nothing");
    assert_eq!(limit.wait(Mono(10)), Duration::from_secs(1));
    assert_eq!(limit.wait(Mono(10) + Duration::from_secs(1)), Duration::ZERO);
}

#[test]
fn failures_are_kept_beyond_the_budget_up_to_a_cap_of_their_own() {
    let budget = Budget::new(2, 1);
    let decide = |remarkable| budget.decide(Mono(7), remarkable, true);
    assert_eq!([decide(false), decide(true)], [Decision::Keep, Decision::Keep]);
    assert_eq!([decide(false), decide(true)], [Decision::SampleOut, Decision::KeepPartial]);
    assert_eq!(decide(true), Decision::SampleOut);
    let budget = Budget::new(2, 1);
    let left_out = |remarkable| budget.decide(Mono(7), remarkable, false);
    assert_eq!([left_out(false), left_out(true)], [Decision::SampleOut, Decision::KeepPartial]);
    assert_eq!(
        budget.decide(Mono(7), false, true),
        Decision::Keep,
        "what is left out takes no place of others"
    );
}

#[test]
fn a_tracestate_says_for_how_many_spans_one_stands() {
    let cases = [
        ("ot=th:c", Some(4.0)),
        ("vendor=1,ot=rv:abcdefabcdefab;th:8", Some(2.0)),
        ("ot=th:fd70a3d70a3d71", Some(100.0)),
        ("ot=th:0", None), // All were kept.
        ("ot=th:C", None),
        ("ot=th:", None),
        ("ot=th:+8", None),
        ("ot=th:123456789abcdef", None),
        ("ot=rv:8", None),
        ("tenant=th:8", None),
        ("", None),
    ];
    for (state, expected) in cases {
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        let told = Told::one_in(state);
        assert!(told.zip(expected).map_or(told == expected, |(a, b)| near(a, b)), "{state}: {told:?}");
    }
    assert_eq!(Told::of("ot=rv:00000000000001").random, Some(1));
    assert_eq!(Told::of("ot=rv:1").random, None);
}

#[test]
fn a_share_is_told_beside_what_others_say_and_what_is_told_as_random_decides() {
    let state = TraceState::parse(["vendor=1,ot=rv:80000000000000;th:4;xy:z"]).unwrap();
    let told = Ratio::new(0.25).unwrap().tell(&state);
    assert_eq!(told.as_str(), "ot=th:c;rv:80000000000000;xy:z,vendor=1");
    assert_eq!(Ratio::ALL.tell(&TraceState::default()).as_str(), "ot=th:0");
    assert_eq!(Ratio::NONE.tell(&state), state, "nothing is kept, so there is nothing to say of it");
    let (half, quarter) = (Ratio::new(0.5).unwrap(), Ratio::new(0.25).unwrap());
    let id = TraceId::new(1).unwrap();
    assert!(!half.keeps(id));
    assert!(Told::of(told.as_str()).is_kept(half, id) && !Told::of(told.as_str()).is_kept(quarter, id));
}

#[test]
fn a_ratio_outside_of_0_to_1_is_refused() {
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Ratio::new(wrong), None);
    }
    assert_eq!((Ratio::new(0.0), Ratio::new(1.0)), (Some(Ratio::NONE), Some(Ratio::ALL)));
}

proptest! {
    #[test]
    fn a_smaller_ratio_keeps_a_part_of_what_a_larger_one_keeps(id in 1..u128::MAX, a in 0.0..=1.0, b in 0.0..=1.0) {
        let trace = TraceId::new(id).unwrap();
        let (small, large) = (Ratio::new(f64::min(a, b)).unwrap(), Ratio::new(f64::max(a, b)).unwrap());
        prop_assert!(!small.keeps(trace) || large.keeps(trace));
        prop_assert!(Ratio::ALL.keeps(trace) && !Ratio::NONE.keeps(trace));
    }

    #[test]
    fn a_share_that_was_told_is_read_as_it_was(share in 1e-12..=1.0) {
        let share = Ratio::new(share).unwrap();
        let state = share.tell(&TraceState::default());
        prop_assert_eq!(Told::of(state.as_str()).kept, Some(share));
    }

    #[test]
    fn no_tracestate_is_too_strange(state in "(ot=)?[ -~]{0,40}") {
        prop_assert!(Told::one_in(&state).is_none_or(|one_in| one_in > 1.0));
    }

    #[test]
    fn no_second_ever_admits_more_than_two_bursts(
        rate in 1..50_u32, steps in prop::collection::vec(0..50_000_000_u64, 1..400)
    ) {
        let limit = RateLimit::per_second(rate);
        let mut now = 0;
        let admitted: Vec<u64> = steps.into_iter().filter_map(|step| {
            now += step;
            limit.admit(Mono(now)).then_some(now)
        }).collect();
        for (at, first) in admitted.iter().enumerate() {
            let within = admitted[at..].iter().take_while(|time| **time < first + 1_000_000_000).count();
            prop_assert!(within <= 2 * rate as usize);
        }
    }
}

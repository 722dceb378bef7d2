use std::time::Duration;

use identity::Mono;
use proptest::prelude::*;

use super::*;
use crate::sampling::{Budget, Decision, RateLimit, Ratio};

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
    let decide = |remarkable| budget.decide(Mono(7), remarkable);
    assert_eq!([decide(false), decide(true)], [Decision::Keep, Decision::Keep]);
    assert_eq!([decide(false), decide(true)], [Decision::SampleOut, Decision::KeepPartial]);
    assert_eq!(decide(true), Decision::SampleOut);
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

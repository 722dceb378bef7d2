//! What a breaker does beyond the textbook: rates, windows, ramps, an operator's word, a shadow.

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn by_rate(threshold: f64, min_calls: u32, window: Window) -> BreakerPolicy {
    let failure_rate = Some(Rate { threshold, min_calls });
    BreakerPolicy { consecutive_failures: None, failure_rate, window, ..BreakerPolicy::default() }
}

fn call(breaker: &Breaker, policy: &BreakerPolicy, outcome: Outcome, now: Mono) -> Option<Box<Transition>> {
    let (permit, begun) = Permit::acquire(breaker, policy, now).expect("a permit");
    begun.or(permit.end(policy, outcome, now))
}

fn lasting(breaker: &Breaker, policy: &BreakerPolicy, outcome: Outcome, ms: u64) -> Option<Box<Transition>> {
    let (permit, _) = Permit::acquire(breaker, policy, at(0)).expect("a permit");
    permit.end(policy, outcome, at(ms))
}

#[test]
fn a_rate_needs_its_calls_and_then_opens_with_its_figures() {
    let policy = by_rate(0.5, 10, Window::Time(10 * SECOND));
    let breaker = Breaker::new(1, at(0));
    for round in 0..9 {
        let outcome = if round % 2 == 0 { Outcome::Failure } else { Outcome::Success };
        assert_eq!(call(&breaker, &policy, outcome, at(round)), None);
    }
    let opened = call(&breaker, &policy, Outcome::Failure, at(10)).expect("a transition");
    assert_eq!(opened.reason, Reason::FailureRate { rate: 0.6, threshold: 0.5, calls: 10 });
    assert_eq!(opened.reason.to_string(), "60% of 10 calls failed, threshold 50%");
    assert_eq!(opened.window, WindowCounts { calls: 10, failures: 6, slow: 0 });
}

#[test]
fn what_has_left_the_window_does_not_count() {
    let policy = by_rate(0.5, 10, Window::Time(10 * SECOND));
    let breaker = Breaker::new(1, at(0));
    for _ in 0..9 {
        call(&breaker, &policy, Outcome::Failure, at(0));
    }
    assert_eq!(call(&breaker, &policy, Outcome::Failure, at(10_000)), None, "the nine are gone");
    assert_eq!(breaker.window(&policy, at(10_000)).calls, 1);
    assert_eq!(breaker.window(&policy, at(3_600_000)).calls, 0, "an idle window expires");
}

#[test]
fn a_window_that_was_idle_for_as_long_as_its_numbers_wrap_counts_again() {
    let policy = by_rate(1.0, 1_000, Window::Time(SECOND));
    let breaker = Breaker::new(1, at(0));
    let mut stretch = 0;
    for silence in [11, 1 << 15, 1 << 16, 1 << 23, (1 << 23) + 1, (1 << 24) - 26, (1 << 24) + 11] {
        stretch += silence;
        call(&breaker, &policy, Outcome::Failure, at(stretch * 100));
        let calls = breaker.window(&policy, at(stretch * 100)).calls;
        assert_eq!(calls, 1, "after {silence} stretches of silence");
    }
}

#[test]
fn a_window_by_number_evicts_so_that_a_long_healthy_breaker_trips() {
    let policy = by_rate(0.5, 100, Window::Calls(10));
    let breaker = Breaker::new(1, at(0));
    for round in 0..10_000 {
        call(&breaker, &policy, Outcome::Success, at(round));
    }
    let ends: Vec<_> =
        (0..5).map(|_| call(&breaker, &policy, Outcome::Failure, at(10_000)).is_some()).collect();
    assert_eq!(ends, [false, false, false, false, true], "min_calls is clamped to the window");
}

#[test]
fn a_success_never_opens() {
    let policy = by_rate(0.5, 20, Window::Time(10 * SECOND));
    let breaker = Breaker::new(1, at(0));
    for round in 0..20 {
        let outcome = if round < 10 { Outcome::Failure } else { Outcome::Success };
        assert_eq!(call(&breaker, &policy, outcome, at(round)), None);
    }
}

#[test]
fn slow_calls_open_and_impatient_callers_cannot_hide_them() {
    let slow_after = Some(Duration::from_millis(100));
    let slow_call_rate = Some(Rate { threshold: 0.8, min_calls: 5 });
    let policy = BreakerPolicy { slow_after, slow_call_rate, ..BreakerPolicy::default() };
    for outcome in [Outcome::Success, Outcome::Cancelled] {
        let breaker = Breaker::new(1, at(0));
        assert_eq!(lasting(&breaker, &policy, outcome, 100), None, "as long as the bound is not slow");
        let opened = (0..10).find_map(|_| lasting(&breaker, &policy, outcome, 101)).expect("a transition");
        assert!(matches!(opened.reason, Reason::SlowCallRate { .. }), "{outcome:?}");
    }
    let breaker = Breaker::new(1, at(0));
    let ends = (0..50).filter_map(|_| lasting(&breaker, &policy, Outcome::Cancelled, 99)).count();
    assert_eq!(ends, 0, "cancelled in time is neutral");
}

#[test]
fn a_slow_probe_opens_again_where_slow_calls_count() {
    let slow_after = Some(Duration::from_millis(100));
    let slow_call_rate = Some(Rate { threshold: 1.0, min_calls: 1 });
    let policy = BreakerPolicy { slow_after, slow_call_rate, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    lasting(&breaker, &policy, Outcome::Success, 101);
    let (probe, _) = Permit::acquire(&breaker, &policy, at(6_000)).expect("a probe");
    let ended = probe.end(&policy, Outcome::Success, at(6_200)).expect("a transition");
    assert_eq!((ended.to, ended.reason), (State::Open, Reason::ProbeSlow));
}

#[test]
fn a_ramp_admits_more_and_more_and_then_all() {
    let policy = BreakerPolicy { ramp: Some(10 * SECOND), ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    for _ in 0..6 {
        call(&breaker, &policy, Outcome::Failure, at(0));
    }
    for _ in 0..3 {
        call(&breaker, &policy, Outcome::Success, at(5_000));
    }
    assert_eq!(breaker.state(), State::Ramp);
    let admitted = |ms: u64| {
        let permits = (0..1_000).filter_map(|_| Permit::acquire(&breaker, &policy, at(5_000 + ms)).ok());
        permits.count()
    };
    let shares = [admitted(0), admitted(2_500), admitted(5_000), admitted(9_900)];
    for (share, expected) in shares.into_iter().zip([100, 250, 500, 990]) {
        assert!(share.abs_diff(expected) < 60, "{shares:?}");
    }
    let (_, ended) = Permit::acquire(&breaker, &policy, at(15_000)).expect("a permit");
    assert_eq!(ended.map(|t| (t.to, t.reason)), Some((State::Closed, Reason::RampPassed)));
    assert_eq!(admitted(10_001), 1_000);
}

#[test]
fn failures_in_a_ramp_open_and_count_as_a_relapse() {
    let open_for = OpenFor { multiplier: 2.0, ..OpenFor::default() };
    let policy = BreakerPolicy { ramp: Some(10 * SECOND), open_for, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    for _ in 0..6 {
        call(&breaker, &policy, Outcome::Failure, at(0));
    }
    for _ in 0..3 {
        call(&breaker, &policy, Outcome::Success, at(5_000));
    }
    let mut permits = (0..1_000).filter_map(|_| Permit::acquire(&breaker, &policy, at(5_001)).ok());
    let opened = permits.find_map(|(permit, _)| permit.end(&policy, Outcome::Failure, at(5_001)));
    assert_eq!(opened.and_then(|t| t.until), Some(at(15_001)));
}

#[test]
fn retry_after_is_believed_within_the_cap() {
    for (asked, until) in [(1, 5), (30, 30), (3_600, 60)] {
        let policy = BreakerPolicy { consecutive_failures: Some(1), ..BreakerPolicy::default() };
        let breaker = Breaker::new(1, at(0));
        call(&breaker, &policy, Outcome::Failure, at(0));
        let (mut permit, _) = Permit::acquire(&breaker, &policy, at(0)).expect("a permit");
        permit.retry_after(asked * SECOND);
        let opened = permit.end(&policy, Outcome::Failure, at(0)).expect("a transition");
        assert_eq!(opened.until, Some(at(until * 1_000)));
    }
}

#[test]
fn probes_that_do_not_decide_in_time_open_again() {
    let half_open = HalfOpen { max: Some(SECOND), ..HalfOpen::default() };
    let policy = BreakerPolicy { half_open, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    for _ in 0..6 {
        call(&breaker, &policy, Outcome::Failure, at(0));
    }
    let (hung, _) = Permit::acquire(&breaker, &policy, at(5_000)).expect("a probe");
    assert!(Permit::acquire(&breaker, &policy, at(5_999)).is_ok());
    let refused = Permit::acquire(&breaker, &policy, at(6_000)).map(|_| ()).expect_err("a refusal");
    assert_eq!(refused.transition.map(|t| t.reason), Some(Reason::ProbesUndecided));
    assert_eq!((refused.state, refused.until), (State::Open, at(11_000)));
    assert_eq!(hung.end(&policy, Outcome::Success, at(6_001)), None);
}

#[test]
fn an_operators_word_holds_for_its_time_whatever_the_calls_say() {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(1, at(0));
    let forced = breaker.force(Force::Closed, at(60_000), at(0));
    assert_eq!(
        (forced.to, forced.reason, forced.until),
        (State::ForcedClosed, Reason::Forced, Some(at(60_000)))
    );
    for round in 0..100 {
        assert_eq!(call(&breaker, &policy, Outcome::Failure, at(round)), None);
    }
    let ended = call(&breaker, &policy, Outcome::Failure, at(60_000)).expect("a transition");
    assert_eq!((ended.to, ended.reason), (State::Closed, Reason::ForceEnded));

    breaker.force(Force::Open, at(120_000), at(60_000));
    let refused = Permit::acquire(&breaker, &policy, at(119_999)).map(|_| ()).expect_err("a refusal");
    assert_eq!((refused.state, refused.until), (State::ForcedOpen, at(120_000)));
    let (probe, turned) = Permit::acquire(&breaker, &policy, at(120_000)).expect("a probe");
    assert!(probe.is_probe());
    assert_eq!(turned.map(|t| (t.to, t.reason)), Some((State::HalfOpen, Reason::ForceEnded)));

    let reset = breaker.reset(at(120_001));
    assert_eq!((reset.to, breaker.counts().consecutive_failures), (State::Closed, 0));
    assert_eq!(probe.end(&policy, Outcome::Failure, at(120_002)), None, "its epoch is over");
}

#[test]
fn a_shadow_permits_everything_and_says_what_it_would_do() {
    let policy = BreakerPolicy { mode: Mode::Shadow, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    let transitions: Vec<_> =
        (0..100).filter_map(|_| call(&breaker, &policy, Outcome::Failure, at(0))).collect();
    assert_eq!(transitions.iter().map(|t| t.to).collect::<Vec<_>>(), [State::Open]);
    assert_eq!((breaker.counts().refused, breaker.state_under(&policy)), (94, State::Shadow));
}

#[test]
fn a_disabled_breaker_neither_counts_nor_refuses() {
    let policy = BreakerPolicy { mode: Mode::Disabled, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1, at(0));
    for _ in 0..100 {
        assert_eq!(call(&breaker, &policy, Outcome::Failure, at(0)), None);
    }
    assert_eq!(breaker.counts(), Counts::default());
    assert_eq!(breaker.state_under(&policy), State::Disabled);
}

#[test]
fn an_operators_word_stands_above_a_policy_that_refuses_nothing() {
    for mode in [Mode::Disabled, Mode::Shadow] {
        let policy = BreakerPolicy { mode, ..BreakerPolicy::default() };
        let breaker = Breaker::new(1, at(0));
        breaker.force(Force::Open, at(1_000), at(0));
        let refused = Permit::acquire(&breaker, &policy, at(999)).unwrap_err();
        assert_eq!((refused.state, refused.until), (State::ForcedOpen, at(1_000)));
        assert_eq!(breaker.state_under(&policy), State::ForcedOpen);
        let (_, turn) = Permit::acquire(&breaker, &policy, at(1_000)).unwrap();
        assert_eq!(turn.unwrap().to, State::HalfOpen);
        for _ in 0..100 {
            assert!(Permit::acquire(&breaker, &policy, at(1_001)).is_ok(), "the policy's word again");
        }
    }
}

#[test]
fn a_breaker_that_an_operator_disables_counts_nothing_until_its_time_is_over() {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(1, at(0));
    breaker.force(Force::Disabled, at(1_000), at(0));
    for _ in 0..100 {
        assert_eq!(call(&breaker, &policy, Outcome::Failure, at(999)), None);
    }
    assert_eq!((breaker.counts(), breaker.state()), (Counts::default(), State::Disabled));
    let (permit, turn) = Permit::acquire(&breaker, &policy, at(1_000)).unwrap();
    let turn = turn.unwrap();
    assert_eq!((turn.from, turn.to, turn.reason), (State::Disabled, State::Closed, Reason::ForceEnded));
    permit.end(&policy, Outcome::Failure, at(1_001));
    assert_eq!(breaker.counts().failures, 1);
}

#[test]
fn a_share_of_the_probes_may_decide() {
    let half_open = HalfOpen { successes: 3, close_at: Some(0.6), ..HalfOpen::default() };
    let policy = BreakerPolicy { half_open, ..BreakerPolicy::default() };
    for (outcomes, to) in [
        ([Outcome::Failure, Outcome::Success, Outcome::Success], State::Closed),
        ([Outcome::Failure, Outcome::Failure, Outcome::Success], State::Open),
    ] {
        let breaker = Breaker::new(1, at(0));
        for _ in 0..6 {
            call(&breaker, &policy, Outcome::Failure, at(0));
        }
        for outcome in outcomes {
            call(&breaker, &policy, outcome, at(5_000));
        }
        assert_eq!(breaker.state(), to);
    }
}

#[test]
fn threads_that_count_into_one_window_lose_nothing() {
    let policy = by_rate(1.0, 1_000_000, Window::Time(10 * SECOND));
    let breaker = Breaker::new(1, at(0));
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let (breaker, policy) = (&breaker, &policy);
            scope.spawn(move || {
                for round in 0..10_000 {
                    let outcome =
                        if (round + thread).is_multiple_of(4) { Outcome::Failure } else { Outcome::Success };
                    call(breaker, policy, outcome, at(round));
                }
            });
        }
    });
    let window = breaker.window(&policy, at(9_999));
    assert_eq!((window.calls, window.failures), (60_000, 15_000));
}

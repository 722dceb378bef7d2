use std::{sync::Arc, time::Duration};

use super::*;

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        half_open: HalfOpen { probes: 2, successes: 2, lease: Duration::from_secs(1), ..HalfOpen::default() },
        ..BreakerPolicy::default()
    }
}

/// One call from beginning to end.
fn call(breaker: &Breaker, outcome: Outcome, now: Mono) -> Option<Box<Transition>> {
    let (permit, begun) = Permit::acquire(breaker, &policy(), now).expect("a permit");
    begun.or(permit.end(&policy(), outcome, now))
}

fn refused(breaker: &Breaker, now: Mono) -> Refused {
    Permit::acquire(breaker, &policy(), now).map(|_| ()).expect_err("a refusal")
}

/// A breaker that opened at 10 ms and refuses until 5,010 ms.
fn opened() -> Breaker {
    let breaker = Breaker::new(1, at(0));
    for _ in 0..6 {
        call(&breaker, Outcome::Failure, at(10));
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn every_state_is_read_back_from_its_name() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    assert!("half-open".parse::<State>().is_err());
}

#[test]
fn the_sixth_failure_in_a_row_opens_and_says_why() {
    let breaker = Breaker::new(1, at(0));
    for _ in 0..5 {
        assert_eq!(call(&breaker, Outcome::Failure, at(10)), None);
    }
    let transition = call(&breaker, Outcome::Failure, at(10)).expect("a transition");
    assert_eq!((transition.from, transition.to), (State::Closed, State::Open));
    assert_eq!(transition.reason, Reason::ConsecutiveFailures { failures: 6, threshold: 5 });
    assert_eq!(transition.counts.consecutive_failures, 6);
    assert_eq!(transition.until, Some(at(5_010)));
}

#[test]
fn a_success_among_the_failures_begins_the_count_anew() {
    let breaker = Breaker::new(1, at(0));
    for round in 0..100 {
        let outcome = if round % 6 == 5 { Outcome::Success } else { Outcome::Failure };
        assert_eq!(call(&breaker, outcome, at(round)), None);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_long_healthy_breaker_trips_as_soon_as_a_young_one() {
    let breaker = Breaker::new(1, at(0));
    for round in 0..100_000 {
        call(&breaker, Outcome::Success, at(round));
    }
    let trips = (0..6).filter_map(|_| call(&breaker, Outcome::Failure, at(100_000))).count();
    assert_eq!((trips, breaker.state()), (1, State::Open));
}

#[test]
fn cancelled_and_ignored_calls_neither_open_nor_heal() {
    let breaker = Breaker::new(1, at(0));
    for outcome in [Outcome::Cancelled, Outcome::Ignored] {
        for _ in 0..20 {
            call(&breaker, outcome, at(1));
        }
        assert_eq!(breaker.counts(), Counts::default());
    }
    for _ in 0..5 {
        call(&breaker, Outcome::Failure, at(2));
    }
    call(&breaker, Outcome::Cancelled, at(2));
    assert!(call(&breaker, Outcome::Failure, at(2)).is_some());
}

#[test]
fn an_open_breaker_refuses_until_its_time_has_passed_and_counts_it() {
    let breaker = opened();
    assert_eq!(
        refused(&breaker, at(5_009)),
        Refused { state: State::Open, until: at(5_010), transition: None }
    );
    assert_eq!(breaker.counts().refused, 1);
    let transition = call(&breaker, Outcome::Success, at(5_010)).expect("a transition");
    assert_eq!((transition.from, transition.to), (State::Open, State::HalfOpen));
}

#[test]
fn half_open_lets_no_more_than_its_probes_pass() {
    let breaker = opened();
    let now = at(5_010);
    let probes: Vec<_> =
        (0..2).map(|_| Permit::acquire(&breaker, &policy(), now).expect("a probe").0).collect();
    assert!(probes.iter().all(Permit::is_probe));
    for _ in 0..1_000 {
        assert_eq!(
            refused(&breaker, now),
            Refused { state: State::HalfOpen, until: at(6_010), transition: None }
        );
    }
    let last = probes.into_iter().filter_map(|probe| probe.end(&policy(), Outcome::Success, now)).last();
    assert_eq!(
        last.map(|t| (t.to, t.reason)),
        Some((State::Closed, Reason::ProbesSucceeded { successes: 2 }))
    );
    assert_eq!(call(&breaker, Outcome::Success, now), None);
}

#[test]
fn one_failed_probe_opens_again() {
    let breaker = opened();
    assert_eq!(call(&breaker, Outcome::Success, at(5_010)).map(|t| t.to), Some(State::HalfOpen));
    let transition = call(&breaker, Outcome::Failure, at(5_020)).expect("a transition");
    assert_eq!((transition.to, transition.reason), (State::Open, Reason::ProbeFailed));
    assert_eq!(transition.until, Some(at(10_020)));
}

#[test]
fn a_dropped_probe_gives_its_slot_back_and_closes_nothing() {
    let breaker = opened();
    for _ in 0..50 {
        drop(Permit::acquire(&breaker, &policy(), at(5_010)).expect("a probe"));
    }
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_hung_probe_loses_its_place_when_its_lease_ends() {
    let breaker = opened();
    let hung: Vec<_> =
        (0..2).map(|_| Permit::acquire(&breaker, &policy(), at(5_010)).expect("a probe").0).collect();
    refused(&breaker, at(6_009));
    for _ in 0..2 {
        call(&breaker, Outcome::Success, at(6_010));
    }
    assert_eq!(breaker.state(), State::Closed);
    for probe in hung {
        assert_eq!(probe.end(&policy(), Outcome::Failure, at(6_020)), None, "its epoch is over");
    }
    assert_eq!((breaker.state(), breaker.counts().consecutive_failures), (State::Closed, 0));
}

#[test]
fn a_probe_that_outlived_its_lease_does_not_close_but_may_open() {
    let breaker = opened();
    let late = || Permit::acquire(&breaker, &policy(), at(5_010)).expect("a probe").0;
    let (first, second) = (late(), late());
    let successors: Vec<_> =
        (0..2).map(|_| Permit::acquire(&breaker, &policy(), at(6_010)).expect("a probe").0).collect();
    first.end(&policy(), Outcome::Success, at(6_020));
    assert_eq!(breaker.snapshot().counts.consecutive_failures, 6, "a late success proves nothing");
    assert_eq!(second.end(&policy(), Outcome::Failure, at(6_030)).map(|t| t.to), Some(State::Open));
    drop(successors);
}

#[test]
fn a_result_from_before_the_outage_moves_nothing_after_it() {
    let breaker = Breaker::new(1, at(0));
    let old: Vec<_> =
        (0..20).map(|_| Permit::acquire(&breaker, &policy(), at(0)).expect("a permit").0).collect();
    for _ in 0..6 {
        call(&breaker, Outcome::Failure, at(10));
    }
    call(&breaker, Outcome::Cancelled, at(5_010));
    assert_eq!(breaker.state(), State::HalfOpen);
    for (index, permit) in old.into_iter().enumerate() {
        let outcome = if index % 2 == 0 { Outcome::Success } else { Outcome::Failure };
        assert_eq!(permit.end(&policy(), outcome, at(5_020)), None);
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!((breaker.counts().successes, breaker.counts().failures), (10, 16), "but they are counted");
}

#[test]
fn cancelled_past_the_slow_threshold_counts_as_slow() {
    let policy = BreakerPolicy { slow_after: Some(Duration::from_millis(100)), ..policy() };
    let breaker = Breaker::new(1, at(0));
    for (ms, slow) in [(100, 0), (101, 1)] {
        let (permit, _) = Permit::acquire(&breaker, &policy, at(0)).expect("a permit");
        permit.end(&policy, Outcome::Cancelled, at(ms));
        assert_eq!(breaker.counts().slow, slow);
    }
}

#[test]
fn each_relapse_stays_open_longer_up_to_the_bound_and_health_takes_it_back() {
    let open_for = OpenFor { multiplier: 2.0, max: Duration::from_secs(15), ..OpenFor::default() };
    let seconds = |relapses| open_for.duration(relapses, 1.0).as_secs();
    assert_eq!((0..5).map(seconds).collect::<Vec<_>>(), [5, 10, 15, 15, 15]);
    let jittered = OpenFor { jitter: 0.5, ..open_for };
    assert_eq!(jittered.duration(0, 0.0), Duration::from_secs(5));
    assert_eq!(jittered.duration(u32::MAX, 1.0), Duration::from_millis(22_500));

    let policy = BreakerPolicy { open_for, ..policy() };
    let breaker = Breaker::new(1, at(0));
    let trip = |now: Mono| {
        let ends: Vec<_> = (0..6)
            .filter_map(|_| Permit::acquire(&breaker, &policy, now).ok())
            .filter_map(|(permit, _)| permit.end(&policy, Outcome::Failure, now))
            .collect();
        ends.last().and_then(|t| t.until).expect("it opened").since(now).as_secs()
    };
    assert_eq!(trip(at(0)), 5);
    assert_eq!(trip(at(5_000)), 10, "the probe failed");
    let recovered = at(15_000);
    for _ in 0..2 {
        let (permit, _) = Permit::acquire(&breaker, &policy, recovered).expect("a probe");
        permit.end(&policy, Outcome::Success, recovered);
    }
    assert_eq!(trip(recovered + Duration::from_secs(5)), 10, "five seconds of health forgave one of two");
}

#[test]
fn a_changed_policy_keeps_the_state() {
    let breaker = opened();
    let other = BreakerPolicy { consecutive_failures: Some(100), ..policy() };
    assert!(Permit::acquire(&breaker, &other, at(20)).is_err());
}

#[test]
fn contending_threads_lose_no_count_open_once_and_keep_the_bound_of_probes() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 20_000;
    let breaker = Arc::new(Breaker::new(7, at(0)));
    let policy = policy();
    let work = |thread: u64| {
        let mut transitions = 0;
        for call in 0..CALLS {
            let now = at(call);
            match Permit::acquire(breaker.clone(), &policy, now) {
                Ok((permit, begun)) => {
                    let failure = (call / 500).is_multiple_of(2) || (call + thread).is_multiple_of(97);
                    let outcome = if failure { Outcome::Failure } else { Outcome::Success };
                    transitions += u64::from(begun.is_some());
                    transitions += u64::from(permit.end(&policy, outcome, now).is_some());
                }
                Err(refused) => assert!(matches!(refused.state, State::Open | State::HalfOpen)),
            }
        }
        transitions
    };
    let transitions: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread's count")).sum()
    });
    let counts = breaker.counts();
    assert_eq!(counts.successes + counts.failures + counts.refused, THREADS * CALLS);
    assert_eq!(u64::from(breaker.snapshot().epoch), transitions, "each transition was told exactly once");
    assert!(transitions > 2);
}

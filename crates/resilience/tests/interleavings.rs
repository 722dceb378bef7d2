//! Every order in which two threads can take their steps, by loom. It is a test of its own build:
//! `RUSTFLAGS="--cfg interleavings" cargo test --release -p resilience --test interleavings`, which is a
//! step of the project's suite.
#![cfg(interleavings)]

use std::time::Duration;

use identity::Mono;
use loom::{sync::Arc, thread};
use resilience::{
    Breaker, BreakerPolicy, BudgetPolicy, Ejections, HalfOpen, Outcome, OutlierPolicy, Permit, Rate,
    RateLimit, RatePolicy, RetryBudget, State, Transition, Window,
};

const SECOND: u64 = 1_000_000_000;

/// Opens with the first failure, for a second.
fn policy() -> BreakerPolicy {
    let half_open = HalfOpen { probes: 1, successes: 1, ..HalfOpen::default() };
    let mut policy = BreakerPolicy { consecutive_failures: Some(0), half_open, ..BreakerPolicy::default() };
    (policy.open_for.base, policy.open_for.max) = (Duration::from_secs(1), Duration::from_secs(1));
    policy.open_for.jitter = 0.0;
    policy
}

/// A breaker that one failure has opened at the first nanosecond.
fn opened(policy: &BreakerPolicy) -> Breaker {
    let breaker = Breaker::new(1, Mono(0));
    let (permit, _) = Permit::acquire(&breaker, policy, Mono(1)).expect("it is closed");
    permit.end(policy, Outcome::Failure, Mono(1)).expect("it opens");
    breaker
}

/// Does both at the same time, in every order.
fn both<T: Send + 'static>(
    world: impl Fn() -> T + Sync + Send + 'static,
    one: impl Fn(&T) -> Option<Transition> + Clone + Sync + Send + 'static,
    other: impl Fn(&T) -> Option<Transition> + Clone + Sync + Send + 'static,
    then: impl Fn(&T, Vec<Transition>) + Sync + Send + 'static,
) where
    T: Sync,
{
    loom::model(move || {
        let world = Arc::new(world());
        let beside = {
            let (world, other) = (world.clone(), other.clone());
            thread::spawn(move || other(&world))
        };
        let here = one(&world);
        let beside = beside.join().expect("it ends");
        then(&world, here.into_iter().chain(beside).collect());
    });
}

/// A call from its permit to its end; the first transition that it caused.
fn call(breaker: &Breaker, policy: &BreakerPolicy, outcome: Outcome, at: u64) -> Option<Transition> {
    let (permit, begun) = Permit::acquire(breaker, policy, Mono(at)).ok()?;
    let ended = permit.end(policy, outcome, Mono(at));
    begun.or(ended).map(|transition| *transition)
}

#[test]
fn two_failures_at_once_open_once() {
    let fail = |breaker: &Breaker| call(breaker, &policy(), Outcome::Failure, 1);
    both(
        || Breaker::new(1, Mono(0)),
        fail,
        fail,
        |breaker, transitions| {
            assert_eq!(transitions.len(), 1, "{transitions:?}");
            let snapshot = breaker.snapshot();
            assert_eq!((snapshot.state, snapshot.epoch), (State::Open, 1));
        },
    );
}

#[test]
fn a_success_at_the_same_time_takes_no_count_away_that_it_did_not_see() {
    let two = || BreakerPolicy { consecutive_failures: Some(1), ..policy() };
    let fail_twice = move |breaker: &Breaker| {
        let first = call(breaker, &two(), Outcome::Failure, 1);
        first.or(call(breaker, &two(), Outcome::Failure, 1))
    };
    let succeed = move |breaker: &Breaker| call(breaker, &two(), Outcome::Success, 1);
    both(
        || Breaker::new(1, Mono(0)),
        fail_twice,
        succeed,
        |breaker, transitions| {
            let snapshot = breaker.snapshot();
            // A success between the two failures begins their count anew; before or after, it does not.
            let open = snapshot.state == State::Open;
            assert_eq!(transitions.len(), usize::from(open));
            assert!(open || snapshot.counts.consecutive_failures <= 1, "{snapshot:?}");
            assert_eq!(snapshot.counts.failures, 2);
        },
    );
}

#[test]
fn one_of_two_gets_the_only_probe() {
    let probe = |breaker: &Breaker| {
        let (permit, begun) = Permit::acquire(breaker, &policy(), Mono(2 * SECOND)).ok()?;
        assert!(permit.is_probe());
        // It is still under way when everybody has asked.
        std::mem::forget(permit);
        begun.map(|transition| *transition)
    };
    both(
        || opened(&policy()),
        probe,
        probe,
        |breaker, transitions| {
            assert_eq!(transitions.len(), 1, "one of them begins the half-open state");
            assert_eq!(breaker.counts().refused, 1, "and the other is refused");
            assert!(!breaker.admits(&policy(), Mono(2 * SECOND)));
        },
    );
}

#[test]
fn what_began_before_an_opening_moves_nothing_after_it() {
    // A call of the closed state ends well while a probe of the half-open one fails.
    let policy = policy();
    loom::model(move || {
        let breaker = Arc::new(Breaker::new(1, Mono(0)));
        let (old, _) = Permit::acquire(breaker.clone(), &policy, Mono(1)).expect("it is closed");
        call(&breaker, &policy, Outcome::Failure, 1).expect("it opens");
        let beside = {
            let policy = policy.clone();
            thread::spawn(move || old.end(&policy, Outcome::Success, Mono(2 * SECOND)))
        };
        let (probe, begun) = Permit::acquire(&*breaker, &policy, Mono(2 * SECOND)).expect("a probe");
        assert!(begun.is_some());
        let ended = probe.end(&policy, Outcome::Failure, Mono(2 * SECOND)).expect("it opens again");
        assert_eq!((ended.to, ended.epoch), (State::Open, 3));
        assert_eq!(beside.join().expect("it ends"), None);
        assert_eq!(breaker.state(), State::Open);
    });
}

#[test]
fn a_probe_of_an_older_epoch_keeps_no_place_of_a_later_one() {
    let mut policy = policy();
    policy.half_open.probes = 2;
    // All orders with up to three changes of thread that no wait forces; without a bound it takes a minute.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let breaker = Arc::new(opened(&policy));
        let (probe, _) = Permit::acquire(breaker.clone(), &policy, Mono(2 * SECOND)).expect("a probe");
        let beside = {
            let (breaker, policy) = (breaker.clone(), policy.clone());
            thread::spawn(move || call(&breaker, &policy, Outcome::Ignored, 2 * SECOND))
        };
        // The probes fail, and a second later there are others.
        probe.end(&policy, Outcome::Failure, Mono(2 * SECOND)).expect("it opens again");
        let first = Permit::acquire(&*breaker, &policy, Mono(4 * SECOND)).expect("the first of two probes");
        beside.join().expect("it ends");
        assert!(Permit::acquire(&*breaker, &policy, Mono(4 * SECOND)).is_ok(), "and the second");
        assert!(first.0.is_probe());
    });
}

#[test]
fn an_operators_word_and_a_failure_make_one_story() {
    let fail = |breaker: &Breaker| call(breaker, &policy(), Outcome::Failure, 1);
    let reset = |breaker: &Breaker| Some(breaker.reset(Mono(1)));
    both(
        || Breaker::new(1, Mono(0)),
        fail,
        reset,
        |breaker, mut transitions| {
            // Each transition has an epoch of its own, and the last one's state is what is seen.
            transitions.sort_by_key(|transition| transition.epoch);
            let epochs: Vec<u32> = transitions.iter().map(|transition| transition.epoch).collect();
            assert_eq!(epochs, (1..=transitions.len() as u32).collect::<Vec<_>>());
            assert_eq!(breaker.state(), transitions.last().expect("the reset").to);
            assert!(transitions.windows(2).all(|two| two[0].to == two[1].from));
        },
    );
}

#[test]
fn a_window_counts_both_calls_also_where_both_begin_a_stretch_anew() {
    let rate = || BreakerPolicy {
        failure_rate: Some(Rate { threshold: 1.0, min_calls: 100 }),
        window: Window::Time(Duration::from_secs(10)),
        ..BreakerPolicy::default()
    };
    let late = 30 * SECOND;
    let succeed = move |breaker: &Breaker| call(breaker, &rate(), Outcome::Success, late);
    let world = move || {
        let breaker = Breaker::new(1, Mono(0));
        // The same bucket, three windows ago.
        call(&breaker, &rate(), Outcome::Success, 0);
        breaker
    };
    both(world, succeed, succeed, move |breaker, _| {
        assert_eq!(breaker.window(&rate(), Mono(late)).calls, 2);
        assert_eq!(breaker.counts().successes, 3);
    });
}

#[test]
fn one_of_two_calls_is_within_a_rate_of_one() {
    let rate = RatePolicy { calls: 1, per: Duration::from_secs(1), burst: 1 };
    loom::model(move || {
        let limit = Arc::new(RateLimit::default());
        let beside = {
            let limit = limit.clone();
            thread::spawn(move || limit.take(&rate, Mono(SECOND)).is_ok())
        };
        let here = limit.take(&rate, Mono(SECOND)).is_ok();
        assert!(here ^ beside.join().expect("it ends"), "one, not both and not none");
    });
}

#[test]
fn two_retries_do_not_both_take_the_last_of_a_budget() {
    /// One retry in ten seconds for ten calls; none without.
    const BUDGET: BudgetPolicy = BudgetPolicy { ratio: 0.1, min_per_second: 0 };
    // In one second, and where a second ends between them.
    for seconds in [[5, 5], [5, 6]] {
        loom::model(move || {
            let budget = Arc::new(RetryBudget::new());
            (0..10).for_each(|_| budget.call(Mono(5 * SECOND)));
            let beside = {
                let budget = budget.clone();
                thread::spawn(move || budget.retry(&BUDGET, Mono(seconds[0] * SECOND)))
            };
            let here = budget.retry(&BUDGET, Mono(seconds[1] * SECOND));
            // Both may be refused, since each counts itself before it looks.
            assert!(!(here && beside.join().expect("it ends")), "{seconds:?}");
        });
    }
}

#[test]
fn two_endpoints_do_not_both_take_the_last_place_of_the_ejected() {
    loom::model(|| {
        let policy = OutlierPolicy { max_ejection: 0.5, keep: 1, ..OutlierPolicy::default() };
        let places = Arc::new(Ejections::new());
        let beside = {
            let (places, policy) = (places.clone(), policy.clone());
            thread::spawn(move || places.eject(&policy, 2))
        };
        let here = places.eject(&policy, 2);
        assert!(here ^ beside.join().expect("it ends"));
        assert_eq!(places.count(), 1);
        places.readmit();
        assert_eq!(places.count(), 0);
    });
}

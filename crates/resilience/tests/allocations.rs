//! A call takes no memory for its permits and limits.

use std::time::Duration;

use allocation_counter::measure;
use identity::Mono;
use resilience::{
    Breaker, BreakerPolicy, BudgetPolicy, KeyedRateLimit, Outcome, Permit, Rate, RateLimit, RatePolicy,
    RetryBudget, State, Window,
};

/// How often memory was asked for by calls number 1 to 100, of which each tenth fails.
fn allocations(mut call: impl FnMut(Mono, Outcome)) -> u64 {
    // What is made with the first call, and what a failure needs at first, is not a call's.
    call(Mono(1), Outcome::Success);
    let outcome = |n| if n % 10 == 0 { Outcome::Failure } else { Outcome::Success };
    measure(|| (1..=100).for_each(|n| call(Mono(n * 1_000_000), outcome(n)))).count_total
}

#[test]
fn a_permit_and_its_outcome_allocate_nothing() {
    let rates = |window| BreakerPolicy {
        failure_rate: Some(Rate { threshold: 0.5, min_calls: 20 }),
        slow_call_rate: Some(Rate { threshold: 0.5, min_calls: 20 }),
        slow_after: Some(Duration::from_secs(1)),
        window,
        ..BreakerPolicy::default()
    };
    let policies =
        [BreakerPolicy::default(), rates(Window::Time(Duration::from_secs(10))), rates(Window::Calls(100))];
    for policy in policies {
        let breaker = Breaker::new(1, Mono(1));
        let taken = allocations(|now, outcome| {
            let (permit, transition) = Permit::acquire(&breaker, &policy, now).expect("it stays closed");
            assert_eq!((transition, permit.end(&policy, outcome, now)), (None, None));
        });
        assert_eq!(taken, 0, "{policy:?}");
    }
}

#[test]
fn a_refusal_allocates_nothing() {
    let (breaker, policy) = (Breaker::new(1, Mono(1)), BreakerPolicy::default());
    for _ in 0..6 {
        let (permit, _) = Permit::acquire(&breaker, &policy, Mono(1)).expect("it is still closed");
        permit.end(&policy, Outcome::Failure, Mono(2));
    }
    assert_eq!(breaker.state(), State::Open);
    let taken = allocations(|now, _| {
        let refused = Permit::acquire(&breaker, &policy, now).expect_err("it is open");
        assert_eq!(refused.state, State::Open);
    });
    assert_eq!(taken, 0);
}

#[test]
fn limits_and_budgets_allocate_nothing_for_a_call() {
    let rate = RatePolicy { calls: 1_000, per: Duration::from_secs(1), burst: 100 };
    let (limit, keyed) = (RateLimit::default(), KeyedRateLimit::new(1_000));
    let (budget, ratio) = (RetryBudget::new(), BudgetPolicy { ratio: 0.2, min_per_second: 3 });
    let taken = allocations(|now, outcome| {
        assert_eq!((limit.take(&rate, now), keyed.take(&rate, b"alice", now)), (Ok(()), Ok(())));
        budget.call(now);
        assert!(outcome == Outcome::Success || budget.retry(&ratio, now));
    });
    assert_eq!(taken, 0);
}

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn only_faults_before_anything_was_processed_are_tried_again() {
    let policy = RetryPolicy::default();
    for (fault, decision) in [
        (Fault::Connect, RetryDecision::Again),
        (Fault::ConnectTimeout, RetryDecision::Again),
        (Fault::RefusedStream, RetryDecision::Again),
        (Fault::Reset, RetryDecision::NotRetryable),
        (Fault::AttemptTimeout, RetryDecision::NotRetryable),
        (Fault::Malformed, RetryDecision::NotRetryable),
        (Fault::Forbidden, RetryDecision::NotRetryable),
    ] {
        let budget = RetryBudget::new();
        assert_eq!(
            RetryDecision::after(&policy, &budget, Ending::Failed(fault), 1, at(0)),
            decision,
            "{fault}"
        );
        assert!(decision != RetryDecision::Again || fault.nothing_was_processed());
    }
    let budget = RetryBudget::new();
    assert_eq!(
        RetryDecision::after(&policy, &budget, Ending::Failed(Fault::Connect), 2, at(0)),
        RetryDecision::Exhausted,
        "one retry beside the first attempt"
    );
}

#[test]
fn an_attempt_is_repeated_after_what_the_policy_names_and_nothing_else() {
    let endings = [
        Ending::Failed(Fault::Connect),
        Ending::Failed(Fault::RefusedStream),
        Ending::Failed(Fault::Reset),
        Ending::Failed(Fault::AttemptTimeout),
        Ending::Answered(500),
        Ending::Answered(503),
        Ending::Answered(429),
        Ending::Answered(200),
        Ending::Cancelled,
    ];
    for (word, covered) in [
        ("connect_failure", vec![0]),
        ("refused_stream", vec![1]),
        ("reset", vec![2]),
        ("attempt_timeout", vec![3]),
        ("5xx", vec![4, 5]),
        ("503", vec![5]),
        ("429", vec![6]),
    ] {
        let on: RetryOn = word.parse().unwrap();
        assert_eq!(on.to_string(), word);
        let found: Vec<_> = (0..endings.len()).filter(|at| on.covers(endings[*at])).collect();
        assert_eq!(found, covered, "{word}");
    }
    for word in ["", "200", "600", "4xx", "Reset", "0503x"] {
        word.parse::<RetryOn>().expect_err(word);
    }
}

#[test]
fn a_quiet_service_may_retry_its_floor_and_a_busy_one_its_ratio() {
    let policy = RetryPolicy::default();
    let budget = RetryBudget::new();
    let granted = |now: Mono| {
        let again = |_: &u32| {
            RetryDecision::after(&policy, &budget, Ending::Failed(Fault::Connect), 1, now)
                == RetryDecision::Again
        };
        (0..10_000).filter(again).count()
    };
    assert_eq!(granted(at(0)), 30, "three a second over ten seconds");
    assert_eq!(granted(at(9_999)), 0);
    assert_eq!(granted(at(10_000)), 30, "the window has moved on");
    for call in 0..2_000 {
        budget.call(at(30_000 + call));
    }
    assert_eq!(granted(at(32_000)), 430);
}

#[test]
fn a_backoff_doubles_up_to_its_bound() {
    let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };
    let bounds: Vec<_> = (0..6).map(|retry| backoff.delay(retry, 1.0).as_millis()).collect();
    assert_eq!(bounds, [100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(1));
    assert_eq!(backoff.delay(3, 0.0), Duration::ZERO);
}

proptest! {
    #[test]
    fn retries_of_ten_seconds_stay_within_ratio_and_floor(
        steps in prop::collection::vec((0_u64..3_000, 0_u64..60, 0_u64..60), 1..60),
    ) {
        let policy = BudgetPolicy { ratio: 0.2, min_per_second: 1 };
        let budget = RetryBudget::new();
        let (mut calls, mut retries) = (Vec::new(), Vec::new());
        let mut now = 0;
        for (wait, new_calls, tries) in steps {
            now += wait;
            let within = |times: &[u64]| times.iter().filter(|then| **then / 1_000 + 10 > now / 1_000).count();
            for _ in 0..new_calls {
                budget.call(at(now));
                calls.push(now);
            }
            for _ in 0..tries {
                let allowed = within(&retries) < 10 + within(&calls) / 5;
                prop_assert_eq!(budget.retry(&policy, at(now)), allowed);
                if allowed {
                    retries.push(now);
                }
            }
        }
    }
}

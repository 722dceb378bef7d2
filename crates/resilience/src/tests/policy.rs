use std::time::Duration;

use super::*;

#[test]
fn without_any_document_the_built_in_policy_holds_and_is_valid() {
    let policy = CallPolicy::default();
    assert_eq!(CallPolicy::new((*policy).clone()), Ok(policy.clone()));
    assert_eq!(policy.timeouts.connect, Duration::from_secs(1));
    assert_eq!(policy.timeouts.call, Duration::from_secs(15));
    assert_eq!(policy.retry.max_retries, 1);
    let breaker = policy.circuit_breaker.as_ref().expect("the breaker is on");
    assert_eq!((breaker.consecutive_failures, breaker.open_for.base), (Some(5), Duration::from_secs(5)));
}

#[test]
fn a_broken_rule_is_named_by_its_field() {
    let check = |change: fn(&mut Parts), field: &str| {
        let mut parts = (*CallPolicy::default()).clone();
        change(&mut parts);
        assert_eq!(CallPolicy::new(parts).expect_err(field).what(), field);
    };
    fn breaker(parts: &mut Parts) -> &mut BreakerPolicy {
        parts.circuit_breaker.get_or_insert_default()
    }
    check(|p| p.timeouts.connect = Duration::ZERO, "timeouts.connect");
    check(|p| p.timeouts.attempt = Some(Duration::MAX), "timeouts.attempt");
    check(|p| p.retry.max_retries = 11, "retry.max_retries");
    check(|p| p.retry.budget.ratio = f64::NAN, "retry.budget.ratio");
    check(|p| breaker(p).consecutive_failures = Some(0), "circuit_breaker.consecutive_failures.threshold");
    fn rate(threshold: f64, min_calls: u32) -> Option<Rate> {
        Some(Rate { threshold, min_calls })
    }
    check(|p| breaker(p).failure_rate = rate(0.0, 1), "circuit_breaker.failure_rate.threshold");
    check(|p| breaker(p).failure_rate = rate(0.5, 0), "circuit_breaker.failure_rate.min_calls");
    check(|p| breaker(p).slow_call_rate = rate(0.5, 1), "circuit_breaker.slow_call_rate");
    check(|p| breaker(p).window = Window::Calls(1025), "circuit_breaker.window");
    check(|p| breaker(p).window = Window::Time(Duration::ZERO), "circuit_breaker.window");
    check(|p| breaker(p).ramp = Some(Duration::MAX), "circuit_breaker.ramp");
    check(|p| breaker(p).half_open.close_at = Some(1.1), "circuit_breaker.half_open.close_at");
    check(|p| breaker(p).half_open.max = Some(Duration::ZERO), "circuit_breaker.half_open.max");
    check(|p| breaker(p).open_for.multiplier = 0.5, "circuit_breaker.open_for.multiplier");
    check(|p| breaker(p).half_open.probes = 17, "circuit_breaker.half_open.probes");
    check(|p| breaker(p).half_open.lease = Duration::ZERO, "circuit_breaker.half_open.lease");
}

#[test]
fn only_what_the_service_did_counts_against_it() {
    for (ending, outcome) in [
        (Ending::Answered(200), Outcome::Success),
        (Ending::Answered(404), Outcome::Success),
        (Ending::Answered(429), Outcome::Ignored),
        (Ending::Answered(500), Outcome::Failure),
        (Ending::Answered(501), Outcome::Success),
        (Ending::Answered(503), Outcome::Failure),
        (Ending::Failed(Fault::Connect), Outcome::Failure),
        (Ending::Failed(Fault::CallTimeout), Outcome::Failure),
        (Ending::Cancelled, Outcome::Cancelled),
        (Ending::CallerFault, Outcome::Ignored),
    ] {
        assert_eq!(classify(ending), outcome, "{ending:?}");
    }
}

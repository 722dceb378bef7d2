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
    let outliers = policy.outlier_detection.as_ref().expect("outlier detection is on");
    assert_eq!(outliers.rules.consecutive_failures, Some(5));
    assert_eq!(policy.load_balancing, LoadBalancing { algorithm: Algorithm::P2c, ..Default::default() });
    assert!(policy.rate_limits.is_empty() && policy.concurrency.is_none() && policy.fallback.is_none());
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
    check(|p| p.retry.on = vec![RetryOn::Status(200)], "retry.on");
    check(|p| p.retry.on = vec![RetryOn::Reset; 33], "retry.on");
    check(|p| p.retry.backoff.max = Duration::from_millis(1), "retry.backoff.max");
    fn outlier(parts: &mut Parts) -> &mut OutlierPolicy {
        parts.outlier_detection.get_or_insert_default()
    }
    check(|p| outlier(p).max_ejection = 1.1, "outlier_detection.max_ejection");
    check(
        |p| outlier(p).rules.consecutive_failures = Some(0),
        "outlier_detection.consecutive_failures.threshold",
    );
    check(|p| outlier(p).rules.half_open.probes = 0, "outlier_detection.half_open.probes");
    check(|p| p.load_balancing.algorithm = Algorithm::Ring, "load_balancing.algorithm");
    check(|p| p.load_balancing.hash_key = Some(HashKey::Path), "load_balancing.algorithm");
    check(|p| p.load_balancing.bounded = Some(1.25), "load_balancing.bounded");
    fn ring(key: HashKey, bounded: f64) -> LoadBalancing {
        LoadBalancing { algorithm: Algorithm::Ring, hash_key: Some(key), bounded: Some(bounded) }
    }
    check(|p| p.load_balancing = ring(HashKey::Source, 0.9), "load_balancing.bounded");
    check(|p| p.load_balancing = ring(HashKey::Header("X-User".into()), 1.25), "header");
    check(|p| p.load_balancing = ring(HashKey::Cookie("a=b".into()), 1.25), "cookie");
    check(|p| p.load_balancing = ring(HashKey::Query("".into()), 1.25), "query");
    fn limit(calls: u32, by: Option<LimitKey>) -> RateLimitPolicy {
        RateLimitPolicy { rate: RatePolicy { calls, per: Duration::from_secs(1), burst: 1 }, by }
    }
    check(|p| p.rate_limits = vec![limit(0, None)], "rate_limits.calls");
    check(|p| p.rate_limits = vec![limit(1, None); 9], "rate_limits");
    let by_nothing = |p: &mut Parts| {
        p.rate_limits = vec![limit(1, Some(LimitKey::Request(HashKey::Header("".into()))))];
    };
    check(by_nothing, "header");
    fn inside(limit: u32) -> Option<ConcurrencyPolicy> {
        Some(ConcurrencyPolicy { limit, queue: 0, wait: Duration::from_secs(1) })
    }
    check(|p| p.concurrency = inside(0), "concurrency.limit");
    fn fallback(status: u16, body: &str) -> Option<Fallback> {
        Some(Fallback { status, body: body.into(), ..Fallback::default() })
    }
    check(|p| p.fallback = fallback(199, ""), "fallback.status");
    check(|p| p.fallback = fallback(204, "x"), "fallback.body");
    check(|p| p.fallback = fallback(200, &"x".repeat(FALLBACK_BODY_MAX + 1)), "fallback.body");
    let split = |p: &mut Parts| {
        p.fallback = Some(Fallback { content_type: "a\r\nb".into(), ..Fallback::default() });
    };
    check(split, "fallback.content_type");
    check(|p| p.tracing.share = 1.5, "tracing.share");
}

#[test]
fn calls_with_the_same_key_and_a_bound_are_a_policy() {
    let mut parts = (*CallPolicy::default()).clone();
    parts.load_balancing = LoadBalancing {
        algorithm: Algorithm::Maglev,
        hash_key: Some(HashKey::Header("x-user-id".into())),
        bounded: Some(1.25),
    };
    parts.fallback = Some(Fallback { status: 200, body: "[]".into(), ..Fallback::default() });
    CallPolicy::new(parts).unwrap();
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

//! A policy as the spec of a document that means just it: every value is written, also the built-in ones.

use std::time::Duration;

use identity::duration;
use resilience::{
    BreakerPolicy, CallPolicy, Deviation, HashKey, LimitKey, Mode, OutlierPolicy, Rate, RateLimitPolicy,
    Window,
};
use serde_json::{Map, Value as Json, json};

/// The policy section by section. Read again over any other, it is the same policy.
pub fn write(policy: &CallPolicy) -> Map<String, Json> {
    let timeouts = &policy.timeouts;
    let retry = &policy.retry;
    let sections = [
        (
            "timeouts",
            json!({
                "connect": time(timeouts.connect),
                "attempt": timeouts.attempt.map(time),
                "call": time(timeouts.call),
                "idle": time(timeouts.idle),
            }),
        ),
        (
            "retry",
            json!({
                "max_retries": retry.max_retries,
                "on": retry.on.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "non_idempotent": retry.non_idempotent,
                "backoff": { "base": time(retry.backoff.base), "max": time(retry.backoff.max) },
                "budget": { "ratio": retry.budget.ratio, "min_per_second": retry.budget.min_per_second },
            }),
        ),
        ("circuit_breaker", policy.circuit_breaker.as_ref().map(breaker).into()),
        ("outlier_detection", policy.outlier_detection.as_ref().map(outliers).into()),
        ("load_balancing", load_balancing(policy)),
        ("rate_limits", policy.rate_limits.iter().map(rate_limit).collect()),
        (
            "concurrency",
            policy
                .concurrency
                .map(|of| json!({ "limit": of.limit, "queue": of.queue, "wait": time(of.wait) }))
                .into(),
        ),
        (
            "fallback",
            policy
                .fallback
                .as_ref()
                .map(|of| json!({ "status": of.status, "content_type": of.content_type, "body": &*of.body }))
                .into(),
        ),
        ("tracing", json!({ "share": policy.tracing.share })),
    ];
    sections.into_iter().map(|(name, section)| (name.to_owned(), section)).collect()
}

fn time(duration: Duration) -> String {
    duration::format(duration)
}

fn breaker(breaker: &BreakerPolicy) -> Json {
    let window = match breaker.window {
        Window::Time(length) => json!(time(length)),
        Window::Calls(calls) => json!({ "calls": calls }),
    };
    let rate =
        |rate: Rate| json!({ "threshold": rate.threshold, "window": window, "min_calls": rate.min_calls });
    let slow = breaker.slow_call_rate.zip(breaker.slow_after).map(|(slow, after)| {
        let mut section = rate(slow);
        section["slow_after"] = time(after).into();
        section
    });
    let mode = match breaker.mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
        Mode::Disabled => "disabled",
    };
    let (open_for, half_open) = (&breaker.open_for, &breaker.half_open);
    let mut half = json!({
        "probes": half_open.probes,
        "successes": half_open.successes,
        "lease": time(half_open.lease),
    });
    // These two have no word for nothing but to be absent.
    if let Some(share) = half_open.close_at {
        half["close_at"] = share.into();
    }
    if let Some(max) = half_open.max {
        half["max"] = time(max).into();
    }
    json!({
        "mode": mode,
        "consecutive_failures": breaker.consecutive_failures.map(|threshold| json!({ "threshold": threshold })),
        "failure_rate": breaker.failure_rate.map(rate),
        "slow_call_rate": slow,
        "open_for": {
            "base": time(open_for.base),
            "multiplier": open_for.multiplier,
            "max": time(open_for.max),
            "jitter": open_for.jitter,
        },
        "half_open": half,
        "ramp": breaker.ramp.map(time),
    })
}

fn outliers(outliers: &OutlierPolicy) -> Json {
    let mut section = breaker(&outliers.rules);
    section["max_ejection"] = outliers.max_ejection.into();
    section["keep"] = outliers.keep.into();
    section["panic_below"] = outliers.panic_below.into();
    let deviation = outliers.deviation.map(|Deviation { factor, min_calls, min_endpoints }| {
        json!({ "factor": factor, "min_calls": min_calls, "min_endpoints": min_endpoints })
    });
    section["deviation"] = deviation.into();
    section
}

fn load_balancing(policy: &CallPolicy) -> Json {
    let balancing = &policy.load_balancing;
    let mut section = json!({ "algorithm": balancing.algorithm.as_str() });
    if let Some(of) = &balancing.hash_key {
        section["hash_key"] = key(of);
    }
    if let Some(bounded) = balancing.bounded {
        section["bounded"] = bounded.into();
    }
    section
}

fn key(key: &HashKey) -> Json {
    match key {
        HashKey::Header(name) => json!({ "header": name }),
        HashKey::Cookie(name) => json!({ "cookie": name }),
        HashKey::Query(name) => json!({ "query": name }),
        HashKey::Path => json!("path"),
        HashKey::Source => json!("source"),
    }
}

fn rate_limit(limit: &RateLimitPolicy) -> Json {
    let rate = &limit.rate;
    let mut section = json!({ "calls": rate.calls, "per": time(rate.per), "burst": rate.burst });
    match &limit.by {
        Some(LimitKey::Caller) => section["by"] = "caller".into(),
        Some(LimitKey::Request(of)) => section["by"] = key(of),
        None => {}
    }
    section
}

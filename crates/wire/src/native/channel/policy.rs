//! Policies, to and from `bellwether.v1`.
//!
//! Nothing is left to a default here: what is absent in a message is off, so that proxies and servers of
//! different versions, whose defaults may differ, mean the same by one message.

use std::time::Duration;

use resilience::{
    Algorithm, Backoff, BreakerPolicy, BudgetPolicy, CallPolicy, ConcurrencyPolicy, Deviation, Fallback,
    HalfOpen, HashKey, LimitKey, LoadBalancing, Mode, OpenFor, OutlierPolicy, Parts, Rate, RateLimitPolicy,
    RatePolicy, RetryPolicy, Timeouts, Tracing, Window,
};

use super::{Malformed, PolicyUpdate, down::nanos, proto};

pub(super) fn policy_update_to_proto(update: &PolicyUpdate) -> proto::PolicyUpdate {
    proto::PolicyUpdate {
        namespace: update.namespace.to_string(),
        service: update.service.as_ref().map(ToString::to_string).unwrap_or_default(),
        policy_revision: update.policy_revision,
        policy: update.policy.as_ref().map(policy_to_proto),
    }
}

pub(super) fn policy_update_from_proto(update: proto::PolicyUpdate) -> Result<PolicyUpdate, Malformed> {
    let service = (!update.service.is_empty()).then(|| update.service.parse()).transpose();
    Ok(PolicyUpdate {
        namespace: update.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: service.map_err(|e| Malformed::new("service", e))?,
        policy_revision: update.policy_revision,
        policy: update.policy.map(policy_from_proto).transpose()?,
    })
}

fn policy_to_proto(policy: &CallPolicy) -> proto::Policy {
    let Timeouts { connect, attempt, call, idle } = policy.timeouts;
    proto::Policy {
        timeouts: Some(proto::Timeouts {
            connect_ns: nanos(connect),
            attempt_ns: attempt.map(nanos),
            call_ns: nanos(call),
            idle_ns: nanos(idle),
        }),
        retry: Some(retry_to_proto(&policy.retry)),
        circuit_breaker: policy.circuit_breaker.as_ref().map(breaker_to_proto),
        outlier_detection: policy.outlier_detection.as_ref().map(outliers_to_proto),
        load_balancing: Some(proto::LoadBalancing {
            algorithm: policy.load_balancing.algorithm.as_str().to_owned(),
            hash_key: policy.load_balancing.hash_key.as_ref().map(key_to_proto),
            bounded: policy.load_balancing.bounded,
        }),
        rate_limits: policy.rate_limits.iter().map(rate_limit_to_proto).collect(),
        concurrency: policy.concurrency.map(|ConcurrencyPolicy { limit, queue, wait }| {
            proto::ConcurrencyLimit { limit, queue, wait_ns: nanos(wait) }
        }),
        fallback: policy.fallback.as_ref().map(|Fallback { status, content_type, body }| proto::Fallback {
            status: (*status).into(),
            content_type: content_type.to_string(),
            body: body.to_string(),
        }),
        tracing: Some(proto::Tracing { share: policy.tracing.share }),
    }
}

fn policy_from_proto(policy: proto::Policy) -> Result<CallPolicy, Malformed> {
    let timeouts = needed("timeouts", policy.timeouts)?;
    let limits = policy.rate_limits.into_iter().map(rate_limit_from_proto);
    let parts = Parts {
        timeouts: Timeouts {
            connect: Duration::from_nanos(timeouts.connect_ns),
            attempt: timeouts.attempt_ns.map(Duration::from_nanos),
            call: Duration::from_nanos(timeouts.call_ns),
            idle: Duration::from_nanos(timeouts.idle_ns),
        },
        retry: retry_from_proto(needed("retry", policy.retry)?)?,
        circuit_breaker: policy.circuit_breaker.map(breaker_from_proto).transpose()?,
        outlier_detection: policy.outlier_detection.map(outliers_from_proto).transpose()?,
        load_balancing: balancing_from_proto(needed("load_balancing", policy.load_balancing)?)?,
        rate_limits: limits.collect::<Result<_, _>>()?,
        concurrency: policy.concurrency.map(|proto::ConcurrencyLimit { limit, queue, wait_ns }| {
            ConcurrencyPolicy { limit, queue, wait: Duration::from_nanos(wait_ns) }
        }),
        fallback: policy.fallback.map(fallback_from_proto).transpose()?,
        tracing: policy.tracing.map_or_else(Tracing::default, |proto::Tracing { share }| Tracing { share }),
    };
    CallPolicy::new(parts).map_err(|error| Malformed::new("policy", error))
}

fn retry_to_proto(retry: &RetryPolicy) -> proto::RetryPolicy {
    proto::RetryPolicy {
        max_retries: retry.max_retries,
        on: retry.on.iter().map(ToString::to_string).collect(),
        non_idempotent: retry.non_idempotent,
        backoff_base_ns: nanos(retry.backoff.base),
        backoff_max_ns: nanos(retry.backoff.max),
        budget_ratio: retry.budget.ratio,
        budget_min_per_second: retry.budget.min_per_second,
    }
}

fn retry_from_proto(retry: proto::RetryPolicy) -> Result<RetryPolicy, Malformed> {
    let on = retry.on.iter().map(|on| on.parse().map_err(|e| Malformed::new("retry.on", e)));
    Ok(RetryPolicy {
        max_retries: retry.max_retries,
        on: on.collect::<Result<_, _>>()?,
        non_idempotent: retry.non_idempotent,
        backoff: Backoff {
            base: Duration::from_nanos(retry.backoff_base_ns),
            max: Duration::from_nanos(retry.backoff_max_ns),
        },
        budget: BudgetPolicy { ratio: retry.budget_ratio, min_per_second: retry.budget_min_per_second },
    })
}

const MODES: [(&str, Mode); 3] =
    [("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("disabled", Mode::Disabled)];

fn breaker_to_proto(breaker: &BreakerPolicy) -> proto::BreakerPolicy {
    let rate =
        |rate: Option<Rate>| rate.map(|Rate { threshold, min_calls }| proto::Rate { threshold, min_calls });
    let HalfOpen { probes, successes, close_at, lease, max } = breaker.half_open;
    let OpenFor { base, multiplier, max: longest, jitter } = breaker.open_for;
    let mode = MODES.iter().find(|(_, mode)| *mode == breaker.mode).map(|(word, _)| *word);
    proto::BreakerPolicy {
        mode: mode.unwrap_or_default().to_owned(),
        consecutive_failures: breaker.consecutive_failures,
        failure_rate: rate(breaker.failure_rate),
        slow_call_rate: rate(breaker.slow_call_rate),
        slow_after_ns: breaker.slow_after.map(nanos),
        window: Some(match breaker.window {
            Window::Time(length) => proto::breaker_policy::Window::WindowNs(nanos(length)),
            Window::Calls(calls) => proto::breaker_policy::Window::WindowCalls(calls),
        }),
        open_for: Some(proto::OpenFor { base_ns: nanos(base), multiplier, max_ns: nanos(longest), jitter }),
        half_open: Some(proto::HalfOpen {
            probes,
            successes,
            close_at,
            lease_ns: nanos(lease),
            max_ns: max.map(nanos),
        }),
        ramp_ns: breaker.ramp.map(nanos),
    }
}

fn breaker_from_proto(breaker: proto::BreakerPolicy) -> Result<BreakerPolicy, Malformed> {
    let rate = |rate: Option<proto::Rate>| {
        rate.map(|proto::Rate { threshold, min_calls }| Rate { threshold, min_calls })
    };
    let mode = MODES.iter().find(|(word, _)| *word == breaker.mode).map(|(_, mode)| *mode);
    let open_for = needed("open_for", breaker.open_for)?;
    let half_open = needed("half_open", breaker.half_open)?;
    Ok(BreakerPolicy {
        mode: mode.ok_or_else(|| Malformed::new("mode", "enforce, shadow or disabled"))?,
        consecutive_failures: breaker.consecutive_failures,
        failure_rate: rate(breaker.failure_rate),
        slow_call_rate: rate(breaker.slow_call_rate),
        slow_after: breaker.slow_after_ns.map(Duration::from_nanos),
        window: match needed("window", breaker.window)? {
            proto::breaker_policy::Window::WindowNs(length) => Window::Time(Duration::from_nanos(length)),
            proto::breaker_policy::Window::WindowCalls(calls) => Window::Calls(calls),
        },
        open_for: OpenFor {
            base: Duration::from_nanos(open_for.base_ns),
            multiplier: open_for.multiplier,
            max: Duration::from_nanos(open_for.max_ns),
            jitter: open_for.jitter,
        },
        half_open: HalfOpen {
            probes: half_open.probes,
            successes: half_open.successes,
            close_at: half_open.close_at,
            lease: Duration::from_nanos(half_open.lease_ns),
            max: half_open.max_ns.map(Duration::from_nanos),
        },
        ramp: breaker.ramp_ns.map(Duration::from_nanos),
    })
}

fn outliers_to_proto(outliers: &OutlierPolicy) -> proto::OutlierPolicy {
    proto::OutlierPolicy {
        rules: Some(breaker_to_proto(&outliers.rules)),
        max_ejection: outliers.max_ejection,
        keep: outliers.keep,
        panic_below: outliers.panic_below,
        deviation: outliers.deviation.map(|Deviation { factor, min_calls, min_endpoints }| {
            proto::Deviation { factor, min_calls, min_endpoints }
        }),
    }
}

fn outliers_from_proto(outliers: proto::OutlierPolicy) -> Result<OutlierPolicy, Malformed> {
    Ok(OutlierPolicy {
        rules: breaker_from_proto(needed("rules", outliers.rules)?)?,
        max_ejection: outliers.max_ejection,
        keep: outliers.keep,
        panic_below: outliers.panic_below,
        deviation: outliers.deviation.map(|proto::Deviation { factor, min_calls, min_endpoints }| {
            Deviation { factor, min_calls, min_endpoints }
        }),
    })
}

fn balancing_from_proto(balancing: proto::LoadBalancing) -> Result<LoadBalancing, Malformed> {
    let algorithm = Algorithm::ALL.into_iter().find(|of| of.as_str() == balancing.algorithm);
    Ok(LoadBalancing {
        algorithm: algorithm.ok_or_else(|| Malformed::new("algorithm", "not one that this version knows"))?,
        hash_key: balancing.hash_key.map(key_from_proto).transpose()?,
        bounded: balancing.bounded,
    })
}

fn key_to_proto(key: &HashKey) -> proto::HashKey {
    use proto::hash_key::Key;
    let key = match key {
        HashKey::Header(name) => Key::Header(name.to_string()),
        HashKey::Cookie(name) => Key::Cookie(name.to_string()),
        HashKey::Query(name) => Key::Query(name.to_string()),
        HashKey::Path => Key::Path(true),
        HashKey::Source => Key::Source(true),
    };
    proto::HashKey { key: Some(key) }
}

fn key_from_proto(key: proto::HashKey) -> Result<HashKey, Malformed> {
    use proto::hash_key::Key;
    Ok(match needed("hash_key", key.key)? {
        Key::Header(name) => HashKey::Header(name.into()),
        Key::Cookie(name) => HashKey::Cookie(name.into()),
        Key::Query(name) => HashKey::Query(name.into()),
        Key::Path(_) => HashKey::Path,
        Key::Source(_) => HashKey::Source,
    })
}

fn rate_limit_to_proto(limit: &RateLimitPolicy) -> proto::RateLimit {
    let by = |by: &LimitKey| match by {
        LimitKey::Caller => proto::rate_limit::By::Caller(true),
        LimitKey::Request(key) => proto::rate_limit::By::Request(key_to_proto(key)),
    };
    proto::RateLimit {
        calls: limit.rate.calls,
        per_ns: nanos(limit.rate.per),
        burst: limit.rate.burst,
        by: limit.by.as_ref().map(by),
    }
}

fn rate_limit_from_proto(limit: proto::RateLimit) -> Result<RateLimitPolicy, Malformed> {
    let by = match limit.by {
        Some(proto::rate_limit::By::Caller(_)) => Some(LimitKey::Caller),
        Some(proto::rate_limit::By::Request(key)) => Some(LimitKey::Request(key_from_proto(key)?)),
        None => None,
    };
    let per = Duration::from_nanos(limit.per_ns);
    Ok(RateLimitPolicy { rate: RatePolicy { calls: limit.calls, per, burst: limit.burst }, by })
}

fn fallback_from_proto(fallback: proto::Fallback) -> Result<Fallback, Malformed> {
    Ok(Fallback {
        status: u16::try_from(fallback.status).map_err(|e| Malformed::new("fallback.status", e))?,
        content_type: fallback.content_type.into(),
        body: fallback.body.into(),
    })
}

fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, "it is missing"))
}

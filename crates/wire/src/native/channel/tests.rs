//! Each test's name is the claim.

use std::sync::Arc;

use identity::{SpanId, Wall};
use monitoring::{Outcome, Reporter, StatusClass};
use prost::Message;
use resilience::{
    Algorithm, Backoff, BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, Deviation, Fallback, HalfOpen,
    HashKey, LimitKey, LoadBalancing, Mode, OpenFor, OutlierPolicy, Parts, Rate, RateLimitPolicy, RatePolicy,
    RetryOn, RetryPolicy, Timeouts, Tracing, Window,
};
use traces::{Attributes, Kind, Resource, Status as SpanStatus, Value};

use super::*;

fn span(resource: &Arc<Resource>) -> Span {
    let (trace, id) = (TraceId::new(7).unwrap(), SpanId::new(9).unwrap());
    let mut span = Span::new(trace, id, "GET /", Wall(1_000), resource.clone());
    span.parent_span_id = SpanId::new(3);
    span.kind = Kind::Client;
    span.duration_ns = 55;
    span.status = SpanStatus::error("refused");
    span.trace_state = "a=b".into();
    span.attributes.push("text", "x");
    span.attributes.push("number", -3_i64);
    span.attributes.push("half", 0.5);
    span.attributes.push("truth", true);
    let mut map = Attributes::new();
    map.push("nothing", Value::Empty);
    span.attributes.push("list", Value::Array(vec![Value::Bytes([0_u8, 255].into()), Value::Map(map)]));
    span.events.push(traces::Event {
        at: Wall(1_010),
        name: "retry".into(),
        attributes: Attributes::new(),
        dropped_attributes: 1,
    });
    span
}

fn report() -> Report {
    let mut durations = ExponentialHistogram::new();
    for nanos in [0, 1_000, 2_000_000, 3_600_000_000_000] {
        durations.record_nanos(nanos);
    }
    let mut attributes = Attributes::new();
    attributes.push("service.name", "gateway");
    let resource = Arc::new(Resource::new(attributes));
    let (namespace, service, caller) = (
        Namespace::default(),
        "cart".parse::<ServiceName>().unwrap(),
        "gateway".parse::<ServiceName>().unwrap(),
    );
    let counts = Counts { failures: 6, consecutive_failures: 6, ..Counts::default() };
    Report {
        proxy: "gateway-1".parse().unwrap(),
        epoch: u64::MAX,
        sequence: 3,
        at: Wall(2_000),
        revision: 12,
        spans_intake: Intake { received: 5, sampled_out: 2, dropped: vec![("spool_full".into(), 1)] },
        spans: vec![span(&resource), span(&resource)],
        calls_intake: Intake { received: 1, ..Intake::default() },
        calls: vec![(
            CallKey {
                namespace: namespace.clone(),
                caller: caller.clone(),
                service: service.clone(),
                instance: Some("cart-1".parse().unwrap()),
                route: RouteName::default(),
                reporter: Reporter::Source,
                outcome: Outcome::Error,
                status: StatusClass::ServerError,
            },
            durations,
        )],
        breakers: vec![BreakerRow {
            namespace: namespace.clone(),
            service: service.clone(),
            caller: caller.clone(),
            route: RouteName::default(),
            state: State::Open,
            since: Wall(1_500),
            reason: "6 failures in a row".into(),
            counts,
        }],
        transitions: vec![Transition {
            namespace: namespace.clone(),
            service: service.clone(),
            instance: Some("cart-1".parse().unwrap()),
            caller,
            route: RouteName::default(),
            from: State::Closed,
            to: State::Open,
            at: Wall(1_500),
            reason: "6 failures in a row".into(),
            counts,
            exemplar_trace_ids: vec![TraceId::new(7).unwrap()],
            policy_revision: 0,
        }],
        endpoints: vec![EndpointRow {
            namespace,
            service,
            instance: "cart-1".parse().unwrap(),
            in_flight: 2,
            state: State::HalfOpen,
            ejected: "6 failures in a row".into(),
            counts,
        }],
        refused: vec![("malformed".into(), 3), ("no_route".into(), 1)],
        settled_revision: 6,
        leaving: true,
        services: vec![ServiceCounts {
            namespace: Namespace::default(),
            service: "cart".parse().unwrap(),
            retries: 7,
            retries_over_budget: 2,
            refused: vec![("rate_limited".into(), 4)],
            transitions: vec![("open".into(), 1)],
            ejections: 3,
        }],
        connections: Connections { clients: 10, upgraded: 1, endpoints: 4 },
    }
}

#[test]
fn a_report_means_the_same_over_grpc_as_in_process() {
    let report = report();
    let bytes = report_to_proto(&report).encode_to_vec();
    let message = proto::ReportRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(message.resources.len(), 1, "a shared resource is sent once");
    let back = report_from_proto(message).unwrap();
    assert_eq!(back, report);
    assert!(Arc::ptr_eq(&back.spans[0].resource, &back.spans[1].resource));
}

#[test]
fn an_update_means_the_same_over_grpc_as_in_process() {
    let endpoint = Endpoint {
        instance: "cart-1".parse().unwrap(),
        host: Host::parse("::1").unwrap(),
        port: 80,
        status: Status::Draining,
        weight: 100,
        zone: None,
        version: Some("1.2".into()),
        warm_up: None,
    };
    let (elapsed, over) = (Duration::from_millis(1), Duration::from_secs(30));
    let warming = Endpoint {
        instance: "cart-2".parse().unwrap(),
        status: Status::Starting,
        warm_up: Some(WarmUp { elapsed, over }),
        ..endpoint.clone()
    };
    let service = ServiceUpdate {
        namespace: Namespace::default(),
        service: "cart".parse().unwrap(),
        endpoints: vec![endpoint, warming],
    };
    let policies = vec![
        PolicyUpdate {
            namespace: Namespace::default(),
            service: Some("cart".parse().unwrap()),
            policy_revision: 3,
            policy: Some(policy()),
        },
        PolicyUpdate {
            namespace: Namespace::default(),
            service: None,
            policy_revision: 2,
            policy: Some(CallPolicy::default()),
        },
        PolicyUpdate { namespace: "other".parse().unwrap(), service: None, policy_revision: 0, policy: None },
    ];
    let forced = |force| Override {
        namespace: Namespace::default(),
        service: "cart".parse().unwrap(),
        number: 7,
        force,
        left: Duration::from_secs(300),
        note: "maria: the new version".into(),
    };
    let overrides = [Some(Force::Open), Some(Force::Closed), Some(Force::Disabled), None].map(forced).into();
    let tap = Tap {
        number: 5,
        namespace: Namespace::default(),
        service: "cart".parse().unwrap(),
        status: Some(StatusFilter::Class(5)),
        per_second: 100,
    };
    let taps = Some(vec![tap.clone(), Tap { status: None, ..tap }]);
    let update = Update { revision: 4, snapshot: true, services: vec![service], policies, overrides, taps };
    let mut bad = update_to_proto(&update);
    bad.overrides[0].state = "half_open".into();
    assert_eq!(update_from_proto(bad).unwrap_err().field, "state");
    assert_eq!(update_from_proto(update_to_proto(&update)), Ok(update.clone()));
    for (elapsed_ns, over_ns) in [(0, 0), (2, 1)] {
        let mut bad = update_to_proto(&update);
        bad.services[0].endpoints[1].warm_up = Some(proto::WarmUp { elapsed_ns, over_ns });
        assert_eq!(update_from_proto(bad).unwrap_err().field, "warm_up");
    }
    type Break = fn(&mut proto::Policy);
    let cases: [(&str, Break); 9] = [
        ("timeouts", |p| p.timeouts = None),
        ("policy", |p| p.timeouts.as_mut().unwrap().call_ns = 0),
        ("retry.on", |p| p.retry.as_mut().unwrap().on.push("sometimes".into())),
        ("mode", |p| p.circuit_breaker.as_mut().unwrap().mode.clear()),
        ("window", |p| p.circuit_breaker.as_mut().unwrap().window = None),
        ("rules", |p| p.outlier_detection.as_mut().unwrap().rules = None),
        ("algorithm", |p| p.load_balancing.as_mut().unwrap().algorithm = "best".into()),
        ("hash_key", |p| p.load_balancing.as_mut().unwrap().hash_key.as_mut().unwrap().key = None),
        ("fallback.status", |p| p.fallback.as_mut().unwrap().status = 1 << 16),
    ];
    for (field, break_it) in cases {
        let mut bad = update_to_proto(&update);
        break_it(bad.policies[0].policy.as_mut().unwrap());
        assert_eq!(update_from_proto(bad).unwrap_err().field, field);
    }
    let hello = Hello { proxy: "g".parse().unwrap(), epoch: 5, version: "0.1".into(), since: Some(0) };
    assert_eq!(hello_from_proto(hello_to_proto(&hello)), Ok(hello));
}

/// A policy in which nothing is as it is by default.
fn policy() -> CallPolicy {
    let rate = |threshold| Some(Rate { threshold, min_calls: 20 });
    let seconds = Duration::from_secs;
    let breaker = BreakerPolicy {
        mode: Mode::Shadow,
        consecutive_failures: None,
        failure_rate: rate(0.5),
        slow_call_rate: rate(0.75),
        slow_after: Some(seconds(1)),
        window: Window::Calls(100),
        open_for: OpenFor { base: seconds(2), multiplier: 2.0, max: seconds(50), jitter: 0.1 },
        half_open: HalfOpen {
            probes: 2,
            successes: 4,
            close_at: Some(0.8),
            lease: seconds(3),
            max: Some(seconds(9)),
        },
        ramp: Some(seconds(30)),
    };
    let key = HashKey::Header("x-user-id".into());
    let limit = |by| RateLimitPolicy { rate: RatePolicy { calls: 10, per: seconds(1), burst: 5 }, by };
    let parts = Parts {
        timeouts: Timeouts {
            connect: seconds(2),
            attempt: Some(seconds(3)),
            call: seconds(4),
            idle: seconds(5),
        },
        retry: RetryPolicy {
            max_retries: 3,
            on: vec![RetryOn::ServerError, RetryOn::Status(429)],
            non_idempotent: true,
            backoff: Backoff { base: seconds(1), max: seconds(2) },
            budget: BudgetPolicy { ratio: 0.1, min_per_second: 1 },
        },
        outlier_detection: Some(OutlierPolicy {
            rules: BreakerPolicy { window: Window::Time(seconds(7)), ..breaker.clone() },
            max_ejection: 0.25,
            keep: 2,
            panic_below: 0.4,
            deviation: Some(Deviation { factor: 1.9, min_calls: 50, min_endpoints: 5 }),
        }),
        circuit_breaker: Some(breaker),
        load_balancing: LoadBalancing {
            algorithm: Algorithm::Ring,
            hash_key: Some(key.clone()),
            bounded: Some(1.25),
        },
        rate_limits: [
            None,
            Some(LimitKey::Caller),
            Some(LimitKey::Request(key)),
            Some(LimitKey::Request(HashKey::Cookie("session".into()))),
            Some(LimitKey::Request(HashKey::Query("user".into()))),
            Some(LimitKey::Request(HashKey::Path)),
            Some(LimitKey::Request(HashKey::Source)),
        ]
        .map(limit)
        .into(),
        concurrency: Some(ConcurrencyPolicy { limit: 100, queue: 10, wait: seconds(1) }),
        fallback: Some(Fallback { status: 200, content_type: "text/plain".into(), body: "soon".into() }),
        tracing: Tracing { share: 0.25 },
    };
    CallPolicy::new(parts).unwrap()
}

#[test]
fn what_is_malformed_is_refused_whole_and_names_the_field() {
    type Break = fn(&mut proto::ReportRequest);
    let cases: [(&str, Break); 11] = [
        ("proxy", |r| r.proxy = "a b".into()),
        ("resource", |r| r.spans[1].resource = 1),
        ("trace_id", |r| r.spans[0].trace_id.truncate(8)),
        ("span_id", |r| r.spans[0].span_id = 0),
        ("kind", |r| r.spans[0].kind = 9),
        ("outcome", |r| r.calls[0].outcome = "fine".into()),
        ("durations", |r| r.calls[0].durations.as_mut().unwrap().counts.push(1)),
        ("state", |r| r.breakers[0].state = "ajar".into()),
        ("dropped", |r| r.spans_intake.as_mut().unwrap().dropped = [("<img>".into(), 1)].into()),
        ("refused", |r| r.refused = [("<img>".into(), 1)].into()),
        ("attributes", |r| {
            let mut value = proto::Value::default();
            for _ in 0..9 {
                value = proto::Value {
                    value: Some(proto::value::Value::Array(proto::Values { values: vec![value] })),
                };
            }
            r.spans[0].attributes[0].value = Some(value);
        }),
    ];
    for (field, break_it) in cases {
        let mut message = report_to_proto(&report());
        break_it(&mut message);
        assert_eq!(report_from_proto(message).unwrap_err().field, field);
    }
}

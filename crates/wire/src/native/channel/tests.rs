//! Each test's name is the claim.

use std::sync::Arc;

use identity::{SpanId, Wall};
use monitoring::{Outcome, Reporter, StatusClass};
use prost::Message;
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
            ejected: String::new(),
        }],
        refused: vec![("malformed".into(), 3), ("no_route".into(), 1)],
        settled_revision: 6,
        leaving: true,
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
    let update = Update { revision: 4, snapshot: true, services: vec![service] };
    assert_eq!(update_from_proto(update_to_proto(&update)), Ok(update.clone()));
    for (elapsed_ns, over_ns) in [(0, 0), (2, 1)] {
        let mut bad = update_to_proto(&update);
        bad.services[0].endpoints[1].warm_up = Some(proto::WarmUp { elapsed_ns, over_ns });
        assert_eq!(update_from_proto(bad).unwrap_err().field, "warm_up");
    }
    let hello = Hello { proxy: "g".parse().unwrap(), epoch: 5, version: "0.1".into(), since: Some(0) };
    assert_eq!(hello_from_proto(hello_to_proto(&hello)), Ok(hello));
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

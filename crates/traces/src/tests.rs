//! Spans of a small shop, put together and taken apart.

mod assemble;
mod borrowed;
mod compare;
mod context;
mod critical_path;
mod graph;
mod propagation;
mod query;
mod sampling;
mod spelling;
mod tail;

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};

use crate::{Attributes, Kind, Resource, Span, Status, Value};

fn resource(service: &str) -> Arc<Resource> {
    let mut attributes = Attributes::new();
    attributes.push("service.name", service);
    Arc::new(Resource::new(attributes))
}

/// A span of trace 1: its id, its parent's (0 for none), its service, when it began and how long it took.
fn span(id: u64, parent: u64, service: &str, start: u64, duration_ns: u64) -> Span {
    let trace_id = TraceId::new(1).unwrap();
    let mut span =
        Span::new(trace_id, SpanId::new(id).unwrap(), format!("op-{id}"), Wall(start), resource(service));
    span.parent_span_id = SpanId::new(parent);
    span.duration_ns = duration_ns;
    span
}

#[test]
fn a_failure_shows_by_status_and_by_the_older_error_tag() {
    let fine = span(1, 0, "shop", 0, 1);
    assert!(!fine.is_error());

    let failed = Span { status: Status::error("no stock"), ..fine.clone() };
    assert!(failed.is_error());

    for (value, expected) in [
        (Value::Bool(true), true),
        (Value::Bool(false), false),
        (Value::from("true"), true),
        (Value::from("false"), false),
    ] {
        let mut tagged = fine.clone();
        tagged.attributes.push("error", value);
        assert_eq!(tagged.is_error(), expected);
    }
}

#[test]
fn a_resource_without_names_has_the_default_ones() {
    let nobody = Resource::default();
    assert_eq!(
        (nobody.service(), nobody.namespace(), nobody.instance()),
        ("unknown_service", "default", None)
    );

    let mut attributes = Attributes::new();
    attributes.push("service.namespace", "");
    assert_eq!(Resource::new(attributes).namespace(), "default", "an empty name is no name");
}

#[test]
fn values_keep_their_types_in_text() {
    assert_eq!(Value::Int(643).to_string(), "643");
    assert_eq!(Value::Double(643.0).to_string(), "643.0");
    let nested = Value::Array(vec![Value::Bool(true), Value::Bytes([0, 255].into())]);
    assert_eq!(nested.to_string(), "[true, 00ff]");
}

#[test]
fn kinds_and_ends_are_what_they_say() {
    assert_eq!(Kind::ALL.map(Kind::as_str), ["internal", "server", "client", "producer", "consumer"]);
    assert_eq!(span(1, 0, "shop", 5, 7).end(), Wall(12));
    assert_eq!(span(1, 0, "shop", 5, u64::MAX).end(), Wall(u64::MAX), "no overflow");
}

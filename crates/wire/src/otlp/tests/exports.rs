//! What was exported is read as it was.

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};
use traces::{Attributes, Dropped, Event, Kind, Link, Resource, Scope, Span, Status, StatusCode, Value};

use super::*;

/// A value of each type, nested.
fn attributes() -> Attributes {
    let mut inner = Attributes::new();
    inner.push("bytes", Value::Bytes(b"\x00\xff~".as_slice().into()));
    inner.push("one", Value::Bytes(b"a".as_slice().into()));
    inner.push("two", Value::Bytes(b"ab".as_slice().into()));
    let mut all = Attributes::new();
    all.push("text", "a \"quoted\" line\n");
    all.push("truth", Value::Bool(true));
    all.push("small", Value::Int(i64::MIN));
    all.push("whole", Value::Double(643.0));
    all.push("endless", Value::Double(f64::NEG_INFINITY));
    all.push("list", Value::Array(vec![Value::Int(1), Value::Empty, Value::Map(inner)]));
    all
}

fn full() -> Span {
    let mut of_resource = Attributes::new();
    of_resource.push("service.name", "cart");
    let mut of_scope = Attributes::new();
    of_scope.push("short_name", "lib");
    let (trace, id) = (TraceId::new(0xabc).unwrap(), SpanId::new(1).unwrap());
    Span {
        parent_span_id: SpanId::new(2),
        flags: 0x101,
        trace_state: "vendor=1".into(),
        kind: Kind::Consumer,
        duration_ns: 7,
        status: Status { code: StatusCode::Error, message: "refused".into() },
        scope: Arc::new(Scope { attributes: of_scope, ..Scope::new("library", "1.2") }),
        attributes: attributes(),
        events: vec![Event {
            at: Wall(1_700_000_000_000_000_001),
            name: "cache miss".into(),
            attributes: attributes(),
            dropped_attributes: 1,
        }],
        links: vec![Link {
            trace_id: trace,
            span_id: id,
            flags: 1,
            trace_state: "a=b".into(),
            attributes: attributes(),
            dropped_attributes: 2,
        }],
        dropped: Dropped { attributes: 3, events: 4, links: 5 },
        ..Span::new(trace, id, "GET /", Wall(1_700_000_000_000_000_000), Arc::new(Resource::new(of_resource)))
    }
}

#[test]
fn what_was_exported_is_read_as_it_was() {
    let mut other = full();
    (other.scope, other.kind) = (Arc::default(), Kind::Internal);
    let plain = Span::new(full().trace_id, full().span_id, "a", Wall(1), Arc::default());
    let spans = [full(), full(), other, plain].map(Arc::new);
    let line = to_json(&spans);
    assert!(!line.contains('\n'), "a line is a request");
    let request = from_json(line.as_bytes()).unwrap();
    let decoded = decode(&request, &Limits::default()).unwrap();
    assert_eq!((decoded.refused.total(), decoded.cut), (0, 0));
    let read: Vec<Arc<Span>> = owned(&decoded.batch).into_iter().map(Arc::new).collect();
    assert_eq!(read, spans);
}

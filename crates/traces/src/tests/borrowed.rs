//! Borrowed spans say what owned ones do.

use super::*;
use crate::borrowed::{Owned, SpanRef, SpanSink, borrow};
use crate::{Dropped, Event, Link};

#[test]
fn a_span_comes_back_from_its_borrowed_form() {
    let mut whole = span(2, 1, "shop", 5, 7);
    whole.status = Status::error("declined");
    whole.trace_state = "a=b".into();
    whole.kind = Kind::Client;
    whole.dropped = Dropped { attributes: 1, events: 2, links: 3 };
    let nested =
        Value::Map([("deep".into(), Value::Array(vec![1.into(), Value::Empty]))].into_iter().collect());
    for value in [nested, Value::Bytes([1, 2].into()), 643.0.into(), 643.into(), true.into(), "643".into()] {
        whole.attributes.push("key", value);
    }
    whole.events.push(Event {
        at: Wall(6),
        name: "exception".into(),
        attributes: whole.attributes.clone(),
        dropped_attributes: 4,
    });
    whole.links.push(Link {
        trace_id: whole.trace_id,
        span_id: whole.span_id,
        flags: 1,
        trace_state: "c=d".into(),
        attributes: whole.attributes.clone(),
        dropped_attributes: 5,
    });
    let mut sink = Owned::default();
    sink.resource(&borrow(&whole.resource.attributes));
    sink.scope(&whole.scope.name, &whole.scope.version, &[]);
    sink.span(&SpanRef::from(&whole));
    assert_eq!(sink.spans, [whole]);
}

#[test]
fn a_new_resource_ends_the_scope_before() {
    let bare = span(1, 0, "unknown_service", 5, 7);
    let mut sink = Owned::default();
    sink.scope("library", "1", &[]);
    sink.resource(&[]);
    sink.span(&SpanRef::from(&bare));
    assert_eq!(*sink.spans[0].scope, crate::Scope::default());
}

#[test]
fn failures_and_called_services_show_without_a_copy() {
    let mut call = span(1, 0, "gateway", 0, 1);
    assert!(!SpanRef::from(&call).is_error() && SpanRef::from(&call).called().is_none());
    call.attributes.push("bellwether.service", "payments");
    call.attributes.push("error", "true");
    let borrowed = SpanRef::from(&call);
    assert_eq!((borrowed.is_error(), borrowed.called()), (call.is_error(), call.called()));
    assert_eq!(borrowed.called(), Some(("default", "payments")));
}

//! The decoder against messages that OpenTelemetry's own definitions generated.

use identity::{SpanId, TraceId, Wall};
use opentelemetry_proto::tonic::{
    common::v1::{ArrayValue, KeyValueList, any_value::Value as Any},
    trace::v1::{Status, span},
};
use proptest::{collection::vec, prelude::*};
use traces::{Attributes, Dropped, Kind, StatusCode};

use super::*;

fn content() -> impl Strategy<Value = Option<Any>> {
    let leaf = prop_oneof![
        ".{0,9}".prop_map(Any::StringValue),
        any::<bool>().prop_map(Any::BoolValue),
        any::<i64>().prop_map(Any::IntValue),
        // JSON knows no infinity, and no value equals NaN.
        (-1e300..1e300).prop_map(Any::DoubleValue),
        Just(Any::DoubleValue(643.0)),
        vec(any::<u8>(), 0..9).prop_map(Any::BytesValue),
    ];
    let nested = leaf.prop_recursive(3, 12, 3, |inner| {
        let value = |inner| AnyValue { value: Some(inner) };
        let array = vec(inner.clone().prop_map(value), 0..3);
        let map = vec(("[a-c]{0,2}", inner), 0..3);
        prop_oneof![
            array.prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            map.prop_map(|values| {
                let values = values.into_iter().map(|(key, value)| attribute(&key, value)).collect();
                Any::KvlistValue(KeyValueList { values })
            }),
        ]
    });
    proptest::option::weighted(0.9, nested)
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key_value = ("[a-f]{0,2}", content()).prop_map(|(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value }),
        ..Default::default()
    });
    vec(key_value, 0..5)
}

fn events() -> impl Strategy<Value = Vec<span::Event>> {
    let event = (any::<u64>(), "[a-c]{0,2}", attributes(), any::<u32>());
    let event = event.prop_map(|(time_unix_nano, name, attributes, dropped_attributes_count)| span::Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count,
    });
    vec(event, 0..3)
}

fn links() -> impl Strategy<Value = Vec<span::Link>> {
    let link = (1_u128.., 1_u64.., "[a-c]{0,2}", attributes(), any::<u32>(), any::<u32>());
    let link =
        link.prop_map(|(trace, span, trace_state, attributes, dropped_attributes_count, flags)| span::Link {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: span.to_be_bytes().to_vec(),
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        });
    vec(link, 0..3)
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let ids = (1_u128.., 1_u64.., proptest::option::of(any::<u64>()), any::<u32>(), 0..6_i32, 0..3_i32);
    let times = (1_u64..1 << 62, 0_u64..1 << 62);
    let texts = (".{0,9}", ".{0,9}", "[a-c]{0,3}");
    let dropped = any::<[u32; 3]>();
    let one = (ids, times, texts, attributes(), events(), links(), dropped);
    let one = one.prop_map(|(ids, (start, duration), texts, attributes, events, links, dropped)| Span {
        trace_id: ids.0.to_be_bytes().to_vec(),
        span_id: ids.1.to_be_bytes().to_vec(),
        parent_span_id: ids.2.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: ids.3,
        kind: ids.4,
        name: texts.0,
        trace_state: texts.2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration,
        attributes,
        events,
        links,
        status: Some(Status { message: texts.1, code: ids.5 }),
        dropped_attributes_count: dropped[0],
        dropped_events_count: dropped[1],
        dropped_links_count: dropped[2],
    });
    vec(one, 0..4)
}

fn requests() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = ("[a-c]{0,2}", "[0-9]{0,2}", attributes(), spans());
    let scope = scope.prop_map(|(name, version, attributes, spans)| ScopeSpans {
        scope: Some(InstrumentationScope { name, version, attributes, ..Default::default() }),
        spans,
        ..Default::default()
    });
    let resource = (attributes(), vec(scope, 0..3)).prop_map(|(attributes, scope_spans)| ResourceSpans {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_spans,
        ..Default::default()
    });
    vec(resource, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// The same translation, told as plainly as it can be.
fn expected(request: &ExportTraceServiceRequest) -> Vec<traces::Span> {
    let mut all = Vec::new();
    for of in &request.resource_spans {
        let resource = of.resource.as_ref().map(|resource| list(&resource.attributes)).unwrap_or_default();
        for scoped in &of.scope_spans {
            let scope = scoped.scope.clone().unwrap_or_default();
            for span in &scoped.spans {
                let attributes = list(&scope.attributes);
                let scope = traces::Scope {
                    attributes,
                    ..traces::Scope::new(scope.name.as_str(), scope.version.as_str())
                };
                let mut owned = translated(span, traces::Resource::new(resource.clone()));
                owned.scope = scope.into();
                all.push(owned);
            }
        }
    }
    all
}

fn translated(span: &Span, resource: traces::Resource) -> traces::Span {
    let status = span.status.clone().unwrap_or_default();
    traces::Span {
        trace_id: TraceId::from_bytes(&span.trace_id).unwrap(),
        span_id: SpanId::from_bytes(&span.span_id).unwrap(),
        parent_span_id: SpanId::from_bytes(&span.parent_span_id),
        flags: span.flags,
        trace_state: span.trace_state.as_str().into(),
        name: span.name.as_str().into(),
        kind: Kind::ALL[usize::try_from(span.kind).unwrap().saturating_sub(1)],
        start: Wall(span.start_time_unix_nano),
        duration_ns: span.end_time_unix_nano - span.start_time_unix_nano,
        status: traces::Status {
            code: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error]
                [usize::try_from(status.code).unwrap()],
            message: status.message.into(),
        },
        resource: resource.into(),
        scope: Default::default(),
        attributes: list(&span.attributes),
        events: span.events.iter().map(event).collect(),
        links: span.links.iter().map(link).collect(),
        dropped: Dropped {
            attributes: span.dropped_attributes_count,
            events: span.dropped_events_count,
            links: span.dropped_links_count,
        },
    }
}

fn event(event: &span::Event) -> traces::Event {
    traces::Event {
        at: Wall(event.time_unix_nano),
        name: event.name.as_str().into(),
        attributes: list(&event.attributes),
        dropped_attributes: event.dropped_attributes_count,
    }
}

fn link(link: &span::Link) -> traces::Link {
    traces::Link {
        trace_id: TraceId::from_bytes(&link.trace_id).unwrap(),
        span_id: SpanId::from_bytes(&link.span_id).unwrap(),
        flags: link.flags,
        trace_state: link.trace_state.as_str().into(),
        attributes: list(&link.attributes),
        dropped_attributes: link.dropped_attributes_count,
    }
}

fn list(attributes: &[KeyValue]) -> Attributes {
    let one = |of: &KeyValue| (of.key.clone().into(), value(of.value.clone().unwrap_or_default()));
    attributes.iter().map(one).collect()
}

fn value(of: AnyValue) -> traces::Value {
    use traces::Value;

    match of.value {
        None => Value::Empty,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes.into()),
        Some(Any::ArrayValue(array)) => Value::Array(array.values.into_iter().map(value).collect()),
        Some(Any::KvlistValue(map)) => Value::Map(list(&map.values)),
        other => unreachable!("{other:?} is not generated"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_others_encode_is_decoded_as_they_meant_it(request in requests()) {
        decoded(&request, &Limits::default(), |decoded| {
            assert_eq!(owned(&decoded.batch), expected(&request));
            assert_eq!((decoded.cut, decoded.refused.total()), (0, 0));
        });
    }

    #[test]
    fn json_means_what_protocol_buffers_mean(request in requests()) {
        let json = serde_json::to_vec(&request).unwrap();
        let bytes = from_json(&json).unwrap();
        prop_assert_eq!(owned(&decode(&bytes, &Limits::default()).unwrap().batch), expected(&request));
    }

    #[test]
    fn a_text_stands_once_however_often_it_is_sent(request in requests()) {
        decoded(&request, &Limits::default(), |decoded| {
            let mut strings = decoded.batch.strings.clone();
            let all = strings.len();
            strings.sort_unstable();
            strings.dedup();
            assert_eq!(strings.len(), all);
        });
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &Limits::default());
        let _ = from_json(&bytes);
    }

}

proptest! {
    // Each case is cut at every byte.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_cut_and_no_flipped_bit_makes_it_panic(request in requests(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = request.encode_to_vec();
        for end in 0..bytes.len() {
            let _ = decode(&bytes[..end], &Limits::default());
        }
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(decoded) = decode(&bytes, &Limits::default()) {
                prop_assert_eq!(decoded.received, decoded.batch.spans.len() as u64 + decoded.refused.total());
                let _ = owned(&decoded.batch);
            }
        }
        let json = serde_json::to_vec(&request).unwrap();
        for end in 0..json.len() {
            let _ = from_json(&json[..end]);
        }
    }
}

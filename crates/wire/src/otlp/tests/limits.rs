//! Every bound, at it and over it.

use opentelemetry_proto::tonic::{
    common::v1::{ArrayValue, any_value::Value as Any},
    trace::v1::span::{Event, Link},
};

use super::*;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
fn spans_over_the_limit_are_refused() {
    let request = request((1..=5).map(span).collect());
    decoded(&request, &limits(|limits| limits.max_spans = 3), |decoded| {
        assert_eq!(decoded.batch.spans.len(), 3);
        assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(Reason::TooMany, 2)]);
    });
}

#[test]
fn what_is_over_a_limit_within_a_span_is_left_out_and_counted_there() {
    let mut full = span(1);
    full.attributes = (0..5).map(|n| attribute(&format!("key-{n}"), Any::IntValue(n))).collect();
    full.events = (0..5).map(|n| Event { time_unix_nano: n, ..Default::default() }).collect();
    let link = Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..Default::default() };
    full.links = vec![link; 5];
    full.dropped_attributes_count = 10;
    let most = limits(|limits| (limits.max_attributes, limits.max_events, limits.max_links) = (3, 4, 2));
    decoded(&request(vec![full]), &most, |decoded| {
        let owned = owned(&decoded.batch).remove(0);
        assert_eq!((owned.attributes.len(), owned.events.len(), owned.links.len()), (3, 4, 2));
        assert_eq!((owned.dropped.attributes, owned.dropped.events, owned.dropped.links), (12, 1, 3));
    });
}

#[test]
fn a_link_that_leads_nowhere_is_left_out_and_counted() {
    let mut linked = span(1);
    linked.links = vec![Link { trace_id: vec![0; 16], span_id: vec![1; 8], ..Default::default() }];
    decoded(&request(vec![linked]), &Limits::default(), |decoded| {
        assert_eq!((decoded.batch.links.len(), decoded.batch.spans[0].dropped.links), (0, 1));
    });
}

#[test]
fn long_texts_are_cut_between_characters_and_counted() {
    let mut long = span(1);
    long.name = "ääää".into();
    long.attributes = vec![
        attribute("text", text("ääää")),
        attribute("bytes", Any::BytesValue(vec![1; 9])),
        attribute("short", text("ää")),
    ];
    decoded(&request(vec![long]), &limits(|limits| limits.max_value_bytes = 5), |decoded| {
        let owned = owned(&decoded.batch).remove(0);
        assert_eq!(owned.name.as_ref(), "ää");
        assert_eq!(owned.attributes.get_str("text"), Some("ää"));
        assert_eq!(owned.attributes.get("bytes"), Some(&traces::Value::Bytes([1; 5].into())));
        // "library" and "service.name" are longer than five bytes as well.
        assert_eq!(decoded.cut, 5);
    });
}

fn nested(depth: usize) -> Any {
    (0..depth).fold(Any::IntValue(1), |inner, _| {
        Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(inner) }] })
    })
}

#[test]
fn an_attribute_that_is_nested_too_deep_is_left_out_and_counted() {
    let mut deep = span(1);
    deep.attributes =
        vec![attribute("at", nested(16)), attribute("over", nested(17)), attribute("x", text("y"))];
    decoded(&request(vec![deep]), &Limits::default(), |decoded| {
        let owned = owned(&decoded.batch).remove(0);
        let keys: Vec<&str> = owned.attributes.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys, owned.dropped.attributes), (vec!["at", "x"], 1));
    });
}

#[test]
fn a_hundred_thousand_levels_end_without_a_stack_that_overflows() {
    let mut bytes = b"\x18\x01".to_vec();
    for _ in 0..20_000 {
        let mut writer = Writer::default();
        writer.message(5, |array| array.bytes(1, &bytes));
        bytes = writer.into_bytes();
    }
    let mut writer = Writer::default();
    let mut ids = span(1).encode_to_vec();
    writer.message(9, |attribute| {
        attribute.bytes(1, b"deep");
        attribute.bytes(2, &bytes);
    });
    ids.extend(writer.into_bytes());
    let mut writer = Writer::default();
    writer.message(1, |resource| resource.message(2, |scope| scope.bytes(2, &ids)));
    let bytes = writer.into_bytes();
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(decoded.batch.spans[0].dropped.attributes, 1);
    let attribute = r#"{"resourceSpans":[{"resource":{"attributes":[{"value":"#;
    let json = format!("{attribute}{}", r#"{"arrayValue":{"values":["#.repeat(100_000));
    assert!(from_json(json.as_bytes()).is_err());
}

#[test]
fn an_attribute_with_too_many_elements_is_left_out_and_counted() {
    let array = |len| {
        let values = vec![AnyValue { value: Some(Any::BoolValue(true)) }; len];
        Any::ArrayValue(ArrayValue { values })
    };
    let mut wide = span(1);
    wide.attributes = vec![attribute("at", array(8)), attribute("over", array(9))];
    decoded(&request(vec![wide]), &limits(|limits| limits.max_elements = 8), |decoded| {
        assert_eq!(
            (decoded.batch.spans[0].attributes.len, decoded.batch.spans[0].dropped.attributes),
            (1, 1)
        );
        assert_eq!(decoded.batch.values.len(), 8);
    });
}

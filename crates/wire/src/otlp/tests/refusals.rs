//! Spans that break a rule, and bytes that are no request.

use super::*;

fn alone(change: impl FnOnce(&mut Span)) -> Vec<(Reason, u64)> {
    let mut bad = span(7);
    change(&mut bad);
    let request = request(vec![span(1), bad, span(2)]);
    decoded(&request, &Limits::default(), |decoded| {
        let kept: Vec<_> = decoded.batch.spans.iter().map(|span| span.span_id.to_bytes()[0]).collect();
        assert_eq!(kept, [1, 2], "its neighbours are kept");
    });
    refused(&request)
}

#[test]
fn a_span_that_breaks_a_rule_is_refused_alone_and_by_name() {
    let one = |reason| vec![(reason, 1)];
    assert_eq!(alone(|span| span.trace_id.clear()), one(Reason::TraceId));
    assert_eq!(alone(|span| span.trace_id = vec![0; 16]), one(Reason::TraceId));
    assert_eq!(alone(|span| span.trace_id = vec![1; 8]), one(Reason::TraceId));
    assert_eq!(alone(|span| span.span_id = vec![0; 8]), one(Reason::SpanId));
    assert_eq!(alone(|span| span.span_id = vec![1; 9]), one(Reason::SpanId));
    assert_eq!(alone(|span| span.parent_span_id = vec![1; 4]), one(Reason::ParentSpanId));
    assert_eq!(alone(|span| span.start_time_unix_nano = 0), one(Reason::NoStart));
    assert_eq!(alone(|span| span.end_time_unix_nano = 999), one(Reason::EndsBeforeStart));
    assert_eq!(alone(|span| span.end_time_unix_nano = 0), one(Reason::EndsBeforeStart));
}

#[test]
fn a_parent_of_zeros_is_none() {
    let mut root = span(1);
    root.parent_span_id = vec![0; 8];
    decoded(&request(vec![root]), &Limits::default(), |decoded| {
        assert_eq!(decoded.batch.spans[0].parent_span_id, None);
    });
}

/// Puts bytes that are not UTF-8 in the place of a text of the same length.
fn spoil(request: &ExportTraceServiceRequest, text: &str) -> Vec<u8> {
    let mut bytes = request.encode_to_vec();
    let at = bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
    bytes[at..at + text.len()].fill(0xff);
    bytes
}

#[test]
fn a_text_that_is_not_utf_8_costs_its_span_wherever_it_stands() {
    let with = |change: fn(&mut Span)| {
        let mut bad = span(7);
        change(&mut bad);
        request(vec![span(1), bad])
    };
    let cases: [fn(&mut Span); 6] = [
        |span| span.name = "SPOILED".into(),
        |span| span.trace_state = "SPOILED".into(),
        |span| span.attributes.push(attribute("SPOILED", text("fine"))),
        |span| span.attributes.push(attribute("fine", text("SPOILED"))),
        |span| {
            span.events.push(opentelemetry_proto::tonic::trace::v1::span::Event {
                name: "SPOILED".into(),
                ..Default::default()
            })
        },
        |span| {
            span.status =
                Some(opentelemetry_proto::tonic::trace::v1::Status { message: "SPOILED".into(), code: 2 });
        },
    ];
    for case in cases {
        let bytes = spoil(&with(case), "SPOILED");
        let decoded = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(Reason::Utf8, 1)]);
        assert_eq!(decoded.batch.spans.len(), 1);
        assert!(decoded.batch.attributes.len() == 1, "nothing of a refused span is left");
        assert!(decoded.batch.events.is_empty());
    }
}

#[test]
fn a_resource_or_a_scope_that_is_not_utf_8_costs_its_spans() {
    for name in ["cart", "library"] {
        let bytes = spoil(&request(vec![span(1), span(2)]), name);
        let decoded = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(Reason::Utf8, 2)]);
        assert_eq!(decoded.received, 2);
    }
}

#[test]
fn what_is_no_message_is_refused_whole_and_says_where() {
    let good = request(vec![span(1)]).encode_to_vec();
    let mut wrong_type = good.clone();
    let at = wrong_type.windows(2).position(|part| part == [0x30, 0x02]).unwrap();
    // The kind of span as a text.
    wrong_type[at] = 0x32;
    for (bytes, what) in [
        (&good[..good.len() - 1], "longer than its message"),
        (&b"\x08\x01"[..], "another wire type"),
        (&b"\x0f"[..], "no known wire type"),
        (&b"\x00"[..], "out of range"),
        (&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], "does not end"),
        (&b"\x7b\x08\x01\x74"[..], "ends that did not begin"),
        (&wrong_type[..], "another wire type"),
    ] {
        let error = decode(bytes, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(what), "{error} {what}");
    }
    let error = decode(&good[..good.len() - 1], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("at byte 2;"), "{error}");
}

#[test]
fn unknown_fields_are_stepped_over_groups_included() {
    let mut bytes = request(vec![span(1)]).encode_to_vec();
    let group_in_a_group = b"\x7b\x7b\x08\x01\x7c\x7c";
    bytes.splice(0..0, group_in_a_group.iter().copied());
    bytes.extend_from_slice(b"\xa2\x06\x03abc");
    assert_eq!(decode(&bytes, &Limits::default()).unwrap().batch.spans.len(), 1);
}

#[test]
fn a_resource_may_stand_behind_its_spans() {
    let request = request(vec![span(1)]);
    let (mut first, mut second) = (request.resource_spans[0].clone(), request.resource_spans[0].clone());
    (first.resource, second.scope_spans) = (None, Vec::new());
    let content = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let mut writer = Writer::default();
    writer.bytes(1, &content);
    let bytes = writer.into_bytes();
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(owned(&decoded.batch)[0].service(), "cart");
}

#[test]
fn resources_that_are_the_same_are_one() {
    let mut twice = request(vec![span(1)]);
    twice.resource_spans.push(twice.resource_spans[0].clone());
    decoded(&twice, &Limits::default(), |decoded| {
        assert_eq!((decoded.batch.spans.len(), decoded.batch.resources.len()), (2, 1));
        assert_eq!(decoded.batch.scopes.len(), 1);
    });
}

#[test]
fn spans_of_namespaces_that_are_not_allowed_are_refused() {
    let mut both = request(vec![span(1), span(2)]);
    let mut other = request(vec![span(3)]).resource_spans.remove(0);
    let attributes = &mut other.resource.as_mut().unwrap().attributes;
    attributes.push(attribute("service.namespace", text("other")));
    both.resource_spans.push(other);
    let bytes = both.encode_to_vec();
    let mut decoded = decode(&bytes, &Limits::default()).unwrap();
    decoded.keep_namespaces(|namespace| namespace == "default");
    assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(Reason::Denied, 1)]);
    assert_eq!((decoded.batch.spans.len(), decoded.received), (2, 3));
}

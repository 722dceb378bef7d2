use identity::Wall;
use monitoring::{Ledger, Origin};
use proptest::prelude::*;
use traces::{Attributes, Dropped, Event, Kind, Link, Scope, Span, Status, StatusCode, Value};

use super::{plain, resource, settings, span, trace_id};
use crate::{
    SpanWriter, Spans, TOO_DEEP,
    chunk::{Chunk, MAX_VALUE_DEPTH},
    record,
};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| Value::Bytes(bytes.into())),
        Just(Value::Empty),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec(("[a-c]", inner), 0..3).prop_map(|map| Value::Map(
                map.into_iter().map(|(key, value)| (key.into(), value)).collect()
            )),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::vec(("[a-e]{1,3}", value()), 0..4)
        .prop_map(|all| all.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

prop_compose! {
    fn spans()(
        ids in (1..u128::MAX, 1..u64::MAX, any::<u64>(), any::<u32>()),
        texts in ("[a-z ]{0,9}", any::<String>(), "[a-z=]{0,9}", "[a-c]"),
        times in (any::<u64>(), any::<u64>(), any::<u64>()),
        choices in (0..5_usize, 0..3_usize, any::<[u32; 4]>()),
        attributes in attributes(), of_event in attributes(), of_link in attributes(), of_scope in attributes(),
    ) -> Span {
        let mut span = span(ids.0, ids.1, &texts.3, &texts.0);
        span.parent_span_id = identity::SpanId::new(ids.2);
        span.flags = ids.3;
        span.trace_state = texts.2.as_str().into();
        span.kind = Kind::ALL[choices.0];
        (span.start, span.duration_ns) = (Wall(times.0), times.1);
        let code = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][choices.1];
        span.status = Status { code, message: texts.1.as_str().into() };
        span.scope = Scope { attributes: of_scope, ..Scope::new(texts.3.as_str(), texts.0.as_str()) }.into();
        let [a, b, c, d] = choices.2;
        span.dropped = Dropped { attributes: a, events: b, links: c };
        span.attributes = attributes;
        span.events = vec![Event { at: Wall(times.2), name: texts.1.as_str().into(),
            attributes: of_event, dropped_attributes: d }];
        span.links = vec![Link { trace_id: span.trace_id, span_id: span.span_id, flags: ids.3,
            trace_state: texts.2.as_str().into(), attributes: of_link, dropped_attributes: d }];
        span
    }
}

/// The chunk of these spans, and its bytes.
fn written(spans: &[Span]) -> (Chunk, Vec<u8>) {
    let mut writer = SpanWriter::default();
    crate::write_all(&mut writer, spans);
    writer.finish(Wall(7))
}

/// A span with its attributes in the order of their keys, which is what a block keeps of their order. Of a key
/// that was sent twice, the first stays the first.
fn sorted(mut span: Span) -> Span {
    let mut attributes: Vec<_> = span.attributes.iter().cloned().collect();
    attributes.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    span.attributes = attributes.into_iter().collect();
    span
}

proptest! {
    #[test]
    fn a_batch_comes_back_from_its_record(
        spans in prop::collection::vec(spans(), 0..5),
        source in prop::option::of((any::<String>(), any::<u64>(), any::<u64>())),
    ) {
        let origin = source.map(|(source, epoch, sequence)| Origin { source: source.into(), epoch, sequence });
        let mut ledger = Ledger { received: 9, stored: 5, sampled_out: 2, ..Ledger::default() };
        ledger.drop_for("queue_full", 2);
        let of_earlier_versions = record::decode(&record::encode(origin.as_ref(), Wall(7), &ledger, &spans));
        let (chunk, bytes) = written(&spans);
        let packed = record::unpack(&record::pack(&Default::default(), origin.as_ref(), Wall(7), &ledger, &bytes)).unwrap();
        prop_assert_eq!(&*packed.chunk, &chunk);
        // They knew nothing of the attributes of scopes.
        let plain = |span: &Span| Span {
            scope: Scope::new(&*span.scope.name, &*span.scope.version).into(),
            ..span.clone()
        };
        let of_earlier_spans: Vec<Span> = spans.iter().map(plain).collect();
        for (batch, spans) in [(of_earlier_versions.unwrap(), of_earlier_spans), (packed, spans)] {
            prop_assert_eq!((batch.origin, batch.chunk.received_at, batch.ledger), (origin.clone(), Wall(7), ledger.clone()));
            let read: Vec<Span> = (0..batch.chunk.len() as u32).map(|at| batch.chunk.owned(at).unwrap()).collect();
            prop_assert_eq!(&read, &spans);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = record::decode(&bytes);
        let _ = record::unpack(&bytes);
        let _ = Chunk::read(&bytes, Wall(0));
    }

    #[test]
    fn a_chunk_with_a_wrong_byte_or_cut_anywhere_is_refused_or_read(
        spans in prop::collection::vec(spans(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let (_, mut bytes) = written(&spans);
        let at = at.index(bytes.len());
        prop_assert!(Chunk::read(&bytes[..at], Wall(0)).is_err());
        bytes[at] = byte;
        if let Ok(chunk) = Chunk::read(&bytes, Wall(0)) {
            (0..chunk.len() as u32).for_each(|at| assert!(chunk.owned(at).is_some()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn spans_come_back_from_a_block_with_their_types(spans in prop::collection::vec(spans(), 1..9)) {
        let store = super::open(&storage_disk::FaultyDisk::new(1));
        store.accept(plain(spans.clone())).wait().unwrap();
        store.seal().unwrap();
        prop_assert_eq!(store.stats().blocks, 1);
        for span in &spans {
            let found = store.trace(span.trace_id).unwrap();
            let wanted = sorted(span.clone());
            prop_assert!(found.iter().any(|found| sorted(found.as_ref().clone()) == wanted), "{found:?} {wanted:?}");
        }
    }
}

#[test]
fn what_spans_have_in_common_stands_once_and_is_shared() {
    let shared = resource("default", "shop");
    let mut spans: Vec<Span> = (1..=100).map(|id| span(1, id, "shop", "a rather long name")).collect();
    for span in &mut spans {
        span.resource = shared.clone();
        span.attributes.push("http.request.method", "GET");
    }
    let (chunk, encoded) = written(&spans);
    let text = String::from_utf8_lossy(&encoded);
    for once in ["a rather long name", "http.request.method", "shop"] {
        assert_eq!(text.matches(once).count(), 1, "{once}");
    }
    let spans: Vec<Span> = (0..100).map(|at| chunk.owned(at).unwrap()).collect();
    assert!(spans.iter().all(|span| std::sync::Arc::ptr_eq(&span.resource, &spans[0].resource)));
}

#[test]
fn values_nested_too_deep_cost_their_span_and_nothing_else() {
    let nest = |depth| (0..depth).fold(Value::from(1), |value, _| Value::Array(vec![value]));
    let nest_maps = |depth| {
        (0..depth).fold(Value::from(1), |value, _| Value::Map([("k".into(), value)].into_iter().collect()))
    };
    let with = |id, value| {
        let mut span = span(1, id, "shop", "op");
        span.attributes.push("nested", value);
        span
    };
    let disk = storage_disk::FaultyDisk::new(1);
    let store = super::open_with(&disk, settings());
    let kept = [with(1, nest(MAX_VALUE_DEPTH)), with(2, nest_maps(MAX_VALUE_DEPTH))];
    let mut spans = kept.to_vec();
    spans.extend([with(3, nest(MAX_VALUE_DEPTH + 1)), with(4, nest_maps(10_000))]);
    assert_eq!(store.accept(plain(spans)).wait().unwrap().stored, 2);
    assert_eq!(store.ledger().dropped[TOO_DEEP], 2);
    assert!(store.ledger().balances());
    drop(store);
    let store: Spans = super::open(&disk);
    let found: Vec<Span> =
        store.trace(trace_id(1)).unwrap().iter().map(|span| span.as_ref().clone()).collect();
    assert_eq!(found, kept);
}

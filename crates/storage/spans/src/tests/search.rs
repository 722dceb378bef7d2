use identity::{Invalid, TraceId, Wall};
use proptest::prelude::*;
use storage_disk::FaultyDisk;
use traces::{Span, Status, Value};

use super::{open, open_with, plain, resource, settings, span, trace_id};
use crate::{AttributeCondition, PageToken, Query, ServiceKey, Settings, Spans};

fn ids(store: &Spans, query: &Query) -> Vec<u128> {
    store.search(query).traces.iter().map(|summary| summary.trace_id.get()).collect()
}

#[test]
fn services_and_operations_are_listed_by_name() {
    let store = open(&FaultyDisk::new(1));
    let mut elsewhere = span(3, 1, "shop", "GET /");
    elsewhere.resource = resource("staging", "shop");
    store
        .accept(plain(vec![
            span(1, 1, "shop", "GET /orders"),
            span(1, 2, "payments", "charge"),
            span(2, 1, "shop", "GET /orders"),
            span(2, 2, "shop", "GET /"),
            elsewhere,
        ]))
        .wait()
        .unwrap();
    let key =
        |namespace: &str, service: &str| ServiceKey { namespace: namespace.into(), service: service.into() };
    assert_eq!(
        store.services(),
        [key("default", "payments"), key("default", "shop"), key("staging", "shop")]
    );
    let operations: Vec<_> =
        store.operations("default", "shop").into_iter().map(|of| (of.name.to_string(), of.spans)).collect();
    assert_eq!(operations, [("GET /".to_owned(), 1), ("GET /orders".to_owned(), 2)]);
    assert!(store.operations("default", "nobody").is_empty());
}

#[test]
fn a_traces_called_service_is_found_though_only_the_proxy_recorded_it() {
    let store = open(&FaultyDisk::new(1));
    let mut call = span(1, 1, "gateway", "GET payments");
    call.attributes.push("bellwether.namespace", "staging");
    call.attributes.push("bellwether.service", "payments");
    store.accept(plain(vec![call, span(2, 1, "gateway", "GET")])).wait().unwrap();
    let service = |namespace: Option<&str>, service: &str| {
        let (namespace, service) = (namespace.map(Into::into), Some(service.into()));
        ids(&store, &Query { namespace, service, ..Query::default() })
    };
    assert_eq!(service(None, "payments"), [1]);
    assert_eq!(service(Some("staging"), "payments"), [1]);
    assert_eq!(service(Some("default"), "payments"), [0; 0]);
    assert_eq!(service(None, "gateway"), [2, 1]);
    let operation = Some("GET payments".into());
    assert_eq!(ids(&store, &Query { service: Some("payments".into()), operation, ..Query::default() }), [1]);
}

#[test]
fn what_senders_left_out_is_told_from_memory_and_from_blocks_and_after_a_restart() {
    let disk = FaultyDisk::new(1);
    let told = |mut span: Span, state: &str| {
        span.trace_state = state.into();
        span
    };
    let store = open(&disk);
    let spans = vec![
        told(span(1, 1, "shop", "GET /"), "ot=th:8"),
        told(span(1, 2, "shop", "GET /"), "vendor=1,ot=th:c"),
        told(span(2, 1, "shop", "GET /"), "ot=th:0"),
        span(3, 1, "shop", "GET /"),
    ];
    store.accept(plain(spans)).wait().unwrap();
    let one_in = |store: &Spans| -> Vec<_> {
        let found = store.search(&Query::default()).traces;
        found.iter().map(|summary| (summary.trace_id.get(), summary.one_in)).collect()
    };
    let expected = [(3, None), (2, None), (1, Some(4.0))];
    assert_eq!(one_in(&store), expected);
    store.seal().unwrap();
    assert_eq!(one_in(&store), expected);
    drop(store);
    assert_eq!(one_in(&open(&disk)), expected);
}

#[test]
fn pages_follow_each_other_without_gaps_or_repetitions() {
    let store = open(&FaultyDisk::new(1));
    store.accept(plain((1..=45).map(|trace| span(trace, 1, "shop", "op")).collect())).wait().unwrap();
    let mut query = Query { service: Some("shop".into()), ..Query::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.search(&query);
        assert!(page.traces.len() <= Query::DEFAULT_LIMIT);
        seen.extend(page.traces.iter().map(|summary| summary.trace_id.get()));
        let Some(next) = page.next else { break };
        query.page = Some(next.to_string().parse().unwrap());
    }
    assert!(seen.iter().copied().eq((1..=45).rev()));
}

#[test]
fn a_page_token_that_nobody_gave_out_is_refused() {
    for wrong in ["", "x", &"g".repeat(48), &"0".repeat(48), &"é".repeat(24)] {
        let refused: Result<PageToken, Invalid> = wrong.parse();
        assert!(refused.is_err(), "{wrong}");
    }
}

#[test]
fn a_span_that_began_earlier_moves_its_trace() {
    let store = open(&FaultyDisk::new(1));
    store.accept(plain(vec![span(10, 1, "shop", "op"), span(20, 1, "shop", "op")])).wait().unwrap();
    let mut late = span(20, 2, "payments", "op");
    late.start = Wall(5);
    store.accept(plain(vec![late])).wait().unwrap();
    assert_eq!(ids(&store, &Query::default()), [10, 20]);
    assert_eq!(ids(&store, &Query { service: Some("shop".into()), ..Query::default() }), [10, 20]);
    assert_eq!(ids(&store, &Query { end: Some(Wall(10)), ..Query::default() }), [20]);
}

const SERVICES: [&str; 3] = ["a", "b", "c"];
const OPERATIONS: [&str; 3] = ["x", "y", "z"];

prop_compose! {
    fn any_span()(
        trace in 1..12_u128, id in 1..1_000_u64, service in 0..3_usize, operation in 0..3_usize,
        namespace in 0..2_usize, start in 0..50_u64, length in 0..50_u64, failed in any::<bool>(),
        text in 0..4_u8,
    ) -> Span {
        let mut span = span(trace, id, "", OPERATIONS[operation]);
        span.resource = resource(["default", "other"][namespace], SERVICES[service]);
        (span.start, span.duration_ns) = (Wall(start), length);
        if failed {
            span.status = Status::error("declined");
        }
        span.attributes.push("order", format!("order-{text}"));
        if text == 3 {
            span.attributes.push("rare", if failed { Value::Double(643.0) } else { Value::Int(643) });
        }
        span
    }
}

prop_compose! {
    fn any_query()(
        namespace in prop::option::of(0..2_usize), service in prop::option::of(0..4_usize),
        operation in prop::option::of(0..3_usize),
        durations in (prop::option::of(0..60_u64), prop::option::of(0..90_u64)),
        errors_only in any::<bool>(),
        times in (prop::option::of(0..50_u64), prop::option::of(0..60_u64)),
        text in prop::option::of(0..4_u8), limit in 0..6_usize,
        attribute in prop::option::of((0..3_u8, prop::option::of(0..4_u8))),
    ) -> Query {
        Query {
            namespace: namespace.map(|at| ["default", "other"][at].into()),
            service: service.map(|at| ["a", "b", "c", "d"][at].into()),
            operation: operation.map(|at| OPERATIONS[at].into()),
            min_duration_ns: durations.0,
            max_duration_ns: durations.1,
            errors_only,
            start: times.0.map(Wall),
            end: times.1.map(Wall),
            text: text.map(|text| format!("order-{text}").into()),
            attributes: attribute.into_iter().map(|(number, text)| condition(number, text)).collect(),
            limit,
            page: None,
        }
    }
}

/// A condition on an attribute that all spans have, or that few have, with two types.
fn condition(number: u8, text: Option<u8>) -> AttributeCondition {
    let rare = |text| if text < 2 { Value::Double(643.0) } else { Value::Int(643) };
    match number {
        0 => AttributeCondition { key: "rare".into(), value: text.map(rare) },
        1 => AttributeCondition { key: "nowhere".into(), value: None },
        _ => {
            AttributeCondition { key: "order".into(), value: text.map(|text| format!("order-{text}").into()) }
        }
    }
}

/// The same answer, by looking at everything.
fn scan(spans: &[Span], query: &Query) -> Vec<u128> {
    let mut traces: Vec<(Wall, TraceId)> = Vec::new();
    for id in (1..12).map(trace_id) {
        let mine: Vec<&Span> = spans.iter().filter(|span| span.trace_id == id).collect();
        let Some(start) = mine.iter().map(|span| span.start).min() else { continue };
        let end = mine.iter().map(|span| span.end()).max().unwrap();
        let duration = end.0 - start.0;
        let place = |span: &&&Span| {
            query.namespace.as_deref().is_none_or(|name| span.resource.namespace() == name)
                && query.service.as_deref().is_none_or(|name| span.service() == name)
                && query.operation.as_deref().is_none_or(|name| span.name.as_ref() == name)
        };
        let text = |span: &&&Span| {
            query.text.as_deref().is_none_or(|text| span.attributes.get_str("order") == Some(text))
        };
        let fits = query.min_duration_ns.is_none_or(|least| duration >= least)
            && query.max_duration_ns.is_none_or(|most| duration <= most)
            && query.start.is_none_or(|first| start >= first)
            && query.end.is_none_or(|end| start < end)
            && (!query.errors_only || mine.iter().any(|span| span.is_error()))
            && mine.iter().any(|span| place(&span))
            && mine.iter().any(|span| text(&span))
            && query.attributes.iter().all(|wanted| {
                let has = |value: &Value| wanted.value.as_ref().is_none_or(|wanted| wanted == value);
                mine.iter().any(|span| span.attributes.get(&wanted.key).is_some_and(has))
            });
        if fits {
            traces.push((start, id));
        }
    }
    traces.sort();
    traces.iter().rev().map(|(_, id)| id.get()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_search_equals_a_scan_of_what_is_there(
        batches in prop::collection::vec(prop::collection::vec(any_span(), 0..12), 1..8),
        queries in prop::collection::vec(any_query(), 1..12),
        is_tight in any::<bool>(), block_spans in prop_oneof![Just(5_u64), Just(20), Just(1_000)],
        is_reopened in any::<bool>(),
    ) {
        let disk = FaultyDisk::new(1);
        let disk_bytes = if is_tight { 60_000 } else { 1 << 30 };
        let small = Settings { disk_bytes, block_spans, ..settings() };
        let mut store = open_with(&disk, small.clone());
        for batch in &batches {
            store.accept(plain(batch.clone())).wait().unwrap();
        }
        if is_reopened {
            drop(store);
            store = open_with(&disk, small);
        }
        let spans: Vec<Span> = (1..12)
            .filter_map(|id| store.trace(trace_id(id)))
            .flat_map(|spans| spans.into_iter().map(|span| span.as_ref().clone()))
            .collect();
        prop_assert_eq!(spans.len() as u64, store.ledger().stored - store.ledger().expired);
        let (mut scanned, from) = (Vec::new(), Wall(20));
        store.scan(from, &mut |span| {
            scanned.push(span);
            std::ops::ControlFlow::Continue(())
        });
        let mut later: Vec<Span> = spans.iter().filter(|span| span.start >= from).cloned().collect();
        for spans in [&mut scanned, &mut later] {
            spans.sort_by_key(|span| (span.trace_id, span.span_id, span.start, format!("{span:?}")));
        }
        prop_assert_eq!(scanned, later);
        if !is_tight {
            prop_assert_eq!(spans.len(), batches.iter().map(Vec::len).sum::<usize>());
        }
        for query in queries {
            let expected = scan(&spans, &query);
            let mut found = Vec::new();
            let mut paged = query.clone();
            loop {
                let page = store.search(&paged);
                found.extend(page.traces.iter().map(|summary| summary.trace_id.get()));
                match page.next {
                    Some(next) => paged.page = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(found, expected, "{:?}", query);
        }
    }
}

#[test]
fn a_search_looks_at_more_than_it_does_in_one_go() {
    let store = open(&FaultyDisk::new(1));
    let mut spans: Vec<Span> = (1..=1_800).map(|trace| span(trace, 1, "shop", "op")).collect();
    spans[0].name = "needle".into();
    spans[1_000].name = "needle".into();
    store.accept(plain(spans)).wait().unwrap();
    let query = Query { operation: Some("needle".into()), limit: 5, ..Query::default() };
    assert_eq!(ids(&store, &query), [1_001, 1]);
    assert_eq!(store.search(&query).next, None);
    let first = store.search(&Query { limit: 1, ..query.clone() });
    let second = store.search(&Query { limit: 1, page: first.next, ..query });
    assert_eq!(second.traces[0].trace_id.get(), 1);
}

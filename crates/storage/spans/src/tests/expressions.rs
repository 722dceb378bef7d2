//! What the query language finds, beside what asking every span finds.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;
use storage_disk::FaultyDisk;
use traces::{Attributes, Event, Kind, Resource, Scope, Span, Status, StatusCode, Value, query::Expression};

use identity::Wall;

use super::{open, open_with, plain, resource, settings, span};
use crate::{Query, Settings, Spans};

/// Everything that is found, page by page.
fn found(
    store: &Spans,
    query: &Query,
    expression: &Expression,
    may_see: &(dyn Fn(&str) -> bool + Sync),
) -> Vec<u128> {
    let (mut query, mut found) = (query.clone(), Vec::new());
    loop {
        let page = store.search_where(&query, expression, may_see);
        found.extend(page.traces.iter().map(|summary| summary.trace_id.get()));
        match page.next {
            Some(next) => query.page = Some(next),
            None => return found,
        }
    }
}

fn check(store: &Spans, text: &str, expected: &[u128]) {
    let expression = Expression::parse(text).unwrap();
    assert_eq!(found(store, &Query::default(), &expression, &|_| true), expected, "{text}");
}

/// Three traces: one of a shop, one that a proxy called for, and one of a resource with attributes.
fn three() -> Vec<Span> {
    let mut order = span(1, 1, "shop", "GET /orders");
    order.kind = Kind::Server;
    order.status = Status { code: StatusCode::Error, message: "card declined".into() };
    order.attributes.push("http.status", Value::Int(500));
    order.attributes.push("tags", Value::Array(vec!["a".into(), Value::Int(7)]));
    order.events.push(Event {
        at: Wall(1),
        name: "exception \"x\"".into(),
        attributes: Attributes::default(),
        dropped_attributes: 0,
    });
    let mut call = span(2, 1, "gateway", "GET payments");
    call.attributes.push("bellwether.service", "payments");
    call.attributes.push("error", "true");
    let mut cart = span(3, 1, "cart", "add");
    let mut attributes = Attributes::new();
    attributes.push("service.name", "cart");
    attributes.push("region", "north");
    attributes.push("http.status", Value::Int(200));
    cart.resource = Arc::new(Resource::new(attributes));
    cart.duration_ns = 5_000_000;
    let mut own = span(3, 2, "cart", "add");
    own.resource = Arc::clone(&cart.resource);
    own.attributes.push("region", "south");
    vec![order, call, cart, own]
}

#[test]
fn every_key_is_asked_alike_in_memory_and_in_blocks() {
    let store = open(&FaultyDisk::new(1));
    store.accept(plain(three())).wait().unwrap();
    for _ in 0..2 {
        check(&store, "service=payments", &[2]);
        check(&store, "service=gateway AND namespace=default", &[2]);
        check(&store, "NOT service=gateway", &[3, 1]);
        check(&store, "operation=~\"GET .*\"", &[2, 1]);
        check(&store, "kind=server", &[1]);
        check(&store, "status=error", &[1]);
        check(&store, "error=true", &[2, 1]);
        check(&store, "error=false", &[3]);
        check(&store, "status_message=\"card declined\"", &[1]);
        check(&store, "duration>=5ms", &[3]);
        check(&store, "duration<5ms", &[3, 2, 1]);
        check(&store, "event=~\"exception.*\"", &[1]);
        check(&store, "http.status>=500", &[1]);
        check(&store, "http.status=200", &[3]);
        check(&store, "tags=7", &[1]);
        check(&store, "exists(span.region)", &[3]);
        check(&store, "region=north", &[3]);
        check(&store, "region=north AND span.region=south", &[]);
        check(&store, "resource.region=north AND span.region=south", &[3]);
        check(&store, "declined", &[1]);
        check(&store, "NOT exists(region) AND (kind=server OR service=payments)", &[2, 1]);
        store.seal().unwrap();
    }
    assert_eq!(store.stats().blocks, 1);
}

#[test]
fn spans_that_may_not_be_seen_are_not_found() {
    let store = open(&FaultyDisk::new(1));
    let mut hidden = span(2, 1, "shop", "op");
    hidden.resource = resource("other", "shop");
    store.accept(plain(vec![span(1, 1, "shop", "op"), hidden])).wait().unwrap();
    for _ in 0..2 {
        for text in ["service=shop", "op", "NOT exists(nothing)"] {
            let expression = Expression::parse(text).unwrap();
            let may_see = |namespace: &str| namespace == "other";
            assert_eq!(found(&store, &Query::default(), &expression, &may_see), [2], "{text}");
        }
        store.seal().unwrap();
    }
}

const VALUES: [&str; 6] = ["a", "b", "1", "2.5", "true", "long \"quoted\" text"];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(&VALUES[..]).prop_map(Value::from),
        (0..3_i64).prop_map(Value::Int),
        prop::sample::select(vec![1.0, 2.5, f64::NAN]).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Array(vec!["a".into(), Value::Int(1)])),
        Just(Value::Empty),
    ]
}

prop_compose! {
    fn any_span()(
        trace in 1..16_u128, id in 1..1_000_u64, service in 0..3_usize, operation in 0..3_usize,
        namespace in 0..2_usize, start in 0..50_u64, length in 0..50_u64, failed in 0..3_u8,
        kind in prop::sample::select(&Kind::ALL[..]),
        values in prop::collection::vec((0..3_usize, any_value()), 0..4),
        of_resource in prop::option::of((0..3_usize, any_value())),
        of_scope in prop::option::weighted(0.3, (0..3_usize, any_value())),
        called in prop::option::weighted(0.2, (0..2_usize, any::<bool>())),
        event in prop::option::weighted(0.2, 0..3_usize),
    ) -> Span {
        let mut span = span(trace, id, "", ["x", "y", "a b"][operation]);
        let mut attributes = resource(["default", "other"][namespace], ["a", "b", "c"][service]).attributes.clone();
        if let Some((key, value)) = of_resource {
            attributes.push(["k", "l", "m"][key], value);
        }
        span.resource = Arc::new(Resource::new(attributes));
        if let Some((key, value)) = of_scope {
            let mut attributes = Attributes::default();
            attributes.push(["k", "l", "m"][key], value);
            span.scope = Arc::new(Scope { attributes, ..Scope::new("library", "1") });
        }
        (span.start, span.duration_ns, span.kind) = (Wall(start), length, kind);
        match failed {
            0 => span.status = Status { code: StatusCode::Error, message: "declined".into() },
            1 => span.attributes.push("error", true),
            _ => {}
        }
        for (key, value) in values {
            span.attributes.push(["k", "l", "m"][key], value);
        }
        if let Some((service, is_named)) = called {
            span.attributes.push("bellwether.service", ["b", "d"][service]);
            if is_named {
                span.attributes.push("bellwether.namespace", "other");
            }
        }
        if let Some(name) = event {
            let attributes = Attributes::default();
            span.events.push(Event { at: Wall(1), name: VALUES[name].into(), attributes, dropped_attributes: 0 });
        }
        span
    }
}

/// A query, as a text.
fn any_expression() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "service",
        "namespace",
        "operation",
        "kind",
        "status",
        "status_message",
        "duration",
        "error",
        "event",
        "k",
        "l",
        "span.k",
        "resource.k",
        "scope.k",
        "scope.l",
        "span.m",
        "nowhere",
    ]);
    let value = prop::sample::select(vec![
        "a", "b", "d", "x", "1", "2.5", "30", "true", "false", "error", "server", "default", "other",
        "declined", "\"1\"", "\"a b\"", "25ns",
    ]);
    let operator = prop::sample::select(vec!["=", "=", "=", "!=", "<", "<=", ">", ">="]);
    let regex = prop::sample::select(vec!["a|b", ".*", "[0-9.]+", "long.*"]);
    let leaf = prop_oneof![
        6 => (key.clone(), operator, value).prop_map(|(key, operator, value)| format!("{key}{operator}{value}")),
        1 => (key.clone(), any::<bool>(), regex)
            .prop_map(|(key, is, regex)| format!("{key}{}\"{regex}\"", if is { "=~" } else { "!~" })),
        1 => key.prop_map(|key| format!("exists({key})")),
        1 => prop::sample::select(vec!["quoted", "decl", "2", "\"a b\"", "tru"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_expression_finds_what_asking_every_span_finds(
        batches in prop::collection::vec(prop::collection::vec(any_span(), 0..24), 1..6),
        texts in prop::collection::vec(any_expression(), 1..12),
        block_spans in prop_oneof![Just(8_u64), Just(40), Just(1_000)],
        is_sealed in any::<bool>(), sees_all in any::<bool>(), limit in 0..6_usize,
    ) {
        let store = open_with(&FaultyDisk::new(1), Settings { block_spans, ..settings() });
        for batch in &batches {
            store.accept(plain(batch.clone())).wait().unwrap();
        }
        if is_sealed {
            store.seal().unwrap();
        }
        let may_see = |namespace: &str| sees_all || namespace == "other";
        for text in texts {
            let Ok(expression) = Expression::parse(&text) else { continue };
            let expected: BTreeSet<u128> = batches
                .iter()
                .flatten()
                .filter(|span| may_see(span.resource.namespace()) && expression.holds(*span))
                .map(|span| span.trace_id.get())
                .collect();
            let query = Query { limit, ..Query::default() };
            let found = found(&store, &query, &expression, &may_see);
            prop_assert_eq!(found.len(), expected.len(), "{} in {:?}", text, found);
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{}", text);
        }
    }
}

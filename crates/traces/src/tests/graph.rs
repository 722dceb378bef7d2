use proptest::prelude::*;

use super::*;
use crate::Link;
use crate::graph::{Edge, EdgeKind, EdgeMinute, Graph, Limits, NodeKind, Seen};

const SECOND: u64 = 1_000_000_000;
const NOW: Wall = Wall(1_700_000_040 * SECOND);

fn begun(id: u64, parent: u64, kind: Kind, service: &str, duration_ns: u64) -> Span {
    Span { kind, ..span(id, parent, service, NOW.0, duration_ns) }
}

fn with(mut span: Span, attributes: &[(&'static str, &str)]) -> Span {
    attributes.iter().for_each(|(key, value)| span.attributes.push(*key, *value));
    span
}

fn failed(span: Span) -> Span {
    Span { status: Status::error("no"), ..span }
}

/// The call of a proxy to payments.
fn proxied(id: u64, parent: u64, kind: Kind, duration_ns: u64) -> Span {
    let called = [
        ("bellwether.proxy", "p-1"),
        ("bellwether.service", "payments"),
        ("bellwether.namespace", "default"),
    ];
    with(begun(id, parent, kind, "gateway", duration_ns), &called)
}

fn observed<'a>(graph: &mut Graph, spans: impl IntoIterator<Item = &'a Span>) {
    spans.into_iter().for_each(|span| graph.observe(&Seen::of(span), NOW));
}

fn all(graph: &Graph) -> Vec<Edge> {
    graph.edges(Wall(0), Wall(u64::MAX), None)
}

/// Each edge in a few words.
fn drawn(graph: &Graph) -> Vec<String> {
    let name = |kind: NodeKind, name: &str| match kind {
        NodeKind::Service => name.to_owned(),
        kind => format!("{}:{name}", kind.as_str()),
    };
    let edge = |Edge { key, figures }: &Edge| {
        format!(
            "{} -{}-> {} calls={} errors={} unpaired={} proxied={} max={}",
            name(key.from.kind, &key.from.name),
            key.kind.as_str(),
            name(key.to.kind, &key.to.name),
            figures.calls,
            figures.errors,
            figures.unpaired,
            figures.proxied,
            figures.durations.max_ns()
        )
    };
    all(graph).iter().map(edge).collect()
}

/// The graph of these spans, the same in whatever order they come, after all waits are over.
fn graph_of(spans: &[Span]) -> Vec<String> {
    let mut orders = vec![spans.to_vec()];
    orders.push(spans.iter().rev().cloned().collect());
    let mut graphs = orders.into_iter().map(|spans| {
        let mut graph = Graph::new(Limits::default());
        observed(&mut graph, &spans);
        graph.advance(Wall(NOW.0 + 60 * SECOND));
        assert_eq!(graph.waiting(), 0);
        drawn(&graph)
    });
    let (first, second) = (graphs.next().unwrap(), graphs.next().unwrap());
    assert_eq!(first, second, "the order in which spans come does not matter");
    first
}

#[test]
fn a_call_is_drawn_once_both_ends_are_there_and_as_its_caller_saw_it() {
    let mut graph = Graph::new(Limits::default());
    let client = begun(2, 1, Kind::Client, "shop", 50);
    let server = failed(begun(3, 2, Kind::Server, "payments", 30));
    observed(&mut graph, [&server]);
    assert_eq!(drawn(&graph), Vec::<String>::new());
    observed(&mut graph, [&client]);
    let expected = ["shop -call-> payments calls=1 errors=1 unpaired=0 proxied=0 max=50"];
    assert_eq!(drawn(&graph), expected);
    observed(&mut graph, [&client, &server]);
    graph.advance(Wall(NOW.0 + 60 * SECOND));
    assert_eq!(drawn(&graph), expected, "sent twice is counted once");
}

#[test]
fn what_senders_left_out_is_estimated_beside_what_was_seen() {
    let told = |span: Span, state: &str| Span { trace_state: state.into(), ..span };
    let mut graph = Graph::new(Limits::default());
    // Of a pair the end that was kept more often; of one end alone what that tells.
    let client = told(begun(2, 1, Kind::Client, "shop", 50), "ot=th:c");
    let server = told(begun(3, 2, Kind::Server, "payments", 30), "ot=th:8");
    let alone = told(with(begun(4, 1, Kind::Client, "shop", 9), &[("db.system", "redis")]), "ot=th:c");
    let all = begun(5, 0, Kind::Server, "shop", 9);
    observed(&mut graph, [&client, &server, &alone, &all]);
    graph.advance(Wall(NOW.0 + 60 * SECOND));
    let figures = |edge: &Edge| {
        (edge.key.to.name.to_string(), edge.figures.calls, edge.figures.sampled, edge.figures.left_out)
    };
    let mut seen: Vec<_> = self::all(&graph).iter().map(figures).collect();
    let expected = [("redis", 1, 1, 3.0), ("payments", 1, 1, 1.0), ("shop", 1, 0, 0.0)];
    let mut expected =
        expected.map(|(name, calls, sampled, out)| (name.to_owned(), calls, sampled, out)).to_vec();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen, expected);
}

#[test]
fn whoever_begins_a_trace_is_outside() {
    assert_eq!(
        graph_of(&[begun(1, 0, Kind::Server, "shop", 9)]),
        ["outside: -call-> shop calls=1 errors=0 unpaired=0 proxied=0 max=9"]
    );
}

#[test]
fn an_end_whose_other_one_never_comes_is_drawn_as_what_is_known_of_it() {
    assert_eq!(
        graph_of(&[
            with(
                begun(2, 1, Kind::Client, "shop", 50),
                &[("peer.service", "mailer"), ("server.address", "10.0.0.9")]
            ),
            with(
                begun(3, 1, Kind::Client, "shop", 60),
                &[("net.peer.name", "old"), ("server.address", "api.example.com")]
            ),
            begun(4, 1, Kind::Client, "shop", 70),
            begun(6, 5, Kind::Server, "stock", 10),
        ]),
        [
            "shop -call-> external:api.example.com calls=1 errors=0 unpaired=1 proxied=0 max=60",
            "shop -call-> external:mailer calls=1 errors=0 unpaired=1 proxied=0 max=50",
            "shop -call-> unknown: calls=1 errors=0 unpaired=1 proxied=0 max=70",
            "unknown: -call-> stock calls=1 errors=0 unpaired=1 proxied=0 max=10",
        ]
    );
}

#[test]
fn a_database_is_a_node_of_its_own_and_waits_for_nobody() {
    let mut graph = Graph::new(Limits::default());
    let newer = [("db.system", "other_sql"), ("db.system.name", "postgresql"), ("db.namespace", "orders")];
    observed(
        &mut graph,
        [
            &with(begun(2, 1, Kind::Client, "shop", 5), &newer),
            &with(
                begun(3, 1, Kind::Client, "shop", 7),
                &[("db.system", "redis"), ("server.address", "cache-1")],
            ),
        ],
    );
    assert_eq!(graph.waiting(), 0);
    assert_eq!(
        drawn(&graph),
        [
            "shop -database-> database:postgresql/orders calls=1 errors=0 unpaired=0 proxied=0 max=5",
            "shop -database-> database:redis/cache-1 calls=1 errors=0 unpaired=0 proxied=0 max=7",
        ]
    );
}

#[test]
fn messages_are_edges_from_producer_to_consumer_by_parent_or_by_link() {
    let later = |id, parent, service, after| Span {
        start: Wall(NOW.0 + after),
        ..begun(id, parent, Kind::Consumer, service, 9)
    };
    let to = |id: u64| Link {
        trace_id: TraceId::new(1).unwrap(),
        span_id: SpanId::new(id).unwrap(),
        flags: 0,
        trace_state: "".into(),
        attributes: Attributes::new(),
        dropped_attributes: 0,
    };
    let topic = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    let other = TraceId::new(2).unwrap();
    assert_eq!(
        graph_of(&[
            with(begun(2, 1, Kind::Producer, "shop", 5), &topic),
            with(begun(3, 1, Kind::Producer, "shop", 5), &topic),
            later(4, 2, "mailer", 400),
            Span { trace_id: other, links: vec![to(2), to(3)], ..later(5, 0, "stats", 900) },
            with(begun(6, 1, Kind::Producer, "shop", 5), &topic),
            with(later(7, 0, "audit", 0), &topic),
        ]),
        [
            "shop -messaging-> mailer calls=1 errors=0 unpaired=0 proxied=0 max=400",
            "shop -messaging-> stats calls=2 errors=0 unpaired=0 proxied=0 max=900",
            "shop -messaging-> queue:kafka/orders calls=1 errors=0 unpaired=1 proxied=0 max=0",
            "queue:kafka/orders -messaging-> audit calls=1 errors=0 unpaired=1 proxied=0 max=0",
        ]
    );
}

#[test]
fn spans_of_a_proxy_are_folded_into_the_edge_and_nothing_is_counted_twice() {
    let through = [
        begun(2, 1, Kind::Client, "shop", 100),
        proxied(3, 2, Kind::Server, 90),
        failed(proxied(4, 3, Kind::Client, 20)),
        failed(begun(5, 4, Kind::Server, "payments", 10)),
        proxied(6, 3, Kind::Client, 60),
        begun(7, 6, Kind::Server, "payments", 50),
    ];
    let expected = ["shop -call-> payments calls=1 errors=0 unpaired=0 proxied=1 max=100"];
    assert_eq!(graph_of(&through), expected, "two attempts of one call that went well");
    assert_eq!(graph_of(&through[..2]), expected, "the called service need not record anything");
    let alone = ["gateway -call-> payments calls=1 errors=0 unpaired=0 proxied=1 max=90"];
    assert_eq!(graph_of(&through[1..]), alone, "the caller records nothing");
    assert_eq!(graph_of(&[proxied(3, 0, Kind::Server, 90)]), alone);
}

#[test]
fn a_service_that_records_nothing_calls_others_through_the_proxy() {
    let at = |mut span: Span, service: &str| {
        span.attributes.set("bellwether.service", service);
        span
    };
    assert_eq!(
        graph_of(&[
            at(proxied(1, 0, Kind::Server, 100), "shop"),
            at(proxied(2, 1, Kind::Client, 90), "shop"),
            at(proxied(3, 2, Kind::Server, 80), "shop"),
            at(proxied(4, 3, Kind::Client, 70), "shop"),
            at(proxied(5, 4, Kind::Server, 60), "stock"),
        ]),
        [
            "gateway -call-> shop calls=1 errors=0 unpaired=0 proxied=1 max=100",
            "shop -call-> stock calls=1 errors=0 unpaired=0 proxied=1 max=60",
        ],
        "the second of two proxies on the way is folded as well"
    );
}

#[test]
fn both_halves_of_a_shared_span_make_a_call() {
    let mut graph = Graph::new(Limits::default());
    observed(
        &mut graph,
        [&begun(2, 1, Kind::Client, "shop", 50), &begun(2, 1, Kind::Server, "payments", 30)],
    );
    assert_eq!(drawn(&graph), ["shop -call-> payments calls=1 errors=0 unpaired=0 proxied=0 max=50"]);
}

#[test]
fn a_flood_of_ends_stays_within_its_bound_and_is_counted() {
    let mut graph = Graph::new(Limits { waiting: 10, ..Limits::default() });
    for id in 1..=1_000 {
        observed(&mut graph, [&begun(id, 5_000, Kind::Client, "shop", 1)]);
        assert!(graph.waiting() <= 10);
    }
    assert_eq!(graph.losses().hurried, 990);
    graph.advance(Wall(NOW.0 + 60 * SECOND));
    assert_eq!(all(&graph).iter().map(|edge| edge.figures.calls).sum::<u64>(), 1_000, "none is lost");
}

#[test]
fn more_edges_than_a_minute_may_have_and_minutes_that_went_are_counted() {
    let mut graph = Graph::new(Limits { edges: 3, edge_minutes: 5, ..Limits::default() });
    let at = |minute: u64, service: String| Span {
        start: Wall(NOW.0 + minute * 60 * SECOND),
        ..begun(1, 0, Kind::Server, &service, 1)
    };
    (0..10).for_each(|n| observed(&mut graph, [&at(0, format!("s{n}"))]));
    assert_eq!((all(&graph).len(), graph.losses().crowded), (3, 7));
    (0..3).for_each(|n| observed(&mut graph, [&at(1, format!("s{n}"))]));
    assert_eq!((all(&graph).len(), graph.losses().forgotten), (3, 3), "the older minute went");
    observed(&mut graph, [&at(0, "s0".into())]);
    assert_eq!(graph.losses().late, 1);
}

#[test]
fn a_time_range_is_that_of_whole_minutes_and_a_namespace_that_of_either_end() {
    let mut graph = Graph::new(Limits::default());
    let at = |minute: u64| Span {
        start: Wall(NOW.0 + minute * 60 * SECOND),
        ..begun(1, 0, Kind::Server, "shop", 1)
    };
    (0..5).for_each(|minute| observed(&mut graph, [&at(minute)]));
    let calls = |from: u64, to: u64| {
        let edges = graph.edges(Wall(NOW.0 + from * SECOND), Wall(NOW.0 + to * SECOND), Some("default"));
        edges.iter().map(|edge| edge.figures.calls).sum::<u64>()
    };
    assert_eq!((calls(0, 60), calls(59, 61), calls(60, 180), calls(0, 3_600), calls(60, 0)), (1, 2, 2, 5, 0));
    assert_eq!(graph.edges(Wall(0), Wall(u64::MAX), Some("elsewhere")), []);
}

#[test]
fn minutes_that_were_kept_are_put_back_and_what_changed_is_told_once() {
    let mut graph = Graph::new(Limits::default());
    observed(&mut graph, &[begun(2, 1, Kind::Client, "shop", 50), begun(3, 2, Kind::Server, "payments", 30)]);
    observed(&mut graph, [&begun(9, 0, Kind::Server, "shop", 1)]);
    let before = all(&graph);
    let changed = graph.take_changed();
    assert_eq!((changed.len(), graph.minutes().count(), graph.take_changed().len()), (2, 2, 0));
    graph.give_back(&changed);
    assert_eq!(graph.take_changed().len(), 2, "what could not be kept is told again");
    let mut restored = Graph::new(Limits::default());
    changed.into_iter().for_each(|minute| restored.restore(minute));
    assert_eq!(all(&restored), before);
    assert_eq!(restored.take_changed(), [], "what was kept has not changed");
}

#[test]
fn of_what_was_kept_and_what_is_recalled_the_one_with_more_calls_holds_and_none_counts_twice() {
    let calls = |graph: &Graph| all(graph).iter().map(|edge| edge.figures.calls).collect::<Vec<_>>();
    let spans: Vec<Span> = (1..=5).map(|id| begun(id, 0, Kind::Server, "shop", 1)).collect();
    let kept = |spans: &[Span]| {
        let mut graph = Graph::new(Limits::default());
        observed(&mut graph, spans);
        graph.take_changed()
    };
    let restart = |stored: &[Span], kept: Vec<EdgeMinute>| {
        let mut graph = Graph::new(Limits::default());
        stored.iter().for_each(|span| graph.recall(&Seen::of(span)));
        graph.recalled(Wall(NOW.0 + 3_600 * SECOND));
        kept.into_iter().for_each(|minute| graph.restore(minute));
        graph
    };
    assert_eq!(calls(&restart(&spans[..2], kept(&spans))), [5], "not all spans were stored");
    assert_eq!(calls(&restart(&spans, kept(&spans[..3]))), [5], "what came last was not kept");
    let mut graph = restart(&spans, kept(&spans));
    observed(&mut graph, [&begun(6, 0, Kind::Server, "shop", 1)]);
    assert_eq!(calls(&graph), [6], "it goes on from there");
}

#[test]
fn an_end_that_was_recalled_waits_for_the_rest_of_its_time_and_finds_what_comes_after_a_restart() {
    let mut graph = Graph::new(Limits::default());
    let late = begun(2, 1, Kind::Client, "shop", 50);
    let early = Span { start: Wall(NOW.0 - 300 * SECOND), ..begun(8, 1, Kind::Client, "shop", 50) };
    // Later spans come first: a store has them by the ids of traces.
    [&late, &early].into_iter().for_each(|span| graph.recall(&Seen::of(span)));
    assert_eq!(graph.waiting(), 2, "none is hurried by another one");
    graph.recalled(Wall(NOW.0 + SECOND));
    assert_eq!(graph.waiting(), 1);
    observed(&mut graph, [&begun(3, 2, Kind::Server, "payments", 30)]);
    assert_eq!(
        drawn(&graph),
        [
            "shop -call-> payments calls=1 errors=0 unpaired=0 proxied=0 max=50",
            "shop -call-> unknown: calls=1 errors=0 unpaired=1 proxied=0 max=50",
        ]
    );
}

#[test]
fn a_borrowed_span_tells_the_same_as_an_owned_one() {
    let spans = [
        proxied(3, 2, Kind::Server, 90),
        with(begun(2, 1, Kind::Client, "shop", 5), &[("db.system", "redis")]),
    ];
    for span in &spans {
        let borrowed = crate::borrowed::SpanRef::from(span);
        assert_eq!(Seen::of_borrowed(&borrowed, "default", span.service()), Seen::of(span));
    }
}

proptest! {
    /// What a call tree of instrumented services says of itself is what is drawn, in whatever order its spans
    /// come.
    #[test]
    fn every_call_is_one_call_of_its_edge(
        parents in prop::collection::vec((0..12_usize, 0..4_usize, any::<bool>()), 1..12),
        order in any::<prop::sample::Index>(),
    ) {
        let names = ["a", "b", "c", "d"];
        let mut spans = vec![begun(1, 0, Kind::Server, "a", 1)];
        let mut services = vec![0];
        let mut expected = std::collections::BTreeMap::from([("outside:".to_owned() + ">a", (1_u64, 0_u64))]);
        for (at, (parent, service, error)) in parents.into_iter().enumerate() {
            let parent = parent % services.len();
            let (client, server) = (100 + at as u64, 2 + at as u64);
            spans.push(begun(client, parent as u64 + 1, Kind::Client, names[services[parent]], 5));
            let callee = begun(server, client, Kind::Server, names[service], 3);
            spans.push(if error { failed(callee) } else { callee });
            let figures = expected.entry(format!("{}>{}", names[services[parent]], names[service])).or_default();
            figures.0 += 1;
            figures.1 += u64::from(error);
            services.push(service);
        }
        let middle = order.index(spans.len());
        spans.rotate_left(middle);
        let mut graph = Graph::new(Limits::default());
        observed(&mut graph, &spans);
        prop_assert!(all(&graph).iter().all(|edge| edge.key.kind == EdgeKind::Call && edge.figures.unpaired == 0));
        let found: std::collections::BTreeMap<String, (u64, u64)> = all(&graph).into_iter().map(|edge| {
            let from = if edge.key.from.kind == NodeKind::Outside { "outside:" } else { &edge.key.from.name };
            (format!("{from}>{}", edge.key.to.name), (edge.figures.calls, edge.figures.errors))
        }).collect();
        prop_assert_eq!(found, expected);
    }
}

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Trace;

fn assemble(spans: &[Span]) -> Trace {
    Trace::assemble(spans.iter().cloned().map(Arc::new)).unwrap()
}

fn shop() -> Vec<Span> {
    vec![
        span(1, 0, "shop", 100, 1_000),
        span(2, 1, "shop", 150, 400),
        span(3, 2, "payments", 200, 300),
        Span { status: Status::error("declined"), ..span(4, 3, "payments", 250, 100) },
    ]
}

#[test]
fn the_order_of_arrival_and_duplicates_do_not_matter() {
    let expected = assemble(&shop());
    let mut shuffled = shop();
    shuffled.reverse();
    shuffled.extend(shop());
    assert_eq!(assemble(&shuffled), expected);
    assert_eq!(expected.roots(), [0]);
    assert_eq!(expected.nodes()[2].parent, Some(1));
    assert_eq!(expected.nodes()[2].children, [3]);
    assert!(!expected.is_incomplete());
}

#[test]
fn a_summary_counts_spans_and_errors_per_service() {
    let summary = assemble(&shop()).summary();
    assert_eq!((summary.root_service.as_ref(), summary.root_operation.as_ref()), ("shop", "op-1"));
    assert_eq!((summary.start, summary.duration_ns), (Wall(100), 1_000));
    assert_eq!((summary.spans, summary.errors), (4, 1));
    let services: Vec<_> =
        summary.services.iter().map(|count| (count.service.as_ref(), count.spans, count.errors)).collect();
    assert_eq!(services, [("payments", 2, 1), ("shop", 2, 0)]);
}

#[test]
fn an_orphan_is_a_root_of_its_own_and_flags_the_trace() {
    let trace = assemble(&[span(1, 0, "shop", 100, 10), span(3, 2, "payments", 50, 10)]);
    assert!(trace.is_incomplete());
    assert_eq!(trace.roots().len(), 2);
    assert_eq!(trace.summary().root_service.as_ref(), "shop", "the real root speaks, though it began later");
    assert_eq!(trace.summary().duration_ns, 60);
}

#[test]
fn parents_in_a_circle_are_cut_at_the_earliest_span() {
    let trace = assemble(&[
        span(1, 3, "a", 10, 1),
        span(2, 1, "a", 20, 1),
        span(3, 2, "a", 30, 1),
        span(4, 3, "a", 40, 1),
        span(5, 5, "a", 50, 1),
    ]);
    assert!(trace.is_incomplete());
    assert_eq!(trace.roots(), [0, 4], "the earliest of the circle, and the span that is its own parent");
    assert_eq!(trace.nodes()[3].parent, Some(2));
}

#[test]
fn both_halves_of_a_shared_span_stay_and_the_server_is_the_child() {
    let client = Span { kind: Kind::Client, ..span(1, 0, "shop", 100, 100) };
    let server = Span { kind: Kind::Server, ..span(1, 0, "payments", 120, 50) };
    let below = span(2, 1, "payments", 130, 10);
    let trace = assemble(&[below, server, client]);
    assert_eq!(trace.nodes()[1].parent, Some(0));
    assert_eq!(trace.nodes()[2].parent, Some(1), "what is below was caused by the receiving half");
    assert!(!trace.is_incomplete());
}

#[test]
fn of_two_reports_of_one_span_the_longer_one_stays() {
    let trace = assemble(&[span(1, 0, "shop", 100, 10), span(1, 0, "shop", 100, 30)]);
    assert_eq!(trace.nodes().len(), 1);
    assert_eq!(trace.nodes()[0].span.duration_ns, 30);
}

#[test]
fn spans_of_another_trace_are_left_out_and_no_spans_make_no_trace() {
    let stranger = Span { trace_id: TraceId::new(2).unwrap(), ..span(9, 0, "shop", 1, 1) };
    assert_eq!(assemble(&[span(1, 0, "shop", 100, 10), stranger]).nodes().len(), 1);
    assert_eq!(Trace::assemble([]), None);
}

proptest! {
    #[test]
    fn every_span_stands_exactly_once_below_exactly_one_root(
        spans in prop::collection::vec((1..20_u64, 0..25_u64, 0..100_u64, 0..100_u64), 1..40)
    ) {
        let spans: Vec<Span> =
            spans.into_iter().map(|(id, parent, start, length)| span(id, parent, "s", start, length)).collect();
        let trace = assemble(&spans);
        let mut visited = vec![false; trace.nodes().len()];
        let mut stack = trace.roots().to_vec();
        while let Some(at) = stack.pop() {
            prop_assert!(!std::mem::replace(&mut visited[at], true));
            for child in &trace.nodes()[at].children {
                prop_assert_eq!(trace.nodes()[*child].parent, Some(at));
                stack.push(*child);
            }
        }
        prop_assert!(visited.into_iter().all(|visited| visited));
    }
}

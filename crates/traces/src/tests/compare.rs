use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    CriticalPath, Rules, Trace,
    compare::{Comparison, Of, Profile, compare},
};

/// A call of a shop that takes `shop` itself, `wire` on the way and `payments` there.
fn call(id: u128, shop: u64, wire: u64, payments: u64) -> Trace {
    let of = |mut span: Span, kind| {
        span.trace_id = TraceId::new(id).unwrap();
        Arc::new(Span { kind, ..span })
    };
    let client = wire + payments;
    Trace::assemble([
        of(span(1, 0, "shop", 100, shop + client), Kind::Server),
        of(span(2, 1, "shop", 100 + shop, client), Kind::Client),
        of(span(3, 2, "payments", 100 + shop + wire, payments), Kind::Server),
    ])
    .unwrap()
}

fn profile(traces: &[Trace]) -> Profile {
    let mut profile = Profile::default();
    traces.iter().for_each(|trace| profile.add(trace, &CriticalPath::of(trace, &Rules::default())));
    profile
}

fn told(comparison: &Comparison) -> Vec<(String, i64)> {
    let name = |of: &Of| match of {
        Of::Operation { service, operation, .. } => format!("{service} {operation}"),
        Of::Wire => "wire".to_owned(),
    };
    comparison.changes.iter().map(|change| (name(&change.of), change.difference_ns())).collect()
}

#[test]
fn two_calls_differ_by_what_each_service_and_the_wire_took() {
    let comparison = compare(&profile(&[call(1, 50, 10, 40)]), &profile(&[call(2, 45, 30, 140)]));
    assert_eq!((comparison.before_ns, comparison.after_ns), (100, 215));
    let expected = [("payments op-3", 100), ("wire", 20), ("shop op-1", -5)];
    assert_eq!(told(&comparison), expected.map(|(name, difference)| (name.to_owned(), difference)));
    let first = &comparison.changes[0];
    assert_eq!((first.examples, first.uncertainty_ns), ((TraceId::new(1), TraceId::new(2)), 0));
}

#[test]
fn a_set_shows_means_their_uncertainty_and_traces_to_look_at() {
    let before = [call(1, 50, 0, 40), call(2, 50, 0, 60), call(3, 50, 0, 50)];
    let after = [call(4, 50, 0, 100), call(5, 50, 0, 110)];
    let comparison = compare(&profile(&before), &profile(&after));
    let payments = &comparison.changes[0];
    assert_eq!((payments.before_ns, payments.after_ns, payments.traces), (50, 105, (3, 2)));
    assert_eq!(payments.examples, (TraceId::new(3), TraceId::new(5)), "the typical one, and the worst one");
    // √(100/3 + 50/2)
    assert_eq!(payments.uncertainty_ns, 8);
}

#[test]
fn what_is_only_in_one_set_came_or_went() {
    let without = Trace::assemble([Arc::new(span(1, 0, "shop", 0, 90))]).unwrap();
    let comparison = compare(&profile(&[without]), &profile(&[call(2, 90, 0, 30)]));
    assert_eq!(told(&comparison)[0], ("payments op-3".to_owned(), 30));
    assert_eq!((comparison.changes[0].traces, comparison.changes[0].examples.0), ((0, 1), None));
    let nothing = compare(&Profile::default(), &Profile::default());
    assert_eq!((nothing.changes.len(), nothing.before_ns), (0, 0));
}

proptest! {
    #[test]
    fn the_changes_are_together_the_change_of_the_mean_duration(
        before in prop::collection::vec((0..1_000_u64, 0..100_u64, 1..1_000_u64), 0..12),
        after in prop::collection::vec((0..1_000_u64, 0..100_u64, 1..1_000_u64), 0..12),
    ) {
        let of = |set: &[(u64, u64, u64)]| {
            let traces: Vec<Trace> = (1_u128..).zip(set).map(|(id, of)| call(id, of.0, of.1, of.2)).collect();
            profile(&traces)
        };
        let comparison = compare(&of(&before), &of(&after));
        let sums = comparison.changes.iter().fold((0, 0), |(one, other), change| {
            (one + change.before_ns, other + change.after_ns)
        });
        prop_assert_eq!(sums, (comparison.before_ns, comparison.after_ns));
    }
}

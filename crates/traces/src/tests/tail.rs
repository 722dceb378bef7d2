use std::{collections::BTreeMap, time::Duration};

use identity::{Mono, TraceId};
use proptest::prelude::*;

use crate::sampling::{Decided, Glimpse, Ratio, Tail, TailPolicy, Verdict};

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Mono {
    Mono(seconds * SECOND)
}

fn trace(id: u128) -> TraceId {
    TraceId::new(id).unwrap()
}

/// A frequent, fast span without any failure.
fn glimpse(id: u128) -> Glimpse {
    Glimpse { trace_id: trace(id), is_root: true, is_error: false, duration_ns: 1, operation: 1 }
}

/// Keeps no share, and knows no rare operation.
fn strict() -> TailPolicy {
    TailPolicy { ratio: Ratio::NONE, rare_below: 0, ..TailPolicy::default() }
}

fn verdicts(decided: &[Decided]) -> Vec<(u128, Verdict)> {
    decided.iter().map(|of| (of.trace_id.get(), of.verdict)).collect()
}

#[test]
fn a_trace_is_decided_when_its_root_is_there_and_nothing_more_comes() {
    let mut tail = Tail::new(strict());
    assert_eq!(tail.observe(&Glimpse { is_root: false, ..glimpse(1) }, at(0)), None);
    assert_eq!(tail.advance(at(6)), [], "without its root it waits");
    tail.observe(&glimpse(1), at(7));
    assert_eq!(tail.advance(at(11)), [], "something came four seconds ago");
    let decided = Decided { trace_id: trace(1), verdict: Verdict::SampledOut, spans: 2, complete: true };
    assert_eq!(tail.advance(at(16)), [decided]);
    assert_eq!(tail.next_deadline(), None);
}

#[test]
fn a_trace_whose_root_never_comes_is_decided_all_the_same_and_said_to_be_a_part() {
    let mut tail = Tail::new(strict());
    let decided = (0..40).find_map(|second| {
        tail.observe(&Glimpse { is_root: false, is_error: true, ..glimpse(1) }, at(second));
        Some((second, tail.advance(at(second)).pop()?))
    });
    let (second, decided) = decided.unwrap();
    assert_eq!((decided.verdict, decided.complete), (Verdict::Error, false));
    assert!((30..=35).contains(&second), "{second}");
}

#[test]
fn failures_slow_ones_and_rare_ones_are_kept_of_the_rest_a_share() {
    let mut tail =
        Tail::new(TailPolicy { ratio: Ratio::new(0.5).unwrap(), rare_below: 1, ..TailPolicy::default() });
    let high = (1 << 56) - 1;
    tail.observe(&glimpse(9), at(0));
    tail.observe(&Glimpse { is_error: true, ..glimpse(1) }, at(0));
    tail.observe(&Glimpse { duration_ns: SECOND, ..glimpse(2) }, at(0));
    tail.observe(&Glimpse { operation: 2, ..glimpse(3) }, at(0));
    tail.observe(&glimpse(4), at(0));
    tail.observe(&glimpse(high), at(0));
    let expected = [
        (9, Verdict::Rare),
        (1, Verdict::Error),
        (2, Verdict::Slow),
        (3, Verdict::Rare),
        (4, Verdict::SampledOut),
        (high, Verdict::Share),
    ];
    assert_eq!(verdicts(&tail.advance(at(10))), expected);
}

#[test]
fn a_flood_of_failures_takes_no_place_of_slow_ones() {
    let mut tail = Tail::new(TailPolicy { errors_per_second: 3, slow_per_second: 2, ..strict() });
    for id in 1..=100 {
        tail.observe(&Glimpse { is_error: true, ..glimpse(id) }, at(0));
    }
    tail.observe(&Glimpse { duration_ns: 2 * SECOND, ..glimpse(101) }, at(0));
    let decided = tail.advance(at(10));
    let count = |verdict| decided.iter().filter(|of| of.verdict == verdict).count();
    assert_eq!((count(Verdict::Error), count(Verdict::Slow), count(Verdict::SampledOut)), (3, 1, 97));
}

#[test]
fn a_late_span_follows_its_trace_and_a_pinned_trace_is_kept_whatever_it_is() {
    let mut tail = Tail::new(strict());
    assert!(tail.pin(trace(2)));
    (1..=3).for_each(|id| assert_eq!(tail.observe(&glimpse(id), at(0)), None));
    let expected = [(1, Verdict::SampledOut), (2, Verdict::Pinned), (3, Verdict::SampledOut)];
    assert_eq!(verdicts(&tail.advance(at(10))), expected);
    let late = tail.observe(&Glimpse { is_error: true, ..glimpse(1) }, at(11)).unwrap();
    assert_eq!((late.verdict, late.spans), (Verdict::SampledOut, 1));
    tail.pin(trace(3));
    assert_eq!(tail.observe(&glimpse(3), at(11)).unwrap().verdict, Verdict::Pinned);
    tail.unpin(trace(3));
    assert_eq!(tail.observe(&glimpse(3), at(11)).unwrap().verdict, Verdict::SampledOut);
}

#[test]
fn where_too_many_wait_the_oldest_is_decided_early_and_counted() {
    let mut tail = Tail::new(TailPolicy { waiting: 2, ..strict() });
    tail.observe(&glimpse(1), at(0));
    tail.observe(&glimpse(2), at(0));
    assert_eq!(tail.observe(&glimpse(3), at(0)).unwrap().trace_id, trace(1));
    let counts = tail.counts();
    assert_eq!((counts.waiting, counts.waiting_spans, counts.hurried), (2, 2, 1));
    assert_eq!(tail.hurry(1, at(0)).len(), 1);
    assert_eq!((tail.counts().waiting_spans, tail.counts().hurried), (1, 2));
}

proptest! {
    /// The ledger: whatever comes, each span is decided about once or waits.
    #[test]
    fn every_span_is_decided_about_once(
        spans in prop::collection::vec((1..12_u128, any::<bool>(), any::<bool>(), 0..9_u64, 0..3_u64), 1..200),
        waiting in 1..6_usize,
        remembered in 0..6_usize,
    ) {
        let mut tail = Tail::new(TailPolicy {
            waiting, remembered, errors_per_second: 1, others_per_second: 1, quiet: Duration::from_secs(2),
            ..TailPolicy::default()
        });
        let (mut now, mut told, mut received) = (0, BTreeMap::<bool, u64>::new(), 0);
        let mut tell = |decided: Decided| *told.entry(decided.verdict.keeps()).or_default() += decided.spans;
        for (id, is_root, is_error, pause, operation) in spans {
            now += pause;
            tail.advance(at(now)).into_iter().for_each(&mut tell);
            let span = Glimpse { trace_id: trace(id), is_root, is_error, duration_ns: 1, operation };
            tail.observe(&span, at(now)).into_iter().for_each(&mut tell);
            received += 1;
            prop_assert!(tail.counts().waiting <= waiting as u64);
        }
        let waiting = tail.counts().waiting_spans;
        prop_assert_eq!(told.values().sum::<u64>() + waiting, received);
        let rest: u64 = tail.advance(at(now + 60)).into_iter().map(|decided| decided.spans).sum();
        prop_assert_eq!((rest, tail.counts().waiting, tail.counts().waiting_spans), (waiting, 0, 0));
    }
}

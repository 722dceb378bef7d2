use std::sync::atomic::AtomicBool;

use monitoring::promql::{Answer, Evaluator, Limits, Query, parse};

use super::*;

/// A batch of calls of one service, so many of 3 ms each.
fn calls(service: &str, count: u64, second: u64) -> Batch {
    Batch {
        received_at: seconds(second),
        received: 1,
        rows: vec![(key(service, Outcome::Ok), durations((0..count).map(|_| 3_000_000)))],
        ..Batch::default()
    }
}

fn ask(store: &Samples, source: &str, at: u64, now: u64) -> Vec<(String, f64)> {
    let (flag, expr, history) = (AtomicBool::new(false), parse(source).unwrap(), store.history(seconds(now)));
    let time = i64::try_from(seconds(at).0 / 1_000_000).unwrap();
    let query = Query { expr: &expr, start: time, end: time, step: None };
    let Answer::Vector(found) = Evaluator::new(&history, Limits::default(), &flag).answer(query).unwrap()
    else {
        panic!("series")
    };
    found.into_iter().map(|(labels, point)| (labels.to_string(), point.value)).collect()
}

fn one(store: &Samples, source: &str, at: u64, now: u64) -> f64 {
    let found = ask(store, source, at, now);
    assert_eq!(found.len(), 1, "{source}: {found:?}");
    found[0].1
}

fn filled() -> Samples {
    let store = open(&FaultyDisk::new(1));
    for (count, second) in [(4, 3), (6, 14), (10, 40)] {
        store.accept(calls("shop", count, second)).wait().unwrap();
    }
    store
}

#[test]
fn counters_have_the_sum_of_all_slots_until_then() {
    let store = filled();
    for (at, calls) in [(0, 0.0), (9, 0.0), (10, 4.0), (20, 10.0), (49, 10.0), (50, 20.0), (300, 20.0)] {
        assert_eq!(one(&store, "bellwether_calls_total", at, 400), calls, "at {at}");
    }
    assert_eq!(
        one(&store, "increase(bellwether_calls_total[50s])", 50, 400),
        20.0,
        "the first calls are an increase"
    );
    let labels = &ask(&store, "bellwether_calls_total", 50, 60)[0].0;
    assert!(
        labels.starts_with("bellwether_calls_total{caller=\"gateway\", instance=\"one\", namespace="),
        "{labels}"
    );
}

#[test]
fn what_was_counted_in_the_slot_that_is_not_over_is_there_at_once() {
    let store = filled();
    assert_eq!(one(&store, "bellwether_calls_total", 41, 41), 20.0);
    assert_eq!(one(&store, "bellwether_calls_total", 40, 41), 10.0, "not before it began");
    assert_eq!(one(&store, "bellwether_calls_total", 100, 41), 20.0, "nothing is known of what comes");
}

#[test]
fn histograms_have_buckets_a_sum_and_a_count() {
    let store = filled();
    let total = "bellwether_call_duration_seconds";
    assert_eq!(one(&store, &format!("{total}_count"), 60, 60), 20.0);
    assert_eq!(one(&store, &format!("{total}_sum"), 60, 60), 0.06);
    assert_eq!(one(&store, &format!("{total}_bucket{{le='0.0025'}}"), 60, 60), 0.0);
    assert_eq!(one(&store, &format!("{total}_bucket{{le='0.005'}}"), 60, 60), 20.0);
    assert_eq!(one(&store, &format!("{total}_bucket{{le='+Inf'}}"), 60, 60), 20.0);
    assert_eq!(ask(&store, &format!("{total}_bucket"), 60, 60).len(), 17);
    let median = one(&store, &format!("histogram_quantile(0.5, rate({total}_bucket[50s]))"), 50, 60);
    assert!((0.0025..=0.005).contains(&median), "{median}");
}

#[test]
fn matchers_choose_services_as_well_as_figures() {
    let store = filled();
    store.accept(calls("cart", 1, 41)).wait().unwrap();
    assert_eq!(ask(&store, "bellwether_calls_total", 60, 60).len(), 2);
    assert_eq!(ask(&store, "{service='cart'}", 60, 60).len(), 20);
    assert_eq!(ask(&store, "{service!~'c.*',__name__=~'.+_(sum|count)'}", 60, 60).len(), 2);
    assert_eq!(ask(&store, "sum by (service) (bellwether_calls_total{status='2xx'})", 60, 60).len(), 2);
    assert_eq!(ask(&store, "up", 60, 60).len(), 0);
}

#[test]
fn the_totals_of_before_the_hour_stay() {
    let store = filled();
    store.accept(calls("shop", 5, 7_200)).wait().unwrap();
    assert_eq!(one(&store, "bellwether_calls_total", 7_100, 7_300), 20.0);
    assert_eq!(one(&store, "bellwether_calls_total", 7_300, 7_300), 25.0);
    assert_eq!(one(&store, "increase(bellwether_calls_total[10m])", 7_300, 7_300), 5.0);
}

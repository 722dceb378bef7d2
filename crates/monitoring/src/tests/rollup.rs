use std::time::Duration;

use identity::{InstanceId, Wall};
use proptest::prelude::*;

use super::histogram;
use crate::{
    By, CallKey, ExponentialHistogram, OVERFLOW, Outcome, RedQuery, RedRow, Reporter, Rollup, RollupSettings,
    SeriesKey, StatusClass, Total, packed,
};

fn key(caller: &str, service: &str, outcome: Outcome) -> CallKey {
    CallKey {
        namespace: Default::default(),
        caller: caller.parse().unwrap(),
        service: service.parse().unwrap(),
        instance: Some(InstanceId::new("one").unwrap()),
        route: Default::default(),
        reporter: Reporter::Source,
        outcome,
        status: StatusClass::None,
    }
}

fn seconds(seconds: u64) -> Wall {
    Wall(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
}

fn red(rollup: &Rollup, window: u64, by: By, now: Wall) -> Vec<RedRow> {
    let window = Duration::from_secs(window);
    rollup.red(&RedQuery { namespace: None, window, reporter: Reporter::Source, by }, now)
}

fn rollup() -> Rollup {
    Rollup::new(RollupSettings::default())
}

#[test]
fn a_row_of_each_instance_counts_its_calls_and_those_that_reached_nobody() {
    let mut rollup = rollup();
    let mut add = |instance: Option<&str>, outcome, calls: usize| {
        let instance = instance.map(|id| InstanceId::new(id).unwrap());
        let key = CallKey { instance, ..key("gateway", "shop", outcome) };
        rollup.add(key, &histogram(&vec![0.1; calls]), seconds(3), seconds(4));
    };
    add(Some("one"), Outcome::Ok, 3);
    add(Some("two"), Outcome::Error, 2);
    add(None, Outcome::Refused, 4);
    let rows: Vec<_> = red(&rollup, 60, By::Instance, seconds(5))
        .into_iter()
        .map(|row| (row.instance.map(String::from), row.calls, row.errors, row.refused))
        .collect();
    let of = |id: &str| Some(id.to_owned());
    assert_eq!(rows, [(None, 4, 0, 4), (of("one"), 3, 0, 0), (of("two"), 2, 2, 0)]);
}

#[test]
fn failing_since_is_the_beginning_of_failures_that_are_not_over() {
    let mut rollup = rollup();
    let mut add = |at, outcome, calls: usize| {
        rollup.add(key("gateway", "shop", outcome), &histogram(&vec![0.1; calls]), seconds(at), seconds(at));
    };
    for at in [5, 15, 25, 65, 75] {
        add(at, Outcome::Ok, 10);
    }
    add(5, Outcome::Error, 10);
    add(25, Outcome::Cancelled, 90);
    // Nobody called between 30 and 60; the second failure is too few of its slot's calls to be one.
    add(45, Outcome::Timeout, 1);
    add(65, Outcome::Refused, 10);
    add(75, Outcome::Error, 1);
    let since = |service, above, recovered| {
        rollup.failing_since(&Default::default(), service, Reporter::Source, above, recovered)
    };
    assert_eq!(
        since("shop", 0.2, 12),
        Some(seconds(40)),
        "the slot of the first failure after the good ones"
    );
    assert_eq!(since("shop", 0.05, 1), Some(seconds(40)), "which goes on while enough of them fail");
    assert_eq!(since("shop", 0.99, 32), Some(seconds(40)), "and ends with a slot of which enough succeeded");
    assert_eq!(since("shop", 0.2, 11), None, "it is over when enough calls have come after it");
    assert_eq!(since("shop", 0.2, 21), Some(seconds(0)), "and fewer between two failures are luck");
    assert_eq!(since("cart", 0.2, 5), None);
}

#[test]
fn a_row_counts_calls_by_how_they_ended() {
    let mut rollup = rollup();
    let mut add = |outcome, durations: &[f64]| {
        rollup.add(key("gateway", "shop", outcome), &histogram(durations), seconds(3), seconds(4));
    };
    add(Outcome::Ok, &[0.1; 6]);
    add(Outcome::Error, &[0.2]);
    add(Outcome::Timeout, &[0.9]);
    add(Outcome::Refused, &[0.0; 3]);
    add(Outcome::Cancelled, &[0.1]);
    let rows = red(&rollup, 60, By::Service, seconds(5));
    let row = &rows[0];
    assert_eq!((rows.len(), row.service.as_ref(), row.caller.as_deref()), (1, "shop", None));
    assert_eq!((row.calls, row.errors, row.refused, row.cancelled), (12, 2, 3, 1));
    assert_eq!(row.error_ratio(), 5.0 / 11.0);
    assert_eq!(row.mean_ns(), Some(200_000_000), "refused calls take no time");
    assert_eq!(row.durations.max(), Some(0.9));
    // 1,700,000,000 s is a multiple of ten, so five of the sixty seconds' last slot have passed.
    assert_eq!(row.covered, Duration::from_secs(55));
    assert_eq!(row.rate(), 12.0 / 55.0);
}

#[test]
fn edges_are_told_apart_by_their_caller() {
    let mut rollup = rollup();
    for caller in ["gateway", "shop", "gateway"] {
        rollup.add(key(caller, "payments", Outcome::Ok), &histogram(&[0.1]), seconds(1), seconds(1));
    }
    let edges: Vec<_> = red(&rollup, 60, By::Edge, seconds(2))
        .into_iter()
        .map(|row| (row.caller.unwrap_or_default(), row.calls))
        .collect();
    assert_eq!(edges, [("gateway".into(), 2), ("shop".into(), 1)]);
}

#[test]
fn a_window_holds_its_slots_and_no_others() {
    let mut rollup = rollup();
    for second in [5, 15, 25] {
        rollup.add(key("gateway", "shop", Outcome::Ok), &histogram(&[0.1]), seconds(second), seconds(second));
    }
    let calls = |window, now| {
        red(&rollup, window, By::Service, seconds(now)).iter().map(|row| row.calls).sum::<u64>()
    };
    assert_eq!([calls(1, 25), calls(10, 29), calls(11, 29), calls(30, 29)], [1, 1, 2, 3]);
    assert_eq!(calls(10, 30), 0);
    assert_eq!(calls(u64::MAX, 3_599), 3, "an hour is the most");
    assert_eq!(calls(u64::MAX, 3_600), 2);
}

#[test]
fn calls_of_another_namespace_or_counted_on_the_other_side_are_left_out() {
    let mut rollup = rollup();
    let there = CallKey { reporter: Reporter::Destination, ..key("gateway", "shop", Outcome::Ok) };
    rollup.add(there, &histogram(&[0.1]), seconds(1), seconds(1));
    assert!(red(&rollup, 60, By::Service, seconds(1)).is_empty());
    rollup.add(key("gateway", "shop", Outcome::Ok), &histogram(&[0.1]), seconds(1), seconds(1));
    let query = RedQuery {
        namespace: Some("other".parse().unwrap()),
        window: Duration::from_secs(60),
        reporter: Reporter::Source,
        by: By::Service,
    };
    assert!(rollup.red(&query, seconds(1)).is_empty());
}

#[test]
fn series_beyond_the_budget_are_counted_in_one_that_says_so() {
    let mut rollup = Rollup::new(RollupSettings { max_series: 2 });
    for service in ["a", "b", "c", "d", "a"] {
        rollup.add(key("gateway", service, Outcome::Ok), &histogram(&[0.1]), seconds(1), seconds(1));
    }
    let rows: Vec<_> = red(&rollup, 60, By::Service, seconds(1))
        .into_iter()
        .map(|row| (row.service.into_string(), row.calls))
        .collect();
    assert_eq!(rows, [(OVERFLOW.to_owned(), 2), ("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!((rollup.folded(), rollup.len()), (2, 3));
}

#[test]
fn series_idle_for_an_hour_make_room_and_their_calls_stay_in_the_totals() {
    let mut rollup = Rollup::new(RollupSettings { max_series: 1 });
    let mut add = |service, second| {
        let at = seconds(second);
        rollup.add(key("gateway", service, Outcome::Ok), &histogram(&[0.1]), at, at);
    };
    add("old", 0);
    add("new", 3_600);
    let mut totals: Vec<(String, u64)> = rollup
        .totals()
        .map(|(key, total)| match key {
            SeriesKey::Calls(key) => (key.service.to_string(), total.calls()),
            SeriesKey::Overflow { .. } => (OVERFLOW.to_owned(), total.calls()),
        })
        .collect();
    totals.sort();
    assert_eq!(totals, [(OVERFLOW.to_owned(), 1), ("new".to_owned(), 1)]);
}

#[test]
fn a_delta_from_the_future_counts_now_and_one_too_old_in_the_totals_only() {
    let mut rollup = rollup();
    let mut add =
        |at| rollup.add(key("gateway", "shop", Outcome::Ok), &histogram(&[0.1]), at, seconds(7_200));
    add(seconds(90_000));
    add(seconds(1));
    assert_eq!(red(&rollup, 10, By::Service, seconds(7_201))[0].calls, 1);
    assert_eq!(rollup.late(), 1);
    assert_eq!(rollup.totals().map(|(_, total)| total.calls()).sum::<u64>(), 2);
}

proptest! {
    #[test]
    fn a_slot_comes_back_as_it_was_packed(nanos in prop::collection::vec(0..10_000_000_000_u64, 0..200)) {
        let mut histogram = ExponentialHistogram::new();
        nanos.iter().for_each(|nanos| histogram.record_nanos(*nanos));
        let sum_ns: u128 = nanos.iter().map(|nanos| u128::from(*nanos)).sum();
        let total = Total::from_parts(histogram, sum_ns);
        let mut back = Total::from_parts(super::histogram(&[1.0, 2.0, 3.0]), 1);
        packed::unpack_into(&packed::pack(&total), &mut back);
        prop_assert!(back.histogram().buckets().eq(total.histogram().buckets()));
        prop_assert_eq!(back.sum_ns(), sum_ns);
        prop_assert_eq!(back.calls(), total.calls());
        prop_assert_eq!((back.histogram().min(), back.histogram().max()),
            (total.histogram().min(), total.histogram().max()));
    }

    #[test]
    fn windows_equal_a_scan_and_survive_a_snapshot(
        calls in prop::collection::vec((0..3_u8, 0..5_usize, 0..5_000_u64, 1..1_000_000_000_u64), 1..80),
        window in 1..4_000_u64,
    ) {
        let mut rollup = rollup();
        let mut calls = calls;
        calls.sort_by_key(|call| call.2);
        for (service, outcome, second, nanos) in &calls {
            let mut delta = ExponentialHistogram::new();
            delta.record_nanos(*nanos);
            let key = key("gateway", &format!("s{service}"), Outcome::ALL[*outcome]);
            rollup.add(key, &delta, seconds(*second), seconds(*second));
        }
        let now = calls[calls.len() - 1].2;
        let slots = window.div_ceil(10).min(360);
        let inside = |second: u64| now / 10 - second / 10 < slots;
        let rows = red(&rollup, window, By::Service, seconds(now));
        for service in 0..3 {
            let row = rows.iter().find(|row| row.service.as_ref() == format!("s{service}"));
            let mine = || calls.iter().filter(|call| call.0 == service && inside(call.2));
            prop_assert_eq!(row.map_or(0, |row| row.calls), mine().count() as u64);
            let sum: u64 = mine().filter(|call| call.1 != 3).map(|call| call.3).sum();
            prop_assert_eq!(row.map_or(0, |row| row.sum_ns), u128::from(sum));
        }

        let mut restored = Rollup::new(RollupSettings::default());
        rollup.states().for_each(|state| restored.restore(state));
        prop_assert_eq!(red(&restored, window, By::Service, seconds(now)).len(), rows.len());
        for (row, again) in rows.iter().zip(red(&restored, window, By::Service, seconds(now))) {
            prop_assert_eq!((row.calls, row.errors, row.sum_ns), (again.calls, again.errors, again.sum_ns));
            prop_assert!(row.durations.buckets().eq(again.durations.buckets()));
        }
        let totals = |rollup: &Rollup| rollup.totals().map(|(_, total)| total.sum_ns()).sum::<u128>();
        prop_assert_eq!(totals(&rollup), totals(&restored));
    }
}

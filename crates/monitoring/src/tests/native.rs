use proptest::prelude::*;

use super::histogram;
use crate::{ExponentialHistogram, NativeHistogram, NativeParts, ResetHint, bounds, series::STALE, spanned};

/// The histogram of these values, counted one by one.
fn counted(values: &[f64], schema: i8, zero_threshold: f64) -> NativeHistogram {
    let side = |sign: f64| {
        let mut counts = std::collections::BTreeMap::new();
        for value in values.iter().map(|value| value * sign).filter(|value| *value > zero_threshold) {
            *counts.entry(bounds::index(value, schema) + 1).or_insert(0.0) += 1.0;
        }
        counts.into_iter().collect()
    };
    let zeros = values.iter().filter(|value| value.abs() <= zero_threshold).count();
    NativeHistogram::from_parts(NativeParts {
        schema: schema.into(),
        zero_threshold,
        zero_count: zeros as f64,
        count: values.len() as f64,
        sum: values.iter().sum(),
        positive: side(1.0),
        negative: side(-1.0),
        hint: ResetHint::Unknown,
    })
    .unwrap()
}

/// 1 value up to 1, 2 up to 2 and 1 up to 4.
fn four() -> NativeHistogram {
    let positive = vec![(0, 1.0), (1, 2.0), (2, 1.0)];
    NativeHistogram::from_parts(NativeParts { count: 4.0, sum: 5.0, positive, ..NativeParts::default() })
        .unwrap()
}

#[test]
fn questions_are_answered_as_prometheus_does() {
    let four = four();
    assert_eq!((four.quantile(0.5), four.quantile(1.0), four.quantile(0.0)), (1.5, 4.0, 0.5));
    assert_eq!((four.quantile(-0.1), four.quantile(1.1)), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(four.quantile(f64::NAN).is_nan() && four.fraction(f64::NAN, 1.0).is_nan());
    assert_eq!((four.fraction(1.0, 2.0), four.fraction(0.0, 8.0), four.fraction(2.0, 1.0)), (0.5, 1.0, 0.0));
    assert_eq!((four.fraction(1.5, 3.0), four.fraction(-8.0, 0.75)), (0.375, 0.125));
    assert_eq!((four.average(), four.cumulative(&[0.5, 1.0, 3.0, 4.0])), (1.25, vec![0.0, 1.0, 3.0, 4.0]));
    let middles = [(0.5_f64.sqrt(), 1.0), (2_f64.sqrt(), 2.0), (8_f64.sqrt(), 1.0)];
    let variance = middles.map(|(middle, count)| count * (middle - 1.25).powi(2)).iter().sum::<f64>() / 4.0;
    assert!((four.variance() - variance).abs() < 1e-12);
}

#[test]
fn nothing_has_no_quantile_no_share_and_no_average() {
    let nothing = counted(&[], 3, 0.0);
    assert!(
        nothing.quantile(0.5).is_nan() && nothing.fraction(0.0, 1.0).is_nan() && nothing.average().is_nan()
    );
    assert_eq!(nothing.buckets().count(), 0);
}

#[test]
fn values_that_are_no_number_count_and_are_in_no_bucket() {
    let mut parts = four().into_parts();
    parts.count = 8.0;
    let histogram = NativeHistogram::from_parts(parts).unwrap();
    assert_eq!((histogram.quantile(0.25), histogram.quantile(0.9)), (1.5, 4.0));
    assert_eq!(histogram.fraction(1.0, 2.0), 0.25);
}

#[test]
fn a_zero_bucket_is_on_the_side_of_the_others() {
    let above = counted(&[0.0, 0.0, 3.0, 3.0], 0, 0.5);
    assert_eq!((above.quantile(0.25), above.fraction(-1.0, 0.25)), (0.25, 0.25));
    let below = counted(&[0.0, 0.0, -3.0, -3.0], 0, 0.5);
    assert_eq!((below.quantile(0.75), below.fraction(-0.25, 1.0)), (-0.25, 0.25));
    let both = counted(&[0.0, 0.0, -3.0, 3.0], 0, 0.5);
    assert_eq!((both.quantile(0.5), both.quantile(0.0), both.quantile(1.0)), (0.0, -4.0, 4.0));
    assert!((both.variance() - 2.0 * 8.0 / 4.0).abs() < 1e-12);
    let bounds: Vec<_> =
        both.buckets().map(|bucket| (bucket.lower, bucket.upper, bucket.holds_lower)).collect();
    assert_eq!(bounds, [(-4.0, -2.0, true), (-0.5, 0.5, true), (2.0, 4.0, false)]);
}

#[test]
fn a_bucket_that_reaches_into_the_zero_bucket_begins_where_that_ends() {
    let mut parts = four().into_parts();
    parts.zero_threshold = 0.75;
    let histogram = NativeHistogram::from_parts(parts).unwrap();
    assert_eq!(histogram.buckets().next().map(|bucket| (bucket.lower, bucket.upper)), Some((0.75, 1.0)));
}

#[test]
fn the_last_buckets_end_at_the_largest_number_and_at_infinity() {
    for schema in -4..=8 {
        let last = bounds::index(f64::MAX, schema) + 1;
        let positive = vec![(last, 1.0), (last + 1, 1.0)];
        let parts = NativeParts {
            schema: schema.into(),
            count: 2.0,
            sum: f64::INFINITY,
            positive,
            ..NativeParts::default()
        };
        let mut histogram = NativeHistogram::from_parts(parts).unwrap();
        for coarser in (-4..=schema).rev() {
            histogram.coarsen(coarser);
            let ends: Vec<_> = histogram.buckets().map(|bucket| bucket.upper).collect();
            assert_eq!(ends, [f64::MAX, f64::INFINITY], "schema {schema} at {coarser}");
        }
    }
}

#[test]
fn parts_that_make_no_histogram_are_refused_by_name() {
    let wrong = |change: fn(&mut NativeParts)| {
        let mut parts = four().into_parts();
        change(&mut parts);
        NativeHistogram::from_parts(parts).map(drop).unwrap_err().to_string()
    };
    assert!(wrong(|parts| parts.schema = -5).starts_with("schema"));
    assert!(wrong(|parts| parts.schema = 21).starts_with("schema"));
    assert!(wrong(|parts| parts.zero_threshold = f64::NAN).starts_with("zero threshold"));
    assert!(wrong(|parts| parts.zero_count = -1.0).starts_with("count"));
    assert!(wrong(|parts| parts.count = f64::INFINITY).starts_with("count"));
    assert!(wrong(|parts| parts.count = 3.0).contains("at least what all buckets count"));
    assert!(wrong(|parts| parts.positive[1].0 = 0).contains("ascending"));
    assert!(wrong(|parts| parts.positive[1].1 = -1.0).contains("not negative"));
    assert!(wrong(|parts| parts.positive[2].0 = 2_000).contains("floating-point"));
    assert!(wrong(|parts| parts.positive = (0..70_000).map(|at| (at, 0.0)).collect()).contains("65536"));
}

#[test]
fn spans_say_which_buckets_there_are() {
    let buckets = spanned([(-2, 2), (1, 1), (0, 1)], [1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(buckets, [(-2, 1.0), (-1, 2.0), (1, 3.0), (2, 4.0)]);
    assert_eq!(spanned([], []).unwrap(), []);
    for (spans, counts) in [
        (vec![(0, 2)], 1),
        (vec![(0, 1)], 2),
        (vec![(0, 1), (-1, 1)], 2),
        (vec![(i32::MAX, 1), (1, 1)], 2),
        (vec![(0, u32::MAX)], 3),
    ] {
        assert!(spanned(spans.iter().copied(), vec![1.0; counts]).is_err(), "{spans:?}");
    }
}

#[test]
fn a_counter_that_began_anew_is_seen_and_believed() {
    let before = counted(&[0.0, 1.0, 2.0, 3.0], 2, 0.01);
    let reset = |values: &[f64], schema, zero| counted(values, schema, zero).is_reset_since(&before);
    assert!(!reset(&[0.0, 1.0, 2.0, 3.0], 2, 0.01), "nothing has changed");
    assert!(!reset(&[0.0, 0.0, 1.0, 2.0, 3.0, 5.0], 1, 0.1), "coarser, and more");
    assert!(reset(&[0.0, 1.0, 2.0], 2, 0.01), "a smaller count");
    assert!(reset(&[0.0, 1.0, 2.0, 2.0, 2.0], 2, 0.01), "a bucket that holds less");
    assert!(reset(&[1.0, 1.0, 2.0, 3.0], 2, 0.01), "fewer zeros");
    assert!(reset(&[0.0, 1.0, 2.0, 3.0, 4.0], 3, 0.01), "a finer schema");
    assert!(reset(&[0.0, 1.0, 2.0, 3.0, 4.0], 2, 0.001), "a narrower zero bucket");
    assert!(reset(&[0.0, 0.0, 0.0, 2.0, 3.0], 2, 0.99), "a zero bucket that cuts one that held something");
    let said = |hint, values: &[f64]| {
        let mut parts = counted(values, 2, 0.01).into_parts();
        parts.hint = hint;
        NativeHistogram::from_parts(parts).unwrap().is_reset_since(&before)
    };
    assert!(said(ResetHint::Reset, &[0.0, 1.0, 2.0, 3.0, 4.0]) && !said(ResetHint::NotReset, &[1.0]));
}

#[test]
fn hints_of_a_sum_are_those_that_both_share() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (one, other, both) in
        [(Reset, Reset, Reset), (Reset, NotReset, Unknown), (Unknown, Gauge, Gauge), (Gauge, NotReset, Gauge)]
    {
        let with = |hint| NativeHistogram::from_parts(NativeParts { hint, ..four().into_parts() }).unwrap();
        let mut sum = with(one);
        sum.add(&with(other));
        assert_eq!(sum.hint(), both, "{one:?} and {other:?}");
        sum.subtract(&with(other));
        assert_eq!(sum.hint(), Gauge);
    }
}

#[test]
fn a_marker_of_staleness_is_kept_to_the_bit() {
    let stale = NativeHistogram::from_parts(NativeParts { sum: STALE, ..NativeParts::default() }).unwrap();
    assert!(stale.is_stale() && !four().is_stale());
    assert_eq!(stale.into_parts().sum.to_bits(), STALE.to_bits());
}

#[test]
fn what_no_histogram_of_calls_can_hold_is_said() {
    let error = |histogram: &NativeHistogram| histogram.to_exponential().map(drop).unwrap_err().to_string();
    assert!(error(&counted(&[-1.0], 3, 0.0)).contains("below zero"));
    let mut half = four();
    half.divide(2.0);
    assert!(error(&half).contains("whole"));
    let coarse = ExponentialHistogram::from_parts(-5, 0, [(0, 1)], 1.0, None, None).unwrap();
    assert!(NativeHistogram::try_from(&coarse).is_err());
}

fn value() -> impl Strategy<Value = f64> {
    let size = prop_oneof![
        6 => 0.001..100.0,
        1 => Just(0.0),
        1 => (f64::MIN_POSITIVE.to_bits()..1e300_f64.to_bits()).prop_map(f64::from_bits),
    ];
    (size, prop::sample::select(vec![1.0, 1.0, -1.0])).prop_map(|(size, sign)| size * sign)
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(value(), 1..60)
}

fn compacted(mut histogram: NativeHistogram) -> NativeParts {
    histogram.compact();
    NativeParts { sum: 0.0, ..histogram.into_parts() }
}

proptest! {
    #[test]
    fn adding_equals_counting_together(
        left in values(), right in values(), schemas in (-4..=8_i8, -4..=8_i8), zero in 0.0..2.0_f64
    ) {
        let mut sum = counted(&left, schemas.0, zero);
        sum.add(&counted(&right, schemas.1, zero));
        let all: Vec<f64> = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(compacted(sum), compacted(counted(&all, schemas.0.min(schemas.1), zero)));
    }

    #[test]
    fn whatever_the_zero_buckets_nothing_is_lost_and_the_order_does_not_matter(
        left in values(), right in values(), schema in -4..=8_i8, zeros in (0.0..2.0_f64, 0.0..2.0_f64)
    ) {
        let (one, other) = (counted(&left, schema, zeros.0), counted(&right, schema, zeros.1));
        let (mut sum, mut turned) = (one.clone(), other.clone());
        sum.add(&other);
        turned.add(&one);
        prop_assert_eq!(compacted(sum.clone()), compacted(turned));
        let held: f64 = sum.buckets().map(|bucket| bucket.count).sum();
        prop_assert_eq!(held, (left.len() + right.len()) as f64);
        prop_assert!(sum.zero_threshold() >= zeros.0.max(zeros.1));
        let all: Vec<f64> = left.iter().chain(&right).copied().collect();
        let threshold = sum.zero_threshold();
        prop_assert_eq!(compacted(sum), compacted(counted(&all, schema, threshold)));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing_behind(
        left in values(), right in values(), schema in -4..=8_i8
    ) {
        let one = counted(&left, schema, 0.001);
        let mut sum = one.clone();
        sum.add(&counted(&right, schema, 0.001));
        sum.subtract(&counted(&right, schema, 0.001));
        let (sum, one) = (compacted(sum), compacted(one));
        prop_assert_eq!((sum.positive, sum.negative, sum.count), (one.positive, one.negative, one.count));
    }

    #[test]
    fn an_increase_is_what_was_counted_after_the_first_over_every_beginning(
        first in values(), rest in prop::collection::vec((values(), any::<bool>()), 1..8), schema in -4..=8_i8
    ) {
        // What is counted stays at one schema, so that only a beginning makes a count fall.
        let mut all = first.clone();
        let (mut points, mut after) = (vec![counted(&first, schema, 0.001)], Vec::new());
        for (values, begins) in rest {
            if begins {
                all.clear();
            }
            all.extend(&values);
            after.extend(&values);
            let mut parts = counted(&all, schema, 0.001).into_parts();
            parts.hint = if begins { ResetHint::Reset } else { ResetHint::Unknown };
            points.push(NativeHistogram::from_parts(parts).unwrap());
        }
        let points: Vec<&NativeHistogram> = points.iter().collect();
        let increase = NativeHistogram::difference(&points, true).unwrap();
        prop_assert_eq!(increase.hint(), ResetHint::Gauge);
        let expected = compacted(counted(&after, schema, 0.001));
        prop_assert_eq!(compacted(increase), NativeParts { hint: ResetHint::Gauge, ..expected });
        prop_assert!(NativeHistogram::difference(&points[..1], true).is_none());
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_the_true_value(mut values in values(), q in 0.0..=1.0_f64) {
        let histogram = counted(&values, 3, 0.0);
        values.sort_by(f64::total_cmp);
        let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let truth = values[rank - 1];
        let found = histogram.quantile(q);
        let holds = histogram.buckets().any(|bucket| {
            let holds = |value: f64| bucket.lower <= value && value <= bucket.upper;
            holds(found) && holds(truth)
        });
        prop_assert!(holds, "{found} for {truth}");
    }

    #[test]
    fn shares_add_up(values in values(), at in value(), schema in -4..=8_i8) {
        let histogram = counted(&values, schema, 0.01);
        let (below, above) = (histogram.fraction(f64::NEG_INFINITY, at), histogram.fraction(at, f64::INFINITY));
        prop_assert!((below + above - 1.0).abs() < 1e-9, "{below} and {above}");
    }

    #[test]
    fn a_histogram_of_calls_comes_back(values in prop::collection::vec(0.0..100.0_f64, 0..200)) {
        let calls = histogram(&values);
        let native = NativeHistogram::try_from(&calls).unwrap();
        let back = native.to_exponential().unwrap();
        prop_assert!(back.buckets().eq(calls.buckets()));
        prop_assert_eq!((back.count(), back.zero_count(), back.sum()), (calls.count(), calls.zero_count(), calls.sum()));
    }

    #[test]
    fn parts_come_back_to_the_bit(values in values(), empty in 0..50_i32, sum in any::<u64>()) {
        let mut parts = counted(&values, 2, 0.001).into_parts();
        parts.sum = f64::from_bits(sum);
        if parts.positive.first().is_none_or(|(first, _)| *first > -empty) {
            parts.positive.insert(0, (-empty, 0.0));
        }
        let back = NativeHistogram::from_parts(parts.clone()).unwrap().into_parts();
        prop_assert_eq!(back.sum.to_bits(), sum);
        prop_assert_eq!(NativeParts { sum: 0.0, ..back }, NativeParts { sum: 0.0, ..parts });
    }
}

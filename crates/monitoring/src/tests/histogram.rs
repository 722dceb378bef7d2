use proptest::prelude::*;

use super::histogram;
use crate::ExponentialHistogram;

#[test]
fn nothing_has_no_quantile_no_mean_and_no_extremes() {
    let nothing = ExponentialHistogram::new();
    assert_eq!((nothing.quantile(0.5), nothing.mean()), (None, None));
    assert_eq!((nothing.min(), nothing.max(), nothing.count()), (None, None, 0));
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert_eq!(histogram(&[1.0]).quantile(wrong), None);
    }
}

#[test]
fn what_is_no_duration_is_refused_and_changes_nothing() {
    let mut durations = histogram(&[1.0]);
    for wrong in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!durations.record(wrong));
    }
    assert_eq!(durations, histogram(&[1.0]));
}

#[test]
fn zeros_are_counted_apart_and_are_a_quantile() {
    let durations = histogram(&[0.0, 0.0, 0.0, 1.0]);
    assert_eq!((durations.zero_count(), durations.count(), durations.buckets().len()), (3, 4, 1));
    assert_eq!(durations.quantile(0.5).map(|quantile| quantile.upper), Some(0.0));
    assert_eq!(durations.quantile(1.0).map(|quantile| quantile.estimate), Some(1.0));
    assert_eq!(durations.cumulative(&[-1.0, 0.0, 1.0]), [0, 3, 4]);
}

#[test]
fn too_many_buckets_are_joined_in_pairs_and_nothing_is_lost() {
    let mut durations = ExponentialHistogram::new();
    for exponent in -300..300 {
        assert!(durations.record(1.02_f64.powi(exponent * 7)));
    }
    assert!(durations.buckets().len() <= ExponentialHistogram::MAX_BUCKETS);
    assert!(durations.schema() < ExponentialHistogram::SCHEMA);
    assert_eq!(durations.buckets().map(|bucket| bucket.count).sum::<u64>(), 600);
}

#[test]
fn classic_buckets_are_cumulative_and_never_claim_too_much() {
    let durations = histogram(&[0.001, 0.002, 0.004, 0.1, 2.0]);
    let counts = durations.cumulative(&[0.0005, 0.0015, 0.005, 0.5, 10.0]);
    assert_eq!(counts, [0, 1, 3, 4, 5]);
    assert_eq!(histogram(&[0.5, 1.0]).cumulative(&[0.5, 1.0]), [1, 2], "a power of two ends its bucket");
    assert_eq!(histogram(&[0.1]).cumulative(&[0.1]), [1], "the largest value is known exactly");
}

#[test]
fn parts_that_make_no_histogram_are_refused_by_name() {
    let error = |schema, buckets: Vec<(i32, u64)>, sum, min, max| {
        ExponentialHistogram::from_parts(schema, 0, buckets, sum, min, max).unwrap_err().to_string()
    };
    assert!(error(21, vec![], 0.0, None, None).starts_with("schema of the histogram"));
    assert!(error(5, vec![(1, 1), (1, 1)], 0.0, None, None).starts_with("buckets"));
    assert!(error(5, vec![(1, u64::MAX), (2, 1)], 0.0, None, None).contains("2^64"));
    assert!(error(5, vec![], f64::NAN, None, None).starts_with("sum"));
    assert!(error(5, vec![(1, 1)], 1.0, Some(2.0), Some(1.0)).starts_with("min and max"));
    assert!(error(5, vec![(1, 1)], 1.0, Some(f64::NAN), None).starts_with("min and max"));
}

#[test]
fn parts_of_a_finer_schema_are_joined_down() {
    let fine = (0..4_096).map(|index| (index, 1));
    let joined = ExponentialHistogram::from_parts(10, 0, fine, 1.0, None, None).unwrap();
    assert_eq!(joined.count(), 4_096);
    assert!(joined.buckets().len() <= ExponentialHistogram::MAX_BUCKETS);
    assert_eq!(joined.buckets().map(|bucket| bucket.count).sum::<u64>(), 4_096);
    assert_eq!((joined.min(), joined.max()), (Some(1.0), Some(16.0)), "2^(4096/1024)");
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        8 => (0..2_000_000_000_u64).prop_map(|nanos| nanos as f64 / 1e9),
        1 => Just(0.0),
        1 => (1..f64::MAX.to_bits()).prop_map(f64::from_bits),
    ];
    prop::collection::vec(value, 1..300)
}

proptest! {
    #[test]
    fn a_quantile_s_bounds_hold_the_true_value(mut values in values(), q in 0.0..=1.0_f64) {
        let durations = histogram(&values);
        values.sort_by(f64::total_cmp);
        let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let truth = values[rank - 1];
        let quantile = durations.quantile(q).unwrap();
        prop_assert!(quantile.lower <= truth && truth <= quantile.upper, "{truth} {quantile:?}");
        prop_assert!(quantile.lower <= quantile.estimate && quantile.estimate <= quantile.upper);
        if durations.schema() == 5 && truth >= f64::MIN_POSITIVE {
            prop_assert!((quantile.estimate / truth - 1.0).abs() <= 0.010_83, "{truth} {quantile:?}");
        }
    }

    #[test]
    fn merging_equals_recording_together(left in values(), right in values()) {
        let mut merged = histogram(&left);
        merged.merge(&histogram(&right));
        let all: Vec<f64> = left.iter().chain(&right).copied().collect();
        let together = histogram(&all);
        prop_assert_eq!(merged.count(), together.count());
        prop_assert_eq!((merged.min(), merged.max()), (together.min(), together.max()));
        prop_assert_eq!(merged.zero_count(), together.zero_count());
        prop_assert_eq!(merged.schema(), together.schema());
        prop_assert!(merged.buckets().eq(together.buckets()));
        let close = (merged.sum() - together.sum()).abs() <= together.sum() * 1e-12;
        prop_assert!(close || !together.sum().is_finite());
    }

    #[test]
    fn a_histogram_comes_back_from_its_parts(values in values()) {
        let histogram = histogram(&values);
        if histogram.sum().is_finite() {
            let buckets = histogram.buckets().map(|bucket| (bucket.index, bucket.count));
            let schema = i32::from(histogram.schema());
            let back = ExponentialHistogram::from_parts(
                schema, histogram.zero_count(), buckets, histogram.sum(), histogram.min(), histogram.max());
            prop_assert_eq!(back.unwrap(), histogram);
        }
    }

    #[test]
    fn classic_buckets_err_by_one_bucket_s_width_at_most(values in values(), bound in 0.000_1..10.0) {
        let durations = histogram(&values);
        let width = 2_f64.powf(2_f64.powi(-i32::from(durations.schema())));
        let counted = durations.cumulative(&[bound])[0];
        prop_assert!(counted <= values.iter().filter(|value| **value <= bound).count() as u64);
        prop_assert!(counted >= values.iter().filter(|value| **value * width * 1.000_001 <= bound).count() as u64);
    }
}

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use proptest::prelude::*;

use super::histogram;
use crate::{ExponentialHistogram, Recorder, bounds};

#[test]
fn the_array_reaches_from_a_microsecond_to_an_hour() {
    let recorder = Recorder::new();
    for nanos in [1_000, 3_600_000_000_000] {
        recorder.record_nanos(nanos);
        let only = recorder.collect().unwrap().buckets().next().unwrap();
        assert_eq!(only.index, bounds::index(nanos as f64 / 1e9, ExponentialHistogram::SCHEMA));
    }
    const { assert!(Recorder::BYTES < 4_200) };
}

#[test]
fn what_is_shorter_or_longer_is_counted_at_the_end_with_its_exact_extremes() {
    let recorder = Recorder::new();
    recorder.record_nanos(0);
    recorder.record_nanos(7_200_000_000_000);
    let delta = recorder.collect().unwrap();
    assert_eq!((delta.count(), delta.min(), delta.max()), (2, Some(0.0), Some(7_200.0)));
    assert_eq!(delta.sum(), 7_200.0);
}

#[test]
fn collecting_empties_and_nothing_collects_to_nothing() {
    let recorder = Recorder::new();
    assert_eq!(recorder.collect(), None);
    recorder.record_nanos(5_000_000);
    assert_eq!(recorder.collect().map(|delta| delta.count()), Some(1));
    assert_eq!(recorder.collect(), None);
}

#[test]
fn no_call_is_lost_or_counted_twice_while_others_record() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 20_000;
    let recorder = Recorder::new();
    let done = AtomicBool::new(false);
    let total = thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut total = ExponentialHistogram::new();
            loop {
                let last = done.load(Ordering::Acquire);
                if let Some(delta) = recorder.collect() {
                    total.merge(&delta);
                }
                if last {
                    return total;
                }
            }
        });
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let recorder = &recorder;
                scope.spawn(move || {
                    for call in 0..CALLS {
                        recorder.record_nanos((call * THREADS + thread + 1) * 1_000_000);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        collector.join().unwrap()
    });
    let calls = THREADS * CALLS;
    assert_eq!(total.count(), calls);
    assert_eq!((total.sum() * 1e3).round() as u64, calls * (calls + 1) / 2);
    assert_eq!(total.min(), Some(0.001));
    // Where an earlier collection has taken the extreme, its bucket stands in, which is so wide.
    let (max, longest) = (total.max().unwrap(), calls as f64 / 1e3);
    assert!((0.95..1.05).contains(&(max / longest)), "{max} of {longest}");
}

proptest! {
    #[test]
    fn a_recorder_and_a_histogram_agree(nanos in prop::collection::vec(1_000..3_600_000_000_000_u64, 1..300)) {
        let recorder = Recorder::new();
        nanos.iter().for_each(|nanos| recorder.record_nanos(*nanos));
        let delta = recorder.collect().unwrap();
        let values: Vec<f64> = nanos.iter().map(|nanos| *nanos as f64 / 1e9).collect();
        let expected = histogram(&values);
        prop_assert!(delta.buckets().eq(expected.buckets()));
        prop_assert_eq!((delta.min(), delta.max()), (expected.min(), expected.max()));
        prop_assert_eq!((delta.sum() * 1e9).round() as u64, nanos.iter().sum::<u64>());
    }
}

//! What `/federate` answers: the newest sample of each series in the text format 0.0.4, with its time.
//!
//! As Prometheus has it: families in the order of their names, each of no type that is known, and a series without the
//! label `instance` with an empty one, so that whoever scrapes it under `honor_labels` does not add his own.

use std::fmt::Write;

use monitoring::{
    promql::{Point, format_float},
    series::{Labels, METRIC_NAME},
};

const INSTANCE: &str = "instance";

/// Samples of series, which are sorted by the names of their metrics here.
#[must_use]
pub fn federation(mut samples: Vec<(Labels, Point)>) -> String {
    samples.sort_by(|(one, _), (other, _)| one.metric().cmp(other.metric()).then_with(|| one.cmp(other)));
    let mut text = String::new();
    let mut family = None;
    for (labels, point) in &samples {
        let metric = labels.metric();
        if metric.is_empty() {
            continue;
        }
        if family.replace(metric) != Some(metric) {
            // Writing to a text does not fail.
            let _ = writeln!(text, "# TYPE {metric} untyped");
        }
        text.push_str(metric);
        text.push('{');
        let mut has_instance = false;
        for label in labels.as_slice().iter().filter(|label| &*label.name != METRIC_NAME) {
            has_instance |= &*label.name == INSTANCE;
            pair(&mut text, &label.name, &label.value);
            text.push(',');
        }
        if !has_instance {
            pair(&mut text, INSTANCE, "");
            text.push(',');
        }
        text.pop();
        let _ = writeln!(text, "}} {} {}", format_float(point.value, 1e-6, 1e21), point.time);
    }
    text
}

fn pair(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::{Format, Memory, Metadata, Sample, Sink};

    #[derive(Default)]
    struct Read(Vec<(Labels, f64, Option<i64>)>);

    impl Sink for Read {
        type Series = Labels;

        fn series(&mut self, labels: &[(&str, &str)]) -> Labels {
            Labels::new(labels.iter().copied())
        }

        fn sample(&mut self, series: &mut Labels, sample: Sample<'_>) {
            self.0.push((series.clone(), sample.value, sample.time));
        }

        fn metadata(&mut self, _: &str, _: Metadata<'_>) {}
    }

    #[test]
    fn families_are_named_once_and_a_series_without_an_instance_says_so() {
        let of = |labels: &[(&str, &str)], value, time| {
            (Labels::new(labels.iter().copied()), Point { time, value })
        };
        let text = federation(vec![
            of(&[("__name__", "b"), ("x", "a\"\n\\")], 1.5, 1_600_000_000_123),
            of(&[("__name__", "a"), ("instance", "i")], f64::INFINITY, 5),
            of(&[("__name__", "b")], -0.0, 7),
        ]);
        let expected = "# TYPE a untyped\na{instance=\"i\"} +Inf 5\n# TYPE b untyped\nb{instance=\"\"} -0 7\n\
                        b{x=\"a\\\"\\n\\\\\",instance=\"\"} 1.5 1600000000123\n";
        assert_eq!(text, expected);
        assert_eq!(federation(Vec::new()), "");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            all in proptest::collection::btree_map("[a-z_:]{1,3}", ("\\PC{0,5}", any::<f64>(), any::<i64>()), 0..9),
        ) {
            let labels = |name: &str, value: &str| Labels::new([("__name__", name), ("instance", value)]);
            let samples = all.iter().map(|(name, (value, number, time))| {
                (labels(name, value), Point { time: *time, value: *number })
            });
            let text = federation(samples.collect());
            let mut read = Read::default();
            Memory::default().read(Format::Text, &text, usize::MAX, &mut read).unwrap();
            let read: Vec<_> = read.0.into_iter().map(|(of, value, time)| (of, value.to_bits(), time)).collect();
            let same = |number: f64| if number.is_nan() { f64::NAN } else { number }.to_bits();
            let written: Vec<_> = all
                .iter()
                .map(|(name, (value, number, time))| (labels(name, value), same(*number), Some(*time)))
                .collect();
            prop_assert_eq!(read, written);
        }
    }
}

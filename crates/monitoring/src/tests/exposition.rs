use proptest::prelude::*;

use super::histogram;
use crate::exposition::{Exposition, Type};

#[test]
fn a_counter_is_written_with_help_type_and_labels() {
    let mut text = Exposition::new();
    text.family("calls_total", "Calls.", Type::Counter)
        .count(&[("service", "shop"), ("outcome", "ok")], u64::MAX)
        .count(&[], 1);
    text.family("memory_bytes", "Memory.", Type::Gauge).sample(&[], 1.5);
    assert_eq!(
        text.into_string(),
        "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
         calls_total{service=\"shop\",outcome=\"ok\"} 18446744073709551615\ncalls_total 1\n\
         # HELP memory_bytes Memory.\n# TYPE memory_bytes gauge\nmemory_bytes 1.5\n"
    );
}

#[test]
fn labels_and_help_are_escaped() {
    let mut text = Exposition::new();
    text.family("x", "a \\ \"b\"\nc", Type::Gauge).sample(&[("l", "a \\ \"b\"\nc")], 0.0);
    assert_eq!(
        text.into_string(),
        "# HELP x a \\\\ \"b\"\\nc\n# TYPE x gauge\nx{l=\"a \\\\ \\\"b\\\"\\nc\"} 0\n"
    );
}

#[test]
fn numbers_are_written_as_prometheus_reads_them() {
    let written = |value: f64| {
        let mut text = Exposition::new();
        text.family("x", "", Type::Gauge).sample(&[], value);
        text.into_string().lines().last().unwrap().to_owned()
    };
    for (value, expected) in [
        (0.1, "x 0.1"),
        (-0.0, "x -0"),
        (1e21, "x 1e21"),
        (f64::NAN, "x NaN"),
        (f64::INFINITY, "x +Inf"),
        (f64::NEG_INFINITY, "x -Inf"),
    ] {
        assert_eq!(written(value), expected);
    }
}

#[test]
fn a_histogram_ends_with_infinity_sum_and_count() {
    let mut text = Exposition::new();
    text.family("d_seconds", "D.", Type::Histogram).histogram(
        &[("service", "shop")],
        &histogram(&[0.25, 0.5, 4.0]),
        &[0.25, 1.0],
        4.75,
    );
    let lines: Vec<String> = text.into_string().lines().skip(2).map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "d_seconds_bucket{service=\"shop\",le=\"0.25\"} 1",
            "d_seconds_bucket{service=\"shop\",le=\"1\"} 2",
            "d_seconds_bucket{service=\"shop\",le=\"+Inf\"} 3",
            "d_seconds_sum{service=\"shop\"} 4.75",
            "d_seconds_count{service=\"shop\"} 3",
        ]
    );
}

proptest! {
    #[test]
    fn no_label_value_breaks_out_of_its_line(value in any::<String>()) {
        let mut text = Exposition::new();
        text.family("x", &value, Type::Gauge).sample(&[("l", &value)], 1.0);
        let text = text.into_string();
        prop_assert_eq!(text.matches('\n').count(), 3);
        let sample = text.trim_end_matches('\n').rsplit('\n').next().unwrap();
        let inside = sample.strip_prefix("x{l=\"").and_then(|rest| rest.strip_suffix("\"} 1")).unwrap();
        let mut raw = String::new();
        let mut chars = inside.chars();
        while let Some(c) = chars.next() {
            prop_assert_ne!(c, '"');
            raw.push(if c != '\\' { c } else { match chars.next() { Some('n') => '\n', other => other.unwrap() } });
        }
        prop_assert_eq!(raw, value);
    }
}

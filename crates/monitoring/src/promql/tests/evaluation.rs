use std::sync::atomic::AtomicBool;

use crate::{
    promql::{Answer, Evaluator, Limits, Query, QueryError, parse},
    series::{Head, Labels},
};

fn head() -> Head {
    let mut head = Head::default();
    for job in ["a", "b", "c"] {
        let id = head.series(&Labels::new([("__name__", "calls"), ("job", job)]));
        for minute in 0..100_u32 {
            head.append(id, i64::from(minute) * 60_000, f64::from(minute));
        }
    }
    head
}

fn limited(source: &str, limits: Limits, cancelled: bool) -> Result<Answer, QueryError> {
    let (head, flag, expr) = (head(), AtomicBool::new(cancelled), parse(source).unwrap());
    let query = Query { expr: &expr, start: 0, end: 5_940_000, step: Some(60_000) };
    Evaluator::new(&head, limits, &flag).answer(query)
}

#[test]
fn each_limit_is_named_when_it_is_hit() {
    let limits = Limits::default();
    let fails = |limits: Limits, source: &str| limited(source, limits, false).unwrap_err();
    assert_eq!(fails(Limits { steps: 99, ..limits }, "calls"), QueryError::Steps(99));
    assert_eq!(fails(Limits { series: 2, ..limits }, "sum(calls)"), QueryError::Series(2));
    assert_eq!(fails(Limits { samples: 299, ..limits }, "rate(calls[5m])"), QueryError::Samples(299));
    assert_eq!(fails(Limits { bytes: 3 * 800, ..limits }, "calls"), QueryError::Memory(2400));
    let wide = "sum_over_time(calls[100y:1ms])";
    assert!(
        matches!(fails(limits, wide), QueryError::Memory(_)),
        "what a subquery would make counts before it is made"
    );
    let within = Limits { steps: 100, series: 3, samples: 300, bytes: 10_000 };
    assert!(limited("calls", within, false).is_ok());
}

#[test]
fn a_cancelled_query_ends() {
    for source in ["calls", "rate(calls[5m])", "sum by (job) (calls) / 2", "vector(1) + vector(2)"] {
        assert_eq!(limited(source, Limits::default(), true), Err(QueryError::Cancelled), "{source}");
    }
}

#[test]
fn an_answer_over_time_is_in_the_order_of_labels_and_has_only_what_is_there() {
    let Answer::Matrix(series) =
        limited("sort_desc(calls{job!='b'} > 97)", Limits::default(), false).unwrap()
    else {
        panic!("a matrix")
    };
    let found: Vec<_> = series.iter().map(|(labels, points)| (labels.get("job"), points.len())).collect();
    assert_eq!(found, [("a", 2), ("c", 2)]);
}

#[test]
fn the_deepest_query_does_not_need_more_stack_than_a_thread_has() {
    for source in [
        format!("{}calls{}", "abs(".repeat(120), ")".repeat(120)),
        format!("calls{}", " + calls".repeat(100)),
        format!("{}calls{}", "sum(".repeat(120), ")".repeat(120)),
        format!("{}calls{}", "-(".repeat(60), ")".repeat(60)),
    ] {
        assert!(limited(&source, Limits::default(), false).is_ok(), "{source}");
    }
}

#[test]
fn a_time_too_far_away_is_refused() {
    let (head, flag, expr) = (head(), AtomicBool::new(false), parse("calls offset 292y").unwrap());
    for time in [i64::MIN, i64::MAX] {
        let query = Query { expr: &expr, start: time, end: time, step: None };
        assert!(Evaluator::new(&head, Limits::default(), &flag).answer(query).is_err());
    }
}

#[test]
fn an_instant_range_gives_its_samples() {
    let (head, flag) = (head(), AtomicBool::new(false));
    for source in ["calls{job='a'}[2m]", "(calls{job='a'}[2m:])", "calls{job='a'}[2m] @ 600"] {
        let expr = parse(source).unwrap();
        let query = Query { expr: &expr, start: 600_000, end: 600_000, step: None };
        let Answer::Matrix(series) = Evaluator::new(&head, Limits::default(), &flag).answer(query).unwrap()
        else {
            panic!("a matrix")
        };
        let values: Vec<f64> = series[0].1.iter().map(|point| point.value).collect();
        assert_eq!(values, [8.0, 9.0, 10.0], "{source}");
    }
}

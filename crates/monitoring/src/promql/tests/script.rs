//! The language of Prometheus' own test scripts: `load`, `clear`, `eval instant at`, `eval_ordered`, `eval_fail`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::AtomicBool,
};

use crate::{
    promql::{
        Answer, Evaluator, Limits, Query, QueryError, ast::ExprKind, format_duration, parse, parse_duration,
        parse_float,
    },
    series::{Head, Labels, METRIC_NAME, MatchOp, STALE},
};

/// What a script came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) evaluations: usize,
    pub(super) failures: Vec<String>,
}

/// A line that begins at the margin, with those below it.
fn blocks(script: &str) -> Vec<(usize, &str, Vec<&str>)> {
    let mut blocks: Vec<(usize, &str, Vec<&str>)> = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match blocks.last_mut() {
            Some((_, _, below)) if line.starts_with([' ', '\t']) => below.push(text),
            _ => blocks.push((number + 1, text, Vec::new())),
        }
    }
    blocks
}

pub(super) fn run(name: &str, script: &str) -> Report {
    let (mut head, mut report) = (Head::default(), Report::default());
    for (line, text, below) in blocks(script) {
        let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match command {
            "clear" => head = Head::default(),
            "load" => load(&mut head, parse_duration(rest.trim()).unwrap(), &below),
            _ => {
                report.evaluations += 1;
                let check = catch_unwind(AssertUnwindSafe(|| evaluate(&head, command, rest, &below)));
                let outcome = check.unwrap_or_else(|_| Err("panicked".to_owned()));
                if let Err(why) = outcome {
                    report.failures.push(format!("{name}:{line}: {text}\n    {why}"));
                }
            }
        }
    }
    report
}

fn load(head: &mut Head, step: i64, lines: &[&str]) {
    let all: Vec<_> = lines.iter().map(|line| described(line)).collect();
    for (place, (labels, values)) in all.iter().enumerate() {
        // Of a series that is described twice, the last description holds.
        if all.iter().skip(place + 1).any(|(later, _)| later == labels) {
            continue;
        }
        let id = head.series(labels);
        for (index, value) in values.iter().enumerate() {
            if let Some(value) = *value {
                head.append(id, i64::try_from(index).unwrap() * step, value);
            }
        }
    }
}

/// A series and its values.
fn described(line: &str) -> (Labels, Vec<Option<f64>>) {
    let split = line.find('}').map(|at| at + 1).or(line.find(char::is_whitespace)).unwrap_or(line.len());
    let (series, values) = line.split_at(split);
    (labels(series), values.split_whitespace().flat_map(values_of).collect())
}

fn labels(series: &str) -> Labels {
    if series.trim() == "{}" {
        return Labels::default();
    }
    let expr = parse(series.trim()).unwrap();
    let ExprKind::Selector(selector) = expr.kind else { panic!("{series} is no series") };
    assert!(selector.matchers.iter().all(|matcher| matcher.op() == MatchOp::Equal));
    Labels::new(selector.matchers.iter().map(|matcher| (matcher.name(), matcher.value())))
}

/// `1`, `_`, `stale`, and repeated: `1x3`, `_x3`, `1+2x3`.
fn values_of(text: &str) -> Vec<Option<f64>> {
    let one = |text: &str| match text {
        "_" => None,
        "stale" => Some(STALE),
        number => Some(parse_float(number).unwrap_or_else(|| panic!("{number} is no value"))),
    };
    let Some((what, times)) = text.rsplit_once('x') else { return vec![one(text)] };
    let times: usize = times.parse().unwrap();
    if what == "_" {
        return vec![None; times];
    }
    let exponent = |at: &usize| what[..*at].ends_with(['e', 'E']);
    let sign = what.match_indices(['+', '-']).map(|(at, _)| at).find(|at| *at > 0 && !exponent(at));
    let (first, step) = sign.map_or((what, 0.0), |at| (&what[..at], what[at..].parse().unwrap()));
    // Added up one by one, as a series would be.
    std::iter::successors(parse_float(first), |value| Some(value + step)).take(times + 1).map(Some).collect()
}

fn ask(head: &Head, text: &str, start: i64, end: i64, step: Option<i64>) -> Result<Answer, String> {
    let (cancelled, expr) = (AtomicBool::new(false), parse(text).map_err(|error| error.to_string())?);
    let query = Query { expr: &expr, start, end, step };
    let answer = Evaluator::new(head, Limits::default(), &cancelled).answer(query);
    answer.map_err(|error: QueryError| error.to_string())
}

fn evaluate(head: &Head, command: &str, rest: &str, expected: &[&str]) -> Result<(), String> {
    let rest = rest.trim().strip_prefix("instant at").ok_or("only instants are known")?.trim();
    let (time, query) = rest.split_once(char::is_whitespace).unwrap();
    let time = parse_duration(time).unwrap();
    let answer = ask(head, query, time, time, None);
    if command == "eval_fail" {
        return match answer {
            Ok(answer) => Err(format!("should fail and gives {answer:?}")),
            Err(_) => Ok(()),
        };
    }
    let ordered = command == "eval_ordered";
    compare(answer?, expected, ordered)?;
    if ordered {
        return Ok(());
    }
    // Among the steps of a longer query, the same step has the same answer.
    let minute = 60_000;
    let over_time = ask(head, query, time - minute, time + minute, Some(minute));
    let middle = match over_time? {
        Answer::Matrix(series) => series.into_iter().filter_map(|(labels, points)| {
            points.into_iter().find(|point| point.time == time).map(|point| (labels, point))
        }),
        other => return Err(format!("over time it gives {other:?}")),
    };
    compare(Answer::Vector(middle.collect()), expected, false)
        .map_err(|why| format!("over time, at {}: {why}", format_duration(time)))
}

fn near(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()) || {
        a.abs().max(b.abs()) < f64::MIN_POSITIVE
    }
}

fn compare(answer: Answer, expected: &[&str], ordered: bool) -> Result<(), String> {
    let scalar = match expected {
        [only] => parse_float(only),
        _ => None,
    };
    let found: Vec<(Labels, f64)> = match answer {
        Answer::Scalar(point) => vec![(Labels::default(), point.value)],
        Answer::Vector(series) => series.into_iter().map(|(labels, point)| (labels, point.value)).collect(),
        other => return Err(format!("gives {other:?}")),
    };
    let wanted: Vec<(Labels, f64)> = match scalar {
        Some(value) => vec![(Labels::default(), value)],
        None => expected
            .iter()
            .map(|line| {
                let (labels, values) = described(line);
                (labels, values.into_iter().flatten().next().unwrap())
            })
            .collect(),
    };
    let show = || format!("wanted {wanted:?}\n    found  {found:?}");
    if found.len() != wanted.len() {
        return Err(show());
    }
    for (place, (labels, value)) in wanted.iter().enumerate() {
        let same = |(other, _): &&(Labels, f64)| other == labels;
        let one = if ordered { found.get(place).filter(same) } else { found.iter().find(same) };
        if !one.is_some_and(|(_, found)| near(*found, *value)) {
            return Err(show());
        }
    }
    Ok(())
}

#[test]
fn the_notation_of_values_means_what_it_says() {
    let of = |text: &str| described(text).1;
    assert_eq!(
        of("a 1 _ 2x1 -1-2x2 _x2"),
        [Some(1.0), None, Some(2.0), Some(2.0), Some(-1.0), Some(-3.0), Some(-5.0), None, None]
    );
    assert_eq!(of("a 1e-3+1e2x1"), [Some(0.001), Some(100.001)]);
    let (labels, _) = described("a{b=\"c d\"} 1");
    assert_eq!((labels.get(METRIC_NAME), labels.get("b")), ("a", "c d"));
}

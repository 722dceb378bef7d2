//! PromQL: what the questions of a dashboard cost, beside victoria-metrics and prometheus.
//!
//! The servers and the samples are those of `metrics`. Each question is a range query over the last hour, six hours and
//! day of what was sent, with some 240 steps. It is asked of one server after the other, several times, by a new connection
//! each, with victoria-metrics' cache off; a server's cost is its processor time from the question until the answer,
//! which the kernel counts in nanoseconds. Answers are compared with prometheus' to 1e-9: victoria-metrics gives others to
//! some, since it understands `rate` in its own way.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use serde::Deserialize;

use crate::{
    Failure, Options,
    metrics::{
        Bench, Filled, HOURS, QUICK_HOURS, ROUND_STEPS, USUAL_BUDGET, begin,
        fleet::{Fleet, INTERVAL, USUAL},
        subject::Kind,
    },
    process::{self, Threads},
    report::{Bound, Figure, Report, Row, progress},
};

/// What a dashboard of rates, errors and durations asks.
const QUESTIONS: [(&str, &str); 10] = [
    ("rate by service", "sum by (service) (rate(http_server_requests_total[5m]))"),
    ("rate by route", "sum by (service, route) (rate(http_server_requests_total[5m]))"),
    (
        "error ratio",
        "sum by (service) (rate(http_server_requests_total{code=~\"5..\"}[5m])) / \
         sum by (service) (rate(http_server_requests_total[5m]))",
    ),
    (
        "p99 of all",
        "histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))",
    ),
    (
        "p99 by route",
        "histogram_quantile(0.99, sum by (le, route) (rate(http_server_request_duration_seconds_bucket[5m])))",
    ),
    (
        "p50 by service",
        "histogram_quantile(0.5, sum by (le, service) (rate(http_server_request_duration_seconds_bucket[5m])))",
    ),
    (
        "mean duration",
        "sum by (service) (rate(http_server_request_duration_seconds_sum[5m])) / \
         sum by (service) (rate(http_server_request_duration_seconds_count[5m]))",
    ),
    ("top routes", "topk(5, sum by (service, route) (rate(http_server_requests_total[5m])))"),
    ("busy processors", "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))"),
    ("memory, averaged", "avg_over_time(node_memory_MemFree_bytes[10m]) / node_memory_MemTotal_bytes"),
];
/// Steps of an answer.
const STEPS: i64 = 240;
/// How often each question is asked.
const ASKED: usize = 5;
const QUICK_ASKED: usize = 3;
/// Two answers are the same where their values differ by no more than this share.
const SAME: f64 = 1e-9;

/// What was to be reached: shares of a peer's processor time.
const QUANTILE_SHARE: f64 = 0.5;
const PROMETHEUS_SHARE: f64 = 1.0 / 3.0;

/// What this benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Measure this binary; without it, the release binary is built and measured.
    #[arg(long, value_name = "FILE")]
    bellwether: Option<PathBuf>,
    /// Hours of samples that are sent: 24, and 3 for a short run.
    #[arg(long, value_name = "COUNT")]
    hours: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let options = &arguments.options;
    let mut report =
        Report::new("promql", "range queries of a dashboard: processor time of the server, and its memory");
    let hours = arguments.hours.unwrap_or(if options.quick { QUICK_HOURS } else { HOURS });
    let asked = if options.quick { QUICK_ASKED } else { ASKED };
    let bench = Bench::new(options, arguments.bellwether.as_deref())?;
    bench.introduce(&mut report);
    report.setting("hours", hours);
    report.setting("asked", asked);
    report.setting("folder", options.folder.display());
    let mut subjects = bench.subjects("promql", USUAL_BUDGET)?;
    let begin = begin(hours)?;
    let mut fleet = Fleet::new(7, USUAL, begin);
    bench.fill(&mut subjects, &mut fleet, (hours, ROUND_STEPS))?;
    // The last step that all targets were asked in is over.
    let end = begin + hours as i64 * 3_600_000 - INTERVAL;
    let mut peaks = Vec::new();
    for span in [1, 6, 24].into_iter().filter(|span| *span <= hours as i64) {
        for (name, question) in QUESTIONS {
            progress(&format!("{name}, {span} h"));
            let path = path(question, end - span * 3_600_000, end, span * 3_600_000 / STEPS);
            ask(&mut report, &subjects, &mut peaks, (name, span), &path, asked)?;
        }
    }
    memory(&mut report, &peaks);
    Ok(report)
}

/// Asks all for the same, in turn.
fn ask(
    report: &mut Report,
    subjects: &[Filled],
    peaks: &mut Vec<(Kind, i64, f64)>,
    (name, span): (&'static str, i64),
    path: &str,
    asked: usize,
) -> Result<(), Failure> {
    let mut costs: Vec<Vec<Duration>> = vec![Vec::new(); subjects.len()];
    let mut answers: Vec<Answer> = Vec::new();
    for round in 0..asked {
        for (subject, costs) in subjects.iter().map(|filled| &filled.subject).zip(&mut costs) {
            process::forget_peak(subject.id())?;
            let idle = process::resident_bytes(subject.id())?;
            let before = Threads::of(subject.id())?;
            let body = subject.get(path)?;
            costs.push(Threads::of(subject.id())?.since(&before));
            let more = process::peak_bytes(subject.id())?.saturating_sub(idle);
            peaks.push((subject.kind, span, more as f64 / f64::from(1 << 20)));
            if round == 0 {
                answers.push(answer(&body)?);
            }
        }
    }
    let find = |kind: Kind| subjects.iter().position(|filled| filled.subject.kind == kind);
    let truth = find(Kind::Prometheus).and_then(|at| answers.get(at));
    let mut medians = Vec::new();
    for ((filled, costs), answer) in subjects.iter().zip(&costs).zip(&answers) {
        let kind = filled.subject.kind;
        let cost = Figure::of("CPU ms", costs.iter().map(|cost| cost.as_secs_f64() * 1e3));
        medians.extend(cost.iter().map(|cost| (kind, cost.median())));
        let differing = truth.map(|truth| f64::from(differing(answer, truth)));
        let figures = [
            cost,
            Figure::of("series", [answer.len() as f64]),
            differing.and_then(|differing| Figure::of("values unlike prometheus'", [differing])),
        ];
        let load = format!("{name}, {span} h");
        report.row(Row { subject: kind.name(), load, figures: figures.into_iter().flatten().collect() });
        if kind == Kind::Bellwether
            && let Some(differing) = differing
        {
            report.goal(
                format!("{name}, {span} h: values unlike prometheus'"),
                differing,
                Bound::AtMost,
                0.0,
            );
        }
    }
    let of = |kind: Kind| medians.iter().find(|(of, _)| *of == kind).map(|(_, median)| *median);
    let share = if name.starts_with('p') { QUANTILE_SHARE } else { 1.0 };
    for (peer, share) in [(Kind::VictoriaMetrics, share), (Kind::Prometheus, PROMETHEUS_SHARE)] {
        if let (Some(ours), Some(theirs)) = (of(Kind::Bellwether), of(peer)) {
            let what = format!("{name}, {span} h: processor time, share of {}'s", peer.name());
            report.goal(what, ours / theirs, Bound::AtMost, share);
        }
    }
    Ok(())
}

/// The most memory that a question took beside what there was before it.
fn memory(report: &mut Report, peaks: &[(Kind, i64, f64)]) {
    for kind in Kind::ALL {
        for span in [1, 6, 24] {
            let of =
                peaks.iter().filter(|(of, hours, _)| (*of, *hours) == (kind, span)).map(|(.., peak)| *peak);
            if let Some(figure) = Figure::of("MiB more, at the most", of) {
                report.row(Row {
                    subject: kind.name(),
                    load: format!("all, {span} h"),
                    figures: vec![figure],
                });
            }
        }
    }
}

fn path(question: &str, start: i64, end: i64, step: i64) -> String {
    let escaped: String = question
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let seconds = |milliseconds: i64| milliseconds as f64 / 1e3;
    format!(
        "/api/v1/query_range?query={escaped}&start={}&end={}&step={}&nocache=1",
        seconds(start),
        seconds(end),
        seconds(step)
    )
}

/// The values of each series by time, in milliseconds.
type Answer = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, f64>>;

fn answer(body: &[u8]) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    struct Document {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        result: Vec<Series>,
    }
    #[derive(Deserialize)]
    struct Series {
        metric: BTreeMap<String, String>,
        values: Vec<(f64, String)>,
    }
    let document: Document = serde_json::from_slice(body)?;
    let mut all = Answer::new();
    for Series { metric, values } in document.data.result {
        let mut read = BTreeMap::new();
        for (time, value) in values {
            read.insert((time * 1e3).round() as i64, value.parse()?);
        }
        all.insert(metric, read);
    }
    Ok(all)
}

/// How many values are not the same, or there in one answer alone.
fn differing(one: &Answer, other: &Answer) -> u32 {
    let empty = BTreeMap::new();
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    let of = |name: &BTreeMap<String, String>| {
        let (one, other) = (one.get(name).unwrap_or(&empty), other.get(name).unwrap_or(&empty));
        let times = one.keys().chain(other.keys().filter(|time| !one.contains_key(time)));
        let unlike = times.filter(|time| match (one.get(time), other.get(time)) {
            (Some(one), Some(other)) => !is_same(*one, *other),
            _ => true,
        });
        unlike.count() as u32
    };
    names.map(of).sum()
}

fn is_same(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= SAME * one.abs().max(other.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &str) -> Answer {
        let body = format!(r#"{{"data":{{"result":[{{"metric":{{"a":"b"}},"values":{values}}}]}}}}"#);
        answer(body.as_bytes()).unwrap()
    }

    #[test]
    fn answers_are_the_same_to_a_billionth() {
        let one = read(r#"[[1,"1"],[2.5,"NaN"],[3,"+Inf"]]"#);
        assert_eq!(differing(&one, &read(r#"[[1,"1.0000000001"],[2.5,"NaN"],[3,"+Inf"]]"#)), 0);
        assert_eq!(differing(&one, &read(r#"[[1,"1.00000001"],[2.5,"NaN"],[3,"+Inf"]]"#)), 1);
        assert_eq!(differing(&one, &read(r#"[[1,"1"],[4,"7"]]"#)), 3);
        assert_eq!(differing(&one, &Answer::new()), 3);
    }
}

//! `query`: PromQL, as a table or as a chart.

use std::time::Duration;

use clap::Args;
use identity::{Wall, duration};
use monitoring::promql;
use serde::Deserialize;
use serde_json::Value as Json;
use wire::native::problem::{Code, Problem};

use super::{Page, Reading};
use crate::{
    client::Path,
    clock,
    output::{self, Table},
};

/// How many series are drawn; the others are counted.
const DRAWN: usize = 50;
/// How wide the name of a series may be beside its line.
const NAME_WIDTH: usize = 60;
/// The heights of a line's points.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Ask in PromQL: a table of the values now, or a chart of those over time
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether query 'sum by (service) (rate(bellwether_calls_total[1m]))'\n  bellwether query 'histogram_quantile(0.99, sum by (le) (rate(bellwether_call_duration_seconds_bucket[5m])))' --range 1h"
)]
pub(crate) struct Query {
    /// The expression
    expr: String,
    /// At which time: RFC 3339, seconds since 1970, or how long ago, such as 5m
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Over so long a time until then, such as 1h
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    range: Option<Duration>,
    /// How often within it; as often as fits on a line where it is not given
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", requires = "range")]
    step: Option<Duration>,
    #[command(flatten)]
    reading: Reading,
}

/// The document of Prometheus' API.
#[derive(Debug, Deserialize)]
struct Answered {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Json,
}

impl Query {
    pub(crate) fn run(self) -> Result<(), Problem> {
        if let Err(error) = promql::parse(&self.expr) {
            let detail = format!("{error}\n{}", error.pointed(&self.expr));
            return Err(Problem::new(Code::InvalidArgument, detail).at("EXPR"));
        }
        self.reading.run(async |client| {
            let answer = client.get(self.path()?).await?;
            Ok(Page::new(answer, "/data/result", |answered: Answered| table(&answered.data)))
        })
    }

    fn path(&self) -> Result<Path, Problem> {
        let at = time(self.at.as_deref(), clock::wall())?;
        let Some(range) = self.range else {
            let path = Path::prometheus().segment("query").query("query", &self.expr);
            return Ok(path.query("time", &seconds(at)));
        };
        let width = line_width(NAME_WIDTH) as u32;
        let fitting = (range / width.max(1)).max(Duration::from_secs(1));
        let step = self.step.unwrap_or(fitting).as_secs_f64();
        let path = Path::prometheus().segment("query_range").query("query", &self.expr);
        let start = Wall(at.0.saturating_sub(u64::try_from(range.as_nanos()).unwrap_or(u64::MAX)));
        Ok(path.query("start", &seconds(start)).query("end", &seconds(at)).query("step", &step.to_string()))
    }
}

fn seconds(at: Wall) -> String {
    format!("{}.{:03}", at.0 / 1_000_000_000, at.0 / 1_000_000 % 1_000)
}

/// A time as people say it.
fn time(said: Option<&str>, now: Wall) -> Result<Wall, Problem> {
    let Some(said) = said else { return Ok(now) };
    if let Ok(at) = said.parse::<Wall>() {
        return Ok(at);
    }
    if let Some(seconds) = said.parse::<f64>().ok().filter(|seconds| (0.0..1e10).contains(seconds)) {
        return Ok(Wall((seconds * 1e9) as u64));
    }
    let ago = duration::parse(said).map_err(|_| {
        let detail =
            format!("{said:?} is no time: RFC 3339, seconds since 1970, or how long ago, such as 5m");
        Problem::new(Code::InvalidArgument, detail).at("--at")
    })?;
    Ok(Wall(now.0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))))
}

/// How many points fit beside the name of a series and its figures.
fn line_width(name: usize) -> usize {
    output::columns().saturating_sub(name + 40).clamp(20, 240)
}

fn table(data: &Data) -> String {
    let series = data.result.as_array().map(Vec::as_slice).unwrap_or_default();
    match data.kind.as_str() {
        "matrix" => chart(series),
        "vector" => {
            let mut table = Table::new(&["series", "value"]);
            for one in series {
                table.row([name(&one["metric"]), text(&one["value"][1])]);
            }
            table.text("no series")
        }
        _ => format!("{}\n", output::strip(&text(&data.result[1]))),
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A series as everybody in this field writes it.
fn name(metric: &Json) -> String {
    let labels = metric.as_object().into_iter().flatten();
    let rest: Vec<String> = labels
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={}", promql::quoted(value.as_str().unwrap_or_default())))
        .collect();
    let metric = metric["__name__"].as_str().unwrap_or_default();
    if rest.is_empty() && !metric.is_empty() {
        metric.to_owned()
    } else {
        format!("{metric}{{{}}}", rest.join(","))
    }
}

/// The points of a series: when, and which value.
fn points(series: &Json) -> Vec<(f64, f64)> {
    let values = series["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |value: &Json| value.as_str().and_then(promql::parse_float);
    values.iter().filter_map(|point| Some((point[0].as_f64()?, value(&point[1])?))).collect()
}

/// A line for each series, all to the same scale and the same time.
fn chart(series: &[Json]) -> String {
    let all: Vec<(String, Vec<(f64, f64)>)> =
        series.iter().take(DRAWN).map(|one| (name(&one["metric"]), points(one))).collect();
    let finite =
        || all.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).filter(|v| v.is_finite());
    let times = || all.iter().flat_map(|(_, points)| points).map(|(time, _)| *time);
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let (first, last) = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
    let widest = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let width = line_width(widest.min(NAME_WIDTH));
    let mut table = Table::new(&["series", "over time", "min", "max", "last"]);
    for (name, points) in &all {
        let own = || points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
        let newest = points.last().map(|(_, value)| short(*value)).unwrap_or_default();
        let line = line(points, (first, last), (low, high), width);
        let (least, most) = (own().reduce(f64::min), own().reduce(f64::max));
        let figure = |value: Option<f64>| value.map(short).unwrap_or_default();
        table.row([shortened(name), line, figure(least), figure(most), newest]);
    }
    let mut text = table.text("no series");
    if series.len() > DRAWN {
        text.push_str(&format!("and {} more series\n", series.len() - DRAWN));
    }
    text
}

/// One character for each part of the time: the newest value in it, a dot where there is none.
fn line(points: &[(f64, f64)], (first, last): (f64, f64), (low, high): (f64, f64), width: usize) -> String {
    let mut columns: Vec<Option<f64>> = vec![None; width];
    for (time, value) in points {
        let share = if last > first { (time - first) / (last - first) } else { 1.0 };
        let place = (share * (width - 1) as f64).round() as usize;
        if let Some(column) = columns.get_mut(place) {
            *column = Some(*value);
        }
    }
    // Between two values that are there, a column without one of its own takes that before it.
    let (mut held, mut gap) = (None, 0);
    let spacing = if points.len() > 1 { width.div_ceil(points.len()) } else { 0 };
    let bar = |value: f64| {
        if value.is_nan() {
            return '?';
        }
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        BARS.get((share * 7.0).round() as usize).copied().unwrap_or('?')
    };
    let each = columns.into_iter().map(|column| {
        gap = if column.is_some() { 0 } else { gap + 1 };
        held = column.or(held.filter(|_| gap < spacing));
        held.map_or('·', bar)
    });
    each.collect()
}

/// Four digits are enough to read a chart by.
fn short(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return promql::format_float(value, 1e-4, 1e21);
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    match usize::try_from(digits) {
        Ok(digits) if digits <= 12 => {
            let written = format!("{value:.digits$}");
            let trimmed = written.trim_end_matches('0').trim_end_matches('.');
            if written.contains('.') { trimmed.to_owned() } else { written }
        }
        Ok(_) => format!("{value:.3e}"),
        Err(_) => promql::format_float(value.round(), 1e-4, 1e15),
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_WIDTH {
        return name.to_owned();
    }
    name.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use identity::Wall;
    use serde_json::json;

    use super::{Data, line, short, table, time};

    #[test]
    fn a_time_is_said_in_three_ways() {
        let now = Wall(1_700_000_000_000_000_000);
        let at = |said: &str| time(Some(said), now).map(|at| at.0 / 1_000_000_000).ok();
        assert_eq!(time(None, now).unwrap(), now);
        assert_eq!(at("1970-01-01T00:01:00Z"), Some(60));
        assert_eq!(at("60"), Some(60));
        assert_eq!(at("1m"), Some(1_699_999_940));
        assert_eq!((at("soon"), at("-1"), at("NaN")), (None, None, None));
    }

    #[test]
    fn a_line_goes_from_the_lowest_to_the_highest_value_and_shows_gaps() {
        let points = [(0.0, 0.0), (1.0, 7.0), (2.0, f64::NAN), (5.0, 3.5), (6.0, 7.0), (7.0, f64::INFINITY)];
        assert_eq!(line(&points, (0.0, 7.0), (0.0, 7.0), 8), "▁█??·▅██");
        assert_eq!(line(&[(3.0, 1.0)], (3.0, 3.0), (1.0, 1.0), 4), "···▅");
    }

    #[test]
    fn figures_have_four_digits() {
        let shown = [0.0, 1.0, 1234.5678, 0.000123456, 1e9, f64::NAN, -2.5].map(short);
        assert_eq!(shown, ["0", "1", "1235", "0.0001235", "1000000000", "NaN", "-2.5"]);
    }

    #[test]
    fn every_type_of_answer_can_be_read() {
        let shown = |kind: &str, result| table(&Data { kind: kind.to_owned(), result });
        let vector = json!([{"metric": {"__name__": "up", "job": "a"}, "value": [1, "1.5"]}]);
        let text = shown("vector", vector);
        assert!(text.contains("up{job=\"a\"}") && text.contains("1.5"), "{text}");
        assert_eq!(shown("scalar", json!([1, "2"])), "2\n");
        assert_eq!(
            shown("string", json!([1, "a\u{1b}[31m"])),
            format!("{}\n", super::output::strip("a\u{1b}[31m"))
        );
        assert_eq!(shown("vector", json!([])), "no series\n");
        let matrix = json!([{"metric": {}, "values": [[0, "1"], [10, "3"]]}]);
        let text = shown("matrix", matrix);
        assert!(text.contains("{}") && text.contains('▁') && text.contains('█'), "{text}");
    }
}

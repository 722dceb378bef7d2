use std::{borrow::Cow, fmt::Write, time::Duration};

use identity::{Wall, duration};
use monitoring::{
    promql::{Answer, Point, format_float},
    series::Labels,
};
use serde_json::json;

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Its name.
    pub name: Cow<'static, str>,
    /// `counter`, `gauge`, `histogram`…
    pub kind: &'static str,
    /// What it says.
    pub help: Cow<'static, str>,
    /// In what it measures, where that is known.
    pub unit: Cow<'static, str>,
}

/// Who is scraped, and how that went.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeTarget {
    /// What is known of it before relabelling.
    pub discovered: Labels,
    /// What its series get.
    pub labels: Labels,
    /// Its job.
    pub pool: String,
    /// Where it is asked.
    pub url: String,
    /// From one scrape to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// When it was asked last.
    pub last_scrape: Option<Wall>,
    /// How long that took.
    pub last_duration: Duration,
    /// Why there were no samples; empty where there were.
    pub last_error: String,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
}

impl Default for ScrapeTarget {
    fn default() -> Self {
        Self {
            discovered: Labels::default(),
            labels: Labels::default(),
            pool: String::new(),
            url: String::new(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            last_scrape: None,
            last_duration: Duration::ZERO,
            last_error: String::new(),
            health: "unknown",
        }
    }
}

/// The answer to a question for targets.
pub fn targets(active: &[ScrapeTarget], dropped: &[ScrapeTarget]) -> String {
    let labels = |of: &Labels| -> serde_json::Map<_, _> {
        of.as_slice().iter().map(|label| (label.name.to_string(), json!(&*label.value))).collect()
    };
    let shown = |of: &ScrapeTarget| {
        let last = of.last_scrape.map_or_else(|| NEVER.to_owned(), |at| at.to_string());
        json!({
            "discoveredLabels": labels(&of.discovered), "labels": labels(&of.labels), "scrapePool": of.pool,
            "scrapeUrl": of.url, "globalUrl": of.url, "lastError": of.last_error, "lastScrape": last,
            "lastScrapeDuration": of.last_duration.as_secs_f64(), "health": of.health,
            "scrapeInterval": duration::format(of.interval), "scrapeTimeout": duration::format(of.timeout),
        })
    };
    let dropped = dropped.iter().map(|of| json!({"discoveredLabels": labels(&of.discovered)}));
    let data = json!({
        "activeTargets": active.iter().map(shown).collect::<Vec<_>>(),
        "droppedTargets": dropped.collect::<Vec<_>>(),
    });
    success(&data.to_string())
}

/// When something was that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// How much a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TsdbStatus {
    /// Series.
    pub series: u64,
    /// Different pairs of label and value.
    pub pairs: u64,
    /// The time of the first and the last sample, in milliseconds.
    pub times: (i64, i64),
    /// Series by the name of the metric, most first.
    pub by_metric: Vec<(String, u64)>,
    /// Values by label, most first.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of values by label, most first.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series by pair, most first.
    pub by_pair: Vec<(String, u64)>,
    /// How many series a service may have.
    pub series_per_service: u64,
    /// The services that have more.
    pub over_budget: Vec<OverBudget>,
}

/// A service with more series than it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    /// Its namespace and name, or the job.
    pub service: String,
    /// How many series it has.
    pub series: u64,
    /// How many samples of others were added up.
    pub folded: u64,
    /// The label with the most values, and how many.
    pub label: Option<(String, u64)>,
}

/// An answer that holds this document.
pub fn success(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
}

/// The answer to a query.
pub fn query(answer: &Answer) -> String {
    let mut text = String::new();
    let kind = match answer {
        Answer::Scalar(at) => {
            point(&mut text, at);
            "scalar"
        }
        Answer::String(time, value) => {
            text.push('[');
            seconds(&mut text, *time);
            text.push(',');
            quoted(&mut text, value);
            text.push(']');
            "string"
        }
        Answer::Vector(series) => {
            list(&mut text, series, |text, (labels, value)| {
                text.push_str("{\"metric\":");
                metric(text, labels);
                text.push_str(",\"value\":");
                point(text, value);
                text.push('}');
            });
            "vector"
        }
        Answer::Matrix(series) => {
            list(&mut text, series, |text, (labels, values)| {
                text.push_str("{\"metric\":");
                metric(text, labels);
                text.push_str(",\"values\":");
                list(text, values, point);
                text.push('}');
            });
            "matrix"
        }
    };
    success(&format!("{{\"resultType\":\"{kind}\",\"result\":{text}}}"))
}

/// The answer to a question for series.
pub fn label_sets(sets: &[Labels]) -> String {
    let mut text = String::new();
    list(&mut text, sets, metric);
    success(&text)
}

/// Exemplars of a series, as an answer has them.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarsOf {
    /// The series.
    pub series: Labels,
    /// Of each its labels, its value and its time in milliseconds.
    pub exemplars: Vec<(Labels, f64, i64)>,
}

/// The answer to a question for exemplars.
pub fn exemplars(all: &[ExemplarsOf]) -> String {
    let mut text = String::new();
    list(&mut text, all, |text, of| {
        text.push_str("{\"seriesLabels\":");
        metric(text, &of.series);
        text.push_str(",\"exemplars\":");
        list(text, &of.exemplars, |text, (labels, value, time)| {
            text.push_str("{\"labels\":");
            metric(text, labels);
            text.push_str(",\"value\":\"");
            text.push_str(&format_float(*value, 1e-6, 1e21));
            text.push_str("\",\"timestamp\":");
            seconds(text, *time);
            text.push('}');
        });
        text.push('}');
    });
    success(&text)
}

/// The answer that is a list of texts.
pub fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    success(&serde_json::Value::from(all.into_iter().collect::<Vec<_>>()).to_string())
}

/// The answer to a question for metadata.
pub fn metadata<'a>(metrics: impl IntoIterator<Item = &'a MetricMetadata>) -> String {
    let one = |of: &MetricMetadata| {
        (of.name.to_string(), json!([{"type": of.kind, "help": of.help, "unit": of.unit}]))
    };
    let all: serde_json::Map<_, _> = metrics.into_iter().map(one).collect();
    success(&serde_json::Value::from(all).to_string())
}

/// The answer to a question for the version: that of the API, which is what clients ask for, and ours beside it.
pub fn build_info(ours: &str) -> String {
    let data = json!({
        "application": "Bellwether", "version": "2.42.0", "revision": ours, "branch": "", "buildUser": "",
        "buildDate": "", "goVersion": "",
    });
    success(&data.to_string())
}

/// The answer to a question for how much there is.
pub fn tsdb_status(status: &TsdbStatus) -> String {
    let named = |all: &[(String, u64)]| -> Vec<serde_json::Value> {
        all.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    };
    let exceeded = |over: &OverBudget| {
        let label = over.label.as_ref().map(|(label, _)| label);
        let values = over.label.as_ref().map(|(_, values)| values);
        json!({
            "service": over.service, "series": over.series, "foldedSamples": over.folded, "label": label,
            "labelValues": values,
        })
    };
    let exceeded: Vec<_> = status.over_budget.iter().map(exceeded).collect();
    let data = json!({
        "headStats": {
            "numSeries": status.series, "numLabelPairs": status.pairs, "chunkCount": status.series,
            "minTime": status.times.0, "maxTime": status.times.1,
        },
        "seriesCountByMetricName": named(&status.by_metric),
        "labelValueCountByLabelName": named(&status.values_by_label),
        "memoryInBytesByLabelName": named(&status.bytes_by_label),
        "seriesCountByLabelValuePair": named(&status.by_pair),
        "seriesBudget": { "perService": status.series_per_service, "exceeded": exceeded },
    });
    success(&data.to_string())
}

fn list<T>(text: &mut String, all: &[T], mut write: impl FnMut(&mut String, &T)) {
    text.push('[');
    for (place, one) in all.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write(text, one);
    }
    text.push(']');
}

fn metric(text: &mut String, labels: &Labels) {
    text.push('{');
    for (place, label) in labels.as_slice().iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        quoted(text, &label.name);
        text.push(':');
        quoted(text, &label.value);
    }
    text.push('}');
}

fn point(text: &mut String, point: &Point) {
    text.push('[');
    seconds(text, point.time);
    text.push_str(",\"");
    text.push_str(&format_float(point.value, 1e-6, 1e21));
    text.push_str("\"]");
}

/// Seconds with three digits of fraction, or with none.
fn seconds(text: &mut String, milliseconds: i64) {
    let (sign, size) = (if milliseconds < 0 { "-" } else { "" }, milliseconds.unsigned_abs());
    // Writing to a text does not fail.
    let _ = match size % 1000 {
        0 => write!(text, "{sign}{}", size / 1000),
        fraction => write!(text, "{sign}{}.{fraction:03}", size / 1000),
    };
}

fn quoted(text: &mut String, raw: &str) {
    let plain = raw.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        text.push('"');
        text.push_str(raw);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(raw).to_string());
    }
}

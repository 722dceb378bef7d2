use std::fmt::Write;

use monitoring::{
    promql::{Answer, Point, format_float},
    series::Labels,
};
use serde_json::json;

/// What is known of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge`, `histogram`…
    pub kind: &'static str,
    /// What it says.
    pub help: &'static str,
}

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

/// The answer that is a list of texts.
pub fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    success(&serde_json::Value::from(all.into_iter().collect::<Vec<_>>()).to_string())
}

/// The answer to a question for metadata.
pub fn metadata<'a>(metrics: impl IntoIterator<Item = &'a MetricMetadata>) -> String {
    let one =
        |of: &MetricMetadata| (of.name.to_owned(), json!([{"type": of.kind, "help": of.help, "unit": ""}]));
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
    let data = json!({
        "headStats": {
            "numSeries": status.series, "numLabelPairs": status.pairs, "chunkCount": status.series,
            "minTime": status.times.0, "maxTime": status.times.1,
        },
        "seriesCountByMetricName": named(&status.by_metric),
        "labelValueCountByLabelName": named(&status.values_by_label),
        "memoryInBytesByLabelName": named(&status.bytes_by_label),
        "seriesCountByLabelValuePair": named(&status.by_pair),
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

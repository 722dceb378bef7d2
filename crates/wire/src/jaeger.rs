//! What the HTTP API of Jaeger's query service answers: the shapes that its console and its other consumers
//! read. Times are microseconds; where the last digits of ours are lost, they are rounded down.
//!
//! OpenTelemetry's model has things for which these shapes have no place, and Jaeger's own translation puts
//! them into tags: the kind as `span.kind`, a failure as `error`, a status as `otel.status_code` and
//! `otel.status_description`, the library as `otel.scope.name` and `otel.scope.version`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value as Json, json};
use traces::{Attributes, Kind, Resource, StatusCode, Value};

/// Whatever was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer<T> {
    /// It.
    pub data: Vec<T>,
    /// How many there are.
    pub total: usize,
    /// Nothing is left out.
    pub limit: usize,
    /// Nothing is stepped over.
    pub offset: usize,
    /// What went wrong.
    pub errors: Option<Vec<Failure>>,
}

impl<T> Answer<T> {
    /// An answer without errors.
    pub fn of(data: Vec<T>) -> Self {
        Self { total: data.len(), data, limit: 0, offset: 0, errors: None }
    }

    /// An answer that is an error.
    pub fn failure(code: u16, msg: String) -> Self {
        Self { data: Vec::new(), total: 0, limit: 0, offset: 0, errors: Some(vec![Failure { code, msg }]) }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The status of the answer.
    pub code: u16,
    /// What it was.
    pub msg: String,
}

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The kind of its spans; empty where that is not told apart.
    pub span_kind: String,
}

/// Calls between two services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Who called.
    pub parent: String,
    /// Who was called.
    pub child: String,
    /// How often.
    pub call_count: u64,
}

/// A trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// Its id, 32 digits.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// Its spans.
    pub spans: Vec<Span>,
    /// Who recorded them, by the names that spans use.
    pub processes: Json,
    /// Never any.
    pub warnings: Option<Vec<String>>,
}

/// A span.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Its trace.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// Its id, 16 digits.
    #[serde(rename = "spanID")]
    pub span_id: String,
    /// What was done.
    pub operation_name: String,
    /// Its parent and its links.
    pub references: Vec<Json>,
    /// When it began.
    pub start_time: u64,
    /// How long it took.
    pub duration: u64,
    /// What is known about it.
    pub tags: Vec<Json>,
    /// What happened while it ran.
    pub logs: Vec<Json>,
    /// Who recorded it.
    #[serde(rename = "processID")]
    pub process_id: String,
    /// Never any.
    pub warnings: Option<Vec<String>>,
}

/// The spans of one trace as Jaeger shows them; none for no spans.
pub fn trace(spans: &[Arc<traces::Span>]) -> Option<Trace> {
    let trace_id = spans.first()?.trace_id.to_string();
    let mut resources: Vec<&Resource> = Vec::new();
    let mut shown = Vec::with_capacity(spans.len());
    for of in spans {
        let known = resources.iter().position(|known| *known == of.resource.as_ref());
        let at = known.unwrap_or_else(|| {
            resources.push(&of.resource);
            resources.len() - 1
        });
        shown.push(span(of, format!("p{}", at + 1)));
    }
    let processes = resources.iter().enumerate().map(|(at, resource)| {
        let named = resource.attributes.iter().filter(|(key, _)| key.as_str() != "service.name");
        let tags: Vec<Json> = named.map(|(key, value)| tag(key, value)).collect();
        (format!("p{}", at + 1), json!({ "serviceName": resource.service(), "tags": tags }))
    });
    Some(Trace { trace_id, spans: shown, processes: processes.collect(), warnings: None })
}

fn span(span: &traces::Span, process_id: String) -> Span {
    let reference = |kind: &str, trace: String, span: String| json!({ "refType": kind, "traceID": trace, "spanID": span });
    let parent = span
        .parent_span_id
        .map(|parent| reference("CHILD_OF", span.trace_id.to_string(), parent.to_string()));
    let links = span
        .links
        .iter()
        .map(|link| reference("FOLLOWS_FROM", link.trace_id.to_string(), link.span_id.to_string()));
    let logs = span.events.iter().map(|event| {
        let mut fields = vec![tag("event", &event.name.as_ref().into())];
        fields.extend(tags(&event.attributes));
        json!({ "timestamp": event.at.0 / 1_000, "fields": fields })
    });
    Span {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        operation_name: span.name.to_string(),
        references: parent.into_iter().chain(links).collect(),
        start_time: span.start.0 / 1_000,
        duration: span.duration_ns / 1_000,
        tags: tags(&span.attributes).chain(translated(span)).collect(),
        logs: logs.collect(),
        process_id,
        warnings: None,
    }
}

/// What has no other place in these shapes.
fn translated(span: &traces::Span) -> Vec<Json> {
    let mut tags = Vec::new();
    let mut add = |key: &str, value: Value| {
        if span.attributes.get(key).is_none() {
            tags.push(tag(key, &value));
        }
    };
    if span.kind != Kind::Internal {
        add("span.kind", span.kind.as_str().into());
    }
    match span.status.code {
        StatusCode::Unset => {}
        StatusCode::Ok => add("otel.status_code", "OK".into()),
        StatusCode::Error => {
            add("error", true.into());
            add("otel.status_code", "ERROR".into());
        }
    }
    let texts = [
        ("otel.status_description", &span.status.message),
        ("otel.scope.name", &span.scope.name),
        ("otel.scope.version", &span.scope.version),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        add(key, text.as_ref().into());
    }
    tags
}

fn tags(attributes: &Attributes) -> impl Iterator<Item = Json> {
    attributes.iter().map(|(key, value)| tag(key, value))
}

fn tag(key: &str, value: &Value) -> Json {
    let (kind, value) = match value {
        Value::Str(text) => ("string", json!(text)),
        Value::Bool(truth) => ("bool", json!(truth)),
        Value::Int(number) => ("int64", json!(number)),
        // What JSON has no number for is shown as a text.
        Value::Double(number) if number.is_finite() => ("float64", json!(number)),
        other => ("string", json!(other.to_string())),
    };
    json!({ "key": key, "type": kind, "value": value })
}

/// Which spans are asked for. A trace is found where one of its spans fulfils all of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Of this service.
    pub service: String,
    /// Of this name.
    pub operation: Option<String>,
    /// With these tags, of the span itself, its resource, its events or its links.
    pub tags: Vec<(String, String)>,
    /// That began at this time or later, in nanoseconds since 1970.
    pub start: Option<u64>,
    /// That began at this time or before.
    pub end: Option<u64>,
    /// That took at least so many nanoseconds.
    pub min_duration: Option<u64>,
    /// That took at most so many.
    pub max_duration: Option<u64>,
}

impl Conditions {
    /// Whether this span fulfils all.
    pub fn hold(&self, span: &traces::Span) -> bool {
        span.service() == self.service
            && self.operation.as_ref().is_none_or(|name| *span.name == **name)
            && self.start.is_none_or(|start| span.start.0 >= start)
            && self.end.is_none_or(|end| span.start.0 <= end)
            && self.min_duration.is_none_or(|least| span.duration_ns >= least)
            && self.max_duration.is_none_or(|most| span.duration_ns <= most)
            && self.tags.iter().all(|(key, value)| has(span, key, value))
    }
}

fn has(span: &traces::Span, key: &str, asked: &str) -> bool {
    let among = |attributes: &Attributes| {
        attributes.iter().any(|(name, value)| name.as_str() == key && is(value, asked))
    };
    among(&span.attributes)
        || among(&span.resource.attributes)
        || span.events.iter().any(|event| among(&event.attributes) || key == "event" && *event.name == *asked)
        || span.links.iter().any(|link| among(&link.attributes))
        || match key {
            "error" => asked == span.is_error().to_string(),
            "span.kind" => asked == span.kind.as_str(),
            "otel.status_code" => asked.eq_ignore_ascii_case(span.status.code.as_str()),
            "otel.status_description" => asked == &*span.status.message,
            "otel.scope.name" => asked == &*span.scope.name,
            _ => false,
        }
}

/// Tags are asked for as texts, whatever they are.
fn is(value: &Value, asked: &str) -> bool {
    match value {
        Value::Str(text) => **text == *asked,
        Value::Double(number) => asked.parse() == Ok(*number),
        other => other.to_string() == asked,
    }
}

/// A duration as Go writes one, such as `1.2s`, `100ms` or `1m30s`, in nanoseconds.
pub fn nanos(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        sum += number
            * match &rest[..end] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 6e10,
                "h" => 3.6e12,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.trim().is_empty()).then_some(sum.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("1.2s", Some(1_200_000_000)),
            ("100ms", Some(100_000_000)),
            ("4.5us", Some(4_500)),
            ("4.5µs", Some(4_500)),
            ("1m30s", Some(90_000_000_000)),
            ("1h", Some(3_600_000_000_000)),
            ("7ns", Some(7)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("5d", None),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn tags_are_asked_for_as_texts() {
        assert!(is(&Value::Double(643.0), "643") && is(&Value::Double(643.0), "643.0"));
        assert!(is(&Value::Int(643), "643") && !is(&Value::Int(643), "643.0"));
        assert!(is(&Value::Bool(true), "true") && is(&"643".into(), "643") && !is(&"643".into(), "643.0"));
    }
}

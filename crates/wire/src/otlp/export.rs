//! Spans as OTLP's JSON: the way back, for files and for other collectors.

use std::{fmt::Write, ptr, sync::Arc};

use serde_json::{Map, Value as Json, json};
use traces::{Attributes, Event, Kind, Link, Span, StatusCode, Value};

/// Spans as an `ExportTraceServiceRequest` in one line, as OpenTelemetry's file exporter writes it. Neighbours that
/// share their resource and their scope share them there.
pub fn to_json<S: AsRef<Span>>(spans: &[S]) -> String {
    let mut resources: Vec<Json> = Vec::new();
    let mut last: Option<&Span> = None;
    for of in spans.iter().map(AsRef::as_ref) {
        let is_same = |last: &Span| {
            (ptr::eq(Arc::as_ptr(&last.resource), Arc::as_ptr(&of.resource)) || last.resource == of.resource)
                && last.scope == of.scope
        };
        if !last.is_some_and(is_same) {
            resources.push(json!({
                "resource": { "attributes": attributes(&of.resource.attributes) },
                "scopeSpans": [{
                    "scope": present([
                        ("name", text(&of.scope.name)),
                        ("version", text(&of.scope.version)),
                        ("attributes", attributes(&of.scope.attributes)),
                    ]),
                    "spans": [],
                }],
            }));
        }
        let list = resources.last_mut().and_then(|of| of["scopeSpans"][0]["spans"].as_array_mut());
        list.into_iter().for_each(|spans| spans.push(span(of)));
        last = Some(of);
    }
    json!({ "resourceSpans": resources }).to_string()
}

/// An object of the fields that say something.
fn present<const N: usize>(fields: [(&str, Json); N]) -> Json {
    let is_said = |value: &Json| match value {
        Json::Null => false,
        Json::Array(list) => !list.is_empty(),
        Json::Number(number) => number.as_u64() != Some(0),
        _ => true,
    };
    let fields = fields.into_iter().filter(|(_, value)| is_said(value));
    Json::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn text(text: &str) -> Json {
    if text.is_empty() { Json::Null } else { text.into() }
}

fn span(span: &Span) -> Json {
    let status = match span.status.code {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    let status = present([("message", text(&span.status.message)), ("code", status.into())]);
    present([
        ("traceId", span.trace_id.to_string().into()),
        ("spanId", span.span_id.to_string().into()),
        ("traceState", text(&span.trace_state)),
        ("parentSpanId", span.parent_span_id.map_or(Json::Null, |parent| parent.to_string().into())),
        ("flags", span.flags.into()),
        ("name", (*span.name).into()),
        ("kind", kind(span.kind).into()),
        ("startTimeUnixNano", span.start.0.to_string().into()),
        ("endTimeUnixNano", span.end().0.to_string().into()),
        ("attributes", attributes(&span.attributes)),
        ("droppedAttributesCount", span.dropped.attributes.into()),
        ("events", span.events.iter().map(event).collect()),
        ("droppedEventsCount", span.dropped.events.into()),
        ("links", span.links.iter().map(link).collect()),
        ("droppedLinksCount", span.dropped.links.into()),
        ("status", status),
    ])
}

fn kind(kind: Kind) -> usize {
    Kind::ALL.iter().position(|of| *of == kind).map_or(0, |at| at + 1)
}

fn event(event: &Event) -> Json {
    present([
        ("timeUnixNano", event.at.0.to_string().into()),
        ("name", (*event.name).into()),
        ("attributes", attributes(&event.attributes)),
        ("droppedAttributesCount", event.dropped_attributes.into()),
    ])
}

fn link(link: &Link) -> Json {
    present([
        ("traceId", link.trace_id.to_string().into()),
        ("spanId", link.span_id.to_string().into()),
        ("traceState", text(&link.trace_state)),
        ("attributes", attributes(&link.attributes)),
        ("droppedAttributesCount", link.dropped_attributes.into()),
        ("flags", link.flags.into()),
    ])
}

fn attributes(attributes: &Attributes) -> Json {
    attributes.iter().map(|(key, of)| json!({ "key": key.as_str(), "value": value(of) })).collect()
}

fn value(of: &Value) -> Json {
    match of {
        Value::Str(text) => json!({ "stringValue": text }),
        Value::Bool(truth) => json!({ "boolValue": truth }),
        // As texts, since JSON's readers have doubles for numbers.
        Value::Int(number) => json!({ "intValue": number.to_string() }),
        Value::Double(number) if number.is_finite() => json!({ "doubleValue": number }),
        Value::Double(number) if number.is_nan() => json!({ "doubleValue": "NaN" }),
        Value::Double(number) if *number > 0.0 => json!({ "doubleValue": "Infinity" }),
        Value::Double(_) => json!({ "doubleValue": "-Infinity" }),
        Value::Bytes(bytes) => json!({ "bytesValue": base64(bytes) }),
        Value::Array(values) => {
            json!({ "arrayValue": { "values": values.iter().map(value).collect::<Vec<_>>() } })
        }
        Value::Map(map) => json!({ "kvlistValue": { "values": attributes(map) } }),
        Value::Empty => json!({}),
    }
}

/// Bytes in base64, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut written = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 0x3f) as usize];
            // A group of one byte has two digits, one of two has three.
            let _ = written.write_char(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    written
}

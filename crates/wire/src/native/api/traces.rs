//! Where calls went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A page of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Traces {
    /// Newest first.
    pub traces: Vec<TraceSummary>,
    /// The token of the next page; none on the last one.
    pub next: Option<String>,
}

/// A trace in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceSummary {
    /// Its id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Where it began.
    pub root: Operation,
    /// When it began.
    pub start: String,
    /// From its first span's begin to its last span's end.
    pub duration_ns: u64,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many belong to which service.
    pub services: Vec<SpanCount>,
    /// Whether parents are missing.
    pub incomplete: bool,
    /// Its senders kept one in so many traces, as the `tracestate` of its spans tells; the most that any of them
    /// tells. Absent where none tells of any that were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_one_in: Option<f64>,
}

/// What a service does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The service.
    pub service: String,
    /// The operation, a span's name.
    pub operation: String,
}

/// Spans of a service within a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanCount {
    /// The service.
    pub service: String,
    /// Its spans.
    pub spans: u64,
}

/// A whole trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// Its id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Whether parents are missing.
    pub incomplete: bool,
    /// Its senders kept one in so many traces, as the `tracestate` of its spans tells; the most that any of them
    /// tells. Absent where none tells of any that were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_one_in: Option<f64>,
    /// When it began.
    pub start: String,
    /// From its first span's begin to its last span's end.
    pub duration_ns: u64,
    /// Why it stays, where somebody pinned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    /// Its spans, parents before children, siblings by start.
    pub spans: Vec<Span>,
}

/// One step of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// Its id, 16 hexadecimal digits.
    pub span_id: String,
    /// The span that caused it; none for a root.
    pub parent_span_id: Option<String>,
    /// How many spans are above it.
    #[serde(default)]
    pub depth: u64,
    /// Who did it.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: String,
    /// When it began.
    pub start: String,
    /// How long after the trace's start it began.
    pub offset_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// How it ended.
    pub status: SpanStatus,
    /// Its sender kept one in so many spans, as its `tracestate` tells (`ot=th:…`). Absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_one_in: Option<f64>,
    /// What is known about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Json>,
    /// What happened while it ran.
    pub events: Vec<SpanEvent>,
    /// What is known about its service.
    #[schema(value_type = Object)]
    pub resource: BTreeMap<String, Json>,
    /// The library that recorded it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SpanScope>,
}

/// The library that recorded a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanScope {
    /// Its name.
    pub name: String,
    /// Its version; empty for none.
    pub version: String,
    /// What else is known about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Json>,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanStatus {
    /// `unset`, `ok` or `error`.
    pub code: String,
    /// In words; empty for none.
    pub message: String,
}

/// Something that happened while a span ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanEvent {
    /// How long after the trace's start.
    pub offset_ns: u64,
    /// What.
    pub name: String,
    /// What is known about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Json>,
}

/// The keys of attributes that spans have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttributeKeys {
    /// The most frequent first.
    pub keys: Vec<AttributeKey>,
}

/// A key of attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttributeKey {
    /// The key.
    pub key: String,
    /// How many spans have it.
    pub spans: u64,
    /// The types of its values, the most frequent first: text, bool, int, double, other.
    pub types: Vec<String>,
}

/// Values of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttributeValues {
    /// The key.
    pub key: String,
    /// The most frequent first.
    pub values: Vec<AttributeValue>,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttributeValue {
    /// The value, as text.
    pub value: String,
    /// How many of the spans that were looked at have it.
    pub spans: u64,
}

/// Why a trace has to stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    /// Why, for those who find it.
    #[schema(example = "the outage of the 31st")]
    pub reason: String,
    /// For how long; for ever where it is not given.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(example = "30d")]
    pub keep_for: Option<String>,
}

/// A trace that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// The trace.
    pub trace_id: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// Since when.
    pub at: String,
    /// Until when; none for ever.
    pub until: Option<String>,
}

/// Traces that stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pins {
    /// In the order of their ids.
    pub pins: Vec<Pin>,
}

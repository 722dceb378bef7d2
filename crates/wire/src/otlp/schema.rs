//! The messages of OTLP traces as a table, for their JSON.
//!
//! Names are those of the mapping of Protocol Buffers to JSON; the `snake_case` of the definitions is
//! understood as well. Two things are OTLP's own: ids are hexadecimal, in either case, and enumerations are
//! numbers (their names are understood, too).

/// A message: its fields.
pub(super) struct Message(pub(super) &'static [Field]);

/// A field of a message: its name in JSON, its number, and what it holds.
pub(super) struct Field(pub(super) &'static str, pub(super) u32, pub(super) Holds);

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    /// A message.
    One(&'static Message),
    /// Messages.
    Many(&'static Message),
    /// Numbers.
    Each(&'static Holds),
    Text,
    /// Hexadecimal digits.
    Id,
    /// Base64.
    Bytes,
    /// One of these, by its number or its name.
    Choice(&'static [&'static str]),
    Bool,
    Double,
    Int64,
    Sint32,
    SFixed64,
    Uint64,
    Uint32,
    Fixed32,
    Fixed64,
}

use Holds::*;

pub(super) static METRICS: Message = Message(&[Field("resourceMetrics", 1, Many(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message =
    Message(&[Field("resource", 1, One(&RESOURCE)), Field("scopeMetrics", 2, Many(&SCOPE_METRICS))]);

static SCOPE_METRICS: Message =
    Message(&[Field("scope", 1, One(&SCOPE)), Field("metrics", 2, Many(&METRIC))]);

static METRIC: Message = Message(&[
    Field("name", 1, Text),
    Field("description", 2, Text),
    Field("unit", 3, Text),
    Field("gauge", 5, One(&GAUGE)),
    Field("sum", 7, One(&SUM)),
    Field("histogram", 9, One(&HISTOGRAM)),
    Field("exponentialHistogram", 10, One(&EXPONENTIAL)),
    Field("summary", 11, One(&SUMMARY)),
]);

static GAUGE: Message = Message(&[Field("dataPoints", 1, Many(&NUMBER_POINT))]);

static SUM: Message = Message(&[
    Field("dataPoints", 1, Many(&NUMBER_POINT)),
    Field("aggregationTemporality", 2, Choice(TEMPORALITIES)),
    Field("isMonotonic", 3, Bool),
]);

static TEMPORALITIES: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

static HISTOGRAM: Message = Message(&[
    Field("dataPoints", 1, Many(&HISTOGRAM_POINT)),
    Field("aggregationTemporality", 2, Choice(TEMPORALITIES)),
]);

static EXPONENTIAL: Message = Message(&[
    Field("dataPoints", 1, Many(&EXPONENTIAL_POINT)),
    Field("aggregationTemporality", 2, Choice(TEMPORALITIES)),
]);

static SUMMARY: Message = Message(&[Field("dataPoints", 1, Many(&SUMMARY_POINT))]);

static NUMBER_POINT: Message = Message(&[
    Field("startTimeUnixNano", 2, Fixed64),
    Field("timeUnixNano", 3, Fixed64),
    Field("asDouble", 4, Double),
    Field("asInt", 6, SFixed64),
    Field("attributes", 7, Many(&KEY_VALUE)),
    Field("flags", 8, Uint32),
]);

static HISTOGRAM_POINT: Message = Message(&[
    Field("startTimeUnixNano", 2, Fixed64),
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field("bucketCounts", 6, Each(&Fixed64)),
    Field("explicitBounds", 7, Each(&Double)),
    Field("attributes", 9, Many(&KEY_VALUE)),
    Field("flags", 10, Uint32),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    Field("attributes", 1, Many(&KEY_VALUE)),
    Field("startTimeUnixNano", 2, Fixed64),
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field("scale", 6, Sint32),
    Field("zeroCount", 7, Fixed64),
    Field("positive", 8, One(&BUCKETS)),
    Field("negative", 9, One(&BUCKETS)),
    Field("flags", 10, Uint32),
    Field("zeroThreshold", 14, Double),
]);

static BUCKETS: Message = Message(&[Field("offset", 1, Sint32), Field("bucketCounts", 2, Each(&Uint64))]);

static SUMMARY_POINT: Message = Message(&[
    Field("startTimeUnixNano", 2, Fixed64),
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field("quantileValues", 6, Many(&QUANTILE)),
    Field("attributes", 7, Many(&KEY_VALUE)),
    Field("flags", 8, Uint32),
]);

static QUANTILE: Message = Message(&[Field("quantile", 1, Double), Field("value", 2, Double)]);

pub(super) static REQUEST: Message = Message(&[Field("resourceSpans", 1, Many(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message =
    Message(&[Field("resource", 1, One(&RESOURCE)), Field("scopeSpans", 2, Many(&SCOPE_SPANS))]);

static RESOURCE: Message = Message(&[Field("attributes", 1, Many(&KEY_VALUE))]);

static SCOPE_SPANS: Message = Message(&[Field("scope", 1, One(&SCOPE)), Field("spans", 2, Many(&SPAN))]);

static SCOPE: Message =
    Message(&[Field("name", 1, Text), Field("version", 2, Text), Field("attributes", 3, Many(&KEY_VALUE))]);

static SPAN: Message = Message(&[
    Field("traceId", 1, Id),
    Field("spanId", 2, Id),
    Field("traceState", 3, Text),
    Field("parentSpanId", 4, Id),
    Field("name", 5, Text),
    Field("kind", 6, Choice(KINDS)),
    Field("startTimeUnixNano", 7, Fixed64),
    Field("endTimeUnixNano", 8, Fixed64),
    Field("attributes", 9, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 10, Uint32),
    Field("events", 11, Many(&EVENT)),
    Field("droppedEventsCount", 12, Uint32),
    Field("links", 13, Many(&LINK)),
    Field("droppedLinksCount", 14, Uint32),
    Field("status", 15, One(&STATUS)),
    Field("flags", 16, Fixed32),
]);

static KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Message = Message(&[
    Field("timeUnixNano", 1, Fixed64),
    Field("name", 2, Text),
    Field("attributes", 3, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 4, Uint32),
]);

static LINK: Message = Message(&[
    Field("traceId", 1, Id),
    Field("spanId", 2, Id),
    Field("traceState", 3, Text),
    Field("attributes", 4, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 5, Uint32),
    Field("flags", 6, Fixed32),
]);

static STATUS: Message = Message(&[Field("message", 2, Text), Field("code", 3, Choice(CODES))]);

static CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

static KEY_VALUE: Message = Message(&[Field("key", 1, Text), Field("value", 2, One(&ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    Field("stringValue", 1, Text),
    Field("boolValue", 2, Bool),
    Field("intValue", 3, Int64),
    Field("doubleValue", 4, Double),
    Field("arrayValue", 5, One(&ARRAY)),
    Field("kvlistValue", 6, One(&MAP)),
    Field("bytesValue", 7, Bytes),
]);

static ARRAY: Message = Message(&[Field("values", 1, Many(&ANY_VALUE))]);

static MAP: Message = Message(&[Field("values", 1, Many(&KEY_VALUE))]);

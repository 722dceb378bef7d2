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
    Uint32,
    Fixed32,
    Fixed64,
}

use Holds::*;

pub(super) static REQUEST: Message = Message(&[Field("resourceSpans", 1, Many(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message =
    Message(&[Field("resource", 1, One(&RESOURCE)), Field("scopeSpans", 2, Many(&SCOPE_SPANS))]);

static RESOURCE: Message = Message(&[Field("attributes", 1, Many(&KEY_VALUE))]);

static SCOPE_SPANS: Message = Message(&[Field("scope", 1, One(&SCOPE)), Field("spans", 2, Many(&SPAN))]);

static SCOPE: Message = Message(&[Field("name", 1, Text), Field("version", 2, Text)]);

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

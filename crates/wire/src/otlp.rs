//! OTLP, the OpenTelemetry protocol: what senders of spans send, and what they are answered.
//!
//! **One walk.** [`decode`] walks over the Protocol Buffers of an `ExportTraceServiceRequest` once and makes
//! a [`Batch`] that borrows from it: no message is built only to be taken apart again, a span costs no
//! allocation, and a text that repeats is compared with what it repeats instead of being checked and copied
//! again. What a journal needs, tables of strings, resources and scopes with spans that point into them, is
//! what comes out, and [`Batch::give`] hands it to a store.
//!
//! **One set of rules.** JSON is first rewritten as Protocol Buffers ([`from_json`]), and other dialects
//! are, too. They all meet the same limits and the same refusals.
//!
//! **Spans are refused one by one.** A span that breaks a rule is counted under its [`Reason`] and named in
//! the answer's partial success; its neighbours are kept. Only bytes that are no message at all spoil the
//! whole request, because nothing says any more where the next span begins. What is over a limit *within* a
//! span is left out and counted in the span's own `dropped` counts, which is where OpenTelemetry's own
//! limits leave their trace.
//!
//! **Absent on purpose:** no compression and no HTTP, which belong to a shell; no prost messages.

mod answer;
mod batch;
mod export;
mod json;
pub mod metrics;
mod names;
mod nested;
mod schema;
mod walk;

use std::collections::BTreeMap;

pub use answer::{Encoding, Failure, partial_success, points_rejected};
pub use batch::{Attribute, Batch, Event, Link, Part, Resource, Scope, Span, Value};
pub use export::to_json;
pub use json::{from_json, metrics_from_json};
pub use walk::decode;

#[cfg(test)]
mod tests;

/// The bounds of what is read from a request.
///
/// What a request of n bytes is decoded into takes at most some 20 n bytes of memory, and that only where
/// it consists of nothing but the smallest attributes there can be; of real spans, less than n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Spans of a request. The others are refused.
    pub max_spans: usize,
    /// Attributes of a span, a resource, an event or a link. The others are left out.
    pub max_attributes: usize,
    /// Events of a span. The others are left out.
    pub max_events: usize,
    /// Links of a span. The others are left out.
    pub max_links: usize,
    /// Bytes of a text or of bytes in an attribute, a name, a message. What is longer is cut.
    pub max_value_bytes: usize,
    /// Elements within the arrays and maps of one attribute. One with more is left out.
    pub max_elements: usize,
    /// How deep arrays and maps may be nested. An attribute that goes deeper is left out. The decoder's
    /// stack grows with it, and so does that of every later reader.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_spans: 65_536,
            max_attributes: 1_024,
            max_events: 1_024,
            max_links: 1_024,
            max_value_bytes: 64 << 10,
            max_elements: 4_096,
            max_depth: 16,
        }
    }
}

/// Why a span was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its trace id has not 16 bytes, or is zero.
    TraceId,
    /// Its own id has not 8 bytes, or is zero.
    SpanId,
    /// Its parent's id is there and has not 8 bytes.
    ParentSpanId,
    /// It does not say when it began.
    NoStart,
    /// It ends before it starts, or does not say when it ended.
    EndsBeforeStart,
    /// A text in it, in its scope or in its resource is not UTF-8.
    Utf8,
    /// The request has more spans than [`Limits::max_spans`].
    TooMany,
    /// Its sender may not write into its namespace.
    Denied,
}

impl Reason {
    /// The reason as the ledger names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::TraceId => "invalid_trace_id",
            Reason::SpanId => "invalid_span_id",
            Reason::ParentSpanId => "invalid_parent_span_id",
            Reason::NoStart => "no_start_time",
            Reason::EndsBeforeStart => "ends_before_start",
            Reason::Utf8 => "invalid_utf8",
            Reason::TooMany => "too_many_spans",
            Reason::Denied => "namespace_denied",
        }
    }

    /// The rule that was broken, for whoever has to correct the sender.
    pub const fn rule(self) -> &'static str {
        match self {
            Reason::TraceId => "a trace id has 16 bytes that are not all zero",
            Reason::SpanId => "a span id has 8 bytes that are not all zero",
            Reason::ParentSpanId => "a parent's span id has 8 bytes, or is left out",
            Reason::NoStart => "a span says when it began",
            Reason::EndsBeforeStart => "a span ends no earlier than it starts",
            Reason::Utf8 => "texts are UTF-8",
            Reason::TooMany => "a request holds a limited number of spans; send smaller batches",
            Reason::Denied => "the sender's token is bound to other namespaces",
        }
    }
}

/// What was refused, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refused(BTreeMap<Reason, u64>);

impl Refused {
    /// Counts `count` spans as refused for `reason`.
    pub fn add(&mut self, reason: Reason, count: u64) {
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    /// How many there are, of each reason.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What a request held. `received = batch.spans + refused`, always.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded<'a> {
    /// The spans that keep all rules.
    pub batch: Batch<'a>,
    /// How many spans the request had.
    pub received: u64,
    /// What became of the others.
    pub refused: Refused,
    /// Texts and bytes in what was kept that were longer than [`Limits::max_value_bytes`] and were cut.
    pub cut: u64,
}

impl Decoded<'_> {
    /// Refuses the spans of all namespaces that are not `allowed`.
    pub fn keep_namespaces(&mut self, mut allowed: impl FnMut(&str) -> bool) {
        let resources = self.batch.resources.iter();
        let kept: Vec<bool> = resources.map(|resource| allowed(self.batch.namespace(*resource))).collect();
        let before = self.batch.spans.len();
        self.batch.spans.retain(|span| kept.get(span.resource as usize).is_some_and(|kept| *kept));
        self.refused.add(Reason::Denied, (before - self.batch.spans.len()) as u64);
    }
}

/// Bytes that are no request at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; send an export request of OTLP")]
pub struct Malformed(String);

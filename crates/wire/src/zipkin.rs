//! Zipkin's spans, version 2: JSON and Protocol Buffers, rewritten as OTLP; and the way back, for those who read.
//!
//! The mapping is the one that OpenTelemetry's specification gives for the way back: the local service is
//! the resource, endpoints are `network.*` attributes and `peer.service`, annotations are events, tags are
//! attributes of type text (Zipkin has no other), and a tag `error` is a failed status with its text. Names
//! of a scope and a status that an exporter of OpenTelemetry put into tags go back to their places.
//!
//! **Shared spans.** In Zipkin the two sides of a call may share one id. In OpenTelemetry's model an id
//! belongs to one span, and whoever looks for duplicates would take the second side for one. So the side
//! that says `shared` gets an id of its own, derived from the shared one, and becomes the child of the
//! other; spans of the same service in the same request that name the shared id as their parent follow it.
//! Such children in a later request stay with the caller's side, which is where they also belong in time.

mod json;
mod message;
mod rewrite;
mod show;

use std::{borrow::Cow, collections::BTreeMap};

pub use json::from_json;
pub use message::from_protobuf;
pub use show::{Annotation, Conditions, Dependency, End, Shown, peer, show};

#[cfg(test)]
mod tests;

/// Bytes that are no list of spans.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; send a list of spans as Zipkin's API v2 has it")]
pub struct Malformed(String);

/// A span as Zipkin has it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Span<'a> {
    /// As 16 bytes; none where it is not there or cannot be one.
    trace_id: Option<u128>,
    id: Option<u64>,
    parent: Option<u64>,
    kind: Kind,
    name: Cow<'a, str>,
    /// Microseconds since 1970.
    timestamp: u64,
    /// Microseconds.
    duration: u64,
    local: Endpoint<'a>,
    remote: Endpoint<'a>,
    annotations: Vec<(u64, Cow<'a, str>)>,
    tags: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    shared: bool,
}

/// The role of a span, by its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// One end of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Endpoint<'a> {
    service: Cow<'a, str>,
    /// In its textual form; empty for none.
    address: Cow<'a, str>,
    /// Zero for none.
    port: u16,
}

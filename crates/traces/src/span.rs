//! One step of a call: what was done, by whom, when, for how long, and how it ended.
//!
//! The model is OpenTelemetry's, so that nothing that a sender says is lost, with two differences that
//! make wrong states impossible: ids are never zero, and a span has a duration instead of an end that
//! could lie before its start.

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};

use crate::{Attributes, Value, attributes::allocated, sampling::Told};

/// One step of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its own id, unique within the trace.
    pub span_id: SpanId,
    /// The span that caused it, or `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// The flags of W3C Trace Context in the low eight bits; bits 8 and 9 as OTLP has them (whether it is
    /// known that the parent is remote, and whether it is).
    pub flags: u32,
    /// The `tracestate` with which the span was started, empty for none.
    pub trace_state: Box<str>,
    /// What was done, such as `GET /orders/{id}`: the operation.
    pub name: Arc<str>,
    /// Its role in the call.
    pub kind: Kind,
    /// When it began.
    pub start: Wall,
    /// How long it took.
    pub duration_ns: u64,
    /// How it ended.
    pub status: Status,
    /// Who did it. Spans of one sender share it.
    pub resource: Arc<Resource>,
    /// The code that recorded it. Spans of one library share it.
    pub scope: Arc<Scope>,
    /// What else is known about it.
    pub attributes: Attributes,
    /// What happened while it ran.
    pub events: Vec<Event>,
    /// Spans, of any trace, that it has to do with other than as their child.
    pub links: Vec<Link>,
    /// What its sender left out.
    pub dropped: Dropped,
}

impl Span {
    /// A span of this identity and name that began at `start`, with everything else empty: internal,
    /// without a parent, of no duration.
    pub fn new(
        trace_id: TraceId,
        span_id: SpanId,
        name: impl Into<Arc<str>>,
        start: Wall,
        resource: Arc<Resource>,
    ) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: None,
            flags: 0,
            trace_state: "".into(),
            name: name.into(),
            kind: Kind::Internal,
            start,
            duration_ns: 0,
            status: Status::default(),
            resource,
            scope: Arc::default(),
            attributes: Attributes::new(),
            events: Vec::new(),
            links: Vec::new(),
            dropped: Dropped::default(),
        }
    }

    /// When it ended; the largest time where that cannot be written.
    pub fn end(&self) -> Wall {
        Wall(self.start.0.saturating_add(self.duration_ns))
    }

    /// The service that it belongs to.
    pub fn service(&self) -> &str {
        self.resource.service()
    }

    /// The namespace and the service that were called, where a proxy recorded the call: a span of the
    /// proxy's own that tells of a service which need not record anything itself.
    pub fn called(&self) -> Option<(&str, &str)> {
        let service = self.attributes.get_str("bellwether.service")?;
        Some((self.attributes.get_str("bellwether.namespace").unwrap_or("default"), service))
    }

    /// Every namespace and service that it tells of: its own first, then the called one.
    pub fn concerns(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = (self.resource.namespace(), self.resource.service());
        std::iter::once(own).chain(self.called().filter(|called| *called != own))
    }

    /// Whether it failed: by its status, or by the `error` tag of senders older than that.
    pub fn is_error(&self) -> bool {
        if self.status.code == StatusCode::Error {
            return true;
        }
        match self.attributes.get("error") {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::Str(text)) => text.as_ref() == "true",
            _ => false,
        }
    }

    /// For how many spans it stands: its sender kept one in so many, as its `tracestate` tells. Nothing where that
    /// tells of none that were left out.
    pub fn one_in(&self) -> Option<f64> {
        Told::one_in(&self.trace_state)
    }

    /// The memory that this span holds within its `Arc`, as budgets count it; what it shares with others
    /// (its name, its resource, its scope) is not counted.
    pub fn heap_bytes(&self) -> usize {
        let event = |event: &Event| allocated(event.name.len()) + event.attributes.heap_bytes();
        let link = |link: &Link| allocated(link.trace_state.len()) + link.attributes.heap_bytes();
        allocated(size_of::<Span>() + 2 * size_of::<usize>())
            + allocated(self.trace_state.len())
            + allocated(self.status.message.len())
            + self.attributes.heap_bytes()
            + allocated(size_of_val(self.events.as_slice()))
            + self.events.iter().map(event).sum::<usize>()
            + allocated(size_of_val(self.links.as_slice()))
            + self.links.iter().map(link).sum::<usize>()
    }
}

/// The role of a span in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Kind {
    /// Work within a service.
    #[default]
    Internal,
    /// The receiving side of a call.
    Server,
    /// The calling side of a call.
    Client,
    /// The sender of a message that someone else handles later.
    Producer,
    /// The handler of such a message.
    Consumer,
}

impl Kind {
    /// All kinds, in the order of their numbers in OTLP.
    pub const ALL: [Kind; 5] = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];

    /// The kind as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Internal => "internal",
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Producer => "producer",
            Kind::Consumer => "consumer",
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The verdict.
    pub code: StatusCode,
    /// What went wrong, in the sender's words; empty where nothing did.
    pub message: Box<str>,
}

impl Status {
    /// A failure with this message.
    pub fn error(message: impl Into<Box<str>>) -> Self {
        Self { code: StatusCode::Error, message: message.into() }
    }
}

/// The verdict on a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum StatusCode {
    /// The sender gave none, which counts as success.
    #[default]
    Unset,
    /// Someone who knows said that it succeeded.
    Ok,
    /// It failed.
    Error,
}

impl StatusCode {
    /// The code as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            StatusCode::Unset => "unset",
            StatusCode::Ok => "ok",
            StatusCode::Error => "error",
        }
    }
}

/// Who recorded spans: a process of a service on some host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// What is known about it, by OpenTelemetry's names.
    pub attributes: Attributes,
}

impl Resource {
    /// A resource with these attributes.
    pub fn new(attributes: Attributes) -> Self {
        Self { attributes }
    }

    /// The service, from `service.name`; `unknown_service` where the sender gave none.
    pub fn service(&self) -> &str {
        self.text("service.name").unwrap_or("unknown_service")
    }

    /// The namespace, from `service.namespace`; `default` where the sender gave none.
    pub fn namespace(&self) -> &str {
        self.text("service.namespace").unwrap_or("default")
    }

    /// The instance, from `service.instance.id`.
    pub fn instance(&self) -> Option<&str> {
        self.text("service.instance.id")
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.attributes.get_str(key).filter(|text| !text.is_empty())
    }
}

/// The library that recorded spans; all parts are empty where the sender gave none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// What else is known about it.
    pub attributes: Attributes,
}

impl Scope {
    /// A library of which nothing but this is known.
    pub fn new(name: impl Into<Box<str>>, version: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), version: version.into(), attributes: Attributes::new() }
    }
}

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: Wall,
    /// What.
    pub name: Box<str>,
    /// What else is known about it.
    pub attributes: Attributes,
    /// How many attributes its sender left out.
    pub dropped_attributes: u32,
}

/// A relation to another span, of any trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// Its flags, as in [`Span::flags`].
    pub flags: u32,
    /// Its `tracestate`, empty for none.
    pub trace_state: Box<str>,
    /// What is known about the relation.
    pub attributes: Attributes,
    /// How many attributes its sender left out.
    pub dropped_attributes: u32,
}

/// How much the sender of a span left out of it, by limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Attributes left out.
    pub attributes: u32,
    /// Events left out.
    pub events: u32,
    /// Links left out.
    pub links: u32,
}

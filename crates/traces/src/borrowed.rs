//! Spans that borrow their texts from where they stand: the way from a decoder to a store without a copy of
//! every span.
//!
//! An owned [`Span`] with ten attributes is some fifteen allocations. A decoder that walks over a request has
//! all texts before its eyes anyway, and a store writes them into a form of its own; so between the two there
//! is one [`SpanRef`], which the decoder fills anew for each span and whose lists keep their memory, and the
//! trait [`SpanSink`], which the store implements and the decoder is given. What the spans of a request share
//! is said once, before the spans that share it.

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};

use crate::{Attributes, Dropped, Event, Key, Kind, Link, Resource, Scope, Span, Status, StatusCode, Value};

/// Takes spans, one after the other.
pub trait SpanSink {
    /// The spans that follow were recorded by this resource. Without a call, by the empty one.
    fn resource(&mut self, attributes: &[(&str, ValueRef<'_>)]);

    /// The spans that follow were recorded by this code. Without a call since the resource, by no code in
    /// particular.
    fn scope(&mut self, name: &str, version: &str, attributes: &[(&str, ValueRef<'_>)]);

    /// A span of the resource and the scope that were named last.
    fn span(&mut self, span: &SpanRef<'_>);
}

/// Named values that borrow their texts, in the order in which they were sent.
pub type AttributesRef<'a> = Vec<(&'a str, ValueRef<'a>)>;

/// A span as [`Span`] is one, without its resource and its scope. Its lists may be cleared and filled anew.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRef<'a> {
    /// As [`Span::trace_id`].
    pub trace_id: TraceId,
    /// As [`Span::span_id`].
    pub span_id: SpanId,
    /// As [`Span::parent_span_id`].
    pub parent_span_id: Option<SpanId>,
    /// As [`Span::flags`].
    pub flags: u32,
    /// As [`Span::trace_state`].
    pub trace_state: &'a str,
    /// As [`Span::name`].
    pub name: &'a str,
    /// As [`Span::kind`].
    pub kind: Kind,
    /// As [`Span::start`].
    pub start: Wall,
    /// As [`Span::duration_ns`].
    pub duration_ns: u64,
    /// As [`Status::code`].
    pub status: StatusCode,
    /// As [`Status::message`].
    pub status_message: &'a str,
    /// As [`Span::attributes`].
    pub attributes: AttributesRef<'a>,
    /// As [`Span::events`].
    pub events: Vec<EventRef<'a>>,
    /// As [`Span::links`].
    pub links: Vec<LinkRef<'a>>,
    /// As [`Span::dropped`].
    pub dropped: Dropped,
}

/// An event as [`Event`] is one.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRef<'a> {
    /// As [`Event::at`].
    pub at: Wall,
    /// As [`Event::name`].
    pub name: &'a str,
    /// As [`Event::attributes`].
    pub attributes: AttributesRef<'a>,
    /// As [`Event::dropped_attributes`].
    pub dropped_attributes: u32,
}

/// A link as [`Link`] is one.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRef<'a> {
    /// As [`Link::trace_id`].
    pub trace_id: TraceId,
    /// As [`Link::span_id`].
    pub span_id: SpanId,
    /// As [`Link::flags`].
    pub flags: u32,
    /// As [`Link::trace_state`].
    pub trace_state: &'a str,
    /// As [`Link::attributes`].
    pub attributes: AttributesRef<'a>,
    /// As [`Link::dropped_attributes`].
    pub dropped_attributes: u32,
}

/// A value as [`Value`] is one.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueRef<'a> {
    /// Text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A sequence of values. It is rare enough to have memory of its own.
    Array(Vec<ValueRef<'a>>),
    /// Named values, as rare.
    Map(AttributesRef<'a>),
    /// A value that was sent without any type.
    Empty,
}

impl<'a> SpanRef<'a> {
    /// A span of this identity with everything else empty, as [`Span::new`] makes one.
    pub fn new(trace_id: TraceId, span_id: SpanId, name: &'a str, start: Wall) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: None,
            flags: 0,
            trace_state: "",
            name,
            kind: Kind::Internal,
            start,
            duration_ns: 0,
            status: StatusCode::Unset,
            status_message: "",
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            dropped: Dropped::default(),
        }
    }

    /// When it ended, as [`Span::end`].
    pub fn end(&self) -> Wall {
        Wall(self.start.0.saturating_add(self.duration_ns))
    }

    /// The value named `key`; the first, where a sender broke the rule that names are unique.
    pub fn get(&self, key: &str) -> Option<&ValueRef<'a>> {
        get(&self.attributes, key)
    }

    /// The namespace and the service that were called, as [`Span::called`].
    pub fn called(&self) -> Option<(&'a str, &'a str)> {
        let text = |key| match self.get(key) {
            Some(ValueRef::Str(text)) => Some(*text),
            _ => None,
        };
        let service = text("bellwether.service")?;
        Some((text("bellwether.namespace").unwrap_or("default"), service))
    }

    /// Whether it failed, as [`Span::is_error`].
    pub fn is_error(&self) -> bool {
        self.status == StatusCode::Error
            || match self.get("error") {
                Some(ValueRef::Bool(truth)) => *truth,
                Some(ValueRef::Str(text)) => *text == "true",
                _ => false,
            }
    }

    /// The span with memory of its own. `shared` gives the one value of a text that spans share.
    pub fn to_span(
        &self,
        resource: Arc<Resource>,
        scope: Arc<Scope>,
        shared: &mut impl FnMut(&str) -> Arc<str>,
    ) -> Span {
        let event = |event: &EventRef<'_>, shared: &mut _| Event {
            at: event.at,
            name: event.name.into(),
            attributes: to_attributes(&event.attributes, shared),
            dropped_attributes: event.dropped_attributes,
        };
        let link = |link: &LinkRef<'_>, shared: &mut _| Link {
            trace_id: link.trace_id,
            span_id: link.span_id,
            flags: link.flags,
            trace_state: link.trace_state.into(),
            attributes: to_attributes(&link.attributes, shared),
            dropped_attributes: link.dropped_attributes,
        };
        Span {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            flags: self.flags,
            trace_state: self.trace_state.into(),
            name: shared(self.name),
            kind: self.kind,
            start: self.start,
            duration_ns: self.duration_ns,
            status: Status { code: self.status, message: self.status_message.into() },
            resource,
            scope,
            attributes: to_attributes(&self.attributes, shared),
            events: self.events.iter().map(|one| event(one, shared)).collect(),
            links: self.links.iter().map(|one| link(one, shared)).collect(),
            dropped: self.dropped,
        }
    }
}

impl<'a> From<&'a Span> for SpanRef<'a> {
    fn from(span: &'a Span) -> Self {
        let event = |event: &'a Event| EventRef {
            at: event.at,
            name: &event.name,
            attributes: borrow(&event.attributes),
            dropped_attributes: event.dropped_attributes,
        };
        let link = |link: &'a Link| LinkRef {
            trace_id: link.trace_id,
            span_id: link.span_id,
            flags: link.flags,
            trace_state: &link.trace_state,
            attributes: borrow(&link.attributes),
            dropped_attributes: link.dropped_attributes,
        };
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            flags: span.flags,
            trace_state: &span.trace_state,
            name: &span.name,
            kind: span.kind,
            start: span.start,
            duration_ns: span.duration_ns,
            status: span.status.code,
            status_message: &span.status.message,
            attributes: borrow(&span.attributes),
            events: span.events.iter().map(event).collect(),
            links: span.links.iter().map(link).collect(),
            dropped: span.dropped,
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Str(text) => ValueRef::Str(text),
            Value::Bool(truth) => ValueRef::Bool(*truth),
            Value::Int(number) => ValueRef::Int(*number),
            Value::Double(number) => ValueRef::Double(*number),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            Value::Array(values) => ValueRef::Array(values.iter().map(ValueRef::from).collect()),
            Value::Map(map) => ValueRef::Map(borrow(map)),
            Value::Empty => ValueRef::Empty,
        }
    }
}

impl ValueRef<'_> {
    /// Whether this text stands in it, as [`Value::contains`].
    pub fn contains(&self, text: &str) -> bool {
        match self {
            ValueRef::Str(of) => of.contains(text),
            ValueRef::Bytes(_) | ValueRef::Empty => false,
            ValueRef::Bool(truth) => (if *truth { "true" } else { "false" }).contains(text),
            ValueRef::Int(number) => number.to_string().contains(text),
            ValueRef::Double(number) => format!("{number:?}").contains(text),
            ValueRef::Array(values) => values.iter().any(|value| value.contains(text)),
            ValueRef::Map(map) => map.iter().any(|(_, value)| value.contains(text)),
        }
    }

    /// The value with memory of its own. `shared` gives the one value of a name.
    pub fn to_value(&self, shared: &mut impl FnMut(&str) -> Arc<str>) -> Value {
        match self {
            ValueRef::Str(text) => Value::Str((*text).into()),
            ValueRef::Bool(truth) => Value::Bool(*truth),
            ValueRef::Int(number) => Value::Int(*number),
            ValueRef::Double(number) => Value::Double(*number),
            ValueRef::Bytes(bytes) => Value::Bytes((*bytes).into()),
            ValueRef::Array(values) => {
                Value::Array(values.iter().map(|value| value.to_value(shared)).collect())
            }
            ValueRef::Map(map) => Value::Map(to_attributes(map, shared)),
            ValueRef::Empty => Value::Empty,
        }
    }
}

/// Attributes, borrowed.
pub fn borrow(attributes: &Attributes) -> AttributesRef<'_> {
    attributes.iter().map(|(key, value)| (key.as_str(), ValueRef::from(value))).collect()
}

/// Attributes with memory of their own. `shared` gives the one value of a name.
pub fn to_attributes(
    attributes: &[(&str, ValueRef<'_>)],
    shared: &mut impl FnMut(&str) -> Arc<str>,
) -> Attributes {
    attributes.iter().map(|(key, value)| (Key::from(shared(key)), value.to_value(shared))).collect()
}

/// The value named `key`; the first, where a sender broke the rule that names are unique.
pub fn get<'b, 'a>(attributes: &'b [(&'a str, ValueRef<'a>)], key: &str) -> Option<&'b ValueRef<'a>> {
    attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Gives every span that comes as an owned one: for those who want spans and for tests.
#[derive(Debug, Default)]
pub struct Owned {
    /// The spans so far.
    pub spans: Vec<Span>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
}

impl SpanSink for Owned {
    fn resource(&mut self, attributes: &[(&str, ValueRef<'_>)]) {
        self.resource = Arc::new(Resource::new(to_attributes(attributes, &mut |text| text.into())));
        self.scope = Arc::default();
    }

    fn scope(&mut self, name: &str, version: &str, attributes: &[(&str, ValueRef<'_>)]) {
        let attributes = to_attributes(attributes, &mut |text| text.into());
        self.scope = Arc::new(Scope { attributes, ..Scope::new(name, version) });
    }

    fn span(&mut self, span: &SpanRef<'_>) {
        let (resource, scope) = (Arc::clone(&self.resource), Arc::clone(&self.scope));
        self.spans.push(span.to_span(resource, scope, &mut |text| text.into()));
    }
}

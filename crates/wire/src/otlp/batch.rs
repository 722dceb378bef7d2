//! A request's spans as the walk leaves them: borrowed from its bytes, and what they share written once.
//!
//! A request holds thousands of spans, which repeat a few dozen names and one or two resources. [`Batch`]
//! is flat: one list of spans, one of attributes, one of events and one of links for the whole request, of
//! which a span owns a [`Part`] each, so that a span costs no allocation. Names of spans and events and
//! keys of attributes are positions in `strings`, where each text stands once; resources and scopes are
//! positions, too. Everything else is a slice of the request.
//!
//! A request is decoded to its end before any of it is given away ([`Batch::give`]): its last byte may show
//! that it is no message at all, and then nothing of it may have been stored.
//!
//! Positions and parts are plain numbers. The accessors answer with nothing where one lies outside of its
//! list.

use identity::{SpanId, TraceId, Wall};
use traces::{
    Dropped, Kind, StatusCode,
    borrowed::{AttributesRef, EventRef, LinkRef, SpanRef, SpanSink, ValueRef},
};

/// Consecutive elements of one of a batch's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Part {
    /// The position of the first one.
    pub start: u32,
    /// How many they are.
    pub len: u32,
}

impl Part {
    /// These elements of `list`.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        let start = self.start as usize;
        list.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// A value: [`traces::Value`], borrowed. What is nested in it stands in the batch's lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
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
    /// A sequence: a part of [`Batch::values`].
    Array(Part),
    /// Named values: a part of [`Batch::attributes`].
    Map(Part),
    /// A value that was sent without any type.
    Empty,
}

/// A named value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// The position of its name in [`Batch::strings`].
    pub key: u32,
    /// Its value.
    pub value: Value<'a>,
}

/// Who recorded spans: [`traces::Resource`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resource {
    /// What is known about it: a part of [`Batch::attributes`].
    pub attributes: Part,
}

/// The library that recorded spans: [`traces::Scope`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scope<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What else is known about it: a part of [`Batch::attributes`].
    pub attributes: Part,
}

/// One step of a call: [`traces::Span`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<'a> {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that caused it.
    pub parent_span_id: Option<SpanId>,
    /// Flags, as in [`traces::Span::flags`].
    pub flags: u32,
    /// `tracestate`, empty for none.
    pub trace_state: &'a str,
    /// The position of its name in [`Batch::strings`].
    pub name: u32,
    /// Its role in the call.
    pub kind: Kind,
    /// When it began.
    pub start: Wall,
    /// How long it took.
    pub duration_ns: u64,
    /// The verdict on it.
    pub status: StatusCode,
    /// What went wrong.
    pub status_message: &'a str,
    /// The position of its resource in [`Batch::resources`].
    pub resource: u32,
    /// The position of its scope in [`Batch::scopes`].
    pub scope: u32,
    /// What else is known about it: a part of [`Batch::attributes`].
    pub attributes: Part,
    /// What happened while it ran: a part of [`Batch::events`].
    pub events: Part,
    /// Other spans that it has to do with: a part of [`Batch::links`].
    pub links: Part,
    /// What was left out of it, by its sender or by the decoder's limits.
    pub dropped: Dropped,
}

/// Something that happened at one moment of a span: [`traces::Event`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When.
    pub at: Wall,
    /// The position of its name in [`Batch::strings`].
    pub name: u32,
    /// What else is known about it: a part of [`Batch::attributes`].
    pub attributes: Part,
    /// How many attributes were left out of it.
    pub dropped_attributes: u32,
}

/// A relation to another span: [`traces::Link`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link<'a> {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// Its flags.
    pub flags: u32,
    /// Its `tracestate`, empty for none.
    pub trace_state: &'a str,
    /// What is known about the relation: a part of [`Batch::attributes`].
    pub attributes: Part,
    /// How many attributes were left out of it.
    pub dropped_attributes: u32,
}

/// Spans that came together, with what they share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch<'a> {
    /// Names of spans and events, and keys of attributes, each once.
    pub strings: Vec<&'a str>,
    /// Who recorded the spans, each once.
    pub resources: Vec<Resource>,
    /// With which libraries they were recorded, each once.
    pub scopes: Vec<Scope<'a>>,
    /// The spans, in the order in which they were sent.
    pub spans: Vec<Span<'a>>,
    /// The attributes of everything.
    pub attributes: Vec<Attribute<'a>>,
    /// The elements of all arrays.
    pub values: Vec<Value<'a>>,
    /// The events of all spans.
    pub events: Vec<Event>,
    /// The links of all spans.
    pub links: Vec<Link<'a>>,
}

impl<'a> Batch<'a> {
    /// The text at this position, empty where there is none.
    pub fn text(&self, position: u32) -> &'a str {
        self.strings.get(position as usize).copied().unwrap_or_default()
    }

    /// The text of this name in these attributes, if there is one and it is text.
    pub fn text_of(&self, attributes: Part, key: &str) -> Option<&'a str> {
        let found = attributes.of(&self.attributes).iter().find(|attribute| self.text(attribute.key) == key);
        match found?.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The namespace of a resource, as [`traces::Resource::namespace`] has it.
    pub fn namespace(&self, resource: Resource) -> &'a str {
        let named = self.text_of(resource.attributes, "service.namespace");
        named.filter(|text| !text.is_empty()).unwrap_or("default")
    }

    /// The service of a resource, as [`traces::Resource::service`] has it.
    pub fn service(&self, resource: Resource) -> &'a str {
        let named = self.text_of(resource.attributes, "service.name");
        named.filter(|text| !text.is_empty()).unwrap_or("unknown_service")
    }

    /// Gives all spans to a store, or to whoever else takes them: a resource and a scope before the spans
    /// that share them, and again where they take turns.
    pub fn give(&self, sink: &mut impl SpanSink) {
        self.give_some(sink, |_| true);
    }

    /// Gives the spans of the traces that are wanted, and says how many others there are.
    pub fn give_some(&self, sink: &mut impl SpanSink, mut wants: impl FnMut(TraceId) -> bool) -> u64 {
        let (mut given, mut others) = (None, 0);
        self.each(|span, lent| {
            if !wants(span.trace_id) {
                others += 1;
                return;
            }
            if given.is_none_or(|(resource, _)| resource != span.resource) {
                let resource = self.resources.get(span.resource as usize).copied().unwrap_or_default();
                sink.resource(&self.attributes_of(resource.attributes));
                given = None;
            }
            if given.is_none_or(|(_, scope)| scope != span.scope) {
                let scope = self.scopes.get(span.scope as usize).copied().unwrap_or_default();
                sink.scope(scope.name, scope.version, &self.attributes_of(scope.attributes));
            }
            given = Some((span.resource, span.scope));
            sink.span(lent);
        });
        others
    }

    /// Calls back with each span, and the same as everybody else knows it.
    pub fn each(&self, mut call: impl FnMut(&Span<'a>, &SpanRef<'a>)) {
        let Some(first) = self.spans.first() else { return };
        let mut lent = SpanRef::new(first.trace_id, first.span_id, "", first.start);
        for span in &self.spans {
            self.lend(span, &mut lent);
            call(span, &lent);
        }
    }

    /// Fills what was lent for the span before; its lists keep their memory.
    fn lend(&self, span: &Span<'a>, lent: &mut SpanRef<'a>) {
        (lent.trace_id, lent.span_id) = (span.trace_id, span.span_id);
        (lent.parent_span_id, lent.flags) = (span.parent_span_id, span.flags);
        (lent.trace_state, lent.name) = (span.trace_state, self.text(span.name));
        (lent.kind, lent.start, lent.duration_ns) = (span.kind, span.start, span.duration_ns);
        (lent.status, lent.status_message) = (span.status, span.status_message);
        lent.dropped = span.dropped;
        lent.attributes.clear();
        lent.attributes.extend(self.named(span.attributes));
        lent.events.clear();
        lent.events.extend(span.events.of(&self.events).iter().map(|event| EventRef {
            at: event.at,
            name: self.text(event.name),
            attributes: self.attributes_of(event.attributes),
            dropped_attributes: event.dropped_attributes,
        }));
        lent.links.clear();
        lent.links.extend(span.links.of(&self.links).iter().map(|link| LinkRef {
            trace_id: link.trace_id,
            span_id: link.span_id,
            flags: link.flags,
            trace_state: link.trace_state,
            attributes: self.attributes_of(link.attributes),
            dropped_attributes: link.dropped_attributes,
        }));
    }

    fn attributes_of(&self, part: Part) -> AttributesRef<'a> {
        self.named(part).collect()
    }

    fn named(&self, part: Part) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
        let attributes = part.of(&self.attributes).iter();
        attributes.map(|attribute| (self.text(attribute.key), self.value(attribute.value)))
    }

    fn value(&self, value: Value<'a>) -> ValueRef<'a> {
        match value {
            Value::Str(text) => ValueRef::Str(text),
            Value::Bool(truth) => ValueRef::Bool(truth),
            Value::Int(number) => ValueRef::Int(number),
            Value::Double(number) => ValueRef::Double(number),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            Value::Array(part) => {
                let values = part.of(&self.values).iter();
                ValueRef::Array(values.map(|value| self.value(*value)).collect())
            }
            Value::Map(part) => ValueRef::Map(self.attributes_of(part)),
            Value::Empty => ValueRef::Empty,
        }
    }
}

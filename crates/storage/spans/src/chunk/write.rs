//! Writes a chunk while spans come.

use std::{hash::BuildHasher, mem, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable};
use identity::{SpanId, Wall};
use traces::{
    Kind, Resource, Scope, StatusCode,
    borrowed::{SpanRef, SpanSink, ValueRef, to_attributes},
};

use super::{
    Chunk, Text, bit,
    cursor::{put_var, zigzag},
};

/// How deep arrays and maps may be nested in a value. Reading is recursive, so it has to end somewhere.
pub(crate) const MAX_VALUE_DEPTH: usize = 16;

/// All texts so far, each once.
#[derive(Debug, Default)]
struct Texts {
    hasher: DefaultHashBuilder,
    text: String,
    ends: Vec<u32>,
    known: HashTable<u32>,
}

impl Texts {
    fn position(&mut self, wanted: &str) -> u64 {
        let hash = self.hasher.hash_one(wanted);
        let (all, ends) = (&self.text, &self.ends);
        if let Some(at) = self.known.find(hash, |at| text(all, ends, *at) == wanted) {
            return u64::from(*at);
        }
        let at = self.ends.len() as u32;
        self.text.push_str(wanted);
        self.ends.push(self.text.len() as u32);
        let (all, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.known.insert_unique(hash, at, |at| hasher.hash_one(text(all, ends, *at)));
        u64::from(at)
    }
}

fn text<'a>(all: &'a str, ends: &[u32], at: u32) -> &'a str {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    &all[start..ends[at] as usize]
}

/// Takes spans that borrow their texts, for [`Spans::accept_written`](crate::Spans::accept_written): each text
/// is copied once, however many spans have it.
#[derive(Debug, Default)]
pub struct Writer {
    texts: Texts,
    resources: Vec<Arc<Resource>>,
    /// The resources as they are written.
    resource_bytes: Vec<u8>,
    scopes: Vec<Arc<Scope>>,
    /// Their names, versions and attributes as they are written, where any has attributes, and where none has.
    scope_bytes: [Vec<u8>; 2],
    body: Vec<u8>,
    spans: Vec<u32>,
    /// The span that is being written.
    span: Vec<u8>,
    resource: Option<u64>,
    scope: Option<u64>,
    /// Spans that were left out because their values are nested too deep.
    pub(crate) too_deep: u64,
    resource_is_deep: bool,
    scope_is_deep: bool,
}

impl SpanSink for Writer {
    fn resource(&mut self, attributes: &[(&str, ValueRef<'_>)]) {
        self.resource_is_deep = !is_list_shallow(attributes);
        (self.scope, self.scope_is_deep) = (None, false);
        if self.resource_is_deep {
            return;
        }
        let texts = &mut self.texts;
        let resource = Resource::new(to_attributes(attributes, &mut |text| text.into()));
        let known = self.resources.iter().rposition(|known| **known == resource);
        self.resource = Some(known.unwrap_or_else(|| {
            put_attributes(&mut self.resource_bytes, attributes, texts);
            self.resources.push(Arc::new(resource));
            self.resources.len() - 1
        }) as u64);
    }

    fn scope(&mut self, name: &str, version: &str, attributes: &[(&str, ValueRef<'_>)]) {
        self.scope_is_deep = !is_list_shallow(attributes);
        if self.scope_is_deep {
            return;
        }
        let texts = &mut self.texts;
        let of = to_attributes(attributes, &mut |text| text.into());
        let scope = Scope { attributes: of, ..Scope::new(name, version) };
        let known = self.scopes.iter().rposition(|known| **known == scope);
        self.scope = Some(known.unwrap_or_else(|| {
            let [full, plain] = &mut self.scope_bytes;
            for into in [&mut *full, plain] {
                put_var(into, texts.position(name));
                put_var(into, texts.position(version));
            }
            put_attributes(full, attributes, texts);
            self.scopes.push(Arc::new(scope));
            self.scopes.len() - 1
        }) as u64);
    }

    fn span(&mut self, span: &SpanRef<'_>) {
        if self.resource_is_deep || self.scope_is_deep || !is_span_shallow(span) {
            self.too_deep += 1;
            return;
        }
        if self.resource.is_none() {
            self.resource(&[]);
        }
        if self.scope.is_none() {
            self.scope("", "", &[]);
        }
        let mut bytes = mem::take(&mut self.span);
        bytes.clear();
        self.put(&mut bytes, span);
        self.spans.push(self.body.len() as u32);
        put_var(&mut self.body, bytes.len() as u64);
        self.body.extend_from_slice(&bytes);
        self.span = bytes;
    }
}

impl Writer {
    /// How many spans it has.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn put(&mut self, into: &mut Vec<u8>, span: &SpanRef<'_>) {
        let texts = &mut self.texts;
        let called = span.called();
        let dropped = span.dropped;
        let is_dropped = dropped.attributes | dropped.events | dropped.links != 0;
        let bits = [
            (span.parent_span_id.is_some(), bit::PARENT),
            (span.flags != 0, bit::FLAGS),
            (!span.trace_state.is_empty(), bit::STATE),
            (!span.status_message.is_empty(), bit::MESSAGE),
            (!span.events.is_empty(), bit::EVENTS),
            (!span.links.is_empty(), bit::LINKS),
            (is_dropped, bit::DROPPED),
            (span.is_error(), bit::ERROR),
            (called.is_some(), bit::CALLED),
        ];
        put_var(into, bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
        into.extend_from_slice(&span.trace_id.to_bytes());
        into.extend_from_slice(&span.span_id.get().to_le_bytes());
        into.push(kind_number(span.kind) | status_number(span.status) << 4);
        into.extend_from_slice(&span.start.0.to_le_bytes());
        put_var(into, span.duration_ns);
        put_var(into, texts.position(span.name));
        put_var(into, self.resource.unwrap_or(0));
        put_var(into, self.scope.unwrap_or(0));
        if let Some(parent) = span.parent_span_id {
            into.extend_from_slice(&SpanId::get(parent).to_le_bytes());
        }
        if span.flags != 0 {
            put_var(into, u64::from(span.flags));
        }
        for text in [span.trace_state, span.status_message].into_iter().filter(|text| !text.is_empty()) {
            put_var(into, texts.position(text));
        }
        if let Some((namespace, service)) = called {
            put_var(into, texts.position(namespace));
            put_var(into, texts.position(service));
        }
        put_attributes(into, &span.attributes, texts);
        self.put_rest(into, span, is_dropped);
    }

    /// What most spans do not have.
    fn put_rest(&mut self, into: &mut Vec<u8>, span: &SpanRef<'_>, is_dropped: bool) {
        let texts = &mut self.texts;
        if !span.events.is_empty() {
            put_var(into, span.events.len() as u64);
        }
        for event in &span.events {
            into.extend_from_slice(&event.at.0.to_le_bytes());
            put_var(into, texts.position(event.name));
            put_attributes(into, &event.attributes, texts);
            put_var(into, u64::from(event.dropped_attributes));
        }
        if !span.links.is_empty() {
            put_var(into, span.links.len() as u64);
        }
        for link in &span.links {
            into.extend_from_slice(&link.trace_id.to_bytes());
            into.extend_from_slice(&link.span_id.get().to_le_bytes());
            put_var(into, u64::from(link.flags));
            put_var(into, texts.position(link.trace_state));
            put_attributes(into, &link.attributes, texts);
            put_var(into, u64::from(link.dropped_attributes));
        }
        if is_dropped {
            for count in [span.dropped.attributes, span.dropped.events, span.dropped.links] {
                put_var(into, u64::from(count));
            }
        }
    }

    /// The chunk, and the bytes from which it can be read again.
    pub(crate) fn finish(self, received_at: Wall) -> (Chunk, Vec<u8>) {
        let Texts { text, ends, .. } = &self.texts;
        let mut bytes = Vec::with_capacity(text.len() + self.body.len() + 2 * ends.len() + 64);
        put_var(&mut bytes, ends.len() as u64);
        let mut start = 0;
        for end in ends {
            put_var(&mut bytes, u64::from(*end - start));
            start = *end;
        }
        bytes.extend_from_slice(text.as_bytes());
        put_var(&mut bytes, self.resources.len() as u64);
        bytes.extend_from_slice(&self.resource_bytes);
        let [full, plain] = &self.scope_bytes;
        let have_attributes = self.scopes.iter().any(|scope| !scope.attributes.is_empty());
        if have_attributes {
            bytes.push(0);
        }
        put_var(&mut bytes, self.scopes.len() as u64);
        bytes.extend_from_slice(if have_attributes { full } else { plain });
        put_var(&mut bytes, self.spans.len() as u64);
        bytes.extend_from_slice(&self.body);
        let chunk = Chunk {
            scopes: self.scopes.into(),
            text: Text(self.texts.text.into()),
            ends: self.texts.ends.into(),
            resources: self.resources.into(),
            body: self.body.into(),
            spans: self.spans.into(),
            received_at,
        };
        (chunk, bytes)
    }
}

fn put_attributes(into: &mut Vec<u8>, attributes: &[(&str, ValueRef<'_>)], texts: &mut Texts) {
    put_var(into, attributes.len() as u64);
    for (key, value) in attributes {
        put_var(into, texts.position(key));
        put_value(into, value, texts);
    }
}

fn put_value(into: &mut Vec<u8>, value: &ValueRef<'_>, texts: &mut Texts) {
    match value {
        ValueRef::Empty => into.push(0),
        ValueRef::Str(text) => {
            into.push(1);
            put_var(into, texts.position(text));
        }
        ValueRef::Bool(truth) => into.push(2 + u8::from(*truth)),
        ValueRef::Int(number) => {
            into.push(4);
            put_var(into, zigzag(*number));
        }
        ValueRef::Double(number) => {
            into.push(5);
            into.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        ValueRef::Bytes(bytes) => {
            into.push(6);
            put_var(into, bytes.len() as u64);
            into.extend_from_slice(bytes);
        }
        ValueRef::Array(values) => {
            into.push(7);
            put_var(into, values.len() as u64);
            values.iter().for_each(|value| put_value(into, value, texts));
        }
        ValueRef::Map(map) => {
            into.push(8);
            put_attributes(into, map, texts);
        }
    }
}

fn is_span_shallow(span: &SpanRef<'_>) -> bool {
    is_list_shallow(&span.attributes)
        && span.events.iter().all(|event| is_list_shallow(&event.attributes))
        && span.links.iter().all(|link| is_list_shallow(&link.attributes))
}

fn is_list_shallow(attributes: &[(&str, ValueRef<'_>)]) -> bool {
    attributes.iter().all(|(_, value)| is_shallow(value, MAX_VALUE_DEPTH))
}

fn is_shallow(value: &ValueRef<'_>, depth: usize) -> bool {
    match value {
        ValueRef::Array(values) => depth > 0 && values.iter().all(|value| is_shallow(value, depth - 1)),
        ValueRef::Map(map) => depth > 0 && map.iter().all(|(_, value)| is_shallow(value, depth - 1)),
        _ => true,
    }
}

fn kind_number(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|known| *known == kind).unwrap_or(0) as u8
}

fn status_number(status: StatusCode) -> u8 {
    match status {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    }
}

//! Reads a chunk: whole from its bytes once, and then span by span, without a copy.

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};
use traces::{
    Dropped, Kind, Resource, Scope, Span, StatusCode,
    borrowed::{AttributesRef, EventRef, LinkRef, SpanRef, ValueRef, to_attributes},
};

use super::{Chunk, MAX_VALUE_DEPTH, Text, bit, cursor::Cursor, cursor::unzigzag};

/// Bytes that are not what this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("found spans that this version does not understand")]
pub(crate) struct NotUnderstood;

/// What most questions need of a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    bits: u64,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) kind: Kind,
    pub(crate) status: StatusCode,
    pub(crate) start: Wall,
    pub(crate) duration_ns: u64,
    pub(crate) name: u32,
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) flags: u32,
    pub(crate) trace_state: Option<u32>,
    pub(crate) status_message: Option<u32>,
    /// The namespace and the service that were called, where a proxy recorded the call.
    pub(crate) called: Option<(u32, u32)>,
    rest: Cursor<'a>,
}

/// A value of which the text is a position.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RawValue {
    Text(u32),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Anything else, which is given beside it.
    Other,
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut at = Cursor(bytes);
        let bits = at.var()?;
        let trace_id = TraceId::from_bytes(at.bytes(16)?)?;
        let span_id = SpanId::new(at.fixed()?)?;
        let byte = at.byte()?;
        let kind = *Kind::ALL.get(usize::from(byte & 15))?;
        let status = *[StatusCode::Unset, StatusCode::Ok, StatusCode::Error].get(usize::from(byte >> 4))?;
        let (start, duration_ns) = (Wall(at.fixed()?), at.var()?);
        let (name, resource, scope) = (at.var32()?, at.var32()?, at.var32()?);
        let has = |bit: u64| bits & bit != 0;
        let parent = if has(bit::PARENT) { Some(SpanId::new(at.fixed()?)?) } else { None };
        let flags = if has(bit::FLAGS) { at.var32()? } else { 0 };
        let trace_state = if has(bit::STATE) { Some(at.var32()?) } else { None };
        let status_message = if has(bit::MESSAGE) { Some(at.var32()?) } else { None };
        let called = if has(bit::CALLED) { Some((at.var32()?, at.var32()?)) } else { None };
        Some(Self {
            bits,
            trace_id,
            span_id,
            parent,
            kind,
            status,
            start,
            duration_ns,
            name,
            resource,
            scope,
            flags,
            trace_state,
            status_message,
            called,
            rest: at,
        })
    }

    pub(crate) fn is_error(&self) -> bool {
        self.bits & bit::ERROR != 0
    }

    pub(crate) fn end(&self) -> Wall {
        Wall(self.start.0.saturating_add(self.duration_ns))
    }

    /// Calls `each` with every attribute: the position of its name, what it is, and its value where it is
    /// none of the plain ones. Gives what follows.
    pub(crate) fn attributes(
        &self,
        chunk: &'a Chunk,
        mut each: impl FnMut(u32, RawValue, Option<ValueRef<'a>>),
    ) -> Option<Tail<'a>> {
        let mut at = self.rest;
        for _ in 0..at.count()? {
            let key = at.var32()?;
            let mut ahead = at;
            let plain = match ahead.byte()? {
                1 => RawValue::Text(ahead.var32()?),
                2 => RawValue::Bool(false),
                3 => RawValue::Bool(true),
                4 => RawValue::Int(unzigzag(ahead.var()?)),
                5 => RawValue::Double(f64::from_bits(ahead.fixed()?)),
                _ => RawValue::Other,
            };
            match plain {
                RawValue::Other => {
                    let value = read_value(chunk, &mut at, MAX_VALUE_DEPTH)?;
                    each(key, plain, Some(value));
                }
                _ => {
                    at = ahead;
                    each(key, plain, None);
                }
            }
        }
        Some(Tail { bits: self.bits, at })
    }
}

/// What stands behind the attributes of a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail<'a> {
    bits: u64,
    at: Cursor<'a>,
}

impl<'a> Tail<'a> {
    /// Events, links and what was dropped, into lists that are empty.
    pub(crate) fn read(
        mut self,
        chunk: &'a Chunk,
        events: &mut Vec<EventRef<'a>>,
        links: &mut Vec<LinkRef<'a>>,
    ) -> Option<Dropped> {
        let at = &mut self.at;
        if self.bits & bit::EVENTS != 0 {
            for _ in 0..at.count()? {
                events.push(EventRef {
                    at: Wall(at.fixed()?),
                    name: chunk.text(at.var32()?)?,
                    attributes: read_attributes(chunk, at, MAX_VALUE_DEPTH)?,
                    dropped_attributes: at.var32()?,
                });
            }
        }
        if self.bits & bit::LINKS != 0 {
            for _ in 0..at.count()? {
                links.push(LinkRef {
                    trace_id: TraceId::from_bytes(at.bytes(16)?)?,
                    span_id: SpanId::new(at.fixed()?)?,
                    flags: at.var32()?,
                    trace_state: chunk.text(at.var32()?)?,
                    attributes: read_attributes(chunk, at, MAX_VALUE_DEPTH)?,
                    dropped_attributes: at.var32()?,
                });
            }
        }
        let mut dropped = Dropped::default();
        if self.bits & bit::DROPPED != 0 {
            dropped = Dropped { attributes: at.var32()?, events: at.var32()?, links: at.var32()? };
        }
        at.0.is_empty().then_some(dropped)
    }
}

fn read_attributes<'a>(chunk: &'a Chunk, at: &mut Cursor<'a>, depth: usize) -> Option<AttributesRef<'a>> {
    let count = at.count()?;
    let mut attributes = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        attributes.push((chunk.text(at.var32()?)?, read_value(chunk, at, depth)?));
    }
    Some(attributes)
}

fn read_value<'a>(chunk: &'a Chunk, at: &mut Cursor<'a>, depth: usize) -> Option<ValueRef<'a>> {
    Some(match at.byte()? {
        0 => ValueRef::Empty,
        1 => ValueRef::Str(chunk.text(at.var32()?)?),
        2 => ValueRef::Bool(false),
        3 => ValueRef::Bool(true),
        4 => ValueRef::Int(unzigzag(at.var()?)),
        5 => ValueRef::Double(f64::from_bits(at.fixed()?)),
        6 => {
            let length = at.count()?;
            ValueRef::Bytes(at.bytes(length)?)
        }
        7 if depth > 0 => {
            let count = at.count()?;
            ValueRef::Array((0..count).map(|_| read_value(chunk, at, depth - 1)).collect::<Option<_>>()?)
        }
        8 if depth > 0 => ValueRef::Map(read_attributes(chunk, at, depth - 1)?),
        _ => return None,
    })
}

impl Chunk {
    /// Reads the bytes that [`super::Writer::finish`] gave, and looks at every one of them.
    pub(crate) fn read(bytes: &[u8], received_at: Wall) -> Result<Self, NotUnderstood> {
        Self::parse(bytes, received_at).ok_or(NotUnderstood)
    }

    fn parse(bytes: &[u8], received_at: Wall) -> Option<Self> {
        let mut at = Cursor(bytes);
        let mut end = 0_u32;
        let mut ends = Vec::with_capacity({ at }.count()?);
        for _ in 0..at.count()? {
            end = end.checked_add(at.var32()?)?;
            ends.push(end);
        }
        let text: Arc<str> = std::str::from_utf8(at.bytes(end as usize)?).ok()?.into();
        if !ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
            return None;
        }
        let mut chunk = Self {
            text: Text(text),
            ends: ends.into(),
            resources: Box::default(),
            scopes: Box::default(),
            body: Box::default(),
            spans: Box::default(),
            received_at,
        };
        // Only its texts are needed so far.
        let names = chunk.clone();
        let mut resources = Vec::new();
        for _ in 0..at.count()? {
            let attributes = read_attributes(&names, &mut at, MAX_VALUE_DEPTH)?;
            resources.push(Arc::new(Resource::new(to_attributes(&attributes, &mut |text| text.into()))));
        }
        let mut scopes = Vec::new();
        let mut count = at.count()?;
        let have_attributes = count == 0 && { at }.count()? != 0;
        if have_attributes {
            count = at.count()?;
        }
        for _ in 0..count {
            let mut scope = Scope::new(chunk.text(at.var32()?)?, chunk.text(at.var32()?)?);
            if have_attributes {
                let attributes = read_attributes(&names, &mut at, MAX_VALUE_DEPTH)?;
                scope.attributes = to_attributes(&attributes, &mut |text| text.into());
            }
            scopes.push(Arc::new(scope));
        }
        let count = at.count()?;
        let body: Box<[u8]> = at.0.into();
        let mut spans = Vec::with_capacity(count);
        for _ in 0..count {
            spans.push((body.len() - at.0.len()) as u32);
            let length = at.count()?;
            at.bytes(length)?;
        }
        if !at.0.is_empty() {
            return None;
        }
        drop(names);
        chunk.resources = resources.into();
        chunk.scopes = scopes.into();
        (chunk.body, chunk.spans) = (body, spans.into());
        (0..chunk.len()).all(|span| chunk.span(span as u32).is_some()).then_some(chunk)
    }

    /// What most questions need of a span.
    pub(crate) fn head(&self, span: u32) -> Option<Head<'_>> {
        let mut at = Cursor(self.body.get(*self.spans.get(span as usize)? as usize..)?);
        let length = at.count()?;
        Head::read(at.bytes(length)?)
    }

    /// A span, borrowed.
    pub(crate) fn span(&self, span: u32) -> Option<SpanRef<'_>> {
        let head = self.head(span)?;
        let text = |at: Option<u32>| at.map_or(Some(""), |at| self.text(at));
        let mut attributes = Vec::new();
        let mut is_sound = self.resource(head.resource).is_some() && self.scope(head.scope).is_some();
        let tail = head.attributes(self, |key, plain, other| {
            let value = match plain {
                RawValue::Text(at) => self.text(at).map(ValueRef::Str),
                RawValue::Bool(truth) => Some(ValueRef::Bool(truth)),
                RawValue::Int(number) => Some(ValueRef::Int(number)),
                RawValue::Double(number) => Some(ValueRef::Double(number)),
                RawValue::Other => other,
            };
            match self.text(key).zip(value) {
                Some(attribute) => attributes.push(attribute),
                None => is_sound = false,
            }
        })?;
        let (mut events, mut links) = (Vec::new(), Vec::new());
        let dropped = tail.read(self, &mut events, &mut links)?;
        is_sound.then_some(())?;
        Some(SpanRef {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_span_id: head.parent,
            flags: head.flags,
            trace_state: text(head.trace_state)?,
            name: self.text(head.name)?,
            kind: head.kind,
            start: head.start,
            duration_ns: head.duration_ns,
            status: head.status,
            status_message: text(head.status_message)?,
            attributes,
            events,
            links,
            dropped,
        })
    }

    /// A span with memory of its own.
    pub(crate) fn owned(&self, span: u32) -> Option<Span> {
        let head = self.head(span)?;
        let (resource, scope) = (self.resource(head.resource)?, self.scope(head.scope)?);
        let span = self.span(span)?;
        Some(span.to_span(Arc::clone(resource), Arc::clone(scope), &mut |text| text.into()))
    }
}

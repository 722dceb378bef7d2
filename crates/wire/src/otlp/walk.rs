//! The walk over an `ExportTraceServiceRequest`.
//!
//! Numbers of fields are those of `opentelemetry/proto/trace/v1/trace.proto` and of its imports, version 1.
//! Unknown fields are stepped over. A resource may stand behind its spans, so what contains others is looked
//! through twice; stepping over a field costs reading its length.

use std::collections::HashMap;

use identity::{SpanId, TraceId, Wall};
use traces::{Dropped, Kind, StatusCode};

use crate::protobuf::{Broken, Fields, Raw};

use super::{
    Decoded, Event, Limits, Link, Malformed, Part, Reason, Refused, Resource, Scope, Span,
    nested::{ANYWHERE, Fault, Nest, WRONG_TYPE},
};

/// Reads a request. What it answers with borrows from `request`.
///
/// # Errors
/// The bytes are no message. Nothing of them is taken then.
pub fn decode<'a>(request: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Malformed> {
    let malformed = |Broken { what, address }: Broken| {
        Malformed(format!("{what}, at byte {}", address.saturating_sub(request.as_ptr().addr())))
    };
    let mut walk = Walk {
        nest: Nest::new(limits),
        received: 0,
        refused: Refused::default(),
        resources: HashMap::new(),
        scopes: HashMap::new(),
    };
    // Positions in the lists are 32 bits wide.
    if u32::try_from(request.len()).is_err() {
        return Err(Malformed("the request has more than 4 GiB".to_owned()));
    }
    walk.request(request).map_err(malformed)?;
    let Walk { nest, received, refused, .. } = walk;
    let mut batch = nest.batch;
    batch.strings = nest.names.into_texts();
    Ok(Decoded { batch, received, refused, cut: nest.cut })
}

/// The position of something that spans share, or why they are all refused.
type Shared = Result<u32, Reason>;

struct Walk<'a, 'l> {
    nest: Nest<'a, 'l>,
    received: u64,
    refused: Refused,
    /// What was read already, by its bytes: what forwards for many senders repeats their resources.
    resources: HashMap<&'a [u8], Shared>,
    scopes: HashMap<&'a [u8], Shared>,
}

/// How spans are told apart from a request that is no message.
fn reason(fault: Fault) -> Result<Reason, Broken> {
    match fault {
        Fault::Broken(broken) => Err(broken),
        Fault::Refused(reason) => Ok(reason),
        // Only attributes are left out, and their lists count that themselves.
        Fault::Left => Ok(Reason::TooMany),
    }
}

impl<'a> Walk<'a, '_> {
    fn request(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(message)) => self.resource_spans(message)?,
                (1, _) => return Err(fields.broken(WRONG_TYPE)),
                _ => {}
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        let resource = first(message, 1)?;
        let resource = self.resource(resource)?;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (2, Raw::Bytes(message)) => self.scope_spans(message, resource)?,
                (2, _) => return Err(fields.broken(WRONG_TYPE)),
                _ => {}
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &'a [u8], resource: Shared) -> Result<(), Broken> {
        let scope = first(message, 1)?;
        let scope = self.scope(scope)?;
        let shared = resource.and_then(|resource| Ok((resource, scope?)));
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (2, Raw::Bytes(message)) => self.counted(message, shared)?,
                (2, _) => return Err(fields.broken(WRONG_TYPE)),
                _ => {}
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8]) -> Result<Shared, Broken> {
        if let Some(known) = self.resources.get(message) {
            return Ok(*known);
        }
        let marks = self.nest.marks();
        let shared = match self.attributes_of(message) {
            Ok(attributes) => {
                self.nest.batch.resources.push(Resource { attributes });
                Ok(self.nest.batch.resources.len() as u32 - 1)
            }
            Err(fault) => {
                self.nest.back_to(marks);
                Err(reason(fault)?)
            }
        };
        self.resources.insert(message, shared);
        Ok(shared)
    }

    fn attributes_of(&mut self, message: &'a [u8]) -> Result<Part, Fault> {
        let mut open = self.nest.open();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(message)) => self.nest.attribute(&mut open, message)?,
                (1, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        Ok(self.nest.close(open))
    }

    fn scope(&mut self, message: &'a [u8]) -> Result<Shared, Broken> {
        if let Some(known) = self.scopes.get(message) {
            return Ok(*known);
        }
        let marks = self.nest.marks();
        let shared = match self.scope_of(message) {
            Ok(scope) => {
                self.nest.batch.scopes.push(scope);
                Ok(self.nest.batch.scopes.len() as u32 - 1)
            }
            Err(fault) => {
                self.nest.back_to(marks);
                Err(reason(fault)?)
            }
        };
        self.scopes.insert(message, shared);
        Ok(shared)
    }

    fn scope_of(&mut self, message: &'a [u8]) -> Result<Scope<'a>, Fault> {
        let mut scope = Scope::default();
        let mut open = self.nest.open();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(name)) => scope.name = self.nest.text(name)?,
                (2, Raw::Bytes(version)) => scope.version = self.nest.text(version)?,
                (3, Raw::Bytes(message)) => self.nest.attribute(&mut open, message)?,
                (1..=3, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        scope.attributes = self.nest.close(open);
        Ok(scope)
    }

    /// Reads a span and counts it as taken or as refused.
    fn counted(&mut self, message: &'a [u8], shared: Result<(u32, u32), Reason>) -> Result<(), Broken> {
        self.received += 1;
        let (resource, scope) = match shared {
            Ok(_) if self.nest.batch.spans.len() >= self.nest.limits.max_spans => {
                self.refused.add(Reason::TooMany, 1);
                return Ok(());
            }
            Ok(shared) => shared,
            Err(reason) => {
                self.refused.add(reason, 1);
                return Ok(());
            }
        };
        let marks = self.nest.marks();
        match self.span(message, resource, scope) {
            Ok(span) => self.nest.batch.spans.push(span),
            Err(fault) => {
                self.nest.back_to(marks);
                self.refused.add(reason(fault)?, 1);
            }
        }
        Ok(())
    }

    fn span(&mut self, message: &'a [u8], resource: u32, scope: u32) -> Result<Span<'a>, Fault> {
        let mut seen = Seen::default();
        let mut open = self.nest.open();
        let events = self.nest.batch.events.len();
        let links = self.nest.batch.links.len();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (9, Raw::Bytes(message)) => self.nest.attribute(&mut open, message)?,
                (11, Raw::Bytes(message)) => {
                    seen.left.events += self.event(message, events)?;
                }
                (13, Raw::Bytes(message)) => {
                    seen.left.links += self.link(message, links)?;
                }
                (15, Raw::Bytes(message)) => seen.status = self.status(message)?,
                (3, Raw::Bytes(bytes)) => seen.trace_state = self.nest.text(bytes)?,
                _ if seen.take(number, raw) => {}
                (1..=16, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        seen.left.attributes = open.dropped;
        let ids = seen.ids()?;
        let duration_ns = seen.duration_ns()?;
        Ok(Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            flags: seen.flags,
            trace_state: seen.trace_state,
            name: self.nest.name(seen.name, ANYWHERE)?,
            kind: kind(seen.kind),
            start: Wall(seen.start),
            duration_ns,
            status: seen.status.0,
            status_message: seen.status.1,
            resource,
            scope,
            attributes: self.nest.close(open),
            events: since(events, self.nest.batch.events.len()),
            links: since(links, self.nest.batch.links.len()),
            dropped: seen.dropped(),
        })
    }

    /// Reads an event of a span whose first one stands at `first`, and says how many were left out.
    fn event(&mut self, message: &'a [u8], first: usize) -> Result<u32, Fault> {
        if self.nest.batch.events.len() - first >= self.nest.limits.max_events {
            return Ok(1);
        }
        let (mut at, mut name, mut dropped) = (0, &b""[..], 0_u32);
        let mut open = self.nest.open();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Fixed64(time)) => at = time,
                (2, Raw::Bytes(bytes)) => name = bytes,
                (3, Raw::Bytes(message)) => self.nest.attribute(&mut open, message)?,
                (4, Raw::Varint(count)) => dropped = count as u32,
                (1..=4, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        let dropped_attributes = dropped.saturating_add(open.dropped);
        let name = self.nest.name(name, ANYWHERE)?;
        let attributes = self.nest.close(open);
        self.nest.batch.events.push(Event { at: Wall(at), name, attributes, dropped_attributes });
        Ok(0)
    }

    /// Reads a link of a span whose first one stands at `first`, and says how many were left out: one that
    /// leads nowhere is.
    fn link(&mut self, message: &'a [u8], first: usize) -> Result<u32, Fault> {
        if self.nest.batch.links.len() - first >= self.nest.limits.max_links {
            return Ok(1);
        }
        let (mut trace_id, mut span_id, mut trace_state) = (&b""[..], &b""[..], "");
        let (mut dropped, mut flags) = (0_u32, 0);
        let mut open = self.nest.open();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => trace_id = bytes,
                (2, Raw::Bytes(bytes)) => span_id = bytes,
                (3, Raw::Bytes(bytes)) => trace_state = self.nest.text(bytes)?,
                (4, Raw::Bytes(message)) => self.nest.attribute(&mut open, message)?,
                (5, Raw::Varint(count)) => dropped = count as u32,
                (6, Raw::Fixed32(bits)) => flags = bits,
                (1..=6, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        let dropped_attributes = dropped.saturating_add(open.dropped);
        let attributes = self.nest.close(open);
        let (Some(trace_id), Some(span_id)) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id))
        else {
            return Ok(1);
        };
        let link = Link { trace_id, span_id, flags, trace_state, attributes, dropped_attributes };
        self.nest.batch.links.push(link);
        Ok(0)
    }

    fn status(&mut self, message: &'a [u8]) -> Result<(StatusCode, &'a str), Fault> {
        let mut status = (StatusCode::Unset, "");
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (2, Raw::Bytes(bytes)) => status.1 = self.nest.text(bytes)?,
                (3, Raw::Varint(1)) => status.0 = StatusCode::Ok,
                (3, Raw::Varint(2)) => status.0 = StatusCode::Error,
                (3, Raw::Varint(_)) => status.0 = StatusCode::Unset,
                (2 | 3, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        Ok(status)
    }
}

/// What was seen of a span so far.
#[derive(Default)]
struct Seen<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent: &'a [u8],
    name: &'a [u8],
    trace_state: &'a str,
    kind: u64,
    start: u64,
    end: u64,
    flags: u32,
    status: (StatusCode, &'a str),
    /// What its sender left out.
    sender: Dropped,
    /// What limits leave out here.
    left: Dropped,
}

impl<'a> Seen<'a> {
    /// Takes a field that is no message, and says whether it is one.
    #[inline]
    fn take(&mut self, number: u32, raw: Raw<'a>) -> bool {
        match (number, raw) {
            (1, Raw::Bytes(bytes)) => self.trace_id = bytes,
            (2, Raw::Bytes(bytes)) => self.span_id = bytes,
            (4, Raw::Bytes(bytes)) => self.parent = bytes,
            (5, Raw::Bytes(bytes)) => self.name = bytes,
            (6, Raw::Varint(number)) => self.kind = number,
            (7, Raw::Fixed64(time)) => self.start = time,
            (8, Raw::Fixed64(time)) => self.end = time,
            (10, Raw::Varint(count)) => self.sender.attributes = count as u32,
            (12, Raw::Varint(count)) => self.sender.events = count as u32,
            (14, Raw::Varint(count)) => self.sender.links = count as u32,
            (16, Raw::Fixed32(bits)) => self.flags = bits,
            _ => return false,
        }
        true
    }

    fn ids(&self) -> Result<(TraceId, SpanId, Option<SpanId>), Fault> {
        let trace_id = TraceId::from_bytes(self.trace_id).ok_or(Fault::Refused(Reason::TraceId))?;
        let span_id = SpanId::from_bytes(self.span_id).ok_or(Fault::Refused(Reason::SpanId))?;
        // Eight zeros are what many senders write for none.
        match self.parent.len() {
            0 | 8 => Ok((trace_id, span_id, SpanId::from_bytes(self.parent))),
            _ => Err(Fault::Refused(Reason::ParentSpanId)),
        }
    }

    fn duration_ns(&self) -> Result<u64, Fault> {
        if self.start == 0 {
            return Err(Fault::Refused(Reason::NoStart));
        }
        self.end.checked_sub(self.start).ok_or(Fault::Refused(Reason::EndsBeforeStart))
    }

    fn dropped(&self) -> Dropped {
        Dropped {
            attributes: self.sender.attributes.saturating_add(self.left.attributes),
            events: self.sender.events.saturating_add(self.left.events),
            links: self.sender.links.saturating_add(self.left.links),
        }
    }
}

/// Without a kind, and with one that this version does not know, a span is internal.
fn kind(number: u64) -> Kind {
    let position = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    position.and_then(|position| Kind::ALL.get(position)).copied().unwrap_or_default()
}

fn since(first: usize, end: usize) -> Part {
    Part { start: first as u32, len: (end - first) as u32 }
}

/// The content of the message with this number; nothing where there is none.
///
/// Protocol Buffers would merge several of them. No encoder splits a message, so the first is taken.
fn first(message: &[u8], number: u32) -> Result<&[u8], Broken> {
    let mut fields = Fields::of(message);
    while let Some((of, raw)) = fields.next()? {
        match raw {
            Raw::Bytes(bytes) if of == number => return Ok(bytes),
            _ if of == number => return Err(fields.broken(WRONG_TYPE)),
            _ => {}
        }
    }
    Ok(&[])
}

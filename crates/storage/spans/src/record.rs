//! What stands in a record of the journal.
//!
//! Records are Protocol Buffers messages, so that a field can be added without a new format. What the
//! spans of a batch share stands once: their resources, their scopes and, as `strings`, their names and
//! the names of their attributes; they are referred to by position. Times are nanoseconds since 1970 in
//! UTC. Four kinds of record: [`PACKED`], a batch as a compressed chunk; [`BATCH`], which earlier versions
//! wrote for the same and which is still read; [`CARRIED`], spans that a block leaves to the next one; and
//! [`REMOVED`], which keeps what has to be known of blocks that are gone. A block has a [`BlockRecord`].

#[cfg(test)]
use std::collections::HashMap;
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::{SpanId, TraceId, Wall};
use monitoring::{Ledger, Origin};
use prost::Message;
pub(crate) use storage_intake::record::BATCH;
use storage_intake::record::{LedgerRecord, OriginRecord};
#[cfg(test)]
use traces::Key;
use traces::{
    Attributes, Dropped, Event, Kind, Link, Resource, Scope, Span, Status, StatusCode, Value,
    borrowed::{SpanRef, SpanSink, borrow},
};
use zstd::bulk::Compressor;

use crate::chunk::{Chunk, Writer};

/// The kind of a record that holds a [`RemovedRecord`].
pub(crate) const REMOVED: u8 = 2;

/// The kind of a record that holds a [`PackedRecord`].
pub(crate) const PACKED: u8 = 3;

/// The kind of a record that holds a [`CarriedRecord`].
pub(crate) const CARRIED: u8 = 4;

/// A batch of spans with its own counters.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchRecord {
    /// Where it comes from; none for a sender that does not number its batches.
    #[prost(message, optional, tag = "1")]
    pub(crate) origin: Option<OriginRecord>,
    /// When it was received.
    #[prost(fixed64, tag = "2")]
    pub(crate) received_at: u64,
    /// Its counters; `stored` is the number of its spans.
    #[prost(message, optional, tag = "3")]
    pub(crate) ledger: Option<LedgerRecord>,
    /// Names of spans and of attributes.
    #[prost(string, repeated, tag = "4")]
    pub(crate) strings: Vec<String>,
    /// Who recorded the spans.
    #[prost(message, repeated, tag = "5")]
    pub(crate) resources: Vec<ResourceRecord>,
    /// With which code they were recorded.
    #[prost(message, repeated, tag = "6")]
    pub(crate) scopes: Vec<ScopeRecord>,
    /// The spans.
    #[prost(message, repeated, tag = "7")]
    pub(crate) spans: Vec<SpanRecord>,
}

/// A batch of spans as a chunk, with its own counters.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PackedRecord {
    /// Where it comes from; none for a sender that does not number its batches.
    #[prost(message, optional, tag = "1")]
    pub(crate) origin: Option<OriginRecord>,
    /// When it was received.
    #[prost(fixed64, tag = "2")]
    pub(crate) received_at: u64,
    /// Its counters; `stored` is the number of its spans.
    #[prost(message, optional, tag = "3")]
    pub(crate) ledger: Option<LedgerRecord>,
    /// The length of the chunk's bytes.
    #[prost(uint64, tag = "4")]
    pub(crate) chunk_bytes: u64,
    /// The chunk, a zstd frame.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) chunk: Vec<u8>,
}

/// What a block keeps beside its spans.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockRecord {
    /// The sum of the counters of all batches that were ever taken in, up to the last one in this block.
    #[prost(message, optional, tag = "1")]
    pub(crate) total: Option<LedgerRecord>,
    /// When the newest of its batches was received.
    #[prost(fixed64, tag = "2")]
    pub(crate) newest: u64,
    /// The last batch of each source when the block was begun, least recent first.
    #[prost(message, repeated, tag = "3")]
    pub(crate) sources: Vec<OriginRecord>,
    /// Blocks up to this number were gone when this one was begun.
    #[prost(uint64, tag = "4")]
    pub(crate) removed: u64,
    /// Which [`CarriedRecord`]s hold: those that were written for the block of this number. None where it is zero.
    #[prost(uint64, tag = "5")]
    pub(crate) carried: u64,
}

/// Spans of traces that were not decided about when a block was begun, and that the next one is to have. They
/// were in batches before; so it holds only where that block is there, which has everything else up to it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CarriedRecord {
    /// The number of the block that left them.
    #[prost(uint64, tag = "1")]
    pub(crate) block: u64,
    /// The spans, as a [`PackedRecord`] without an origin; its counters are no longer in those of the block.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) batch: Vec<u8>,
}

/// What has to be known of blocks that are gone.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RemovedRecord {
    /// All segments below this number are gone, and all blocks up to it: they are removed, or are to be.
    #[prost(uint64, tag = "1")]
    pub(crate) before: u64,
    /// The sum of the counters of all batches up to the newest block, or of those in segments that are gone
    /// where there has been no block; `expired` is what had been stored of what is gone.
    #[prost(message, optional, tag = "2")]
    pub(crate) ledger: Option<LedgerRecord>,
    /// The last batch of each source when this was written, least recent first.
    #[prost(message, repeated, tag = "3")]
    pub(crate) sources: Vec<OriginRecord>,
}

/// A resource; see [`Resource`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResourceRecord {
    /// What is known about it.
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<AttributeRecord>,
}

/// A scope; see [`Scope`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(crate) struct ScopeRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

/// A span; see [`Span`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpanRecord {
    /// The trace, 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    /// Its id.
    #[prost(fixed64, tag = "2")]
    pub(crate) span_id: u64,
    /// Its parent; zero for a root.
    #[prost(fixed64, tag = "3")]
    pub(crate) parent_span_id: u64,
    /// Flags as OTLP has them.
    #[prost(uint32, tag = "4")]
    pub(crate) flags: u32,
    /// `tracestate`.
    #[prost(string, tag = "5")]
    pub(crate) trace_state: String,
    /// The position of its name in `strings`.
    #[prost(uint32, tag = "6")]
    pub(crate) name: u32,
    /// 0 internal, 1 server, 2 client, 3 producer, 4 consumer.
    #[prost(uint32, tag = "7")]
    pub(crate) kind: u32,
    /// When it began.
    #[prost(fixed64, tag = "8")]
    pub(crate) start: u64,
    /// Nanoseconds that it took.
    #[prost(uint64, tag = "9")]
    pub(crate) duration_ns: u64,
    /// 0 unset, 1 ok, 2 error.
    #[prost(uint32, tag = "10")]
    pub(crate) status: u32,
    /// What went wrong.
    #[prost(string, tag = "11")]
    pub(crate) status_message: String,
    /// The position of its resource in `resources`.
    #[prost(uint32, tag = "12")]
    pub(crate) resource: u32,
    /// The position of its scope in `scopes`.
    #[prost(uint32, tag = "13")]
    pub(crate) scope: u32,
    /// What else is known about it.
    #[prost(message, repeated, tag = "14")]
    pub(crate) attributes: Vec<AttributeRecord>,
    /// What happened while it ran.
    #[prost(message, repeated, tag = "15")]
    pub(crate) events: Vec<EventRecord>,
    /// Other spans that it has to do with.
    #[prost(message, repeated, tag = "16")]
    pub(crate) links: Vec<LinkRecord>,
    /// Attributes that its sender left out.
    #[prost(uint32, tag = "17")]
    pub(crate) dropped_attributes: u32,
    /// Events that its sender left out.
    #[prost(uint32, tag = "18")]
    pub(crate) dropped_events: u32,
    /// Links that its sender left out.
    #[prost(uint32, tag = "19")]
    pub(crate) dropped_links: u32,
}

/// An event of a span; see [`Event`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventRecord {
    /// When.
    #[prost(fixed64, tag = "1")]
    pub(crate) at: u64,
    /// What.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// What else is known about it.
    #[prost(message, repeated, tag = "3")]
    pub(crate) attributes: Vec<AttributeRecord>,
    /// Attributes that its sender left out.
    #[prost(uint32, tag = "4")]
    pub(crate) dropped_attributes: u32,
}

/// A link of a span; see [`Link`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LinkRecord {
    /// The other span's trace, 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    /// The other span.
    #[prost(fixed64, tag = "2")]
    pub(crate) span_id: u64,
    /// Its flags.
    #[prost(uint32, tag = "3")]
    pub(crate) flags: u32,
    /// Its `tracestate`.
    #[prost(string, tag = "4")]
    pub(crate) trace_state: String,
    /// What is known about the relation.
    #[prost(message, repeated, tag = "5")]
    pub(crate) attributes: Vec<AttributeRecord>,
    /// Attributes that its sender left out.
    #[prost(uint32, tag = "6")]
    pub(crate) dropped_attributes: u32,
}

/// A named value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeRecord {
    /// The position of its name in `strings`.
    #[prost(uint32, tag = "1")]
    pub(crate) key: u32,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<ValueRecord>,
}

/// A value; without a content it is the empty one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueRecord {
    /// What it is.
    #[prost(oneof = "ContentRecord", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(crate) content: Option<ContentRecord>,
}

/// What a value is; see [`Value`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum ContentRecord {
    /// Text.
    #[prost(string, tag = "1")]
    Str(String),
    /// A truth value.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A whole number.
    #[prost(sint64, tag = "3")]
    Int(i64),
    /// A floating-point number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// Bytes.
    #[prost(bytes, tag = "5")]
    Bytes(Vec<u8>),
    /// A sequence.
    #[prost(message, tag = "6")]
    Array(ArrayRecord),
    /// Named values.
    #[prost(message, tag = "7")]
    Map(ResourceRecord),
}

/// A sequence of values.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ArrayRecord {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<ValueRecord>,
}

/// A record that is not what this version writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotUnderstood(String);

fn not_understood(why: &str) -> NotUnderstood {
    NotUnderstood(why.to_owned())
}

/// A batch as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    pub(crate) origin: Option<Origin>,
    pub(crate) ledger: Ledger,
    pub(crate) chunk: Arc<Chunk>,
}

/// The largest chunk that is believed to be one, so that a wrong length reserves no memory.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// The bytes of a batch's record.
pub(crate) fn pack(
    compressors: &Compressors,
    origin: Option<&Origin>,
    received_at: Wall,
    ledger: &Ledger,
    chunk: &[u8],
) -> Vec<u8> {
    PackedRecord {
        origin: origin.map(OriginRecord::from),
        received_at: received_at.0,
        ledger: Some(ledger.into()),
        chunk_bytes: chunk.len() as u64,
        // It fails only for want of memory, and then what is written is not understood by anyone.
        chunk: compressors.compress(chunk).unwrap_or_default(),
    }
    .encode_to_vec()
}

/// What compressing needs, some 600 KiB: to make it anew for each batch costs a tenth of the compression.
#[derive(Default)]
pub(crate) struct Compressors(Mutex<Vec<Compressor<'static>>>);

/// So many are kept: as many batches are packed at a time on a small machine.
const KEPT_COMPRESSORS: usize = 4;

impl Compressors {
    fn lock(&self) -> MutexGuard<'_, Vec<Compressor<'static>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let kept = self.lock().pop();
        let mut compressor = kept.map_or_else(|| Compressor::new(1), Ok)?;
        let compressed = compressor.compress(bytes);
        let mut kept = self.lock();
        if kept.len() < KEPT_COMPRESSORS {
            kept.push(compressor);
        }
        compressed
    }
}

impl fmt::Debug for Compressors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressors").field(&self.lock().len()).finish()
    }
}

/// The bytes of a record of spans that a block leaves to the next one.
pub(crate) fn carry(block: u64, received_at: Wall, ledger: &Ledger, chunk: &[u8]) -> Vec<u8> {
    CarriedRecord { block, batch: pack(&Compressors::default(), None, received_at, ledger, chunk) }
        .encode_to_vec()
}

/// Reads what [`carry`] wrote.
pub(crate) fn carried(bytes: &[u8]) -> Result<(u64, Batch), NotUnderstood> {
    let record = CarriedRecord::decode(bytes).map_err(|error| not_understood(&error.to_string()))?;
    Ok((record.block, unpack(&record.batch)?))
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Batch, NotUnderstood> {
    let record = PackedRecord::decode(bytes).map_err(|error| not_understood(&error.to_string()))?;
    if record.chunk_bytes > MAX_CHUNK_BYTES {
        return Err(not_understood("a batch that is larger than any"));
    }
    let chunk = zstd::bulk::decompress(&record.chunk, record.chunk_bytes as usize)
        .map_err(|error| not_understood(&error.to_string()))?;
    let chunk =
        Chunk::read(&chunk, Wall(record.received_at)).map_err(|error| not_understood(&error.to_string()))?;
    Ok(Batch {
        origin: record.origin.map(Origin::from),
        ledger: record.ledger.unwrap_or_default().into(),
        chunk: Arc::new(chunk),
    })
}

/// What is needed to write a batch, and to share while doing so.
#[cfg(test)]
#[derive(Default)]
struct Tables {
    strings: Vec<Arc<str>>,
    string_at: HashMap<Arc<str>, u32>,
    resources: Vec<Arc<Resource>>,
    scopes: Vec<Arc<Scope>>,
}

#[cfg(test)]
impl Tables {
    fn string(&mut self, text: &str) -> (u32, Arc<str>) {
        if let Some(at) = self.string_at.get(text) {
            return (*at, Arc::clone(&self.strings[*at as usize]));
        }
        let (at, text) = (self.strings.len() as u32, Arc::<str>::from(text));
        self.strings.push(Arc::clone(&text));
        self.string_at.insert(Arc::clone(&text), at);
        (at, text)
    }

    fn attributes(&mut self, attributes: &Attributes) -> Vec<AttributeRecord> {
        let one = |(key, value): &(Key, Value)| AttributeRecord {
            key: self.string(key).0,
            value: Some(self.value(value)),
        };
        attributes.iter().map(one).collect()
    }

    fn value(&mut self, value: &Value) -> ValueRecord {
        let content = match value {
            Value::Str(text) => ContentRecord::Str(text.to_string()),
            Value::Bool(truth) => ContentRecord::Bool(*truth),
            Value::Int(number) => ContentRecord::Int(*number),
            Value::Double(number) => ContentRecord::Double(*number),
            Value::Bytes(bytes) => ContentRecord::Bytes(bytes.to_vec()),
            Value::Array(values) => ContentRecord::Array(ArrayRecord {
                values: values.iter().map(|value| self.value(value)).collect(),
            }),
            Value::Map(map) => ContentRecord::Map(ResourceRecord { attributes: self.attributes(map) }),
            Value::Empty => return ValueRecord { content: None },
        };
        ValueRecord { content: Some(content) }
    }

    fn span(&mut self, span: &Span) -> SpanRecord {
        SpanRecord {
            trace_id: span.trace_id.to_bytes().to_vec(),
            span_id: span.span_id.get(),
            parent_span_id: span.parent_span_id.map_or(0, SpanId::get),
            flags: span.flags,
            trace_state: span.trace_state.to_string(),
            name: self.string(&span.name).0,
            kind: Kind::ALL.iter().position(|kind| *kind == span.kind).unwrap_or(0) as u32,
            start: span.start.0,
            duration_ns: span.duration_ns,
            status: match span.status.code {
                StatusCode::Unset => 0,
                StatusCode::Ok => 1,
                StatusCode::Error => 2,
            },
            status_message: span.status.message.to_string(),
            resource: position(&mut self.resources, &span.resource),
            scope: position(&mut self.scopes, &span.scope),
            attributes: self.attributes(&span.attributes),
            events: span.events.iter().map(|event| self.event(event)).collect(),
            links: span.links.iter().map(|link| self.link(link)).collect(),
            dropped_attributes: span.dropped.attributes,
            dropped_events: span.dropped.events,
            dropped_links: span.dropped.links,
        }
    }

    fn event(&mut self, event: &Event) -> EventRecord {
        EventRecord {
            at: event.at.0,
            name: event.name.to_string(),
            attributes: self.attributes(&event.attributes),
            dropped_attributes: event.dropped_attributes,
        }
    }

    fn link(&mut self, link: &Link) -> LinkRecord {
        LinkRecord {
            trace_id: link.trace_id.to_bytes().to_vec(),
            span_id: link.span_id.get(),
            flags: link.flags,
            trace_state: link.trace_state.to_string(),
            attributes: self.attributes(&link.attributes),
            dropped_attributes: link.dropped_attributes,
        }
    }
}

/// The position of a shared thing in its table: the same pointer mostly, an equal thing otherwise.
#[cfg(test)]
fn position<T: PartialEq>(table: &mut Vec<Arc<T>>, thing: &Arc<T>) -> u32 {
    let found = table
        .iter()
        .rposition(|known| Arc::ptr_eq(known, thing))
        .or_else(|| table.iter().rposition(|known| known == thing));
    let at = found.unwrap_or_else(|| {
        table.push(Arc::clone(thing));
        table.len() - 1
    });
    at as u32
}

/// The bytes of a batch's record, as earlier versions wrote it.
#[cfg(test)]
pub(crate) fn encode(origin: Option<&Origin>, received_at: Wall, ledger: &Ledger, spans: &[Span]) -> Vec<u8> {
    let mut tables = Tables::default();
    let spans = spans.iter().map(|span| tables.span(span)).collect();
    let resources = tables.resources.clone();
    let resources = resources
        .iter()
        .map(|resource| ResourceRecord { attributes: tables.attributes(&resource.attributes) })
        .collect();
    let scope =
        |scope: &Arc<Scope>| ScopeRecord { name: scope.name.to_string(), version: scope.version.to_string() };
    let record = BatchRecord {
        origin: origin.map(OriginRecord::from),
        received_at: received_at.0,
        ledger: Some(ledger.into()),
        strings: tables.strings.iter().map(|text| text.to_string()).collect(),
        resources,
        scopes: tables.scopes.iter().map(scope).collect(),
        spans,
    };
    record.encode_to_vec()
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<Batch, NotUnderstood> {
    let record = BatchRecord::decode(bytes).map_err(|error| not_understood(&error.to_string()))?;
    let strings: Vec<Arc<str>> = record.strings.iter().map(|text| text.as_str().into()).collect();
    let resources: Vec<Arc<Resource>> = record
        .resources
        .into_iter()
        .map(|resource| Ok(Arc::new(Resource::new(attributes(resource.attributes, &strings)?))))
        .collect::<Result<_, NotUnderstood>>()?;
    let scope = |scope: ScopeRecord| Arc::new(Scope::new(scope.name, scope.version));
    let scopes: Vec<Arc<Scope>> = record.scopes.into_iter().map(scope).collect();
    let shared = Shared { strings: &strings, resources: &resources, scopes: &scopes };
    let spans: Vec<Span> =
        record.spans.into_iter().map(|span| shared.span(span)).collect::<Result<_, _>>()?;
    let mut writer = Writer::default();
    let mut last = (None, None);
    for span in &spans {
        if last.0 != Some(&span.resource) {
            writer.resource(&borrow(&span.resource.attributes));
            last = (Some(&span.resource), None);
        }
        if last.1 != Some(&span.scope) {
            writer.scope(&span.scope.name, &span.scope.version, &borrow(&span.scope.attributes));
            last.1 = Some(&span.scope);
        }
        writer.span(&SpanRef::from(span));
    }
    Ok(Batch {
        origin: record.origin.map(Origin::from),
        ledger: record.ledger.unwrap_or_default().into(),
        chunk: Arc::new(writer.finish(Wall(record.received_at)).0),
    })
}

struct Shared<'a> {
    strings: &'a [Arc<str>],
    resources: &'a [Arc<Resource>],
    scopes: &'a [Arc<Scope>],
}

impl Shared<'_> {
    fn span(&self, span: SpanRecord) -> Result<Span, NotUnderstood> {
        let code = match span.status {
            0 => StatusCode::Unset,
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => return Err(not_understood("a span with an unknown status")),
        };
        Ok(Span {
            trace_id: trace_id(&span.trace_id)?,
            span_id: span_id(span.span_id)?,
            parent_span_id: SpanId::new(span.parent_span_id),
            flags: span.flags,
            trace_state: span.trace_state.into(),
            name: at(self.strings, span.name)?,
            kind: *Kind::ALL
                .get(span.kind as usize)
                .ok_or_else(|| not_understood("a span of an unknown kind"))?,
            start: Wall(span.start),
            duration_ns: span.duration_ns,
            status: Status { code, message: span.status_message.into() },
            resource: at(self.resources, span.resource)?,
            scope: at(self.scopes, span.scope)?,
            attributes: attributes(span.attributes, self.strings)?,
            events: span.events.into_iter().map(|event| self.event(event)).collect::<Result<_, _>>()?,
            links: span.links.into_iter().map(|link| self.link(link)).collect::<Result<_, _>>()?,
            dropped: Dropped {
                attributes: span.dropped_attributes,
                events: span.dropped_events,
                links: span.dropped_links,
            },
        })
    }

    fn event(&self, event: EventRecord) -> Result<Event, NotUnderstood> {
        Ok(Event {
            at: Wall(event.at),
            name: event.name.into(),
            attributes: attributes(event.attributes, self.strings)?,
            dropped_attributes: event.dropped_attributes,
        })
    }

    fn link(&self, link: LinkRecord) -> Result<Link, NotUnderstood> {
        Ok(Link {
            trace_id: trace_id(&link.trace_id)?,
            span_id: span_id(link.span_id)?,
            flags: link.flags,
            trace_state: link.trace_state.into(),
            attributes: attributes(link.attributes, self.strings)?,
            dropped_attributes: link.dropped_attributes,
        })
    }
}

fn trace_id(bytes: &[u8]) -> Result<TraceId, NotUnderstood> {
    TraceId::from_bytes(bytes).ok_or_else(|| not_understood("a trace id that is none"))
}

fn span_id(number: u64) -> Result<SpanId, NotUnderstood> {
    SpanId::new(number).ok_or_else(|| not_understood("a span id that is none"))
}

fn at<T: ?Sized>(table: &[Arc<T>], position: u32) -> Result<Arc<T>, NotUnderstood> {
    table.get(position as usize).cloned().ok_or_else(|| not_understood("a position outside of its table"))
}

fn attributes(records: Vec<AttributeRecord>, strings: &[Arc<str>]) -> Result<Attributes, NotUnderstood> {
    let one = |record: AttributeRecord| {
        let value = record.value.map_or(Ok(Value::Empty), |record| value(record, strings))?;
        Ok((at(strings, record.key)?.into(), value))
    };
    records.into_iter().map(one).collect()
}

fn value(record: ValueRecord, strings: &[Arc<str>]) -> Result<Value, NotUnderstood> {
    Ok(match record.content {
        None => Value::Empty,
        Some(ContentRecord::Str(text)) => text.into(),
        Some(ContentRecord::Bool(truth)) => truth.into(),
        Some(ContentRecord::Int(number)) => number.into(),
        Some(ContentRecord::Double(number)) => number.into(),
        Some(ContentRecord::Bytes(bytes)) => Value::Bytes(bytes.into()),
        Some(ContentRecord::Array(array)) => {
            let values = array.values.into_iter().map(|record| value(record, strings));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(ContentRecord::Map(map)) => Value::Map(attributes(map.attributes, strings)?),
    })
}

//! Makes a block of what is in memory.
//!
//! Spans are walked over once, trace by trace in the order of ids, and what is found is added to one list per
//! column; then the columns are written one after the other. Texts stay where they are, in the chunks: a list
//! holds their places, and columns refer to the same memory.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use hashbrown::HashMap;
use identity::{TraceId, Wall};
use parquet::{
    data_type::{
        BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
        Int32Type, Int64Type,
    },
    errors::ParquetError,
    file::writer::{SerializedFileWriter, SerializedRowGroupWriter},
};
use traces::{
    Kind, StatusCode,
    borrowed::{ValueRef, borrow},
    sampling::{Ratio, Told},
};

use super::{
    filter::Filter,
    json,
    layout::{self, DATA_AT, Header, SECTIONS},
    schema::{self, Column, PAGE_ROWS},
    table::{Row, Shape, Table, encode_names},
};
use crate::{
    chunk::{Chunk, Head, RawValue, cursor::put_var},
    memory::{Entry, Memory},
    names::KeyType,
};

/// Keys that get columns of their own: at most so many, since a trace's lookup reads a page of each.
const MAX_KEY_COLUMNS: usize = 48;
/// … and only those that at least one of so many spans has.
const KEY_COLUMN_SHARE: u64 = 1_000;

/// A trace with parts in earlier blocks: the block's number and the trace's position there.
pub(crate) type Earlier = std::collections::HashMap<TraceId, Vec<(u64, u32)>>;

/// A text in a chunk.
type TextAt = u64;

/// The bytes of a block of all that is in memory, with this record and number.
pub(crate) fn build(
    memory: &Memory,
    number: u64,
    record: &[u8],
    earlier: &Earlier,
) -> Result<Vec<u8>, ParquetError> {
    let mut lists = Lists::new(memory);
    let mut traces: Vec<(&TraceId, &Entry)> = memory.traces().iter().collect();
    traces.sort_unstable_by_key(|(id, _)| **id);
    for (id, entry) in &traces {
        lists.add_trace(**id, entry);
    }
    let ids: Vec<TraceId> = traces.iter().map(|(id, _)| **id).collect();
    drop(traces);
    let header = Header {
        number,
        spans: u64::from(lists.table.spans),
        traces: ids.len() as u64,
        first_start: lists.table.rows.iter().map(|row| row.start).min().unwrap_or_default(),
        last_start: lists.table.rows.iter().map(|row| row.start).max().unwrap_or_default(),
        last_end: lists.last_end,
        ..Header::default()
    };
    let sections = [
        record.to_vec(),
        compress(&encode_names(&memory.names))?,
        Filter::of(&ids).to_bytes(),
        ids.iter().flat_map(|id| id.to_bytes()).collect(),
        compress(&lists.table.encode())?,
        split_section(&ids, earlier),
        lists.table.encode_counts(),
    ];
    lists.write(header, sections)
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>, ParquetError> {
    zstd::bulk::compress(bytes, 1).map_err(|error| ParquetError::External(Box::new(error)))
}

fn split_section(ids: &[TraceId], earlier: &Earlier) -> Vec<u8> {
    let mut into = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let Some(parts) = earlier.get(id) else { continue };
        put_var(&mut into, at as u64);
        put_var(&mut into, parts.len() as u64);
        for (block, trace) in parts {
            put_var(&mut into, *block);
            put_var(&mut into, u64::from(*trace));
        }
    }
    into
}

/// A column that most rows have nothing in.
#[derive(Debug)]
struct Sparse<T> {
    rows: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), values: Vec::new() }
    }
}

impl<T> Sparse<T> {
    fn push(&mut self, row: u32, value: T) {
        self.rows.push(row);
        self.values.push(value);
    }
}

/// One list per column.
struct Lists<'a> {
    memory: &'a Memory,
    table: Table,
    last_end: Wall,
    shape_at: HashMap<Shape, u32>,
    place_at: HashMap<(usize, u32, u32), u32>,
    ids: Vec<TraceId>,
    starts: Vec<i64>,
    span_ids: Vec<u64>,
    foreign_parents: Sparse<u64>,
    parents: Sparse<i32>,
    trace_states: Sparse<TextAt>,
    flags: Sparse<i32>,
    names: Vec<TextAt>,
    kinds: Vec<u8>,
    /// Positions in `resources` and `scopes`.
    resource: Vec<u32>,
    scope: Vec<u32>,
    durations: Vec<i64>,
    status: Vec<u8>,
    messages: Sparse<TextAt>,
    events: Sparse<Vec<u8>>,
    links: Sparse<Vec<u8>>,
    dropped: [Sparse<i32>; 3],
    others: Sparse<Vec<u8>>,
    /// The columns for single keys, and which one a key of a chunk belongs to.
    keys: Vec<(String, KeyType)>,
    key_values: Vec<Sparse<u64>>,
    key_at: Vec<Box<[u16]>>,
    shared: Shared,
}

/// What resources and scopes are written as.
#[derive(Default)]
struct Shared {
    resources: Vec<(ByteArray, ByteArray)>,
    resource_at: HashMap<(u32, u32), u32>,
    resource_of: HashMap<Box<[u8]>, u32>,
    /// Name, version and attributes.
    scopes: Vec<(ByteArray, ByteArray, Option<ByteArray>)>,
    scope_at: HashMap<(u32, u32), u32>,
}

impl<'a> Lists<'a> {
    fn new(memory: &'a Memory) -> Self {
        let keys = frequent_keys(memory);
        let column: HashMap<&str, u16> = (0..).zip(&keys).map(|(at, (key, _))| (key.as_str(), at)).collect();
        let of = |chunk: &Arc<Chunk>| {
            let column = |at| chunk.text(at).and_then(|key| column.get(key)).copied().unwrap_or(u16::MAX);
            (0..chunk.texts() as u32).map(column).collect()
        };
        let key_at = memory.chunks().iter().map(of).collect();
        drop(column);
        let spans = memory.spans();
        Self {
            memory,
            table: Table::default(),
            last_end: Wall(0),
            shape_at: HashMap::new(),
            place_at: HashMap::new(),
            ids: Vec::with_capacity(spans),
            starts: Vec::with_capacity(spans),
            span_ids: Vec::with_capacity(spans),
            foreign_parents: Sparse::default(),
            parents: Sparse::default(),
            trace_states: Sparse::default(),
            flags: Sparse::default(),
            names: Vec::with_capacity(spans),
            kinds: Vec::with_capacity(spans),
            resource: Vec::with_capacity(spans),
            scope: Vec::with_capacity(spans),
            durations: Vec::with_capacity(spans),
            status: Vec::with_capacity(spans),
            messages: Sparse::default(),
            events: Sparse::default(),
            links: Sparse::default(),
            dropped: Default::default(),
            others: Sparse::default(),
            key_values: keys.iter().map(|_| Sparse::default()).collect(),
            keys,
            key_at,
            shared: Shared::default(),
        }
    }

    fn add_trace(&mut self, id: TraceId, entry: &Entry) {
        let memory = self.memory;
        let head = |(chunk, span): &(u32, u32)| {
            let of = memory.chunks().get(*chunk as usize)?;
            Some((*chunk, *span, of.head(*span)?))
        };
        let mut spans: Vec<(u32, u32, Head<'_>)> = entry.spans.iter().filter_map(head).collect();
        spans.sort_by_key(|(_, _, head)| (head.start, head.span_id));
        let mut by_id: Vec<(u64, u32)> =
            (0..).zip(&spans).map(|(at, (_, _, head))| (head.span_id.get(), at)).collect();
        by_id.sort_unstable();
        let mut shape =
            Shape { is_odd: by_id.windows(2).any(|pair| pair[0].0 == pair[1].0), ..Shape::default() };
        let parent_of = |head: &Head<'_>| {
            let parent = head.parent?.get();
            let found = by_id.binary_search_by_key(&parent, |(id, _)| *id).ok()?;
            (parent != head.span_id.get()).then(|| by_id[found].1)
        };
        let parents: Vec<Option<u32>> = spans.iter().map(|(_, _, head)| parent_of(head)).collect();
        shape.is_odd |= has_circle(&parents);
        let mut root: Option<(bool, usize)> = None;
        let mut places: Vec<(u32, u32, u32)> = Vec::with_capacity(spans.len());
        for (at, (chunk, span, head)) in spans.iter().enumerate() {
            let row = self.ids.len() as u32;
            let parent = parents[at].map(|parent| at as i32 - parent as i32);
            shape.is_incomplete |= parent.is_none() && head.parent.is_some();
            let state = head.trace_state.and_then(|at| memory.chunks().get(*chunk as usize)?.text(at));
            let kept = state.and_then(|state| Told::of(state).kept);
            shape.threshold = shape.threshold.max(kept.map_or(0, Ratio::threshold));
            if parent.is_none() {
                let is_real = head.parent.is_none();
                root = root.filter(|(known, _)| *known || !is_real).or(Some((is_real, at)));
            }
            let place = self.place(*chunk, head);
            places.push((place, 1, u32::from(head.is_error())));
            if let Some(called) = self.called(*chunk, head) {
                places.push((called, 0, 0));
            }
            self.ids.push(id);
            self.add_head(row, *chunk, head, parent);
            self.add_rest(row, *chunk, *span, head);
        }
        shape.root = root.map_or(0, |(_, at)| self.place(spans[at].0, &spans[at].2));
        shape.places = summed(places);
        self.last_end = self.last_end.max(entry.end);
        let next = self.table.shapes.len() as u32;
        let number = *self.shape_at.entry(shape).or_insert_with_key(|shape| {
            self.table.shapes.push(shape.clone());
            next
        });
        let duration_ns = entry.end.0 - entry.start.0;
        self.table.rows.push(Row { start: entry.start, duration_ns, shape: number, first: self.table.spans });
        self.table.spans += spans.len() as u32;
    }

    fn place(&mut self, chunk: u32, head: &Head<'_>) -> u32 {
        let memory = self.memory;
        let find = || {
            let of = &memory.chunks()[chunk as usize];
            let resource = of.resource(head.resource)?;
            let name = of.text(head.name)?;
            memory.place_of(resource.namespace(), resource.service(), name, false)
        };
        *self
            .place_at
            .entry((chunk as usize, head.resource, head.name))
            .or_insert_with(|| find().unwrap_or(0))
    }

    fn called(&self, chunk: u32, head: &Head<'_>) -> Option<u32> {
        let (namespace, service) = head.called?;
        let of = &self.memory.chunks()[chunk as usize];
        self.memory.place_of(of.text(namespace)?, of.text(service)?, of.text(head.name)?, true)
    }

    fn add_head(&mut self, row: u32, chunk: u32, head: &Head<'_>, parent: Option<i32>) {
        let at = |text: u32| u64::from(chunk) << 32 | u64::from(text);
        self.starts.push(head.start.0 as i64);
        self.span_ids.push(head.span_id.get());
        match (parent, head.parent) {
            (Some(rows_back), _) => self.parents.push(row, rows_back),
            (None, Some(parent)) => self.foreign_parents.push(row, parent.get()),
            (None, None) => {}
        }
        if let Some(state) = head.trace_state {
            self.trace_states.push(row, at(state));
        }
        if head.flags != 0 {
            self.flags.push(row, head.flags as i32);
        }
        self.names.push(at(head.name));
        self.kinds.push(Kind::ALL.iter().position(|kind| *kind == head.kind).unwrap_or(0) as u8);
        let of = &self.memory.chunks()[chunk as usize];
        let resource = self.shared.resource(of, chunk, head.resource);
        let scope = self.shared.scope(of, chunk, head.scope);
        self.resource.push(resource);
        self.scope.push(scope);
        self.durations.push(head.duration_ns as i64);
        self.status.push(match head.status {
            StatusCode::Unset => 0,
            StatusCode::Ok => 1,
            StatusCode::Error => 2,
        });
        if let Some(message) = head.status_message {
            self.messages.push(row, at(message));
        }
    }

    /// Attributes, events and links.
    fn add_rest(&mut self, row: u32, chunk: u32, span: u32, head: &Head<'_>) {
        let of = &self.memory.chunks()[chunk as usize];
        let key_at = &self.key_at[chunk as usize];
        let mut others: Vec<(u32, ValueRef<'_>)> = Vec::new();
        let (keys, key_values) = (&self.keys, &mut self.key_values);
        let tail = head.attributes(of, |key, value, other| {
            let column = key_at.get(key as usize).copied().unwrap_or(u16::MAX) as usize;
            let bits = keys.get(column).and_then(|(_, kind)| bits_of(*kind, chunk, &value));
            match bits {
                // Of a key that a sender gave twice, the first one stays the first.
                Some(bits)
                    if key_values[column].rows.last() != Some(&row)
                        && others.iter().all(|(other, _)| *other != key) =>
                {
                    key_values[column].push(row, bits);
                }
                _ => others.extend(plain(of, value, other).map(|value| (key, value))),
            }
        });
        if !others.is_empty() {
            let mut text = String::new();
            let named = others.iter().filter_map(|(key, value)| Some((of.text(*key)?, value)));
            json::put_attributes(&mut text, named);
            self.others.push(row, text.into_bytes());
        }
        let (mut events, mut links) = (Vec::new(), Vec::new());
        let dropped = tail.and_then(|tail| tail.read(of, &mut events, &mut links)).unwrap_or_default();
        if !events.is_empty() {
            self.events.push(row, json::events(&events).into_bytes());
        }
        if !links.is_empty() {
            self.links.push(row, json::links(&links).into_bytes());
        }
        for (column, count) in
            self.dropped.iter_mut().zip([dropped.attributes, dropped.events, dropped.links])
        {
            if count > 0 {
                column.push(row, count as i32);
            }
        }
        debug_assert!(of.head(span).is_some());
    }

    fn write(self, mut header: Header, sections: [Vec<u8>; SECTIONS]) -> Result<Vec<u8>, ParquetError> {
        let schema = schema::schema(&self.keys, self.scope_attributes().is_some())?;
        let properties = Arc::new(schema::properties(&self.keys)?);
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        writer.write_all(&vec![0; DATA_AT - 4])?;
        let mut places: [std::ops::Range<usize>; SECTIONS] = Default::default();
        for (place, section) in places.iter_mut().zip(&sections) {
            *place = writer.bytes_written()..writer.bytes_written() + section.len();
            writer.write_all(section)?;
        }
        drop(sections);
        let mut columns = writer.next_row_group()?;
        self.write_columns(&mut columns)?;
        columns.close()?;
        writer.flush()?;
        let mut bytes = writer.into_inner()?;
        header.file_bytes = bytes.len() as u64;
        layout::seal(&mut bytes, header, &places);
        Ok(bytes)
    }

    /// The rows whose scope has attributes, with the number of the scope; nothing where none has.
    fn scope_attributes(&self) -> Option<Sparse<u32>> {
        let has = |scope: &u32| self.shared.scopes[*scope as usize].2.is_some();
        if !(0..self.shared.scopes.len() as u32).any(|scope| has(&scope)) {
            return None;
        }
        let mut of = Sparse::default();
        (0..).zip(&self.scope).filter(|(_, scope)| has(scope)).for_each(|(row, scope)| of.push(row, *scope));
        Some(of)
    }

    fn write_columns<W: Write + Send>(
        self,
        into: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let rows = self.ids.len();
        let texts = Texts::new(self.memory);
        let fixed = |bytes: &[u8]| FixedLenByteArray::from(bytes.to_vec());
        let word = |text: &'static str| ByteArray::from(Bytes::from_static(text.as_bytes()));
        let json = |bytes: &Vec<u8>| ByteArray::from(bytes.clone());
        let text = |at: &u64| texts.get(*at);
        const KINDS: [&str; 5] = ["Internal", "Server", "Client", "Producer", "Consumer"];
        const STATUS: [&str; 3] = ["Unset", "Ok", "Error"];
        for column in Column::ALL {
            match column {
                Column::Timestamp => dense::<Int64Type, _>(into, &self.starts, |start| *start)?,
                Column::TraceId => {
                    dense::<FixedLenByteArrayType, _>(into, &self.ids, |id| fixed(&id.to_bytes()))?;
                }
                Column::SpanId => {
                    dense::<FixedLenByteArrayType, _>(into, &self.span_ids, |id| fixed(&id.to_be_bytes()))?;
                }
                Column::ParentSpanId => {
                    let value = |id: &u64| fixed(&id.to_be_bytes());
                    sparse::<FixedLenByteArrayType, _>(into, &self.foreign_parents, rows, value)?;
                }
                Column::ParentRowsBack => sparse::<Int32Type, _>(into, &self.parents, rows, |back| *back)?,
                Column::TraceState => sparse::<ByteArrayType, _>(into, &self.trace_states, rows, text)?,
                Column::TraceFlags => sparse::<Int32Type, _>(into, &self.flags, rows, |flags| *flags)?,
                Column::SpanName => dense::<ByteArrayType, _>(into, &self.names, text)?,
                Column::SpanKind => {
                    dense::<ByteArrayType, _>(into, &self.kinds, |kind| word(KINDS[*kind as usize]))?;
                }
                Column::ServiceName => {
                    let value = |at: &u32| self.shared.resources[*at as usize].0.clone();
                    dense::<ByteArrayType, _>(into, &self.resource, value)?;
                }
                Column::ResourceAttributes => {
                    let value = |at: &u32| self.shared.resources[*at as usize].1.clone();
                    dense::<ByteArrayType, _>(into, &self.resource, value)?;
                }
                Column::ScopeName => {
                    let value = |at: &u32| self.shared.scopes[*at as usize].0.clone();
                    dense::<ByteArrayType, _>(into, &self.scope, value)?;
                }
                Column::ScopeVersion => {
                    let value = |at: &u32| self.shared.scopes[*at as usize].1.clone();
                    dense::<ByteArrayType, _>(into, &self.scope, value)?;
                }
                Column::Duration => dense::<Int64Type, _>(into, &self.durations, |duration| *duration)?,
                Column::StatusCode => {
                    dense::<ByteArrayType, _>(into, &self.status, |code| word(STATUS[*code as usize]))?;
                }
                Column::StatusMessage => sparse::<ByteArrayType, _>(into, &self.messages, rows, text)?,
                Column::Events => sparse::<ByteArrayType, _>(into, &self.events, rows, json)?,
                Column::Links => sparse::<ByteArrayType, _>(into, &self.links, rows, json)?,
                Column::DroppedAttributes => {
                    sparse::<Int32Type, _>(into, &self.dropped[0], rows, |count| *count)?
                }
                Column::DroppedEvents => {
                    sparse::<Int32Type, _>(into, &self.dropped[1], rows, |count| *count)?
                }
                Column::DroppedLinks => sparse::<Int32Type, _>(into, &self.dropped[2], rows, |count| *count)?,
                Column::SpanAttributes => sparse::<ByteArrayType, _>(into, &self.others, rows, json)?,
            }
        }
        for ((_, kind), values) in self.keys.iter().zip(&self.key_values) {
            match kind {
                KeyType::Bool => sparse::<BoolType, _>(into, values, rows, |bits| *bits != 0)?,
                KeyType::Int => sparse::<Int64Type, _>(into, values, rows, |bits| *bits as i64)?,
                KeyType::Double => sparse::<DoubleType, _>(into, values, rows, |bits| f64::from_bits(*bits))?,
                KeyType::Text | KeyType::Other => sparse::<ByteArrayType, _>(into, values, rows, text)?,
            }
        }
        if let Some(of_scopes) = self.scope_attributes() {
            let value = |at: &u32| self.shared.scopes[*at as usize].2.clone().unwrap_or_default();
            sparse::<ByteArrayType, _>(into, &of_scopes, rows, value)?;
        }
        Ok(())
    }
}

/// The texts of all chunks, as columns refer to them.
struct Texts<'a> {
    chunks: &'a [Arc<Chunk>],
    buffers: Vec<Bytes>,
}

impl<'a> Texts<'a> {
    fn new(memory: &'a Memory) -> Self {
        let buffer = |chunk: &Arc<Chunk>| Bytes::from_owner(chunk.text_buffer().clone());
        Self { chunks: memory.chunks(), buffers: memory.chunks().iter().map(buffer).collect() }
    }

    fn get(&self, at: TextAt) -> ByteArray {
        let chunk = (at >> 32) as usize;
        match self.chunks[chunk].range_of(at as u32) {
            Some(range) => ByteArray::from(self.buffers[chunk].slice(range)),
            None => ByteArray::from(Bytes::new()),
        }
    }
}

impl Shared {
    fn resource(&mut self, chunk: &Chunk, number: u32, at: u32) -> u32 {
        if let Some(known) = self.resource_at.get(&(number, at)) {
            return *known;
        }
        let mut text = String::new();
        let mut service = "unknown_service".to_owned();
        if let Some(resource) = chunk.resource(at) {
            let attributes = borrow(&resource.attributes);
            json::put_attributes(&mut text, attributes.iter().map(|(key, value)| (*key, value)));
            service = resource.service().to_owned();
        }
        let text: Box<[u8]> = text.into_bytes().into();
        let next = self.resources.len() as u32;
        let resources = &mut self.resources;
        let known = *self.resource_of.entry(text).or_insert_with_key(|text| {
            resources.push((ByteArray::from(service.into_bytes()), ByteArray::from(text.to_vec())));
            next
        });
        self.resource_at.insert((number, at), known);
        known
    }

    fn scope(&mut self, chunk: &Chunk, number: u32, at: u32) -> u32 {
        *self.scope_at.entry((number, at)).or_insert_with(|| {
            let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
            let scope = chunk.scope(at);
            let attributes = scope.map(|scope| &scope.attributes).filter(|of| !of.is_empty()).map(|of| {
                let mut text = String::new();
                json::put_attributes(&mut text, borrow(of).iter().map(|(key, value)| (*key, value)));
                ByteArray::from(text.into_bytes())
            });
            self.scopes.push((
                text(scope.map_or("", |scope| &scope.name)),
                text(scope.map_or("", |scope| &scope.version)),
                attributes,
            ));
            (self.scopes.len() - 1) as u32
        })
    }
}

/// A value as a column of this type holds it, if it can.
fn bits_of(kind: KeyType, chunk: u32, value: &RawValue) -> Option<u64> {
    match (kind, value) {
        (KeyType::Text, RawValue::Text(at)) => Some(u64::from(chunk) << 32 | u64::from(*at)),
        (KeyType::Bool, RawValue::Bool(truth)) => Some(u64::from(*truth)),
        (KeyType::Int, RawValue::Int(number)) => Some(*number as u64),
        (KeyType::Double, RawValue::Double(number)) => Some(number.to_bits()),
        _ => None,
    }
}

fn plain<'a>(chunk: &'a Chunk, value: RawValue, other: Option<ValueRef<'a>>) -> Option<ValueRef<'a>> {
    match value {
        RawValue::Text(at) => chunk.text(at).map(ValueRef::Str),
        RawValue::Bool(truth) => Some(ValueRef::Bool(truth)),
        RawValue::Int(number) => Some(ValueRef::Int(number)),
        RawValue::Double(number) => Some(ValueRef::Double(number)),
        RawValue::Other => other,
    }
}

/// The keys that get columns, with the type that most of their values have.
fn frequent_keys(memory: &Memory) -> Vec<(String, KeyType)> {
    let least = (memory.spans() as u64 / KEY_COLUMN_SHARE).max(1);
    let mut keys: Vec<(u64, &str, KeyType)> = Vec::new();
    for (key, counts) in &memory.names.keys {
        let most = KeyType::ALL.into_iter().zip(*counts).filter(|(kind, _)| *kind != KeyType::Other);
        if let Some((kind, count)) = most.max_by_key(|(_, count)| *count).filter(|(_, count)| *count >= least)
        {
            keys.push((count, key, kind));
        }
    }
    keys.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    keys.truncate(MAX_KEY_COLUMNS);
    keys.into_iter().map(|(_, key, kind)| (key.to_owned(), kind)).collect()
}

/// Every place once, in ascending order, with the sums of its numbers.
fn summed(mut places: Vec<(u32, u32, u32)>) -> Vec<(u32, u32, u32)> {
    places.sort_unstable();
    places.dedup_by(|next, sum| {
        let is_same = next.0 == sum.0;
        if is_same {
            (sum.1, sum.2) = (sum.1 + next.1, sum.2 + next.2);
        }
        is_same
    });
    places.shrink_to_fit();
    places
}

/// Whether parents form a circle somewhere: walks up from each span, but over none twice.
fn has_circle(parents: &[Option<u32>]) -> bool {
    let mut seen_by = vec![u32::MAX; parents.len()];
    for start in 0..parents.len() as u32 {
        let mut at = start as usize;
        while seen_by[at] != start {
            if seen_by[at] != u32::MAX {
                break;
            }
            seen_by[at] = start;
            match parents[at] {
                Some(parent) if seen_by[parent as usize] == start => return true,
                Some(parent) => at = parent as usize,
                None => break,
            }
        }
    }
    false
}

fn dense<D: DataType, V>(
    into: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[V],
    value: impl Fn(&V) -> D::T,
) -> Result<(), ParquetError> {
    let Some(mut column) = into.next_column()? else { return Err(missing()) };
    for values in values.chunks(PAGE_ROWS) {
        let values: Vec<D::T> = values.iter().map(&value).collect();
        column.typed::<D>().write_batch(&values, None, None)?;
    }
    column.close()
}

fn sparse<D: DataType, V>(
    into: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &Sparse<V>,
    rows: usize,
    value: impl Fn(&V) -> D::T,
) -> Result<(), ParquetError> {
    let Some(mut column) = into.next_column()? else { return Err(missing()) };
    let (mut at, mut levels) = (0, Vec::with_capacity(PAGE_ROWS));
    for first in (0..rows).step_by(PAGE_ROWS) {
        let end = (first + PAGE_ROWS).min(rows);
        levels.clear();
        levels.resize(end - first, 0_i16);
        let from = at;
        while let Some(row) = values.rows.get(at).filter(|row| (**row as usize) < end) {
            levels[*row as usize - first] = 1;
            at += 1;
        }
        let present: Vec<D::T> = values.values[from..at].iter().map(&value).collect();
        column.typed::<D>().write_batch(&present, Some(&levels), None)?;
    }
    column.close()
}

fn missing() -> ParquetError {
    ParquetError::General("the schema has fewer columns than a block".to_owned())
}

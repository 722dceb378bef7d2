//! Reads spans back from columns.

use std::{
    collections::HashMap,
    ops::{ControlFlow, Range},
    sync::Arc,
};

use identity::{SpanId, TraceId, Wall};
use parquet::{
    basic::Type as Physical,
    column::reader::ColumnReaderImpl,
    data_type::{BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, Int32Type, Int64Type},
    file::{metadata::ParquetMetaData, serialized_reader::SerializedPageReader},
};
use traces::{Attributes, Key, Kind, Resource, Scope, Span, Status, StatusCode, Value};

use super::{
    Block, json,
    layout::{Columns, Source, Unreadable, damaged},
    schema::{Column, KEY_PREFIX, PAGE_ROWS, SCOPE_ATTRIBUTES},
};

/// The columns of an open block.
pub(crate) struct Reader {
    source: Columns,
    pub(crate) footer: Arc<ParquetMetaData>,
}

/// Rows that are read at once when all are: some 20 MB of spans.
const SCANNED_ROWS: u32 = 4 * PAGE_ROWS as u32;

/// What a column holds in some rows: a value or none for each.
pub(crate) type Cells<T> = Vec<Option<T>>;

impl Reader {
    pub(crate) fn open(block: &Block) -> Result<Self, Unreadable> {
        let source: Arc<Source> = block.source()?;
        let footer = block.footer(&source)?;
        Ok(Self { source: Columns { source, ahead: Arc::default() }, footer })
    }

    /// Reads the pages of all columns that have these rows, at once. A trace has a page of each column and the
    /// dictionary before it, and to wait for one after the other would be most of what a lookup takes.
    fn read_ahead(&mut self, rows: &Range<u32>) -> Result<(), Unreadable> {
        let (index, group) = (self.footer.page_index_for_row_group(0), self.footer.row_group(0));
        let mut places = Vec::new();
        for column in 0..group.num_columns() {
            let pages = index.page_locations(column).map(Vec::as_slice).unwrap_or_default();
            let firsts = pages.iter().map(|page| page.first_row_index);
            let ends = firsts.skip(1).chain([i64::MAX]);
            let mut of = |from: i64, to: i64| {
                if let (Ok(from), Ok(to)) = (u64::try_from(from), u64::try_from(to)) {
                    places.push(from..to.max(from));
                }
            };
            let dictionary = group.column(column).dictionary_page_offset().zip(pages.first());
            if let Some((at, first)) = dictionary {
                of(at, first.offset);
            }
            for (page, _) in pages.iter().zip(ends).filter(|(page, end)| {
                page.first_row_index < i64::from(rows.end) && *end > i64::from(rows.start)
            }) {
                of(page.offset, page.offset.saturating_add(i64::from(page.compressed_page_size)));
            }
        }
        self.source.ahead = self.source.source.read_all(&mut places)?.into();
        Ok(())
    }

    /// The position of a column.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        let columns = self.footer.file_metadata().schema_descr().columns();
        columns.iter().position(|column| column.name() == name)
    }

    fn base(&self, column: Column) -> Result<usize, Unreadable> {
        let at = column as usize;
        let columns = self.footer.file_metadata().schema_descr().columns();
        match columns.get(at) {
            Some(found) if found.name() == column.name() => Ok(at),
            _ => Err(Unreadable::Damaged(format!("no column {}", column.name()))),
        }
    }

    /// The columns for single keys: position and key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.footer.file_metadata().schema_descr().columns().iter().enumerate();
        columns.filter_map(|(at, column)| Some((at, column.name().strip_prefix(KEY_PREFIX)?)))
    }

    pub(crate) fn physical(&self, column: usize) -> Physical {
        self.footer.row_group(0).column(column).column_type()
    }

    pub(crate) fn pages(&self, column: usize) -> Result<SerializedPageReader<Columns>, Unreadable> {
        let meta = self.footer.row_group(0).column(column);
        let index = self.footer.page_index_for_row_group(0);
        let locations = index.page_locations(column).cloned();
        let rows = self.footer.file_metadata().num_rows() as usize;
        Ok(SerializedPageReader::new(Arc::new(self.source.clone()), meta, rows, locations)?)
    }

    /// The rows of each page of a column.
    pub(crate) fn page_rows(&self, column: usize) -> Vec<Range<u32>> {
        let index = self.footer.page_index_for_row_group(0);
        let rows = self.footer.file_metadata().num_rows() as u32;
        let locations = index.page_locations(column).map(Vec::as_slice).unwrap_or_default();
        let firsts: Vec<u32> = locations.iter().map(|page| page.first_row_index as u32).collect();
        let ends = firsts.iter().copied().skip(1).chain([rows]);
        firsts.iter().copied().zip(ends).map(|(first, end)| first..end).collect()
    }

    /// What a column holds in these rows.
    pub(crate) fn cells<D: DataType>(
        &self,
        column: usize,
        rows: &Range<u32>,
    ) -> Result<Cells<D::T>, Unreadable> {
        let mut cells = vec![None; rows.len()];
        self.visit::<D>(column, std::slice::from_ref(rows), |row, value| {
            cells[(row - rows.start) as usize] = Some(value.clone());
            Ok(())
        })?;
        Ok(cells)
    }

    /// Gives every value of a column in these stretches of rows, which ascend, to `see`, with its row.
    pub(crate) fn visit<D: DataType>(
        &self,
        column: usize,
        stretches: &[Range<u32>],
        mut see: impl FnMut(u32, &D::T) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        if stretches.is_empty() {
            return Ok(());
        }
        let early = || damaged("a column that ends early");
        let descriptor = self.footer.file_metadata().schema_descr().column(column);
        let is_optional = descriptor.max_def_level() > 0;
        let mut reader = ColumnReaderImpl::<D>::new(descriptor, Box::new(self.pages(column)?));
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let mut row = 0;
        for stretch in stretches {
            let skipped = (stretch.start - row) as usize;
            if reader.skip_records(skipped)? != skipped {
                return Err(early());
            }
            row = stretch.start;
            while row < stretch.end {
                values.clear();
                levels.clear();
                let most = ((stretch.end - row) as usize).min(PAGE_ROWS);
                let into = is_optional.then_some(&mut levels);
                let (records, ..) = reader.read_records(most, into, None, &mut values)?;
                if records == 0 || (!is_optional && values.len() != records) {
                    return Err(early());
                }
                if is_optional {
                    let present = (row..).zip(&levels).filter(|(_, level)| **level > 0);
                    present.zip(&values).try_for_each(|((row, _), value)| see(row, value))?;
                } else {
                    (row..).zip(&values).try_for_each(|(row, value)| see(row, value))?;
                }
                row += records as u32;
            }
        }
        Ok(())
    }

    pub(crate) fn base_cells<D: DataType>(
        &self,
        column: Column,
        rows: &Range<u32>,
    ) -> Result<Cells<D::T>, Unreadable> {
        self.cells::<D>(self.base(column)?, rows)
    }

    fn texts(&self, column: Column, rows: &Range<u32>) -> Result<Vec<String>, Unreadable> {
        let cells = self.base_cells::<ByteArrayType>(column, rows)?;
        cells
            .iter()
            .map(|cell| cell.as_ref().map_or(Ok(String::new()), |cell| text(cell.data()).map(str::to_owned)))
            .collect()
    }

    fn numbers(&self, column: Column, rows: &Range<u32>) -> Result<Vec<u32>, Unreadable> {
        let cells = self.base_cells::<Int32Type>(column, rows)?;
        Ok(cells.iter().map(|cell| cell.unwrap_or(0) as u32).collect())
    }

    fn span_ids(&self, column: Column, rows: &Range<u32>) -> Result<Vec<Option<SpanId>>, Unreadable> {
        let cells = self.base_cells::<FixedLenByteArrayType>(column, rows)?;
        let id = |cell: &parquet::data_type::FixedLenByteArray| {
            SpanId::from_bytes(cell.data()).ok_or_else(|| damaged("a span id that is none"))
        };
        cells.iter().map(|cell| cell.as_ref().map(id).transpose()).collect()
    }

    /// The spans in these rows, which are those of whole traces; `id` says of which one a row is.
    pub(crate) fn spans(
        &mut self,
        rows: &Range<u32>,
        id: impl Fn(u32) -> Option<TraceId>,
    ) -> Result<Vec<Span>, Unreadable> {
        self.read_ahead(rows)?;
        let starts = self.base_cells::<Int64Type>(Column::Timestamp, rows)?;
        let durations = self.base_cells::<Int64Type>(Column::Duration, rows)?;
        let ids = self.span_ids(Column::SpanId, rows)?;
        let parents = self.parents(&ids, rows)?;
        let names = self.texts(Column::SpanName, rows)?;
        let kinds = self.texts(Column::SpanKind, rows)?;
        let codes = self.texts(Column::StatusCode, rows)?;
        let mut messages = self.texts(Column::StatusMessage, rows)?;
        let mut states = self.texts(Column::TraceState, rows)?;
        let flags = self.numbers(Column::TraceFlags, rows)?;
        let resources = self.resources(rows)?;
        let scopes = self.scopes(rows)?;
        let mut attributes = self.attributes(rows)?;
        let mut shared = SharedTexts::default();
        let mut spans = Vec::with_capacity(rows.len());
        for at in 0..rows.len() {
            let start = Wall(starts[at].unwrap_or(0) as u64);
            let span_id = ids[at].ok_or_else(|| damaged("a span without an id"))?;
            let trace_id = id(rows.start + at as u32).ok_or_else(|| damaged("a row of no trace"))?;
            let mut span =
                Span::new(trace_id, span_id, shared.get(&names[at]), start, Arc::clone(&resources[at]));
            span.parent_span_id = parents[at];
            span.flags = flags[at];
            span.trace_state = std::mem::take(&mut states[at]).into();
            span.kind = kind(&kinds[at])?;
            span.duration_ns = durations[at].unwrap_or(0) as u64;
            span.status =
                Status { code: code(&codes[at])?, message: std::mem::take(&mut messages[at]).into() };
            span.scope = Arc::clone(&scopes[at]);
            span.attributes = std::mem::take(&mut attributes[at]);
            spans.push(span);
        }
        self.rest(rows, &mut spans)?;
        Ok(spans)
    }

    /// Events, links and what the senders left out.
    fn rest(&self, rows: &Range<u32>, spans: &mut [Span]) -> Result<(), Unreadable> {
        let events = self.base_cells::<ByteArrayType>(Column::Events, rows)?;
        let links = self.base_cells::<ByteArrayType>(Column::Links, rows)?;
        let dropped = [Column::DroppedAttributes, Column::DroppedEvents, Column::DroppedLinks];
        let [attributes, of_events, of_links] = dropped.map(|column| self.numbers(column, rows));
        let (attributes, of_events, of_links) = (attributes?, of_events?, of_links?);
        for (at, span) in spans.iter_mut().enumerate() {
            if let Some(cell) = &events[at] {
                let read = json::read_events(text(cell.data())?);
                span.events = read.ok_or_else(|| damaged("events that are none"))?;
            }
            if let Some(cell) = &links[at] {
                let read = json::read_links(text(cell.data())?);
                span.links = read.ok_or_else(|| damaged("links that are none"))?;
            }
            span.dropped.attributes = attributes[at];
            span.dropped.events = of_events[at];
            span.dropped.links = of_links[at];
        }
        Ok(())
    }

    /// The parents of the spans in these rows.
    pub(crate) fn parents(
        &self,
        ids: &[Option<SpanId>],
        rows: &Range<u32>,
    ) -> Result<Vec<Option<SpanId>>, Unreadable> {
        let foreign = self.span_ids(Column::ParentSpanId, rows)?;
        let back = self.base_cells::<Int32Type>(Column::ParentRowsBack, rows)?;
        let parent = |at: usize| match back[at] {
            None => Ok(foreign[at]),
            Some(back) => {
                let parent = (at as i64) - i64::from(back);
                let parent = usize::try_from(parent).ok().and_then(|at| ids.get(at)).copied().flatten();
                parent.map(Some).ok_or_else(|| damaged("a parent outside of its trace"))
            }
        };
        (0..rows.len()).map(parent).collect()
    }

    fn resources(&self, rows: &Range<u32>) -> Result<Vec<Arc<Resource>>, Unreadable> {
        let cells = self.base_cells::<ByteArrayType>(Column::ResourceAttributes, rows)?;
        let mut known: HashMap<Vec<u8>, Arc<Resource>> = HashMap::new();
        let mut resource = |cell: &Option<parquet::data_type::ByteArray>| {
            let bytes = cell.as_ref().map_or(&b"{}"[..], |cell| cell.data());
            if let Some(resource) = known.get(bytes) {
                return Ok(Arc::clone(resource));
            }
            let attributes = json::read_attributes(text(bytes)?);
            let resource =
                Arc::new(Resource::new(attributes.ok_or_else(|| damaged("a resource that is none"))?));
            known.insert(bytes.to_vec(), Arc::clone(&resource));
            Ok(resource)
        };
        cells.iter().map(&mut resource).collect()
    }

    fn scopes(&self, rows: &Range<u32>) -> Result<Vec<Arc<Scope>>, Unreadable> {
        let names = self.texts(Column::ScopeName, rows)?;
        let versions = self.texts(Column::ScopeVersion, rows)?;
        let others = match self.position(SCOPE_ATTRIBUTES) {
            Some(column) => self.cells::<ByteArrayType>(column, rows)?,
            None => vec![None; names.len()],
        };
        let mut known: HashMap<(String, String, Vec<u8>), Arc<Scope>> = HashMap::new();
        let scope = |((name, version), other): ((String, String), Option<parquet::data_type::ByteArray>)| {
            let attributes = other.map_or(Vec::new(), |other| other.data().to_vec());
            let key = (name, version, attributes);
            if let Some(scope) = known.get(&key) {
                return Ok(Arc::clone(scope));
            }
            let mut scope = Scope::new(key.0.as_str(), key.1.as_str());
            if !key.2.is_empty() {
                let read = json::read_attributes(text(&key.2)?);
                scope.attributes = read.ok_or_else(|| damaged("a scope that is none"))?;
            }
            Ok(Arc::clone(known.entry(key).or_insert_with(|| Arc::new(scope))))
        };
        names.into_iter().zip(versions).zip(others).map(scope).collect()
    }

    fn attributes(&self, rows: &Range<u32>) -> Result<Vec<Attributes>, Unreadable> {
        let mut all = vec![Attributes::new(); rows.len()];
        for (column, key) in self.keys() {
            let key: Arc<str> = key.into();
            for (attributes, value) in all.iter_mut().zip(self.values(column, rows)?) {
                if let Some(value) = value {
                    attributes.push(Key::from(Arc::clone(&key)), value);
                }
            }
        }
        let others = self.base_cells::<ByteArrayType>(Column::SpanAttributes, rows)?;
        for (attributes, cell) in all.iter_mut().zip(&others) {
            let Some(cell) = cell else { continue };
            let others = json::read_attributes(text(cell.data())?);
            for (key, value) in &others.ok_or_else(|| damaged("attributes that are none"))? {
                attributes.push(key.clone(), value.clone());
            }
        }
        Ok(all)
    }

    /// What the column of a key holds in these rows.
    pub(crate) fn values(&self, column: usize, rows: &Range<u32>) -> Result<Vec<Option<Value>>, Unreadable> {
        Ok(match self.physical(column) {
            Physical::BOOLEAN => plain(self.cells::<BoolType>(column, rows)?, Value::Bool),
            Physical::INT64 => plain(self.cells::<Int64Type>(column, rows)?, Value::Int),
            Physical::DOUBLE => plain(self.cells::<DoubleType>(column, rows)?, Value::Double),
            _ => {
                let cells = self.cells::<ByteArrayType>(column, rows)?;
                let value = |cell: &parquet::data_type::ByteArray| text(cell.data()).map(Value::from);
                cells.iter().map(|cell| cell.as_ref().map(value).transpose()).collect::<Result<_, _>>()?
            }
        })
    }
}

fn plain<T>(cells: Cells<T>, value: impl Fn(T) -> Value) -> Vec<Option<Value>> {
    cells.into_iter().map(|cell| cell.map(&value)).collect()
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| damaged("a text that is not UTF-8"))
}

pub(crate) fn kind(text: &str) -> Result<Kind, Unreadable> {
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| damaged("a kind of span that is none"))
}

pub(crate) fn code(text: &str) -> Result<StatusCode, Unreadable> {
    let codes = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    let found = codes.into_iter().find(|code| code.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| damaged("a status that is none"))
}

/// Names that spans share.
#[derive(Default)]
struct SharedTexts(HashMap<String, Arc<str>>);

impl SharedTexts {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        self.0.insert(text.to_owned(), Arc::clone(&shared));
        shared
    }
}

impl Block {
    /// The spans of the trace at this position.
    pub(crate) fn spans_at(&self, id: TraceId, trace: u32) -> Result<Vec<Span>, Unreadable> {
        let rows = self.rows_of(trace)?;
        Reader::open(self)?.spans(&rows, |_| Some(id))
    }

    /// Gives every span that began at `from` or later to `visit`, some pages at a time, until it breaks.
    pub(crate) fn scan(
        &self,
        from: Wall,
        visit: &mut dyn FnMut(Span) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unreadable> {
        let (table, ids, mut reader) = (self.table()?, self.ids()?, Reader::open(self)?);
        let mut first = 0;
        while let Some(trace) = table.rows.get(first) {
            let end = table.rows.partition_point(|row| row.first < trace.first + SCANNED_ROWS).max(first + 1);
            let rows = trace.first..table.spans_of(end as u32 - 1).end;
            for span in reader.spans(&rows, |row| ids.get(table.trace_of(row)).copied())? {
                if span.start >= from && visit(span).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            first = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}

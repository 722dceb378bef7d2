//! Finds the traces of a block of which a span has something, by looking at as few columns as that takes.
//!
//! What a column's dictionary does not have, no row has; so most blocks are left after a look at some
//! dictionaries. Attributes without a column of their own are found by the text that they would be written as.

use std::ops::Range;

use parquet::{
    basic::{Encoding, Type as Physical},
    column::page::{Page, PageReader},
    data_type::{BoolType, ByteArrayType, DoubleType, Int64Type},
    file::metadata::ColumnChunkMetaData,
};
use traces::{Value, borrowed::ValueRef};

use super::{
    Block, Table, json,
    layout::{Unreadable, damaged},
    read::{Reader, text},
    schema::{Column, KEY_PREFIX},
};
use crate::names::{KeyType, Names};

/// What a span has to have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// This text, in its name, its service, its status message, a value of its attributes, or the name of an
    /// event.
    Text(&'a str),
    /// An attribute of this name, with this value or any.
    Attribute(&'a str, Option<&'a Value>),
}

/// A set of traces by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

impl Block {
    /// The traces of which a span has what is wanted.
    pub(crate) fn having(&self, wanted: &Wanted<'_>) -> Result<Bits, Unreadable> {
        let (table, names) = (self.table()?, self.names()?);
        let mut scan = Scan { table: &table, names: &names, bits: Bits::new(table.rows.len()) };
        match wanted {
            Wanted::Text(wanted) => scan.text(self, wanted)?,
            Wanted::Attribute(key, value) => scan.attribute(self, key, *value)?,
        }
        Ok(scan.bits)
    }
}

struct Scan<'a> {
    table: &'a Table,
    names: &'a Names,
    bits: Bits,
}

impl Scan<'_> {
    fn all_rows(&self) -> Range<u32> {
        0..self.table.spans
    }

    fn found(&mut self, row: usize) {
        self.bits.set(self.table.trace_of(row as u32));
    }

    fn text(&mut self, block: &Block, wanted: &str) -> Result<(), Unreadable> {
        let has = |at: &u32| {
            let place = self.names.places.get(*at as usize);
            place.is_some_and(|place| place.operation.contains(wanted) || place.service.contains(wanted))
        };
        let is_own = |(at, spans, _): &(u32, u32, u32)| *spans > 0 && has(at);
        let shapes: Vec<bool> =
            self.table.shapes.iter().map(|shape| shape.places.iter().any(is_own)).collect();
        for (at, row) in self.table.rows.iter().enumerate() {
            if shapes[row.shape as usize] {
                self.bits.set(at);
            }
        }
        let reader = Reader::open(block)?;
        let keys: Vec<usize> = reader.keys().map(|(column, _)| column).collect();
        for column in keys {
            match reader.physical(column) {
                Physical::BYTE_ARRAY => self.texts(&reader, column, |text| Ok(text.contains(wanted)))?,
                _ if may_be_number(wanted) => {
                    for (row, value) in reader.values(column, &self.all_rows())?.iter().enumerate() {
                        if value.as_ref().is_some_and(|value| value.contains(wanted)) {
                            self.found(row);
                        }
                    }
                }
                _ => {}
            }
        }
        self.texts(&reader, Column::StatusMessage as usize, |text| Ok(text.contains(wanted)))?;
        let mut escaped = String::new();
        json::escape(&mut escaped, wanted);
        self.texts(&reader, Column::SpanAttributes as usize, |text| {
            if !text.contains(&escaped) && !may_be_number(wanted) {
                return Ok(false);
            }
            let attributes =
                json::read_attributes(text).ok_or_else(|| damaged("attributes that are none"))?;
            Ok(attributes.iter().any(|(_, value)| value.contains(wanted)))
        })?;
        self.texts(&reader, Column::Events as usize, |text| {
            if !text.contains(&escaped) {
                return Ok(false);
            }
            let events = json::read_events(text).ok_or_else(|| damaged("events that are none"))?;
            Ok(events.iter().any(|event| event.name.contains(wanted)))
        })
    }

    fn attribute(&mut self, block: &Block, key: &str, value: Option<&Value>) -> Result<(), Unreadable> {
        let Some(counts) = self.names.keys.get(key) else { return Ok(()) };
        let is_possible = |value: &Value| counts[type_of(value) as usize] > 0;
        if value.is_some_and(|value| !is_possible(value)) {
            return Ok(());
        }
        let reader = Reader::open(block)?;
        let mut in_column = 0;
        if let Some(column) = reader.position(&format!("{KEY_PREFIX}{key}")) {
            in_column = self.column(&reader, column, value)?;
        }
        // Whatever is not in the column stands among the others.
        let wanted = value.map_or(counts.iter().sum(), |value| counts[type_of(value) as usize]);
        if in_column == wanted {
            return Ok(());
        }
        let mut fragment = String::new();
        json::put_text(&mut fragment, key);
        fragment.push(':');
        if let Some(value) = value {
            json::put_value(&mut fragment, &ValueRef::from(value));
        }
        self.texts(&reader, Column::SpanAttributes as usize, |text| {
            if !text.contains(&fragment) {
                return Ok(false);
            }
            let attributes =
                json::read_attributes(text).ok_or_else(|| damaged("attributes that are none"))?;
            Ok(attributes
                .iter()
                .any(|(name, found)| name.as_str() == key && value.is_none_or(|value| is_same(found, value))))
        })
    }

    /// Finds the rows with this value, or with any, in the column of a key. Says how many values of the type
    /// that is wanted the column has, or of any type.
    fn column(&mut self, reader: &Reader, column: usize, value: Option<&Value>) -> Result<u64, Unreadable> {
        let rows = self.all_rows();
        match (reader.physical(column), value) {
            (Physical::BYTE_ARRAY, Some(Value::Str(wanted))) => {
                self.texts(reader, column, |text| Ok(*text == **wanted))?;
                Ok(self.values_in(reader, column))
            }
            (Physical::INT64, Some(Value::Int(wanted))) => {
                Ok(self.cells(&reader.cells::<Int64Type>(column, &rows)?, |number| number == wanted))
            }
            (Physical::DOUBLE, Some(Value::Double(wanted))) => {
                let is_wanted = |number: &f64| is_same(&Value::Double(*number), &Value::Double(*wanted));
                Ok(self.cells(&reader.cells::<DoubleType>(column, &rows)?, is_wanted))
            }
            (Physical::BOOLEAN, Some(Value::Bool(wanted))) => {
                Ok(self.cells(&reader.cells::<BoolType>(column, &rows)?, |truth| truth == wanted))
            }
            (_, Some(_)) => Ok(0),
            (Physical::INT64, None) => Ok(self.cells(&reader.cells::<Int64Type>(column, &rows)?, |_| true)),
            (Physical::DOUBLE, None) => Ok(self.cells(&reader.cells::<DoubleType>(column, &rows)?, |_| true)),
            (Physical::BOOLEAN, None) => Ok(self.cells(&reader.cells::<BoolType>(column, &rows)?, |_| true)),
            (_, None) => Ok(self.cells(&reader.cells::<ByteArrayType>(column, &rows)?, |_| true)),
        }
    }

    /// How many values a column has; 0 where its writer did not say.
    fn values_in(&self, reader: &Reader, column: usize) -> u64 {
        let statistics = reader.footer.row_group(0).column(column).statistics();
        let nulls = statistics.and_then(|statistics| statistics.null_count_opt());
        nulls.map_or(0, |nulls| u64::from(self.table.spans).saturating_sub(nulls))
    }

    fn cells<T>(&mut self, cells: &[Option<T>], is_wanted: impl Fn(&T) -> bool) -> u64 {
        let mut count = 0;
        for (row, cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                count += 1;
                if is_wanted(cell) {
                    self.found(row);
                }
            }
        }
        count
    }

    /// Finds the rows of a column of texts that are wanted.
    fn texts(
        &mut self,
        reader: &Reader,
        column: usize,
        is_wanted: impl Fn(&str) -> Result<bool, Unreadable>,
    ) -> Result<(), Unreadable> {
        if is_only_dictionary(reader.footer.row_group(0).column(column)) {
            let mut pages = reader.pages(column)?;
            let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()? else {
                return Ok(());
            };
            let mut any = false;
            for entry in entries(&buf, num_values)? {
                any |= is_wanted(text(entry)?)?;
            }
            if !any {
                return Ok(());
            }
        }
        let cells = reader.cells::<ByteArrayType>(column, &self.all_rows())?;
        // Neighbours mostly share their texts, in the memory of the dictionary.
        let mut last: Option<(*const u8, usize, bool)> = None;
        for (row, cell) in cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let (at, length) = (cell.data().as_ptr(), cell.len());
            let is_found = match last {
                Some((known, of, is_found)) if known == at && of == length => is_found,
                _ => is_wanted(text(cell.data())?)?,
            };
            last = Some((at, length, is_found));
            if is_found {
                self.found(row);
            }
        }
        Ok(())
    }
}

/// Whether every page of values refers to the dictionary.
fn is_only_dictionary(column: &ColumnChunkMetaData) -> bool {
    if column.dictionary_page_offset().is_none() {
        return false;
    }
    // What the first version of the format calls it, and what all later ones do.
    let dictionary = [Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY];
    column.page_encoding_stats_mask().is_some_and(|mask| dictionary.iter().any(|of| mask.is_only(*of)))
}

/// The entries of a dictionary, each with its length before it.
fn entries(mut bytes: &[u8], count: u32) -> Result<Vec<&[u8]>, Unreadable> {
    let wrong = || damaged("a dictionary that ends early");
    let mut entries = Vec::new();
    for _ in 0..count {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(wrong)?;
        entries.push(entry);
        bytes = rest;
    }
    Ok(entries)
}

/// Whether a number or a truth value could have this in its text.
fn may_be_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"-+.eEtrufalsinN".contains(&byte))
}

fn type_of(value: &Value) -> KeyType {
    match value {
        Value::Str(_) => KeyType::Text,
        Value::Bool(_) => KeyType::Bool,
        Value::Int(_) => KeyType::Int,
        Value::Double(_) => KeyType::Double,
        _ => KeyType::Other,
    }
}

/// Equal, where a number that is none equals itself.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Double(one), Value::Double(other)) => one == other || (one.is_nan() && other.is_nan()),
        (one, other) => one == other,
    }
}

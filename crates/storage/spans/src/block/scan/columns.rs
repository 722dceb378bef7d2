//! Looks for values in columns.
//!
//! Whatever is asked for, it is asked of as few values as possible: of each entry of a dictionary once, of no
//! page in which the bytes that are looked for are not, and of no page without a row that still matters.

use memchr::memmem::Finder;
use parquet::{
    basic::{Encoding, Type as Physical},
    column::page::{Page, PageReader},
    data_type::{BoolType, ByteArrayType, DoubleType, Int64Type},
    file::metadata::ColumnChunkMetaData,
};
use traces::{Resource, borrowed::ValueRef};

use super::{Types, rows::Rows};
use crate::{
    block::{
        json,
        layout::{Unreadable, damaged},
        read::{Reader, text},
        schema::{Column, KEY_PREFIX, SCOPE_ATTRIBUTES},
    },
    names::{KeyType, Names},
};

/// A question to values: of which types those are that it may hold of, and the text that one has to have to be a
/// text of which it does.
pub(super) struct Asked<'a> {
    pub(super) holds: &'a dyn Fn(&ValueRef<'_>) -> bool,
    pub(super) types: Types,
    pub(super) needle: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(types: Types, holds: &'a dyn Fn(&ValueRef<'_>) -> bool) -> Self {
        Self { holds, types, needle: None }
    }

    fn of_text(&self, text: &str) -> bool {
        (self.holds)(&ValueRef::Str(text))
    }
}

/// The columns of a block, as questions are asked of them.
pub(super) struct Columns<'a> {
    pub(super) reader: Reader,
    pub(super) names: &'a Names,
    pub(super) rows: u32,
}

impl Columns<'_> {
    /// Rows with a text of this column that is asked for.
    pub(super) fn of_texts(
        &self,
        column: Column,
        within: &Rows,
        asked: &Asked<'_>,
    ) -> Result<Rows, Unreadable> {
        self.texts(column as usize, within, asked.needle, |text| Ok(asked.of_text(text)))
    }

    /// Rows that were recorded by a resource of which this holds.
    pub(super) fn of_resources(
        &self,
        within: &Rows,
        holds: impl Fn(&Resource) -> bool,
    ) -> Result<Rows, Unreadable> {
        self.texts(Column::ResourceAttributes as usize, within, None, |text| {
            let attributes = json::read_attributes(text).ok_or_else(|| damaged("a resource that is none"))?;
            Ok(holds(&Resource::new(attributes)))
        })
    }

    /// Rows that were recorded by a library with an attribute that is asked for.
    pub(super) fn of_scopes(&self, name: &str, within: &Rows, asked: &Asked<'_>) -> Result<Rows, Unreadable> {
        let Some(column) = self.reader.position(SCOPE_ATTRIBUTES) else { return Ok(Rows::none(self.rows)) };
        self.texts(column, within, None, |text| {
            let attributes = json::read_attributes(text).ok_or_else(|| damaged("a scope that is none"))?;
            Ok(attributes.get(name).is_some_and(|value| (asked.holds)(&ValueRef::from(value))))
        })
    }

    /// Rows with an event of which the name is asked for.
    pub(super) fn of_events(&self, within: &Rows, asked: &Asked<'_>) -> Result<Rows, Unreadable> {
        let needle = asked.needle.map(escaped);
        self.texts(Column::Events as usize, within, needle.as_deref(), |text| {
            let events = json::read_events(text).ok_or_else(|| damaged("events that are none"))?;
            Ok(events.iter().any(|event| asked.of_text(&event.name)))
        })
    }

    /// Rows with an attribute of their span that is asked for.
    pub(super) fn of_attribute(
        &self,
        key: &str,
        within: &Rows,
        asked: &Asked<'_>,
    ) -> Result<Rows, Unreadable> {
        let mut found = Rows::none(self.rows);
        let Some(counts) = self.names.keys.get(key) else { return Ok(found) };
        let mut left: u64 = asked.types.of(counts).sum();
        let column = self.reader.position(&format!("{KEY_PREFIX}{key}")).filter(|_| left > 0);
        if let Some(column) = column {
            let kind = kind_of(self.reader.physical(column));
            if asked.types.has(kind) {
                found = self.in_column(column, within, asked)?;
                left = left.saturating_sub(self.values_in(column));
            }
        }
        // Whatever is not in the column stands among the others.
        if left == 0 {
            return Ok(found);
        }
        let mut fragment = String::new();
        json::put_text(&mut fragment, key);
        fragment.push(':');
        let others = self.texts(Column::SpanAttributes as usize, within, Some(&fragment), |text| {
            let attributes =
                json::read_attributes(text).ok_or_else(|| damaged("attributes that are none"))?;
            Ok(attributes.get(key).is_some_and(|value| (asked.holds)(&ValueRef::from(value))))
        })?;
        match column {
            // Of a key that a sender gave twice the first counts, which is the one in the column.
            Some(column) if !others.is_empty() => {
                let any = Asked::of(Types::ALL, &|_| true);
                let first = self.in_column(column, &others, &any)?;
                Ok(found.or(&others.without(&first)))
            }
            _ => Ok(found.or(&others)),
        }
    }

    /// Rows with a value in one of their span's attributes in which this text stands.
    pub(super) fn of_any_attribute(&self, wanted: &str, within: &Rows) -> Result<Rows, Unreadable> {
        let may_be_number = may_be_number(wanted);
        let holds = |value: &ValueRef<'_>| value.contains(wanted);
        let mut asked = Asked::of(Types::ALL, &holds);
        asked.needle = Some(wanted);
        let mut found = Rows::none(self.rows);
        for (column, _) in self.reader.keys() {
            if may_be_number || self.reader.physical(column) == Physical::BYTE_ARRAY {
                found = found.or(&self.in_column(column, within, &asked)?);
            }
        }
        let needle = Some(escaped(wanted)).filter(|_| !may_be_number);
        let others = self.texts(Column::SpanAttributes as usize, within, needle.as_deref(), |text| {
            let attributes =
                json::read_attributes(text).ok_or_else(|| damaged("attributes that are none"))?;
            Ok(attributes.iter().any(|(_, value)| value.contains(wanted)))
        })?;
        Ok(found.or(&others))
    }

    fn in_column(&self, column: usize, within: &Rows, asked: &Asked<'_>) -> Result<Rows, Unreadable> {
        let mut found = Rows::none(self.rows);
        let (pages, reader) = (within.pages(), &self.reader);
        let mut see = |row, value: ValueRef<'_>| {
            if within.has(row) && (asked.holds)(&value) {
                found.insert(row);
            }
            Ok(())
        };
        match reader.physical(column) {
            Physical::INT64 => {
                reader.visit::<Int64Type>(column, &pages, |row, number| see(row, ValueRef::Int(*number)))?;
            }
            Physical::DOUBLE => {
                reader
                    .visit::<DoubleType>(column, &pages, |row, number| see(row, ValueRef::Double(*number)))?;
            }
            Physical::BOOLEAN => {
                reader.visit::<BoolType>(column, &pages, |row, truth| see(row, ValueRef::Bool(*truth)))?;
            }
            _ => return self.texts(column, within, asked.needle, |text| Ok(asked.of_text(text))),
        }
        Ok(found)
    }

    /// How many values a column has; 0 where its writer did not say.
    fn values_in(&self, column: usize) -> u64 {
        let statistics = self.reader.footer.row_group(0).column(column).statistics();
        let nulls = statistics.and_then(|statistics| statistics.null_count_opt());
        nulls.map_or(0, |nulls| u64::from(self.rows).saturating_sub(nulls))
    }

    /// Rows of a column of texts that are wanted; a text that is has this needle in it.
    pub(super) fn texts(
        &self,
        column: usize,
        within: &Rows,
        needle: Option<&str>,
        is_wanted: impl Fn(&str) -> Result<bool, Unreadable>,
    ) -> Result<Rows, Unreadable> {
        let needle = needle.map(|needle| Finder::new(needle.as_bytes()));
        let is_wanted = |bytes: &[u8]| match &needle {
            Some(needle) if needle.find(bytes).is_none() => Ok(false),
            _ => is_wanted(text(bytes)?),
        };
        let mut found = Rows::none(self.rows);
        let left = self.pages_with(column, within, needle.as_ref(), &is_wanted)?;
        // Neighbours mostly share their texts, in the memory of the dictionary.
        let mut last: Option<(*const u8, usize, bool)> = None;
        self.reader.visit::<ByteArrayType>(column, &left.pages(), |row, cell| {
            if !left.has(row) {
                return Ok(());
            }
            let (at, length) = (cell.data().as_ptr(), cell.len());
            let is_found = match last {
                Some((known, of, is_found)) if known == at && of == length => is_found,
                _ => is_wanted(cell.data())?,
            };
            last = Some((at, length, is_found));
            if is_found {
                found.insert(row);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// What is left of some rows without the pages of a column in which nothing wanted can be.
    fn pages_with(
        &self,
        column: usize,
        within: &Rows,
        needle: Option<&Finder<'_>>,
        is_wanted: &impl Fn(&[u8]) -> Result<bool, Unreadable>,
    ) -> Result<Rows, Unreadable> {
        let meta = self.reader.footer.row_group(0).column(column);
        let has_dictionary = meta.dictionary_page_offset().is_some();
        if within.is_empty() || (!has_dictionary && needle.is_none()) {
            return Ok(within.clone());
        }
        let mut pages = self.reader.pages(column)?;
        let mut in_dictionary = false;
        if has_dictionary && let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()? {
            for entry in entries(&buf, num_values)? {
                in_dictionary |= is_wanted(entry)?;
            }
        }
        if is_only_dictionary(meta) || (in_dictionary && needle.is_none()) {
            return Ok(if in_dictionary { within.clone() } else { Rows::none(self.rows) });
        }
        let Some(needle) = needle else { return Ok(within.clone()) };
        let mut kept = Rows::none(self.rows);
        for rows in self.reader.page_rows(column) {
            if !within.has_any(rows.clone()) {
                pages.skip_next_page()?;
                continue;
            }
            let Some(page) = pages.get_next_page()? else {
                return Err(damaged("a column that ends early"));
            };
            let may_be = match page.encoding() {
                Encoding::PLAIN => needle.find(page.buffer()).is_some(),
                Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => in_dictionary,
                _ => true,
            };
            if may_be {
                kept.add(rows);
            }
        }
        Ok(kept.and(within))
    }
}

/// A text as it stands in JSON.
fn escaped(text: &str) -> String {
    let mut into = String::new();
    json::escape(&mut into, text);
    into
}

fn kind_of(physical: Physical) -> KeyType {
    match physical {
        Physical::BOOLEAN => KeyType::Bool,
        Physical::INT64 => KeyType::Int,
        Physical::DOUBLE => KeyType::Double,
        _ => KeyType::Text,
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
pub(crate) fn may_be_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"-+.eEtrufalsinN".contains(&byte))
}

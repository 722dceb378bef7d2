//! The traces of a block: what lists show of them and most searches ask, without a look at their spans.
//!
//! Traces of one kind of request go through the same services in the same numbers, so what a trace went through
//! is a *shape*, which a block has some hundreds of; a trace is its start, its duration and the number of its
//! shape. Traces stand in the order of their ids, as their spans do in the columns, so that the spans of a trace
//! are found by adding up.

use identity::Wall;

use crate::{
    chunk::cursor::{Cursor, put_var},
    names::{KeyType, Names, Place},
};

/// What a trace went through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Shape {
    /// A parent is not in this block.
    pub(crate) is_incomplete: bool,
    /// It can be summed up only from its spans: ids stand twice, or parents form a circle.
    pub(crate) is_odd: bool,
    /// The largest threshold of sampling that its senders told; 0 where they told none.
    pub(crate) threshold: u64,
    /// The place of its root.
    pub(crate) root: u32,
    /// Its places in ascending order, with the numbers of spans and of those that failed.
    pub(crate) places: Vec<(u32, u32, u32)>,
}

/// A part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: Wall,
    pub(crate) duration_ns: u64,
    pub(crate) shape: u32,
    /// Where its spans begin among the rows of the block.
    pub(crate) first: u32,
}

/// The traces of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) rows: Vec<Row>,
    /// How many spans there are.
    pub(crate) spans: u32,
}

impl Table {
    /// The rows of the spans of a trace.
    pub(crate) fn spans_of(&self, at: u32) -> std::ops::Range<u32> {
        let end = self.rows.get(at as usize + 1).map_or(self.spans, |row| row.first);
        self.rows.get(at as usize).map_or(end, |row| row.first)..end
    }

    /// The trace that a row of the block belongs to.
    pub(crate) fn trace_of(&self, row: u32) -> usize {
        self.rows.partition_point(|trace| trace.first <= row).saturating_sub(1)
    }

    pub(crate) fn bytes(&self) -> usize {
        let shapes = self.shapes.iter().map(|shape| size_of::<Shape>() + shape.places.len() * 12);
        shapes.sum::<usize>() + size_of_val(&*self.rows)
    }

    /// The table's bytes: shapes, then the starts (from the earliest), the durations and the shapes of all
    /// traces, one list after the other.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut into = Vec::new();
        put_var(&mut into, u64::from(self.spans));
        put_var(&mut into, self.shapes.len() as u64);
        for shape in &self.shapes {
            let is_sampled = shape.threshold != 0;
            into.push(
                u8::from(shape.is_incomplete) | u8::from(shape.is_odd) << 1 | u8::from(is_sampled) << 2,
            );
            if is_sampled {
                put_var(&mut into, shape.threshold);
            }
            put_var(&mut into, u64::from(shape.root));
            put_var(&mut into, shape.places.len() as u64);
            for (place, spans, errors) in &shape.places {
                [*place, *spans, *errors].iter().for_each(|number| put_var(&mut into, u64::from(*number)));
            }
        }
        let earliest = self.rows.iter().map(|row| row.start.0).min().unwrap_or(0);
        put_var(&mut into, self.rows.len() as u64);
        put_var(&mut into, earliest);
        self.rows.iter().for_each(|row| put_var(&mut into, row.start.0 - earliest));
        self.rows.iter().for_each(|row| put_var(&mut into, row.duration_ns));
        self.rows.iter().for_each(|row| put_var(&mut into, u64::from(row.shape)));
        into.extend(self.encode_counts());
        into
    }

    /// How many spans each trace has.
    pub(crate) fn encode_counts(&self) -> Vec<u8> {
        let mut into = Vec::with_capacity(self.rows.len());
        let ends = self.rows.iter().skip(1).map(|row| row.first).chain([self.spans]);
        self.rows.iter().zip(ends).for_each(|(row, end)| put_var(&mut into, u64::from(end - row.first)));
        into
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor(bytes);
        let spans = at.var32()?;
        let mut shapes = Vec::new();
        for _ in 0..at.count()? {
            let flags = at.byte()?;
            let threshold = if flags & 4 != 0 { at.var()? } else { 0 };
            let root = at.var32()?;
            let mut places = Vec::new();
            for _ in 0..at.count()? {
                places.push((at.var32()?, at.var32()?, at.var32()?));
            }
            let (is_incomplete, is_odd) = (flags & 1 != 0, flags & 2 != 0);
            shapes.push(Shape { is_incomplete, is_odd, threshold, root, places });
        }
        let count = at.count()?;
        let earliest = at.var()?;
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Wall(earliest.checked_add(at.var()?)?);
            rows.push(Row { start, duration_ns: 0, shape: 0, first: 0 });
        }
        for row in &mut rows {
            row.duration_ns = at.var()?;
        }
        for row in &mut rows {
            row.shape = at.var32().filter(|shape| (*shape as usize) < shapes.len())?;
        }
        let mut first = 0_u32;
        for row in &mut rows {
            row.first = first;
            first = first.checked_add(at.var32()?)?;
        }
        (at.0.is_empty() && first == spans).then_some(Self { shapes, rows, spans })
    }
}

/// The bytes of a block's names.
pub(crate) fn encode_names(names: &Names) -> Vec<u8> {
    let mut into = Vec::new();
    let put_text = |into: &mut Vec<u8>, text: &str| {
        put_var(into, text.len() as u64);
        into.extend_from_slice(text.as_bytes());
    };
    put_var(&mut into, names.places.len() as u64);
    for (place, (spans, errors)) in names.places.iter().zip(&names.counts) {
        [&place.namespace, &place.service, &place.operation]
            .iter()
            .for_each(|text| put_text(&mut into, text));
        into.push(u8::from(place.is_called));
        put_var(&mut into, *spans);
        put_var(&mut into, *errors);
    }
    put_var(&mut into, names.keys.len() as u64);
    for (key, counts) in &names.keys {
        put_text(&mut into, key);
        counts.iter().for_each(|count| put_var(&mut into, *count));
    }
    into
}

pub(crate) fn decode_names(bytes: &[u8]) -> Option<Names> {
    fn text<'a>(at: &mut Cursor<'a>) -> Option<&'a str> {
        let length = at.count()?;
        std::str::from_utf8(at.bytes(length)?).ok()
    }
    let mut at = Cursor(bytes);
    let mut names = Names::default();
    for _ in 0..at.count()? {
        names.places.push(Place {
            namespace: text(&mut at)?.into(),
            service: text(&mut at)?.into(),
            operation: text(&mut at)?.into(),
            is_called: at.byte()? == 1,
        });
        names.counts.push((at.var()?, at.var()?));
    }
    for _ in 0..at.count()? {
        let key = text(&mut at)?;
        let mut counts = [0; KeyType::ALL.len()];
        for count in &mut counts {
            *count = at.var()?;
        }
        names.keys.insert(key.into(), counts);
    }
    at.0.is_empty().then_some(names)
}

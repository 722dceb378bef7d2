//! Which series a part has, and where their columns stand.
//!
//! ```text
//! texts:  count, then each with its length, in their order
//! times:  count, then for each the distance of its offset to the end of the one before, and its bytes
//! series: count, then for each
//!         labels: count, then the text of the name and of the value
//!         blocks: count, then for each the signed distance of its first time to the last of the one before, how much
//!         later its last one is, its column of times, the distance of its values to the end of those before, their bytes
//! ```
//!
//! Series stand in the order that `family` gives them. There are no postings in a part: a question compares the number of each
//! text once with each matcher, and then looks at the numbers of each series, which is a walk over memory that takes
//! some milliseconds for a million labels; postings would have to be read for the part as well and are larger than that.

use std::{collections::BTreeMap, sync::Arc};

use monitoring::series::{Label, Labels, Matcher};

use super::varint::{Cursor, put, put_bytes, put_signed};

/// Where bytes stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// Samples of one series: the times of the first and the last, and where the columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) times: u32,
    pub(crate) values: Place,
}

/// What a part has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    texts: Vec<Arc<str>>,
    times: Vec<Place>,
    /// The texts of names and values of all series, one after the other.
    labels: Vec<(u32, u32)>,
    blocks: Vec<Block>,
    /// Where the labels and the blocks of each series end.
    ends: Vec<(u32, u32)>,
}

impl Index {
    /// Reads what an [`IndexWriter`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut cursor, mut index) = (Cursor(bytes), Self::default());
        for _ in 0..cursor.count(1)? {
            index.texts.push(std::str::from_utf8(cursor.bytes()?).ok()?.into());
        }
        let mut end = 0;
        for _ in 0..cursor.count(2)? {
            index.times.push(place(&mut cursor, &mut end)?);
        }
        let (texts, times) = (index.texts.len() as u64, index.times.len() as u64);
        let mut end = 0;
        for _ in 0..cursor.count(2)? {
            for _ in 0..cursor.count(2)? {
                let (name, value) = (cursor.number()?, cursor.number()?);
                (name < texts && value < texts).then(|| index.labels.push((name as u32, value as u32)))?;
            }
            let mut before = 0_i64;
            for _ in 0..cursor.count(5)? {
                let first = before.wrapping_add(cursor.signed()?);
                let last = first.wrapping_add_unsigned(cursor.number()?);
                let of = cursor.number()?;
                let values = place(&mut cursor, &mut end)?;
                (of < times).then(|| index.blocks.push(Block { first, last, times: of as u32, values }))?;
                before = last;
            }
            index.ends.push((index.labels.len() as u32, index.blocks.len() as u32));
        }
        cursor.0.is_empty().then_some(index)
    }

    /// The series that all matchers mean.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> Vec<u32> {
        // For each matcher the texts that are the name, and those that it means as a value.
        let compiled: Vec<(Option<u32>, bool, Vec<bool>)> = matchers
            .iter()
            .map(|matcher| {
                let name = self.texts.binary_search_by(|text| (**text).cmp(matcher.name())).ok();
                let values = match name {
                    Some(_) => self.texts.iter().map(|text| matcher.matches(text)).collect(),
                    None => Vec::new(),
                };
                (name.map(|name| name as u32), matcher.matches(""), values)
            })
            .collect();
        let means = |(name, without, values): &(Option<u32>, bool, Vec<bool>), labels: &[(u32, u32)]| {
            let found = name.and_then(|name| labels.iter().find(|(of, _)| *of == name));
            found.map_or(*without, |(_, value)| values.get(*value as usize).copied().unwrap_or_default())
        };
        let all = 0..self.ends.len() as u32;
        all.filter(|series| compiled.iter().all(|matcher| means(matcher, self.pairs(*series)))).collect()
    }

    fn pairs(&self, series: u32) -> &[(u32, u32)] {
        let (from, to) = self.range(series, |end| end.0);
        self.labels.get(from..to).unwrap_or_default()
    }

    fn range(&self, series: u32, of: impl Fn(&(u32, u32)) -> u32) -> (usize, usize) {
        let at = series as usize;
        let end = |at: usize| self.ends.get(at).map_or(0, &of) as usize;
        (at.checked_sub(1).map_or(0, end), end(at))
    }

    /// What a series is called.
    pub(crate) fn labels(&self, series: u32) -> Labels {
        let text = |number: u32| self.texts.get(number as usize).cloned().unwrap_or_default();
        let label = |(name, value): &(u32, u32)| Label { name: text(*name), value: text(*value) };
        Labels::sorted(self.pairs(series).iter().map(label).collect()).unwrap_or_default()
    }

    /// The blocks of a series.
    pub(crate) fn blocks(&self, series: u32) -> &[Block] {
        let (from, to) = self.range(series, |end| end.1);
        self.blocks.get(from..to).unwrap_or_default()
    }

    /// Where a column of times stands.
    pub(crate) fn times(&self, number: u32) -> Option<Place> {
        self.times.get(number as usize).copied()
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let texts: usize = self.texts.iter().map(|text| text.len() + 32).sum();
        let blocks = self.blocks.len() * size_of::<Block>() + self.times.len() * size_of::<Place>();
        (texts + blocks + (self.labels.len() + self.ends.len()) * 8) as u64
    }
}

fn place(cursor: &mut Cursor<'_>, end: &mut u64) -> Option<Place> {
    let (gap, bytes) = (cursor.number()?, u32::try_from(cursor.number()?).ok()?);
    let offset = end.checked_add(gap)?;
    *end = offset.checked_add(u64::from(bytes))?;
    Some(Place { offset, bytes })
}

/// Gathers what a part has.
#[derive(Debug, Default)]
pub(crate) struct IndexWriter {
    times: Vec<Place>,
    series: Vec<(Labels, Vec<Block>)>,
}

impl IndexWriter {
    /// Adds a column of times, and says its number.
    pub(crate) fn add_times(&mut self, place: Place) -> u32 {
        self.times.push(place);
        self.times.len() as u32 - 1
    }

    /// Adds a series, in the order of their labels.
    pub(crate) fn add(&mut self, labels: &Labels, blocks: &[Block]) {
        self.series.push((labels.clone(), blocks.to_vec()));
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut texts: BTreeMap<&str, u64> = BTreeMap::new();
        for label in self.series.iter().flat_map(|(labels, _)| labels.as_slice()) {
            texts.insert(&label.name, 0);
            texts.insert(&label.value, 0);
        }
        let mut into = Vec::new();
        put(&mut into, texts.len() as u64);
        for (number, (text, at)) in (0..).zip(&mut texts) {
            put_bytes(&mut into, text.as_bytes());
            *at = number;
        }
        put(&mut into, self.times.len() as u64);
        let mut end = 0;
        self.times.iter().for_each(|place| put_place(&mut into, *place, &mut end));
        put(&mut into, self.series.len() as u64);
        let mut end = 0;
        for (labels, blocks) in &self.series {
            put(&mut into, labels.len() as u64);
            for label in labels.as_slice() {
                put(&mut into, texts.get(&*label.name).copied().unwrap_or_default());
                put(&mut into, texts.get(&*label.value).copied().unwrap_or_default());
            }
            put(&mut into, blocks.len() as u64);
            let mut before = 0_i64;
            for block in blocks {
                put_signed(&mut into, block.first.wrapping_sub(before));
                put(&mut into, block.last.wrapping_sub(block.first).cast_unsigned());
                put(&mut into, u64::from(block.times));
                put_place(&mut into, block.values, &mut end);
                before = block.last;
            }
        }
        into
    }
}

fn put_place(into: &mut Vec<u8>, place: Place, end: &mut u64) {
    put(into, place.offset - *end);
    put(into, u64::from(place.bytes));
    *end = place.offset + u64::from(place.bytes);
}

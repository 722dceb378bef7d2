//! Exemplars: some of the cases that a sample counts, each with the labels that lead to it, such as a trace's id.
//!
//! They go the way of samples: into the record of their batch, into the head, and with it into the part, so that they
//! stay for as long as what they stand for. A sender repeats an exemplar until it has a newer one, so one that has the
//! labels and the value of the last one is no new one. Of a series the newest [`OF_SERIES`] between two parts are kept,
//! of all series [`OF_HEAD`]; how many were left out is counted.
//!
//! ```text
//! count, then for each the signed distance of its series' number to the one before, the signed distance of its time
//! to the one before, its fixed value, its labels (see `key`)
//! ```

use std::collections::{BTreeMap, VecDeque};

use monitoring::series::{Labels, Texts};

use super::{
    key,
    varint::{Cursor, put, put_bytes, put_signed},
};

/// How many exemplars of a series are kept between two parts.
const OF_SERIES: usize = 100;
/// And of all series.
const OF_HEAD: usize = 50_000;
/// How many bytes the labels of one may have; OpenMetrics allows 128 characters.
pub(crate) const MAX_LABEL_BYTES: usize = 1 << 10;
/// What one takes in memory beside its labels.
const BYTES: usize = 64;

/// One of the cases that a sample counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What leads to it.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// When it was, in milliseconds since 1970.
    pub time: i64,
}

/// An exemplar as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) time: i64,
    pub(crate) value: f64,
    pub(crate) labels: Box<[u8]>,
}

impl Case {
    fn is_like(&self, other: &Case) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.labels == other.labels
    }

    pub(crate) fn exemplar(&self, texts: &mut Texts) -> Option<Exemplar> {
        Some(Exemplar { labels: key::labels(&self.labels, texts)?, value: self.value, time: self.time })
    }
}

/// The exemplars of a head, by the numbers of their series.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    of: BTreeMap<u32, VecDeque<Case>>,
    count: usize,
    bytes: usize,
    /// How many were left out.
    pub(crate) dropped: u64,
}

impl Cases {
    pub(crate) fn add(&mut self, series: u32, case: &Case) {
        let of = self.of.entry(series).or_default();
        if of.back().is_some_and(|last| last.is_like(case)) {
            return;
        }
        let is_full = of.len() >= OF_SERIES;
        if !is_full && self.count >= OF_HEAD {
            self.dropped += 1;
            return;
        }
        if is_full && let Some(oldest) = of.pop_front() {
            self.bytes = self.bytes.saturating_sub(BYTES + oldest.labels.len());
            self.count -= 1;
            self.dropped += 1;
        }
        self.bytes += BYTES + case.labels.len();
        self.count += 1;
        of.push_back(case.clone());
    }

    pub(crate) fn of(&self, series: u32) -> impl Iterator<Item = &Case> {
        self.of.get(&series).into_iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Appends exemplars with the numbers of their series.
pub(crate) fn encode<'a>(cases: impl ExactSizeIterator<Item = (u32, &'a Case)>, into: &mut Vec<u8>) {
    put(into, cases.len() as u64);
    let (mut series, mut time) = (0, 0);
    for (number, case) in cases {
        put_signed(into, i64::from(number) - series);
        put_signed(into, case.time.wrapping_sub(time));
        into.extend(case.value.to_bits().to_le_bytes());
        put_bytes(into, &case.labels);
        (series, time) = (i64::from(number), case.time);
    }
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Vec<(u32, Case)>> {
    let (mut series, mut time) = (0_i64, 0_i64);
    let mut cases = Vec::new();
    for _ in 0..cursor.count(11)? {
        series = series.checked_add(cursor.signed()?)?;
        time = time.wrapping_add(cursor.signed()?);
        let value = f64::from_bits(cursor.fixed()?);
        let labels = cursor.bytes()?.into();
        cases.push((u32::try_from(series).ok()?, Case { time, value, labels }));
    }
    Some(cases)
}

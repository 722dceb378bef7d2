//! Series in memory: their labels, where to find them by label, and their samples in chunks.

use std::collections::HashMap;

use super::{Chunk, Labels, MatchOp, Matcher, Texts};
use crate::promql::{ReadSeries, Samples, Selected, Storage, StorageError};

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is there.
    Stored,
    /// It was there already, with the same value.
    Duplicate,
    /// A later one, or another of the same time, is there.
    OutOfOrder,
}

/// Series of which new samples come in the order of their times.
#[derive(Debug, Default)]
pub struct Head {
    texts: Texts,
    ids: HashMap<Labels, usize>,
    series: Vec<Series>,
    /// The series of each label's value, in ascending order.
    postings: HashMap<String, HashMap<String, Vec<usize>>>,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    chunks: Vec<Chunk>,
    last: Option<(i64, f64)>,
}

impl Head {
    /// The reference of a series, which is made where it is new.
    pub fn series(&mut self, labels: &Labels) -> usize {
        if let Some(&id) = self.ids.get(labels) {
            return id;
        }
        let (id, labels) = (self.series.len(), self.texts.intern_labels(labels));
        for label in labels.as_slice() {
            let values = self.postings.entry(label.name.to_string()).or_default();
            values.entry(label.value.to_string()).or_default().push(id);
        }
        self.series.push(Series { labels: labels.clone(), chunks: Vec::new(), last: None });
        self.ids.insert(labels, id);
        id
    }

    /// Appends a sample by its series' reference, as [`Head::series`] gave it.
    pub fn append(&mut self, series: usize, time: i64, value: f64) -> Appended {
        let Some(series) = self.series.get_mut(series) else { return Appended::OutOfOrder };
        match series.last {
            Some((last, same)) if last == time && same.to_bits() == value.to_bits() => {
                return Appended::Duplicate;
            }
            Some((last, _)) if time <= last => return Appended::OutOfOrder,
            _ => {}
        }
        if !series.chunks.last_mut().is_some_and(|chunk| chunk.push(time, value)) {
            let mut chunk = Chunk::default();
            chunk.push(time, value);
            series.chunks.push(chunk);
        }
        series.last = Some((time, value));
        Appended::Stored
    }

    /// The series that all matchers mean, in ascending order.
    fn matching(&self, matchers: &[Matcher]) -> Vec<usize> {
        let mut found: Option<Vec<usize>> = None;
        // Matchers that need a value narrow by postings, the others by looking at what is left.
        let (needing, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| !matcher.matches(""));
        for matcher in needing {
            let ids = self.postings_of(matcher);
            found = Some(match found {
                Some(before) => before.into_iter().filter(|id| ids.binary_search(id).is_ok()).collect(),
                None => ids,
            });
        }
        let mut found = found.unwrap_or_else(|| (0..self.series.len()).collect());
        let labels = |id: usize| self.series.get(id).map(|series| &series.labels);
        found.retain(|&id| {
            labels(id).is_some_and(|labels| others.iter().all(|matcher| matcher.matches_labels(labels)))
        });
        found
    }

    fn postings_of(&self, matcher: &Matcher) -> Vec<usize> {
        let Some(values) = self.postings.get(matcher.name()) else { return Vec::new() };
        if matcher.op() == MatchOp::Equal {
            return values.get(matcher.value()).cloned().unwrap_or_default();
        }
        let meant = values.iter().filter(|(value, _)| matcher.matches(value));
        let mut ids: Vec<usize> = meant.flat_map(|(_, ids)| ids).copied().collect();
        ids.sort_unstable();
        ids
    }
}

impl Storage for Head {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError> {
        let series = self.matching(matchers).into_iter().filter_map(|id| self.series.get(id));
        let within = |chunk: &Chunk| chunk.times().0 <= to && chunk.times().1 >= from;
        let with = series.filter(|series| series.chunks.iter().any(within));
        Ok(with
            .map(|series| Selected { labels: series.labels.clone(), samples: Box::new(&*series.chunks) })
            .collect())
    }
}

impl ReadSeries for &[Chunk] {
    fn read(&self, from: i64, to: i64, into: &mut Samples) -> Result<(), StorageError> {
        let first = self.partition_point(|chunk| chunk.times().1 < from);
        for chunk in self.iter().skip(first).take_while(|chunk| chunk.times().0 <= to) {
            chunk.read(from, to, into);
        }
        Ok(())
    }
}

//! Series that are durable in the journal and not sealed in a part yet.
//!
//! A head has the samples of one epoch. Its samples stand in chunks in the order of their times, whatever the order
//! is in which they came: a late one is put into its place by packing a chunk of 120 anew, some microseconds, so
//! that nothing has to be merged when it is read. What a batch changes depends on the head alone, so that a replay
//! of the journal comes to the same samples and the same counts.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use identity::Wall;
use monitoring::{
    Ledger,
    promql::Samples,
    series::{Appended, CHUNK_SAMPLES, Chunk, Labels, MatchOp, Matcher, Texts},
};

use super::{
    budget::{self, FOLDED, OverBudget},
    exemplar::{Cases, Exemplar},
    key,
    record::Batch,
};

/// What a series takes beside its labels and its samples, and what a label of it takes.
const SERIES_BYTES: usize = 240;
const LABEL_BYTES: usize = 40;
/// What a label's value takes beside its text, where no other series has it.
const TEXT_BYTES: usize = 112;
/// What a chunk takes beside its samples.
const CHUNK_BYTES: usize = 112;

/// The reasons for which a sample is dropped when it is applied.
pub(crate) const DUPLICATE: &str = "duplicate";
pub(crate) const CONFLICTING: &str = "conflicting";
/// The batch that said what the series is called was lost with a damaged part of the journal.
pub(crate) const UNKNOWN_SERIES: &str = "unknown_series";

/// Chunks of one series, none of them later than the next.
pub(crate) type Chunks = Vec<Arc<Chunk>>;

/// Series of one epoch.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    /// The counters of its batches.
    pub(crate) ledger: Ledger,
    /// When the oldest and the newest of its batches were received.
    pub(crate) received: Option<(Wall, Wall)>,
    /// The times of the earliest and the latest sample.
    pub(crate) times: Option<(i64, i64)>,
    texts: Texts,
    series: Vec<Option<OfSeries>>,
    postings: BTreeMap<(Arc<str>, Arc<str>), Vec<u32>>,
    pub(crate) cases: Cases,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct OfSeries {
    pub(crate) labels: Labels,
    closed: Chunks,
    open: Chunk,
}

impl Head {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Adds a durable batch, and says how many of its samples are stored.
    pub(crate) fn add(&mut self, batch: &Batch) -> u64 {
        let at = batch.received_at;
        let (oldest, newest) = self.received.unwrap_or((at, at));
        self.received = Some((oldest.min(at), newest.max(at)));
        batch.new.iter().for_each(|(number, key)| self.define(*number, key));
        let (mut stored, mut duplicate, mut conflicting, mut unknown, mut folded) = (0, 0, 0, 0, 0);
        let (mut first, mut last) = self.times.unwrap_or((i64::MAX, i64::MIN));
        let sums_from = batch.rows.len().saturating_sub(batch.sums);
        for (place, row) in batch.rows.iter().enumerate() {
            let is_sum = place >= sums_from;
            let samples = batch.of(row);
            let Some(Some(series)) = self.series.get_mut(row.series as usize) else {
                unknown += samples.len() as u64;
                continue;
            };
            let before = series.bytes();
            for (time, value) in samples {
                match series.append(*time, *value, is_sum) {
                    Appended::Stored => {
                        stored += 1;
                        (first, last) = (first.min(*time), last.max(*time));
                    }
                    Appended::Duplicate | Appended::OutOfOrder if is_sum => folded += 1,
                    Appended::Duplicate => duplicate += 1,
                    Appended::OutOfOrder => conflicting += 1,
                }
            }
            self.bytes += series.bytes().saturating_sub(before);
        }
        self.times = (first <= last).then_some((first, last));
        for (series, case) in &batch.exemplars {
            if self.series.get(*series as usize).is_some_and(Option::is_some) {
                self.cases.add(*series, case);
            }
        }
        let mut ledger = batch.ledger.clone();
        ledger.stored = stored;
        ledger.drop_for(DUPLICATE, duplicate);
        ledger.drop_for(CONFLICTING, conflicting);
        ledger.drop_for(UNKNOWN_SERIES, unknown);
        ledger.drop_for(FOLDED, folded);
        self.ledger.add(&ledger);
        stored
    }

    fn define(&mut self, number: u32, key: &[u8]) {
        let at = number as usize;
        if self.series.get(at).is_some_and(Option::is_some) {
            return;
        }
        let Some(labels) = key::labels(key, &mut self.texts) else { return };
        if self.series.len() <= at {
            if self.series.capacity() <= at {
                // By an eighth: doubling would take as much for what is not there.
                self.series.reserve_exact(at / 8 + 16);
            }
            self.series.resize_with(at + 1, || None);
        }
        self.bytes += SERIES_BYTES + labels.len() * LABEL_BYTES;
        for label in labels.as_slice() {
            let pair = (Arc::clone(&label.name), Arc::clone(&label.value));
            let of = self.postings.entry(pair).or_insert_with(|| {
                self.bytes += TEXT_BYTES + label.value.len();
                Vec::new()
            });
            let place = of.partition_point(|other| *other < number);
            of.insert(place, number);
        }
        let series = OfSeries { labels, closed: Vec::new(), open: Chunk::default() };
        if let Some(free) = self.series.get_mut(at) {
            *free = Some(series);
        }
    }

    /// All series, with their numbers.
    pub(crate) fn series(&self) -> impl Iterator<Item = (u32, &OfSeries)> {
        (0..).zip(&self.series).filter_map(|(number, series)| Some((number, series.as_ref()?)))
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series().count()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.cases.bytes()
    }

    /// Whether there is nothing that would have to be sealed: not even a count.
    pub(crate) fn is_empty(&self) -> bool {
        self.received.is_none()
    }

    /// Finds the label that exploded.
    pub(crate) fn explain(&self, over: &mut OverBudget) {
        let mut values: BTreeMap<&str, HashSet<*const u8>> = BTreeMap::new();
        let own = self.series().filter(|(_, series)| budget::is_of(&series.labels, &over.service));
        for label in own.flat_map(|(_, series)| series.labels.as_slice()) {
            // Texts that are the same stand at the same place.
            values.entry(&label.name).or_default().insert(label.value.as_ptr());
        }
        let most = values.into_iter().max_by_key(|(_, values)| values.len());
        over.label = most.map(|(label, values)| (label.into(), values.len() as u64));
    }

    /// The series that all matchers mean and that have samples in a time, with what has them.
    pub(crate) fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Vec<(Labels, Chunks)> {
        if self.times.is_none_or(|(first, last)| first > to || last < from) {
            return Vec::new();
        }
        let within = |chunk: &Chunk| !chunk.is_empty() && chunk.times().0 <= to && chunk.times().1 >= from;
        let chunks = |series: &OfSeries| {
            let closed = series.closed.iter().filter(|chunk| within(chunk)).cloned();
            let open = within(&series.open).then(|| Arc::new(series.open.clone()));
            closed.chain(open).collect::<Chunks>()
        };
        let found = self.matching(matchers).into_iter();
        let found = found.filter_map(|number| self.series.get(number as usize)?.as_ref());
        let found = found.map(|series| (series.labels.clone(), chunks(series)));
        found.filter(|(_, chunks)| !chunks.is_empty()).collect()
    }

    /// The exemplars of the series that all matchers mean, in a time.
    pub(crate) fn exemplars(&self, matchers: &[Matcher], from: i64, to: i64) -> Vec<(Labels, Vec<Exemplar>)> {
        if self.cases.len() == 0 {
            return Vec::new();
        }
        let mut texts = Texts::default();
        let mut found = Vec::new();
        for number in self.matching(matchers) {
            let Some(Some(series)) = self.series.get(number as usize) else { continue };
            let within = self.cases.of(number).filter(|case| (from..=to).contains(&case.time));
            let exemplars: Vec<_> = within.filter_map(|case| case.exemplar(&mut texts)).collect();
            if !exemplars.is_empty() {
                found.push((series.labels.clone(), exemplars));
            }
        }
        found
    }

    fn matching(&self, matchers: &[Matcher]) -> Vec<u32> {
        // Matchers that need a value narrow by postings, the others by looking at what is left.
        let (needing, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| !matcher.matches(""));
        let mut found: Option<Vec<u32>> = None;
        for matcher in needing {
            let of = self.postings_of(matcher);
            found = Some(match found {
                Some(before) => {
                    before.into_iter().filter(|number| of.binary_search(number).is_ok()).collect()
                }
                None => of,
            });
        }
        let mut found = found.unwrap_or_else(|| self.series().map(|(number, _)| number).collect());
        found.retain(|number| {
            let series = self.series.get(*number as usize).and_then(Option::as_ref);
            series.is_some_and(|series| others.iter().all(|matcher| matcher.matches_labels(&series.labels)))
        });
        found
    }

    fn postings_of(&self, matcher: &Matcher) -> Vec<u32> {
        let name: Arc<str> = matcher.name().into();
        if matcher.op() == MatchOp::Equal {
            return self.postings.get(&(name, matcher.value().into())).cloned().unwrap_or_default();
        }
        let first = (Arc::clone(&name), Arc::<str>::from(""));
        let of_name = self.postings.range((Bound::Included(first), Bound::Unbounded));
        let of_name = of_name.take_while(|((of, _), _)| *of == name);
        let meant = of_name.filter(|((_, value), _)| matcher.matches(value));
        let mut found: Vec<u32> = meant.flat_map(|(_, of)| of).copied().collect();
        found.sort_unstable();
        found
    }
}

impl OfSeries {
    /// An estimate of what grows: what was closed had the size that a chunk usually has.
    fn bytes(&self) -> usize {
        self.open.bytes() + self.closed.len() * CHUNK_BYTES
    }

    /// All samples.
    pub(crate) fn read(&self, into: &mut Samples) {
        self.closed.iter().for_each(|chunk| chunk.read(i64::MIN, i64::MAX, into));
        self.open.read(i64::MIN, i64::MAX, into);
    }

    /// Appends a sample, or adds it to the one that is there.
    fn append(&mut self, time: i64, value: f64, is_sum: bool) -> Appended {
        match self.open.last() {
            Some((last, same)) if time == last && !is_sum => compared(same, value),
            Some((last, _)) if time <= last => self.insert(time, value, is_sum),
            _ => {
                if !self.open.push(time, value) {
                    self.closed.push(Arc::new(std::mem::take(&mut self.open)));
                    self.open.push(time, value);
                }
                Appended::Stored
            }
        }
    }

    /// Puts a late sample into its place, or adds it to the one that is there.
    fn insert(&mut self, time: i64, value: f64, is_sum: bool) -> Appended {
        let at = self.closed.partition_point(|chunk| chunk.times().1 < time);
        let mut samples = Samples::default();
        let chunk = self.closed.get(at).map_or(&self.open, |chunk| &**chunk);
        chunk.read(i64::MIN, i64::MAX, &mut samples);
        let appended = match samples.times.binary_search(&time) {
            Ok(place) => {
                let Some(there) = samples.values.get_mut(place) else { return Appended::OutOfOrder };
                let compared = compared(*there, value);
                if !is_sum {
                    return compared;
                }
                *there += value;
                compared
            }
            Err(place) => {
                samples.times.insert(place, time);
                samples.values.insert(place, value);
                Appended::Stored
            }
        };
        let half = if samples.len() > CHUNK_SAMPLES { samples.len() / 2 } else { 0 };
        let (first, second) = (packed(&samples, 0, half), packed(&samples, half, samples.len()));
        let first = (!first.is_empty()).then(|| Arc::new(first));
        if at < self.closed.len() {
            self.closed.splice(at..=at, first.into_iter().chain([Arc::new(second)]));
        } else {
            self.closed.extend(first);
            self.open = second;
        }
        appended
    }
}

fn packed(samples: &Samples, from: usize, to: usize) -> Chunk {
    let mut chunk = Chunk::default();
    for (time, value) in samples.times.iter().zip(&samples.values).take(to).skip(from) {
        chunk.push(*time, *value);
    }
    chunk
}

fn compared(there: f64, new: f64) -> Appended {
    if there.to_bits() == new.to_bits() { Appended::Duplicate } else { Appended::OutOfOrder }
}

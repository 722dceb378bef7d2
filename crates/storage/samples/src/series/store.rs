//! What is durable, behind the lock that readers and the writers share.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use monitoring::{
    Ledger,
    promql::{ReadSeries, Samples, Selected, Storage, StorageError},
    series::{Labels, Matcher, Texts},
};

use super::{
    budget,
    exemplar::Exemplar,
    head::{Chunks, Head},
    part::{Part, Reader, Unreadable},
};

/// What is being sealed, or waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) head: Arc<Head>,
    /// The number that the part will have.
    pub(crate) number: u64,
}

/// All parts that can be read, in the order of their numbers.
pub(crate) type Parts = Arc<Vec<Arc<Part>>>;

/// What is durable.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) active: Head,
    /// Oldest first.
    pub(crate) frozen: Vec<Frozen>,
    pub(crate) parts: Parts,
    /// The counters of all batches up to the newest part.
    pub(crate) sealed: Ledger,
    /// All parts up to this number are gone.
    pub(crate) removed: u64,
    /// Batches of this epoch and earlier ones are in parts, or gone with them.
    pub(crate) sealed_epoch: Option<u64>,
}

impl Durable {
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = self.sealed.clone();
        self.frozen.iter().for_each(|frozen| ledger.add(&frozen.head.ledger));
        ledger.add(&self.active.ledger);
        ledger
    }

    /// Takes the active head away from where batches are added to, to be sealed under this number.
    pub(crate) fn freeze(&mut self, number: u64, epoch: u64) {
        let head = std::mem::replace(&mut self.active, Head::new(epoch));
        if !head.is_empty() {
            self.frozen.push(Frozen { head: Arc::new(head), number });
        }
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let frozen: usize = self.frozen.iter().map(|frozen| frozen.head.bytes()).sum();
        (self.active.bytes() + frozen) as u64
    }
}

#[derive(Debug)]
pub(crate) struct Store(RwLock<Durable>);

impl Store {
    pub(crate) fn new(durable: Durable) -> Self {
        Self(RwLock::new(durable))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Durable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Durable> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where samples of a series are.
#[derive(Debug)]
enum Piece {
    Part(Arc<Reader>, u32),
    Chunks(Chunks),
}

/// A series in all places.
#[derive(Debug, Default)]
struct Joined {
    pieces: Vec<Piece>,
    /// Whether samples at the same time are added.
    is_sum: bool,
}

impl Joined {
    fn of(labels: &Labels) -> Self {
        Self { pieces: Vec::new(), is_sum: budget::is_overflow(labels) }
    }
}

/// Series in the order in which they are found, which is the order in which parts are best read.
#[derive(Debug, Default)]
struct InOrder {
    places: hashbrown::HashMap<Labels, usize>,
    series: Vec<(Labels, Joined)>,
}

impl InOrder {
    fn add(&mut self, labels: Labels, piece: Piece) {
        let place = *self.places.entry(labels.clone()).or_insert(self.series.len());
        if place == self.series.len() {
            let of = Joined::of(&labels);
            self.series.push((labels, of));
        }
        if let Some((_, joined)) = self.series.get_mut(place) {
            joined.pieces.push(piece);
        }
    }
}

impl ReadSeries for Joined {
    fn read(&self, from: i64, to: i64, into: &mut Samples) -> Result<(), StorageError> {
        let (start, mut is_sorted) = (into.len(), true);
        for piece in &self.pieces {
            let before = into.len();
            match piece {
                Piece::Part(reader, series) => reader.read(*series, from, to, into).map_err(failed)?,
                Piece::Chunks(chunks) => chunks.iter().for_each(|chunk| chunk.read(from, to, into)),
            }
            // Each piece is in order, but a late sample may stand in one that was sealed later.
            if before > start
                && let (Some(last), Some(next)) = (into.times.get(before - 1), into.times.get(before))
            {
                is_sorted &= last < next;
            }
        }
        if !is_sorted {
            merge(start, into, self.is_sum);
        }
        Ok(())
    }
}

/// Brings late samples into order. Of two at the same time the one holds that was there first, as in a head, or they
/// are added.
fn merge(start: usize, into: &mut Samples, is_sum: bool) {
    let mut samples: Vec<(i64, f64)> = into.times.drain(start..).zip(into.values.drain(start..)).collect();
    samples.sort_by_key(|(time, _)| *time);
    samples.dedup_by(|(time, value), (before, sum)| {
        let is_same = time == before;
        if is_same && is_sum {
            *sum += *value;
        }
        is_same
    });
    samples.into_iter().for_each(|(time, value)| into.push(time, value));
}

fn failed(error: Unreadable) -> StorageError {
    StorageError(format!("a part of the samples cannot be read: {error}"))
}

/// Exemplars by series, in the order of their times.
pub(crate) type Exemplars = BTreeMap<Labels, Vec<Exemplar>>;

impl Store {
    /// The exemplars of the series that all matchers mean, in a time.
    pub(crate) fn exemplars(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Exemplars, StorageError> {
        let (parts, heads) = {
            let durable = self.read();
            let frozen = durable.frozen.iter().map(|frozen| frozen.head.exemplars(matchers, from, to));
            let heads: Vec<_> = frozen.chain([durable.active.exemplars(matchers, from, to)]).collect();
            (Arc::clone(&durable.parts), heads)
        };
        let (mut found, mut texts) = (Exemplars::new(), Texts::default());
        for part in parts.iter() {
            let cases = part.exemplars(from, to).map_err(failed)?;
            if cases.is_empty() {
                continue;
            }
            let index = part.index().map_err(failed)?;
            // In ascending order.
            let matching = index.matching(matchers);
            for (series, case) in cases {
                if matching.binary_search(&series).is_ok()
                    && let Some(exemplar) = case.exemplar(&mut texts)
                {
                    found.entry(index.labels(series)).or_default().push(exemplar);
                }
            }
        }
        for (labels, exemplars) in heads.into_iter().flatten() {
            found.entry(labels).or_default().extend(exemplars);
        }
        for exemplars in found.values_mut() {
            exemplars.sort_by_key(|exemplar| exemplar.time);
            // A sender repeats what it has, also when a part has been sealed between.
            exemplars.dedup_by(|one, before| {
                one.labels == before.labels && one.value.to_bits() == before.value.to_bits()
            });
        }
        Ok(found)
    }
}

impl Storage for Store {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError> {
        let (parts, heads) = {
            let durable = self.read();
            // The chunks are copied under one lock with the list of parts, so that none is missed and none
            // is there twice while it is being sealed.
            let frozen = durable.frozen.iter().map(|frozen| frozen.head.select(matchers, from, to));
            let heads: Vec<_> = frozen.chain([durable.active.select(matchers, from, to)]).collect();
            (Arc::clone(&durable.parts), heads)
        };
        let mut joined = InOrder::default();
        for part in parts.iter().filter(|part| part.is_within(from, to)) {
            let index = part.index().map_err(failed)?;
            let matching = index.matching(matchers);
            if matching.is_empty() {
                continue;
            }
            let reader = Arc::new(part.reader(Arc::clone(&index)).map_err(failed)?);
            for series in matching {
                let is_within = |block: &super::index::Block| block.first <= to && block.last >= from;
                if index.blocks(series).iter().any(is_within) {
                    let piece = Piece::Part(Arc::clone(&reader), series);
                    joined.add(index.labels(series), piece);
                }
            }
        }
        for (labels, chunks) in heads.into_iter().flatten() {
            joined.add(labels, Piece::Chunks(chunks));
        }
        let selected = |(labels, joined): (Labels, Joined)| Selected { labels, samples: Box::new(joined) };
        Ok(joined.series.into_iter().map(selected).collect())
    }
}

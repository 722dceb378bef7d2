//! Samples on their way into a store, series by series.

use std::sync::{
    Arc, RwLockReadGuard,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use monitoring::series::Labels;

use super::{
    exemplar::{Case, MAX_LABEL_BYTES},
    key,
    spelling::{Spelled, Spelling},
};

/// A series that samples are appended to often: its labels are looked up once between two parts. A clone costs a
/// counter; who keeps one keeps the bytes of its labels and nothing else.
#[derive(Debug, Clone)]
pub struct SeriesRef(pub(crate) Arc<Known>);

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) key: Box<[u8]>,
    /// The lower half of an epoch, and the number of the series in it.
    number: AtomicU64,
}

impl SeriesRef {
    /// The series with these labels, of any store.
    #[must_use]
    pub fn new(labels: &Labels) -> Self {
        Self(Arc::new(Known { key: key::of(labels).into(), number: AtomicU64::new(u64::MAX) }))
    }
}

impl Known {
    fn number(&self, epoch: u64) -> Option<u32> {
        let number = self.number.load(Relaxed);
        (number >> 32 == epoch & 0xffff_ffff && number != u64::MAX).then_some(number as u32)
    }

    /// A durable batch of this epoch says what the series with this number is called.
    pub(crate) fn set(&self, epoch: u64, number: u32) {
        self.number.store(epoch << 32 | u64::from(number), Relaxed);
    }
}

/// How a row says which series it is.
#[derive(Debug)]
pub(crate) enum Named {
    /// By the bytes of its labels, which stand there.
    Key(u32, u32),
    Reference(SeriesRef),
    /// By its number in this epoch, which a durable batch has given a name.
    Number(u32),
}

/// The samples of one series.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) named: Named,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// Samples of a batch. Begin a series, then append its samples.
///
/// It holds numbers of series in place while it lives, so give it away before you wait for anything.
#[derive(Debug)]
pub struct SampleWriter<'a> {
    known: RwLockReadGuard<'a, Spelled>,
    /// How those rows are spelled whose labels had to be read.
    pub(crate) spellings: Vec<(u32, Spelling)>,
    pub(crate) keys: Vec<u8>,
    pub(crate) rows: Vec<Written>,
    pub(crate) samples: Vec<(i64, f64)>,
    /// Exemplars with the places of their series among the rows, and of their labels among the keys.
    pub(crate) exemplars: Vec<(u32, i64, f64, std::ops::Range<u32>)>,
}

impl<'a> SampleWriter<'a> {
    pub(crate) fn new(known: RwLockReadGuard<'a, Spelled>) -> Self {
        let (spellings, keys, rows, samples, exemplars) = Default::default();
        Self { known, spellings, keys, rows, samples, exemplars }
    }

    /// Makes room for so many series with a sample each.
    #[must_use]
    pub fn with_room(mut self, series: usize) -> Self {
        self.rows.reserve(series);
        self.samples.reserve(series);
        self
    }

    /// Forgets all that was written.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
        self.samples.clear();
        self.exemplars.clear();
        self.spellings.clear();
    }

    /// Begins a series by the bytes with which its sender names it. The same bytes have to mean the same labels, whoever
    /// sends them.
    ///
    /// # Errors
    /// They are not known: they will be, if this is handed over with the labels.
    pub fn spelled(&mut self, spelling: &[u8]) -> Result<(), Spelling> {
        self.known.find(spelling).map(|number| self.begin(Named::Number(number)))
    }

    /// Begins a series by its labels, which are sorted by name, unique and not empty, and learns how it is spelled.
    pub fn learn<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, spelling: Spelling) {
        self.spellings.push((self.rows.len() as u32, spelling));
        self.series(labels);
    }

    /// Begins a series by its labels, which are sorted by name, unique and not empty.
    pub fn series<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
        let from = self.keys.len() as u32;
        key::put(labels, &mut self.keys);
        self.begin(Named::Key(from, self.keys.len() as u32));
    }

    /// Begins a series that is known.
    pub fn reference(&mut self, series: &SeriesRef) {
        let number = series.0.number(self.known.epoch).map(Named::Number);
        self.begin(number.unwrap_or_else(|| Named::Reference(series.clone())));
    }

    fn begin(&mut self, named: Named) {
        let at = self.samples.len() as u32;
        self.rows.push(Written { named, from: at, to: at });
    }

    /// Appends a sample to the series that was begun last: milliseconds since 1970, and a value. Without a series
    /// it goes nowhere.
    pub fn sample(&mut self, time: i64, value: f64) {
        if let Some(row) = self.rows.last_mut() {
            self.samples.push((time, value));
            row.to += 1;
        }
    }

    /// Appends an exemplar to the series that was begun last, with labels that are sorted by name and unique.
    pub fn exemplar<'l>(
        &mut self,
        time: i64,
        value: f64,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) {
        let from = self.keys.len() as u32;
        key::put(labels, &mut self.keys);
        if let Some(row) = self.rows.len().checked_sub(1) {
            self.exemplars.push((row as u32, time, value, from..self.keys.len() as u32));
        }
    }

    pub(crate) fn has_exemplars(&self, row: usize) -> bool {
        self.exemplars.binary_search_by(|(of, ..)| (*of as usize).cmp(&row)).is_ok()
    }

    /// The exemplars of a row.
    pub(crate) fn exemplars_of(&self, row: usize) -> impl Iterator<Item = Case> {
        let first = self.exemplars.partition_point(|(of, ..)| (*of as usize) < row);
        let of_row = self.exemplars.iter().skip(first).take_while(move |(of, ..)| *of as usize == row);
        of_row.map(|(_, time, value, at)| {
            let labels = self.keys.get(at.start as usize..at.end as usize).unwrap_or_default().into();
            Case { time: *time, value: *value, labels }
        })
    }

    /// Leaves out the exemplars outside of a time or with too long labels, and says how many.
    pub(crate) fn keep_exemplars(&mut self, from: i64, to: i64) -> u64 {
        let before = self.exemplars.len();
        self.exemplars
            .retain(|(_, time, _, labels)| (from..=to).contains(time) && labels.len() <= MAX_LABEL_BYTES);
        (before - self.exemplars.len()) as u64
    }

    pub(crate) fn key_of<'w>(&'w self, written: &'w Written) -> &'w [u8] {
        match &written.named {
            Named::Key(from, to) => self.keys.get(*from as usize..*to as usize).unwrap_or_default(),
            Named::Reference(series) => &series.0.key,
            Named::Number(_) => &[],
        }
    }

    pub(crate) fn samples_of(&self, written: &Written) -> &[(i64, f64)] {
        self.samples.get(written.from as usize..written.to as usize).unwrap_or_default()
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.keys.len() + self.rows.len() * 40 + self.samples.len() * 32) as u64
    }

    /// Leaves out the samples outside of a time, and says how many were too old and too new.
    pub(crate) fn keep(&mut self, from: i64, to: i64) -> (u64, u64) {
        if self.samples.iter().all(|(time, _)| (from..=to).contains(time)) {
            return (0, 0);
        }
        let (mut kept, mut old, mut new) = (Vec::with_capacity(self.samples.len()), 0, 0);
        for row in &mut self.rows {
            let start = kept.len() as u32;
            for sample in self.samples.get(row.from as usize..row.to as usize).unwrap_or_default() {
                old += u64::from(sample.0 < from);
                new += u64::from(sample.0 > to);
                if (from..=to).contains(&sample.0) {
                    kept.push(*sample);
                }
            }
            (row.from, row.to) = (start, kept.len() as u32);
        }
        self.samples = kept;
        (old, new)
    }
}

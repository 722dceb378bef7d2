//! Which number a series has, for those who come.
//!
//! Numbers hold for one epoch. What a series is called goes into the record of every batch that has samples of it,
//! until one of these is durable; where the disk refuses a batch, the next one says it again.
//! A series is found by the print of its key (see `spelling`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    SeriesSettings,
    budget::{self, FOLDED, OverBudget, Room, Services},
    head::Head,
    key,
    record::{Batch, Row},
    spelling::{PRINT_BYTES, Print, Prints, Seed, Spelled, Spellings},
    writer::{Named, SampleWriter},
};

/// The reason for which samples of series beyond the most are dropped.
const TOO_MANY_SERIES: &str = "too_many_series";
/// The bit of a place that says that the samples go into a sum.
const IS_FOLDED: u32 = 1 << 31;

#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    most_of_service: usize,
    epoch: Mutex<Epoch>,
    pub(crate) spellings: Spellings,
}

/// Ways to spell a series that are learned on the average, at most.
const SPELLINGS: usize = 2;

#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    seed: Seed,
    series: Prints,
    /// Of each series, whether a durable batch says what it is called.
    is_known: Vec<bool>,
    services: Services,
}

impl Admission {
    /// Goes on with what a replay has found.
    pub(crate) fn new(settings: &SeriesSettings, head: &Head) -> Self {
        let mut epoch = Epoch::new(head.epoch, Seed::new());
        for (number, series) in head.series() {
            let key = key::of(&series.labels);
            epoch.services.add(&key);
            epoch.series.insert(epoch.seed.print(&key), number);
            epoch.is_known.resize(number as usize, false);
            epoch.is_known.push(true);
        }
        let most = settings.max_series.min(IS_FOLDED as usize);
        let spellings = Spellings::new(epoch.number, epoch.seed, most.saturating_mul(SPELLINGS));
        Self { most, most_of_service: settings.max_series_of_service, epoch: Mutex::new(epoch), spellings }
    }

    fn lock(&self) -> MutexGuard<'_, Epoch> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next epoch, and says its number. Nobody relies on numbers of the one before.
    pub(crate) fn next(&self, spelled: &mut Spelled) -> u64 {
        let mut epoch = self.lock();
        let number = epoch.number + 1;
        *epoch = Epoch::new(number, epoch.seed);
        spelled.epoch = number;
        number
    }

    /// A batch of what was written, with the counters in `batch`.
    pub(crate) fn admit(&self, writer: &mut SampleWriter<'_>, mut batch: Batch) -> Batch {
        let mut epoch = self.lock();
        batch.epoch = epoch.number;
        batch.rows.reserve(writer.rows.len());
        let (mut left_out, mut folded) = (0, 0);
        let mut sums: BTreeMap<u32, BTreeMap<i64, f64>> = BTreeMap::new();
        let mut spellings = writer.spellings.iter().peekable();
        for (row, written) in writer.rows.iter().enumerate() {
            let count = u64::from(written.to - written.from);
            if let Named::Number(series) = &written.named {
                if !writer.exemplars.is_empty() {
                    batch.exemplars.extend(writer.exemplars_of(row).map(|case| (*series, case)));
                }
                if count > 0 {
                    batch.rows.push(Row { series: *series, from: written.from, to: written.to });
                }
                continue;
            }
            let spelling = spellings.next_if(|(of, _)| *of as usize == row);
            if count == 0 && !writer.has_exemplars(row) {
                continue;
            }
            let key = writer.key_of(written);
            let place = self.place_of(&mut epoch, key);
            let Some(place) = place else {
                left_out += count;
                continue;
            };
            let series = place & !IS_FOLDED;
            batch.exemplars.extend(writer.exemplars_of(row).map(|case| (series, case)));
            let is_known = epoch.is_known.get(series as usize).copied().unwrap_or_default();
            if series == place {
                if !is_known {
                    batch.new.push((series, key.into()));
                } else if let Named::Reference(reference) = &written.named {
                    reference.0.set(epoch.number, series);
                }
                batch.spellings.extend(spelling.map(|(_, spelling)| (spelling.0, series)));
                if count > 0 {
                    batch.rows.push(Row { series, from: written.from, to: written.to });
                }
                continue;
            }
            epoch.services.fold(key, count);
            if !is_known && !sums.contains_key(&series) {
                batch.new.push((series, budget::folded(key).into()));
            }
            let sum = sums.entry(series).or_default();
            for (time, value) in writer.samples_of(written) {
                let before = sum.len();
                if !value.is_nan() {
                    *sum.entry(*time).or_default() += value;
                }
                folded += u64::from(sum.len() == before);
            }
        }
        batch.ledger.drop_for(TOO_MANY_SERIES, left_out);
        batch.ledger.drop_for(FOLDED, folded);
        batch.samples = std::mem::take(&mut writer.samples);
        for (series, sum) in sums {
            let from = batch.samples.len() as u32;
            batch.samples.extend(sum);
            batch.rows.push(Row { series, from, to: batch.samples.len() as u32 });
            batch.sums += 1;
        }
        batch
    }

    /// The number of the series with this key, or of the one that it is folded into.
    fn place_of(&self, epoch: &mut Epoch, key: &[u8]) -> Option<u32> {
        let print = epoch.seed.print(key);
        if let Some(number) = epoch.series.get(&print) {
            return Some(*number);
        }
        match epoch.services.room(key, self.most_of_service) {
            Room::Own => epoch.number_of(key, print, self.most),
            Room::Folded(into) => {
                epoch.number_of(&into, epoch.seed.print(&into), self.most).map(|number| number | IS_FOLDED)
            }
        }
    }

    /// The services of whose samples some were folded in this epoch, without what exploded.
    pub(crate) fn over_budget(&self) -> Vec<OverBudget> {
        let epoch = self.lock();
        let over = epoch.services.over().map(|(service, used)| OverBudget {
            service: service.into(),
            series: used.series as u64,
            folded: used.folded,
            label: None,
        });
        over.collect()
    }

    /// A batch is durable.
    pub(crate) fn know(&self, batch: &Batch) {
        self.name(batch);
        self.spellings.learn(batch);
    }

    fn name(&self, batch: &Batch) {
        if batch.new.is_empty() {
            return;
        }
        let mut epoch = self.lock();
        if epoch.number != batch.epoch {
            return;
        }
        for (number, _) in &batch.new {
            if let Some(is_known) = epoch.is_known.get_mut(*number as usize) {
                *is_known = true;
            }
        }
    }

    /// Memory for the numbers.
    pub(crate) fn bytes(&self) -> u64 {
        let series = self.lock().series.len() as u64;
        // A print, and a flag.
        series * (PRINT_BYTES + 1) + self.spellings.bytes()
    }
}

impl Epoch {
    fn new(number: u64, seed: Seed) -> Self {
        let (series, is_known, services) = Default::default();
        Self { number, seed, series, is_known, services }
    }

    fn number_of(&mut self, key: &[u8], print: Print, most: usize) -> Option<u32> {
        if let Some(number) = self.series.get(&print) {
            return Some(*number);
        }
        if self.series.len() >= most || !self.services.add(key) {
            return None;
        }
        let number = u32::try_from(self.is_known.len()).ok()?;
        self.series.insert(print, number);
        self.is_known.push(false);
        Some(number)
    }
}

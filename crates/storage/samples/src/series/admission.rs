//! Which number a series has, for those who come.
//!
//! Numbers hold for one epoch. What a series is called goes into the record of every batch that has samples of it,
//! until one of these is durable; where the disk refuses a batch, the next one says it again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    head::Head,
    key,
    record::{Batch, Row},
    writer::{Named, SampleWriter},
};

/// The reason for which samples of series beyond the most are dropped.
const TOO_MANY_SERIES: &str = "too_many_series";

#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    epoch: Mutex<Epoch>,
}

#[derive(Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    series: HashMap<Box<[u8]>, u32>,
    /// Of each series, whether a durable batch says what it is called.
    is_known: Vec<bool>,
}

impl Admission {
    /// Goes on with what a replay has found.
    pub(crate) fn new(most: usize, head: &Head) -> Self {
        let mut epoch = Epoch { number: head.epoch, ..Epoch::default() };
        for (number, series) in head.series() {
            epoch.series.insert(key::of(&series.labels).into(), number);
            epoch.is_known.resize(number as usize, false);
            epoch.is_known.push(true);
        }
        Self { most, epoch: Mutex::new(epoch) }
    }

    fn lock(&self) -> MutexGuard<'_, Epoch> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next epoch, and says its number.
    pub(crate) fn next(&self) -> u64 {
        let mut epoch = self.lock();
        let number = epoch.number + 1;
        *epoch = Epoch { number, ..Epoch::default() };
        number
    }

    /// A batch of what was written, with the counters in `batch`.
    pub(crate) fn admit(&self, writer: SampleWriter, mut batch: Batch) -> Batch {
        let mut epoch = self.lock();
        batch.epoch = epoch.number;
        batch.rows.reserve(writer.rows.len());
        let mut left_out = 0;
        for written in writer.rows.iter().filter(|row| row.from < row.to) {
            let number = match &written.named {
                Named::Key(from, to) => {
                    let key = writer.keys.get(*from as usize..*to as usize).unwrap_or_default();
                    epoch.number_of(key, self.most)
                }
                Named::Reference(series) => series.0.number(epoch.number).or_else(|| {
                    let number = epoch.number_of(&series.0.key, self.most)?;
                    series.0.set(epoch.number, number);
                    Some(number)
                }),
            };
            let Some(series) = number else {
                left_out += u64::from(written.to - written.from);
                continue;
            };
            if !epoch.is_known.get(series as usize).copied().unwrap_or_default() {
                let key = match &written.named {
                    Named::Key(from, to) => writer.keys.get(*from as usize..*to as usize).unwrap_or_default(),
                    Named::Reference(series) => &series.0.key,
                };
                batch.new.push((series, key.into()));
            }
            batch.rows.push(Row { series, from: written.from, to: written.to });
        }
        batch.ledger.drop_for(TOO_MANY_SERIES, left_out);
        batch.samples = writer.samples;
        batch
    }

    /// A batch is durable.
    pub(crate) fn know(&self, batch: &Batch) {
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
        let epoch = self.lock();
        epoch.series.len() as u64 * 160
    }
}

impl Epoch {
    fn number_of(&mut self, key: &[u8], most: usize) -> Option<u32> {
        if let Some(number) = self.series.get(key) {
            return Some(*number);
        }
        if self.series.len() >= most {
            return None;
        }
        let number = u32::try_from(self.is_known.len()).ok()?;
        self.series.insert(key.into(), number);
        self.is_known.push(false);
        Some(number)
    }
}

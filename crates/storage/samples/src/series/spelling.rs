//! What senders call series that are known, byte by byte.
//!
//! A sender spells a series the same way in each of its requests, so that the bytes of its labels, as they stand there,
//! say which one is meant; nothing has to be read, sorted or checked. A spelling is learned when a batch with it is
//! durable, and holds for one epoch. Writers hold the lock until their batch is queued: the numbers that they have
//! found are still those of the epoch in which the batch is admitted.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use twox_hash::XxHash3_128;

use super::record::Batch;

/// What is known of bytes: 96 bits of a hash, under a seed that nobody outside knows. That two of a million are the
/// same is less likely than one in 10¹⁶ openings of a store, and what a series is called would be the largest part of
/// what it takes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print([u32; 3]);

impl Hash for Print {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high, _] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

/// How a series is spelled of which that is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling(pub(crate) Print);

/// The seed of prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn print(self, bytes: &[u8]) -> Print {
        let print = XxHash3_128::oneshot_with_seed(self.0, bytes);
        Print([print as u32, (print >> 32) as u32, (print >> 64) as u32])
    }
}

/// A print is spread already.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}

/// Numbers by prints.
pub(crate) type Prints = HashMap<Print, u32, BuildHasherDefault<Spread>>;
/// What a print takes: its entry in a table that is full by two thirds.
pub(crate) const PRINT_BYTES: u64 = 26;

/// Spellings of one epoch.
#[derive(Debug)]
pub(crate) struct Spelled {
    pub(crate) epoch: u64,
    pub(crate) seed: Seed,
    numbers: Prints,
}

impl Spelled {
    /// The number of the series that is spelled this way, or what to learn it by.
    pub(crate) fn find(&self, spelling: &[u8]) -> Result<u32, Spelling> {
        let print = self.seed.print(spelling);
        self.numbers.get(&print).copied().ok_or(Spelling(print))
    }
}

/// Spellings, which writers look up and the store's thread learns.
#[derive(Debug)]
pub(crate) struct Spellings {
    most: usize,
    spelled: RwLock<Spelled>,
}

impl Spellings {
    /// At most so many.
    pub(crate) fn new(epoch: u64, seed: Seed, most: usize) -> Self {
        Self { most, spelled: RwLock::new(Spelled { epoch, seed, numbers: Prints::default() }) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Spelled> {
        self.spelled.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Spelled> {
        self.spelled.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody relies on numbers, and gives them up. Nobody looks one up while the answer lives.
    pub(crate) fn turn(&self) -> RwLockWriteGuard<'_, Spelled> {
        let mut spelled = self.write();
        spelled.numbers = Prints::default();
        spelled
    }

    /// Learns the spellings of a batch that is durable.
    pub(crate) fn learn(&self, batch: &Batch) {
        if batch.spellings.is_empty() {
            return;
        }
        let mut spelled = self.write();
        if spelled.epoch == batch.epoch {
            let room = self.most.saturating_sub(spelled.numbers.len());
            spelled.numbers.extend(batch.spellings.iter().take(room).copied());
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.read().numbers.len() as u64 * PRINT_BYTES
    }
}

//! What is durable, behind the lock that readers and the one writer share.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use monitoring::{Ledger, Rollup, RollupSettings};

use crate::record::Batch;

/// What is durable.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) rollup: Rollup,
    pub(crate) ledger: Ledger,
}

impl Durable {
    pub(crate) fn new(settings: RollupSettings) -> Self {
        Self { rollup: Rollup::new(settings), ledger: Ledger::default() }
    }

    /// Adds a batch that is durable. Its own time stands for now, so that a replay gives the same.
    pub(crate) fn add(&mut self, batch: Batch) {
        self.ledger.add(&batch.ledger);
        for (key, delta) in batch.rows {
            self.rollup.add(key, &delta, batch.received_at, batch.received_at);
        }
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

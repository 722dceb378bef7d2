//! What is durable, behind the lock that readers and the one writer share.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use monitoring::Ledger;

use crate::index::Index;

/// What is durable.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) index: Index,
    /// The counters of all segments that are gone.
    pub(crate) removed: Ledger,
}

impl Durable {
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = self.removed.clone();
        self.index.blocks().iter().for_each(|block| ledger.add(&block.ledger));
        ledger
    }
}

#[derive(Debug, Default)]
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

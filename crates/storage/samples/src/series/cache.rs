//! Indexes of parts that were read, the least recently used going first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{index::Index, part::Unreadable};

#[derive(Debug)]
pub(crate) struct Cache {
    most: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the number of the part: when it was used, and what it takes.
    indexes: BTreeMap<u64, (u64, u64, Arc<Index>)>,
    uses: u64,
    bytes: u64,
}

impl Cache {
    /// At most so many bytes; the newest one is kept however large it is.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// The index of a part, read where it is not kept. Two who ask at once may both read it.
    pub(crate) fn get(
        &self,
        number: u64,
        read: impl FnOnce() -> Result<Index, Unreadable>,
    ) -> Result<Arc<Index>, Unreadable> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = kept();
            kept.uses += 1;
            let now = kept.uses;
            if let Some((used, _, index)) = kept.indexes.get_mut(&number) {
                *used = now;
                return Ok(Arc::clone(index));
            }
        }
        let index = Arc::new(read()?);
        let mut kept = kept();
        let (now, bytes) = (kept.uses, index.bytes());
        if let Some((_, before, _)) = kept.indexes.insert(number, (now, bytes, Arc::clone(&index))) {
            kept.bytes -= before;
        }
        kept.bytes += bytes;
        while kept.bytes > self.most && kept.indexes.len() > 1 {
            let oldest = kept.indexes.iter().filter(|(other, _)| **other != number);
            let Some(oldest) = oldest.min_by_key(|(_, (used, ..))| *used).map(|(number, _)| *number) else {
                break;
            };
            kept.forget(oldest);
        }
        Ok(index)
    }

    /// The part is gone.
    pub(crate) fn forget(&self, number: u64) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).forget(number);
    }

    /// The memory that all take.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl Kept {
    fn forget(&mut self, number: u64) {
        if let Some((_, bytes, _)) = self.indexes.remove(&number) {
            self.bytes -= bytes;
        }
    }
}

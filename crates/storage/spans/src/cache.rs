//! What is remembered of blocks, within a budget: what was used least recently goes first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parquet::file::metadata::ParquetMetaData;

use crate::{
    block::{Filter, Split, Table},
    names::Names,
};

/// What is remembered.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Filter(Arc<Filter>),
    Table(Arc<Table>),
    Names(Arc<Names>),
    Footer(Arc<ParquetMetaData>),
    Split(Arc<Split>),
}

/// Which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Filter,
    Table,
    Names,
    Footer,
    Split,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<(u64, What), (Kept, usize, u64)>,
    by_use: BTreeMap<u64, (u64, What)>,
    bytes: usize,
    uses: u64,
}

/// The memory of blocks.
#[derive(Debug)]
pub(crate) struct Cache {
    state: Mutex<State>,
    budget: usize,
}

impl Cache {
    pub(crate) fn new(budget: usize) -> Self {
        Self { state: Mutex::default(), budget }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, block: u64, what: What) -> Option<Kept> {
        let mut state = self.lock();
        let state = &mut *state;
        let (kept, _, used) = state.kept.get_mut(&(block, what))?;
        state.uses += 1;
        state.by_use.remove(used);
        *used = state.uses;
        state.by_use.insert(*used, (block, what));
        Some(kept.clone())
    }

    pub(crate) fn put(&self, block: u64, what: What, kept: Kept, bytes: usize) {
        // What is larger than everything together would only drive the rest out.
        if bytes > self.budget {
            return;
        }
        let mut state = self.lock();
        let state = &mut *state;
        state.forget((block, what));
        state.uses += 1;
        state.bytes += bytes;
        state.by_use.insert(state.uses, (block, what));
        state.kept.insert((block, what), (kept, bytes, state.uses));
        while state.bytes > self.budget
            && let Some((_, oldest)) = state.by_use.first_key_value()
        {
            let oldest = *oldest;
            state.forget(oldest);
        }
    }

    /// Forgets everything of a block that is gone.
    pub(crate) fn forget(&self, block: u64) {
        let mut state = self.lock();
        for what in [What::Filter, What::Table, What::Names, What::Footer, What::Split] {
            state.forget((block, what));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl State {
    fn forget(&mut self, key: (u64, What)) {
        if let Some((_, bytes, used)) = self.kept.remove(&key) {
            self.bytes -= bytes;
            self.by_use.remove(&used);
        }
    }
}

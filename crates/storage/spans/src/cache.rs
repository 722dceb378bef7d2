//! What is remembered of blocks, within a budget: what was used least recently goes first.
//!
//! What finds a trace by its id is small and asked of every block, for each trace that comes in and for each that
//! is looked for; a search over everything reads tables that are ten times as large, each once. So that it does
//! not drive out the former, that goes last, as long as it takes no more than half of the budget.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parquet::file::metadata::ParquetMetaData;

use crate::{
    block::{Filter, Front, Split, Table},
    names::Names,
};

/// What is remembered.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Front(Arc<Front>),
    Filter(Arc<Filter>),
    Table(Arc<Table>),
    Names(Arc<Names>),
    Footer(Arc<ParquetMetaData>),
    Split(Arc<Split>),
}

/// Which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Front,
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
    /// The same, of what finds a trace.
    finders_by_use: BTreeMap<u64, (u64, What)>,
    bytes: usize,
    /// What those take.
    finder_bytes: usize,
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
        let by_use = if what.is_finder() { &mut state.finders_by_use } else { &mut state.by_use };
        by_use.remove(used);
        *used = state.uses;
        by_use.insert(*used, (block, what));
        Some(kept.clone())
    }

    /// Whether this is remembered, without using it.
    pub(crate) fn has(&self, block: u64, what: What) -> bool {
        self.lock().kept.contains_key(&(block, what))
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
        if what.is_finder() {
            state.finder_bytes += bytes;
            state.finders_by_use.insert(state.uses, (block, what));
        } else {
            state.by_use.insert(state.uses, (block, what));
        }
        state.kept.insert((block, what), (kept, bytes, state.uses));
        while state.bytes > self.budget
            && let Some(oldest) = state.oldest(self.budget / 2)
        {
            state.forget(oldest);
        }
    }

    /// Forgets everything of a block that is gone.
    pub(crate) fn forget(&self, block: u64) {
        let mut state = self.lock();
        for what in [What::Front, What::Filter, What::Table, What::Names, What::Footer, What::Split] {
            state.forget((block, what));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl What {
    fn is_finder(self) -> bool {
        matches!(self, What::Front | What::Filter)
    }
}

impl State {
    /// What goes first, where finders may have so many bytes.
    fn oldest(&self, finders: usize) -> Option<(u64, What)> {
        let (one, other) = match self.finder_bytes > finders {
            true => (&self.finders_by_use, &self.by_use),
            false => (&self.by_use, &self.finders_by_use),
        };
        one.first_key_value().or_else(|| other.first_key_value()).map(|(_, key)| *key)
    }

    fn forget(&mut self, key: (u64, What)) {
        if let Some((_, bytes, used)) = self.kept.remove(&key) {
            self.bytes -= bytes;
            if key.1.is_finder() {
                self.finder_bytes -= bytes;
                self.finders_by_use.remove(&used);
            } else {
                self.by_use.remove(&used);
            }
        }
    }
}

//! What is durable, behind the lock that readers and the writers share.
//!
//! Spans are in one of three places: in the *active* memory, which batches are added to; in the *frozen* one,
//! which is being sealed and never changes; or in a block. A trace may have parts in all of them. Blocks know
//! which of their traces have parts in earlier blocks (it is written down in them), and the two memories know
//! it of theirs, so that a search that looks at one part finds the others without a look into every block.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use identity::TraceId;
use monitoring::Ledger;
use traces::sampling::TailCounts;

use crate::{
    block::{Block, Earlier},
    cache::Cache,
    chunk::Chunk,
    memory::Memory,
    names::Directory,
    record::Batch,
};

/// Blocks in which a search looks for other parts of a trace: the newest ones, 67 million spans if they are
/// full. Parts in older ones are found when the trace is asked for by its id.
pub(crate) const JOINED_BLOCKS: usize = 256;

/// Spans in memory, and where else their traces have spans.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) memory: Memory,
    pub(crate) earlier: Earlier,
}

/// What is being sealed.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) part: Arc<Part>,
    /// What the block is not given, and what can be read until it is there.
    pub(crate) leaving: Arc<Part>,
    /// The number that the block will have.
    pub(crate) number: u64,
    /// Its record.
    pub(crate) record: Arc<[u8]>,
}

impl Frozen {
    /// The spans of a trace, each as its chunk and its position there.
    pub(crate) fn spans_of(&self, id: TraceId) -> Vec<(Arc<Chunk>, u32)> {
        let mut spans = self.part.memory.spans_of(id);
        spans.extend(self.leaving.memory.spans_of(id));
        spans
    }
}

/// All blocks that can be read, in the order of their numbers.
pub(crate) type Blocks = Arc<Vec<Arc<Block>>>;

/// What is durable.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) active: Part,
    pub(crate) frozen: Option<Frozen>,
    pub(crate) blocks: Blocks,
    /// Of each block those later ones that have parts of its traces.
    pub(crate) later: BTreeMap<u64, Vec<u64>>,
    /// The names of blocks and of what is being sealed.
    pub(crate) directory: Directory,
    /// The counters of all batches up to the newest block.
    pub(crate) sealed: Ledger,
    /// All blocks up to this number are gone.
    pub(crate) removed: u64,
    /// What tail sampling has counted.
    pub(crate) tail: TailCounts,
}

impl Durable {
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = self.sealed.clone();
        if let Some(frozen) = &self.frozen {
            ledger.add(&frozen.part.memory.ledger);
        }
        ledger.add(&self.active.memory.ledger);
        ledger
    }

    /// Spans in memory, and in blocks.
    pub(crate) fn memories(&self) -> impl Iterator<Item = &Part> {
        let frozen = self.frozen.iter().flat_map(|frozen| [&*frozen.part, &*frozen.leaving]);
        [&self.active].into_iter().chain(frozen)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let part = |part: &Part| part.memory.bytes() + part.earlier.len() * 96;
        self.memories().map(part).sum::<usize>()
    }

    /// Adds a block to those that are read.
    pub(crate) fn add_block(&mut self, block: Arc<Block>, split: &[(u32, Vec<(u64, u32)>)]) {
        for (_, parts) in split {
            for (earlier, _) in parts {
                let later = self.later.entry(*earlier).or_default();
                if later.last() != Some(&block.number) {
                    later.push(block.number);
                }
            }
        }
        let mut blocks = self.blocks.to_vec();
        blocks.push(block);
        self.blocks = Arc::new(blocks);
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    durable: RwLock<Durable>,
    pub(crate) cache: Arc<Cache>,
}

impl Store {
    pub(crate) fn new(durable: Durable, cache: Arc<Cache>) -> Self {
        Self { durable: RwLock::new(durable), cache }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Durable> {
        self.durable.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Durable> {
        self.durable.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a durable batch readable.
    pub(crate) fn add(&self, batch: &Batch) {
        loop {
            let (blocks, new) = {
                let durable = self.read();
                let mut new: Vec<TraceId> = Vec::new();
                for span in 0..batch.chunk.len() as u32 {
                    let Some(head) = batch.chunk.head(span) else { continue };
                    if new.last() != Some(&head.trace_id)
                        && durable.active.memory.trace(head.trace_id).is_none()
                    {
                        new.push(head.trace_id);
                    }
                }
                (Arc::clone(&durable.blocks), new)
            };
            // The disk is asked without the lock; if a block has come meanwhile, it is asked again.
            let found = parts_in(&blocks, &new);
            let mut durable = self.write();
            if !Arc::ptr_eq(&blocks, &durable.blocks) {
                continue;
            }
            durable.active.earlier.extend(found);
            durable.active.memory.add(Arc::clone(&batch.chunk), &batch.ledger, |_| {});
            return;
        }
    }
}

/// Which of these traces have parts in the newest blocks, and where.
fn parts_in(blocks: &Blocks, ids: &[TraceId]) -> HashMap<TraceId, Vec<(u64, u32)>> {
    let newest = blocks.len().saturating_sub(JOINED_BLOCKS);
    let mut found: HashMap<TraceId, Vec<(u64, u32)>> = HashMap::new();
    for block in &blocks[newest..] {
        for (id, at) in block.look(|block| block.find_all(ids)).unwrap_or_default() {
            let parts = found.entry(id).or_default();
            if parts.last() != Some(&(block.number, at)) {
                parts.push((block.number, at));
            }
        }
    }
    found
}

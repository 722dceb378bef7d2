//! Where traces are looked for: the spans in memory as one source, and each block as one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use identity::{TraceId, Wall};
use traces::Span;

use super::conditions::{Conditions, Facts, bit, has, may_have};
use crate::{
    block::{Bits, Block, Table, Unreadable},
    chunk::Chunk,
    memory::{Memory, owned},
    store::{Blocks, Durable, Frozen, Store},
};

/// A part of a trace in a block.
pub(crate) type InBlock = (u64, u32);

/// A part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Memory(TraceId),
    Block(u64, u32),
}

/// Everything at one moment.
pub(crate) struct Snapshot {
    pub(crate) blocks: Blocks,
    frozen: Option<Frozen>,
    later: BTreeMap<u64, Vec<u64>>,
    /// What the conditions need of what is in memory.
    pub(crate) memory: HashMap<TraceId, Facts>,
    /// Parts in blocks of the traces in memory, and the other way round.
    pub(crate) earlier: HashMap<TraceId, Vec<InBlock>>,
    in_memory: HashMap<u64, HashMap<u32, TraceId>>,
    /// The spans that are still to be looked at.
    unseen: Vec<(TraceId, Arc<Chunk>, u32)>,
}

impl Snapshot {
    pub(crate) fn take(durable: &Durable, conditions: &Conditions<'_>) -> Self {
        let mut snapshot = Self {
            blocks: Arc::clone(&durable.blocks),
            frozen: durable.frozen.clone(),
            later: durable.later.clone(),
            memory: HashMap::new(),
            earlier: HashMap::new(),
            in_memory: HashMap::new(),
            unseen: Vec::new(),
        };
        for part in durable.memories() {
            snapshot.look_at(&part.memory, conditions);
            for (id, parts) in &part.earlier {
                let known = snapshot.earlier.entry(*id).or_default();
                for part in parts {
                    if !known.contains(part) {
                        known.push(*part);
                    }
                    snapshot.in_memory.entry(part.0).or_default().insert(part.1, *id);
                }
            }
        }
        snapshot
    }

    fn look_at(&mut self, memory: &Memory, conditions: &Conditions<'_>) {
        let places = conditions.places(&memory.names);
        for (id, entry) in memory.traces() {
            let bits = conditions.of_entry(entry, &places);
            let facts = Facts { start: entry.start, end: entry.end, bits };
            self.memory.entry(*id).and_modify(|known| *known = known.and(facts)).or_insert(facts);
        }
        if conditions.wanted.is_empty() {
            return;
        }
        for chunk in memory.chunks() {
            if conditions.wanted.iter().any(|wanted| may_have(chunk, wanted)) {
                let span = |at| Some((chunk.head(at)?.trace_id, Arc::clone(chunk), at));
                self.unseen.extend((0..chunk.len() as u32).filter_map(span));
            }
        }
    }

    /// Looks at the spans in memory, which needs no lock any more.
    pub(crate) fn look_at_spans(&mut self, conditions: &Conditions<'_>) {
        for (id, chunk, at) in std::mem::take(&mut self.unseen) {
            for (condition, wanted) in conditions.wanted.iter().enumerate() {
                if has(&chunk, at, wanted) == Some(true)
                    && let Some(facts) = self.memory.get_mut(&id)
                {
                    facts.bits |= bit(condition);
                }
            }
        }
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Block>> {
        let at = self.blocks.binary_search_by_key(&number, |block| block.number).ok()?;
        self.blocks.get(at)
    }

    /// The traces of a block that have other parts, each with all its parts.
    pub(crate) fn split(&self, block: &Block) -> Result<HashMap<u32, Vec<At>>, Unreadable> {
        let mut split: HashMap<u32, Vec<At>> = HashMap::new();
        let number = block.number;
        for (at, parts) in block.split()?.iter() {
            let all = split.entry(*at).or_insert_with(|| vec![At::Block(number, *at)]);
            all.extend(parts.iter().map(|(block, at)| At::Block(*block, *at)));
        }
        for later in self.later.get(&number).into_iter().flatten() {
            let Some(later) = self.block(*later) else { continue };
            for (there, parts) in later.look(Block::split).unwrap_or_default().iter() {
                let Some((_, at)) = parts.iter().find(|(block, _)| *block == number) else { continue };
                split
                    .entry(*at)
                    .or_insert_with(|| vec![At::Block(number, *at)])
                    .push(At::Block(later.number, *there));
            }
        }
        for (at, id) in self.in_memory.get(&number).into_iter().flatten() {
            split.entry(*at).or_insert_with(|| vec![At::Block(number, *at)]).push(At::Memory(*id));
        }
        Ok(split)
    }

    /// All parts of a trace in memory.
    pub(crate) fn parts(&self, id: TraceId) -> Vec<At> {
        let earlier = self.earlier.get(&id).into_iter().flatten();
        [At::Memory(id)].into_iter().chain(earlier.map(|(block, at)| At::Block(*block, *at))).collect()
    }

    /// All spans of the trace with these parts, from where they are now.
    pub(crate) fn spans(&self, id: TraceId, parts: &[At], store: &Store) -> Vec<Arc<Span>> {
        let mut spans = Vec::new();
        for part in parts {
            match part {
                At::Memory(id) => {
                    let active = store.read().active.memory.spans_of(*id);
                    spans.extend(owned(&active));
                    let frozen = self.frozen.as_ref().map(|frozen| frozen.spans_of(*id));
                    spans.extend(owned(&frozen.unwrap_or_default()));
                }
                At::Block(block, at) => {
                    let read =
                        self.block(*block).and_then(|block| block.look(|block| block.spans_at(id, *at)));
                    spans.extend(read.unwrap_or_default().into_iter().map(Arc::new));
                }
            }
        }
        spans
    }
}

/// A block with what the conditions need of it.
pub(crate) struct Prepared {
    pub(crate) table: Arc<Table>,
    shapes: Vec<u32>,
    wanted: Vec<Bits>,
}

impl Prepared {
    pub(crate) fn of(block: &Block, conditions: &Conditions<'_>) -> Result<Self, Unreadable> {
        let places = conditions.places(&*block.names()?);
        let table = block.table()?;
        let shapes = table.shapes.iter().map(|shape| conditions.of_shape(shape, &places)).collect();
        let wanted = conditions.wanted.iter().map(|wanted| block.having(wanted)).collect::<Result<_, _>>()?;
        Ok(Self { table, shapes, wanted })
    }

    pub(crate) fn facts(&self, at: u32) -> Option<Facts> {
        let row = self.table.rows.get(at as usize)?;
        let mut bits = self.shapes[row.shape as usize];
        for (condition, found) in self.wanted.iter().enumerate() {
            bits |= u32::from(found.has(at as usize)) * bit(condition);
        }
        Some(Facts { start: row.start, end: Wall(row.start.0.saturating_add(row.duration_ns)), bits })
    }
}

/// The blocks that were prepared last: the parts of a trace are near each other mostly.
const PREPARED: usize = 8;
/// How many of them are prepared ahead: other parts of their traces are to be remembered as well.
pub(crate) const AHEAD: usize = PREPARED / 2;
/// How many threads prepare blocks, that of who asks included: the other cores are for others.
const THREADS: usize = 2;

/// Blocks that are prepared once while they are needed.
#[derive(Default)]
pub(crate) struct PreparedBlocks {
    known: VecDeque<(u64, Option<Arc<Prepared>>)>,
    pub(crate) unreadable: usize,
    /// Spans of the blocks whose columns were looked at.
    pub(crate) examined: u64,
}

impl PreparedBlocks {
    /// Prepares blocks at the same time, which are needed next: at most [`AHEAD`].
    pub(crate) fn prepare(&mut self, blocks: &[&Block], conditions: &Conditions<'_>) {
        let is_known = |block: &&Block| self.known.iter().any(|(number, _)| *number == block.number);
        let blocks: Vec<&Block> = blocks.iter().copied().filter(|block| !is_known(block)).collect();
        if blocks.len() < THREADS {
            return; // It is prepared when it is needed.
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut prepared = Vec::new();
            while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let made = block.look(|block| Prepared::of(block, conditions)).map(Arc::new);
                prepared.push((*block, made));
            }
            prepared
        };
        let prepared = thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            // What a thread that panicked has not prepared is prepared when it is needed.
            others.into_iter().filter_map(|other| other.join().ok()).for_each(|made| all.extend(made));
            all
        });
        for (block, made) in prepared {
            self.remember(block, made, conditions);
        }
    }

    fn remember(&mut self, block: &Block, prepared: Option<Arc<Prepared>>, conditions: &Conditions<'_>) {
        self.unreadable += usize::from(prepared.is_none());
        if !conditions.wanted.is_empty() {
            self.examined += block.header.spans;
        }
        if self.known.len() == PREPARED {
            self.known.pop_front();
        }
        self.known.push_back((block.number, prepared));
    }

    pub(crate) fn get(&mut self, block: &Block, conditions: &Conditions<'_>) -> Option<Arc<Prepared>> {
        if let Some((_, known)) = self.known.iter().find(|(number, _)| *number == block.number) {
            return known.clone();
        }
        let prepared = block.look(|block| Prepared::of(block, conditions)).map(Arc::new);
        self.remember(block, prepared.clone(), conditions);
        prepared
    }
}
